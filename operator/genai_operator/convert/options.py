"""Options that a configuration has as keys and texts: what the table of parameters says about each. No option's own."""

from collections.abc import Mapping

from genai_operator.convert.draft import Draft, shown
from genai_operator.parameters.row import Already, Row, Section


def carry_options(draft: Draft, section: Section, options: Mapping[str, str]) -> None:
    """Carry what has a field, note the rest, in the table's order: where two exclude each other, the first stays."""
    for row in section.rows:
        if row.key in options:
            carry_option(draft, section.name, row, options[row.key])
    for key in sorted(set(options) - {row.key for row in section.rows}):
        draft.lose(f"{section.name}.{key}: {shown(options[key])}", f"{section.title} is not known to have such a key")


def carry_option(draft: Draft, place: str, row: Row, value: str) -> None:
    """Carry one value, or note why not."""
    origin = f"{place}.{row.key}".lstrip(".")
    if row.read is None:
        draft.lose(f"{origin}: {shown(value)}", row.words)
        return
    try:
        read = row.read(value)
    except Already as already:
        draft.same(f"{origin}: {shown(value)}", str(already))
    except ValueError as error:
        draft.lose(f"{origin}: {shown(value)}", str(error))
    else:
        if draft.carry(row.field, read, origin, value) and row.check:
            draft.check(f"spec.{row.field}", row.check)

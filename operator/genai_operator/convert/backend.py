"""What Triton's command line says for all models of its backend: `--backend-config=onnxruntime,KEY=VALUE`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from genai_operator.convert.draft import Draft, shown
from genai_operator.convert.errors import CannotConvert
from genai_operator.convert.options import carry_option, carry_options
from genai_operator.parameters.triton import COMMAND_LINE
from genai_operator.parameters.values import flag, whole

_BACKEND = "onnxruntime"
_POOL = "enable-global-threadpool"
_BATCH = "default-max-batch-size"
THREADS = ("intra_op_thread_count", "inter_op_thread_count")


@dataclass(frozen=True, slots=True)
class Backend:
    """The settings as they were given. `global_pool`: one thread pool for all models, with threads of its own."""

    settings: Mapping[str, str] = field(default_factory=dict)
    global_pool: bool = False
    default_max_batch_size: int | None = None


def read_backend(given: Iterable[str]) -> Backend:
    """Options as Triton's command line takes them; of one that is given twice the last counts.

    Raises:
        CannotConvert: one is not `onnxruntime,KEY=VALUE`, or its value cannot be read.
    """
    settings: dict[str, str] = {}
    for each in given:
        backend, comma, setting = each.partition(",")
        key, equals, value = setting.partition("=")
        if backend != _BACKEND or not comma or not equals or not key:
            raise CannotConvert(f"--backend-config {shown(each)}: must be {_BACKEND},KEY=VALUE")
        settings[key] = value
    try:
        pool = flag(settings.get(_POOL, "0"))
        batch = whole(settings[_BATCH]) if _BATCH in settings else None
    except ValueError as error:
        raise CannotConvert(f"--backend-config {_BACKEND}: {_POOL} or {_BATCH} {error}") from error
    return Backend(settings, pool, batch)


def carry_backend(draft: Draft, backend: Backend) -> None:
    """The threads of the global pool are the one model's here; without that pool Triton ignores them."""
    rest = {key: value for key, value in backend.settings.items() if key not in (_BATCH, *THREADS)}
    carry_options(draft, COMMAND_LINE, rest)
    rows = {row.key: row for row in COMMAND_LINE.rows}
    for key in THREADS:
        if key not in backend.settings:
            continue
        if backend.global_pool:
            carry_option(draft, COMMAND_LINE.name, rows[key], backend.settings[key])
        else:
            place = f"{COMMAND_LINE.name}.{key}: {shown(backend.settings[key])}"
            draft.lose(place, f"Triton reads it only with {_POOL}=1")


def ignored_by(backend: Backend) -> Mapping[str, str]:
    """Keys of `parameters` that Triton ignores with this command line, and why."""
    reason = f"Triton ignores it with {_POOL}=1"
    return dict.fromkeys(THREADS, reason) if backend.global_pool else {}

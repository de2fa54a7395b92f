"""What a model folder is, and whether it may be served, before an engine opens it.

Without ONNX Runtime, and in bounded time and memory whatever the folder holds. What is looked at in which part is in
the modules that this one calls; whether the graph runs is the engine's to find out.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from genai_runtime.errors import ModelUnusable
from genai_runtime.models.defects import Code, Defect, Findings, TooManyDefects, Unusable, shown
from genai_runtime.models.folder import Folder, look_into
from genai_runtime.models.genai_config import (
    CONFIG_FILE,
    ModelFacts,
    check_inside,
    check_values,
    named_files,
    read_facts,
)
from genai_runtime.models.graph_safety import External, examine_graph
from genai_runtime.models.limits import Rules
from genai_runtime.models.names import is_library
from genai_runtime.models.session_options import check_options, custom_libraries
from genai_runtime.models.strict_json import read_object
from genai_runtime.models.tokenizer_files import (
    TEMPLATE_FILE,
    TOKENIZER_CONFIG_FILE,
    TOKENIZER_FILE,
    check_template_file,
    check_templates,
    check_tokenizer,
)

T = TypeVar("T")

_ANY = Rules()
_GRAPHS = (".onnx", ".ort")


@dataclass(frozen=True, slots=True)
class InspectedModel:
    """A model folder that looks complete. `size_bytes`: the decoder's graph and its weights."""

    folder: Path
    architecture: str
    context_length: int
    vocabulary_size: int
    decoder_filename: str
    eos_token_ids: list[int]
    pad_token_id: int
    size_bytes: int


def inspect_model(folder: Path, rules: Rules = _ANY) -> InspectedModel:
    """Look at all of `folder`. Raises `ModelUnusable` with ModelNotFound or ModelInvalid and the first defect."""
    model, defects = find_defects(folder, rules)
    if model is None or defects:
        more = f" (and {len(defects) - 1} more: genai-runtime check tells them)" if len(defects) > 1 else ""
        raise _unusable(defects[0], more)
    return model


def find_defects(folder: Path, rules: Rules = _ANY) -> tuple[InspectedModel | None, list[Defect]]:
    """What the folder is, as far as it could be understood, and everything that is wrong with it."""
    inspection = _Inspection(folder, rules)
    inspection.run()
    return inspection.model, inspection.findings.defects


def describe_model(folder: Path) -> InspectedModel:
    """What the folder is, for an engine: it was inspected before. Raises `ModelUnusable` as `inspect_model` does."""
    inspection = _Inspection(folder, Rules(custom_operators=True))
    inspection.describe()
    if inspection.model is None:
        raise _unusable(inspection.findings.defects[0])
    return inspection.model


def _unusable(defect: Defect, more: str = "") -> ModelUnusable:
    reason = "ModelNotFound" if defect.code is Code.FOLDER_MISSING else "ModelInvalid"
    return ModelUnusable(reason, defect.message + more)


@dataclass(slots=True)
class _Inspection:
    """One look at one folder. Each step notes its defects; a step that needs what another did not find is left out."""

    path: Path
    rules: Rules
    findings: Findings = field(default_factory=Findings)
    model: InspectedModel | None = None
    config: dict[str, Any] = field(default_factory=dict)

    def run(self) -> None:
        """All of it, or the first fifty defects."""
        try:
            folder = self._step(self._list)
            if folder is None or self.findings.defects:
                return  # a name that leads elsewhere is not followed
            self._libraries(folder)
            facts = self._step(partial(self._facts, folder))
            if facts is None:
                return
            self._step(partial(check_values, self.config, facts, self.findings))
            check_options(self.config, self.rules, self.findings)
            size = self._step(partial(self._graphs, folder, facts))
            self._step(partial(self._tokenizer, folder, facts))
            self._step(partial(self._templates, folder))
            if size is not None:
                self._set(facts, size)
        except TooManyDefects:
            pass

    def describe(self) -> None:
        """Only what `model` holds."""
        try:
            folder = self._step(self._list)
            facts = self._step(partial(self._facts, folder)) if folder else None
            if folder is None or facts is None:
                return
            size = self._step(partial(self._graph, folder, facts.decoder_filename))
            if size is not None:
                self._set(facts, size)
        except TooManyDefects:
            pass

    def _set(self, facts: ModelFacts, size: int) -> None:
        self.model = InspectedModel(
            self.path,
            facts.architecture,
            facts.context_length,
            facts.vocabulary_size,
            facts.decoder_filename,
            facts.eos_token_ids,
            facts.pad_token_id,
            size,
        )

    def _step(self, step: Callable[[], T]) -> T | None:
        try:
            return step()
        except Unusable as unusable:
            self.findings.take(unusable.defect)
            return None

    def _list(self) -> Folder:
        if not self.path.exists():
            raise Unusable(Code.FOLDER_MISSING, f"the model folder {self.path} does not exist")
        if not self.path.is_dir():
            raise Unusable(Code.NOT_A_FOLDER, f"{self.path} is not a folder")
        folder = look_into(self.path, self.rules.limits, self.findings)
        if not (folder.files or folder.links or self.findings.defects):
            raise Unusable(Code.FOLDER_MISSING, f"there is nothing in the model folder {self.path}")
        return folder

    def _libraries(self, folder: Folder) -> None:
        found = [name for name in (*folder.files, *folder.links) if is_library(name)]
        if found and not self.rules.custom_operators:
            self.findings.add(Code.CUSTOM_OPERATORS, f"{shown(found[0])} is a library, which is code")

    def _facts(self, folder: Folder) -> ModelFacts:
        limits = self.rules.limits
        path = _file(folder, CONFIG_FILE, "every model folder")
        self.config = read_object(path, CONFIG_FILE, limits, limits.config_bytes, any_number=False)
        return read_facts(self.config, limits)

    def _graphs(self, folder: Folder, facts: ModelFacts) -> int | None:
        """Every file that genai_config.json names. Bytes of the decoder's graph and weights."""
        sizes: dict[str, int | None] = {}
        for where, name in [*named_files(self.config), *custom_libraries(self.config)]:
            named_by = f"{CONFIG_FILE} ({where})"
            if name not in sizes and self._step(partial(_file, folder, name, named_by)) is not None:
                graph = name == facts.decoder_filename or name.endswith(_GRAPHS)
                sizes[name] = self._step(partial(self._graph, folder, name)) if graph else 0
        return sizes.get(facts.decoder_filename)

    def _graph(self, folder: Folder, name: str) -> int:
        """Bytes of the graph and of its weights elsewhere."""
        path = _file(folder, name, f"{CONFIG_FILE} (model.decoder.filename)")
        report = examine_graph(path, name, self.rules, self.findings)
        beside = name.rpartition("/")[0]
        used: dict[str, int] = {name: folder.files[folder.find(name) or ""]}
        for context in report.contexts:
            _file(folder, context, name, beside)
        for each in report.external:
            used[each.location] = self._external(folder, each, name, beside)
        return sum(used.values())

    def _external(self, folder: Folder, each: External, name: str, beside: str) -> int:
        check_inside(each.location, name, Code.EXTERNAL_DATA_OUTSIDE)
        found = folder.find(f"{beside}/{each.location}" if beside else each.location)
        if found is None:
            raise Unusable(Code.EXTERNAL_DATA_MISSING, f"{shown(each.location)} is missing; {name} names it")
        there, needed = folder.files[found], each.offset + each.length
        if there < needed:
            said = f"{each.location} is cut off: {there} bytes, but {name} needs {needed}"
            raise Unusable(Code.EXTERNAL_DATA_CUT_OFF, said)
        return there

    def _tokenizer(self, folder: Folder, facts: ModelFacts) -> None:
        limits = self.rules.limits
        path = _file(folder, TOKENIZER_FILE, "every model folder")
        content = read_object(path, TOKENIZER_FILE, limits, limits.json_bytes)
        check_tokenizer(content, facts.vocabulary_size, limits, self.findings)

    def _templates(self, folder: Folder) -> None:
        limits = self.rules.limits
        if folder.find(TEMPLATE_FILE):
            check_template_file(folder.path / TEMPLATE_FILE, limits)
        if folder.find(TOKENIZER_CONFIG_FILE):
            path = folder.path / TOKENIZER_CONFIG_FILE
            check_templates(read_object(path, TOKENIZER_CONFIG_FILE, limits, limits.json_bytes), limits, self.findings)


def _file(folder: Folder, name: str, named_by: str, beside: str = "") -> Path:
    """The plain file `name`, as `named_by` writes it. Raises `Unusable` if it is outside or missing."""
    check_inside(name, named_by)
    place = f"{beside}/{name}" if beside else name
    if folder.find(place) is None:
        raise Unusable(Code.FILE_MISSING, f"{name} is missing in the model folder; {named_by} names it")
    return folder.path / place

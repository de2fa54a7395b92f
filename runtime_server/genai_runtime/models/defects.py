"""What can be wrong with a model folder: a closed list of codes, each with its remedy, and a collection of findings.

docs/model-folder.md explains each code. How a defect is found is the business of the modules that look.
"""

from dataclasses import dataclass, field
from enum import StrEnum

_SHOWN_NAME = 80
_MOST = 50


class Code(StrEnum):
    """The word that a message about a defect begins with. Users search for them: they do not change."""

    # The folder.
    FOLDER_MISSING = "FolderMissing"
    NOT_A_FOLDER = "NotAFolder"
    UNREADABLE = "Unreadable"
    TOO_MANY_FILES = "TooManyFiles"
    TOO_DEEP = "TooDeep"
    TOO_LARGE = "TooLarge"
    BAD_NAME = "BadName"
    NAMES_COLLIDE = "NamesCollide"
    LINK_OUTSIDE = "LinkOutside"
    LINK_BROKEN = "LinkBroken"
    HARD_LINK_OUTSIDE = "HardLinkOutside"
    SPECIAL_FILE = "SpecialFile"
    ARCHIVE_UNSAFE = "ArchiveUnsafe"
    ARCHIVE_BROKEN = "ArchiveBroken"
    # Its files, one by one.
    FILE_MISSING = "FileMissing"
    JSON_TOO_LARGE = "JsonTooLarge"
    JSON_TOO_DEEP = "JsonTooDeep"
    NOT_UTF8 = "NotUtf8"
    NOT_JSON = "NotJson"
    DUPLICATE_KEY = "DuplicateKey"
    NOT_A_NUMBER = "NotANumber"
    # genai_config.json.
    CONFIG_INCOMPLETE = "ConfigIncomplete"
    CONFIG_VALUE = "ConfigValue"
    TYPE_UNKNOWN = "TypeUnknown"
    TOKEN_OUTSIDE_VOCABULARY = "TokenOutsideVocabulary"
    FILE_OUTSIDE = "FileOutside"
    OPTION_OPENS_FILES = "OptionOpensFiles"
    OPTION_INVALID = "OptionInvalid"
    CUSTOM_OPERATORS = "CustomOperators"
    PROVIDER_CONTRADICTS = "ProviderContradicts"
    # The graph and its weights.
    NOT_ONNX = "NotOnnx"
    GRAPH_TOO_LARGE = "GraphTooLarge"
    GRAPH_TOO_DEEP = "GraphTooDeep"
    TENSOR_INVALID = "TensorInvalid"
    EXTERNAL_DATA_OUTSIDE = "ExternalDataOutside"
    EXTERNAL_DATA_MISSING = "ExternalDataMissing"
    EXTERNAL_DATA_CUT_OFF = "ExternalDataCutOff"
    EXTERNAL_DATA_INVALID = "ExternalDataInvalid"
    UNSAFE_OPERATOR = "UnsafeOperator"
    # The tokenizer and the chat template.
    TOKENIZER_INVALID = "TokenizerInvalid"
    TOKENIZER_VOCABULARY = "TokenizerVocabulary"
    TOKEN_TOO_LONG = "TokenTooLong"
    TEMPLATE_TOO_LARGE = "TemplateTooLarge"
    TEMPLATE_INVALID = "TemplateInvalid"


_COPY_AGAIN = "copy or build the folder again"
_BUILD_AGAIN = "build the model again with GenAI's model builder"
_FILES_ITSELF = "put the file itself into the folder"
_ONLY_NEEDED = "keep only the files of this one model in it"

REMEDIES: dict[Code, str] = {
    Code.FOLDER_MISSING: "correct the model's source",
    Code.NOT_A_FOLDER: "name the folder that genai_config.json lies in",
    Code.UNREADABLE: "let the server's user read it (chmod -R a+rX), or mount it with a fitting fsGroup",
    Code.TOO_MANY_FILES: _ONLY_NEEDED,
    Code.TOO_DEEP: _ONLY_NEEDED,
    Code.TOO_LARGE: _ONLY_NEEDED,
    Code.BAD_NAME: "rename it: printable characters, no backslash, at most 255 bytes",
    Code.NAMES_COLLIDE: "rename one: names must differ in more than case or accents' spelling",
    Code.LINK_OUTSIDE: _FILES_ITSELF,
    Code.LINK_BROKEN: _FILES_ITSELF,
    Code.HARD_LINK_OUTSIDE: "copy the file (cp, not ln), so that nothing outside the folder shares its content",
    Code.SPECIAL_FILE: "remove it: a model is made of files and folders",
    Code.ARCHIVE_UNSAFE: "pack the folder again with plain files and folders only",
    Code.ARCHIVE_BROKEN: "make or upload the archive again",
    Code.FILE_MISSING: _COPY_AGAIN,
    Code.JSON_TOO_LARGE: _COPY_AGAIN,
    Code.JSON_TOO_DEEP: _COPY_AGAIN,
    Code.NOT_UTF8: "save it as UTF-8 without a byte order mark",
    Code.NOT_JSON: _COPY_AGAIN,
    Code.DUPLICATE_KEY: "keep one of the two: readers disagree about which one counts",
    Code.NOT_A_NUMBER: "write a finite number: NaN and Infinity are no JSON",
    Code.CONFIG_INCOMPLETE: _BUILD_AGAIN,
    Code.CONFIG_VALUE: "correct the value in genai_config.json",
    Code.TYPE_UNKNOWN: "correct model.type, or use a runtime image whose ONNX Runtime GenAI knows it",
    Code.TOKEN_OUTSIDE_VOCABULARY: "correct the id, or vocab_size, in genai_config.json",
    Code.FILE_OUTSIDE: "name a file inside the model folder, relative to it",
    Code.OPTION_OPENS_FILES: "remove the option; profiles and logs are asked for in the GenAIModel's spec",
    Code.OPTION_INVALID: "correct or remove the option in genai_config.json",
    Code.CUSTOM_OPERATORS: "remove it, or, if you trust this folder's code, set spec.model.customOperators: Allow",
    Code.PROVIDER_CONTRADICTS: "set spec.provider to what the model was built for, or use a build for this provider",
    Code.NOT_ONNX: _COPY_AGAIN,
    Code.GRAPH_TOO_LARGE: _BUILD_AGAIN,
    Code.GRAPH_TOO_DEEP: _BUILD_AGAIN,
    Code.TENSOR_INVALID: _BUILD_AGAIN,
    Code.EXTERNAL_DATA_OUTSIDE: "save the model again with its weights beside the .onnx file",
    Code.EXTERNAL_DATA_MISSING: _COPY_AGAIN,
    Code.EXTERNAL_DATA_CUT_OFF: _COPY_AGAIN,
    Code.EXTERNAL_DATA_INVALID: _BUILD_AGAIN,
    Code.UNSAFE_OPERATOR: _BUILD_AGAIN,
    Code.TOKENIZER_INVALID: "copy tokenizer.json from the original model again",
    Code.TOKENIZER_VOCABULARY: "use the tokenizer that the model was built with, or correct vocab_size",
    Code.TOKEN_TOO_LONG: "use the tokenizer that the model was built with",
    Code.TEMPLATE_TOO_LARGE: "use the original model's chat template",
    Code.TEMPLATE_INVALID: "use the original model's chat template",
}


@dataclass(frozen=True, slots=True)
class Defect:
    """`what` names the file and says what is wrong with it."""

    code: Code
    what: str

    @property
    def remedy(self) -> str:
        """What the person who made the folder can do."""
        return REMEDIES[self.code]

    @property
    def message(self) -> str:
        """One line: the code, what is wrong, and the remedy."""
        return f"{self.code}: {self.what}; {self.remedy}"


class Unusable(Exception):
    """Raised where looking further makes no sense; the defect is the reason."""

    def __init__(self, code: Code, what: str) -> None:
        super().__init__(what)
        self.defect = Defect(code, what)


class TooManyDefects(Exception):
    """The list is full."""


@dataclass(slots=True)
class Findings:
    """The defects of one folder, in the order in which they were found, none twice."""

    defects: list[Defect] = field(default_factory=list)

    def add(self, code: Code, what: str) -> None:
        """Raises `TooManyDefects` after the fiftieth."""
        self.take(Defect(code, what))

    def take(self, defect: Defect) -> None:
        """As `add`."""
        if defect not in self.defects:
            self.defects.append(defect)
        if len(self.defects) >= _MOST:
            raise TooManyDefects


def shown(name: object) -> str:
    """A name or value that came with a folder, as a message may hold it: quoted, escaped, not long."""
    text = ascii(str(name))
    return text if len(text) <= _SHOWN_NAME else f"{text[: _SHOWN_NAME - 4]}...'"

"""A model's place in a repository, and the URI that follows from it. Looking at the disk is `source.py`'s."""

from dataclasses import dataclass

from genai_protocol.triton.model_config_pb2 import ModelConfig

_CLAIM = "models"
# Of a file system.
_LONGEST_NAME = 255
_LAYOUT = (
    "a configuration does not say where its repository is: this is its layout on a PersistentVolumeClaim called "
    f"{_CLAIM}. --model-uri says another."
)
_CONTENT = (
    "must be a folder of ONNX Runtime GenAI, with genai_config.json, a tokenizer and the graph; the model.onnx of "
    "Triton's backend alone cannot generate text"
)


@dataclass(frozen=True, slots=True)
class ModelFolder:
    """`origin`: what messages call the configuration. `name`: the folder's, empty where there is none.

    `versions` of the model in ascending order, and those of them, `complete`, that ONNX Runtime GenAI can load.
    """

    origin: str
    name: str = ""
    versions: tuple[int, ...] = ()
    complete: frozenset[int] = frozenset()


def model_uri(folder: ModelFolder, name: str, config: ModelConfig, wanted: str) -> tuple[str, list[str]]:
    """The URI, and what was assumed for it. `wanted` may have {model}, the folder's name, and {version} in it."""
    version, assumed = _version(folder, config)
    model = folder.name or name
    if wanted:
        uri = wanted.replace("{model}", model).replace("{version}", str(version))
    else:
        uri = f"pvc://{_CLAIM}/{_segment(model, name)}/{version}"
        assumed.append(_LAYOUT)
    if version not in folder.complete:
        assumed.append(_CONTENT)
    return uri, assumed


def _segment(model: str, name: str) -> str:
    """The folder's own name, where it can be a part of a path in a URI."""
    usable = model.isascii() and model[:1].isalnum() and all(each.isalnum() or each in "_.@+=-" for each in model)
    return model if usable and len(model) <= _LONGEST_NAME else name


def _version(folder: ModelFolder, config: ModelConfig) -> tuple[int, list[str]]:
    """The one version that is served, and what was left out for it."""
    policy = config.version_policy
    candidates = folder.versions
    if policy.HasField("specific"):
        named = sorted({each for each in policy.specific.versions if each > 0})
        candidates = tuple(each for each in named if each in candidates or not candidates) or tuple(named)
    if not candidates:
        return 1, []
    several = policy.HasField("all") or policy.HasField("specific") or policy.latest.num_versions > 1
    if several and len(candidates) > 1:
        listed = ", ".join(str(each) for each in candidates[-10:])
        return candidates[-1], [f"a GenAIModel serves one folder, and this is the latest of the versions {listed}"]
    return candidates[-1], []

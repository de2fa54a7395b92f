"""What genai_config.json passes on to ONNX Runtime: session, run and provider options, in whichever part of it.

ONNX Runtime accepts unknown keys silently, and some keys open files, write them or load code. So an option is refused
unless it is known to do neither. Which of the harmless ones an engine honours is the engine's business.
"""

import re
from collections.abc import Iterator
from typing import Any

from genai_runtime.models.defects import Code, Findings, shown
from genai_runtime.models.genai_config import CONFIG_FILE
from genai_runtime.models.limits import Rules

_LIBRARY = "custom_ops_library"
_TYPED: dict[str, type | tuple[type, ...]] = {
    "log_id": str,
    "graph_optimization_level": str,
    "intra_op_num_threads": int,
    "inter_op_num_threads": int,
    "log_severity_level": int,
    "log_verbosity_level": int,
    "enable_cpu_mem_arena": bool,
    "enable_mem_pattern": bool,
    "use_env_allocators": bool,
    "provider_options": list,
}
_MOST_THREADS = 1024  # ONNX Runtime does not end making 100,000
# Keys, or parts of them, whose values are places: to write to, to read from, to load code of.
_PLACE = re.compile(
    r"path|(?<!pro)file|folder|directory|_dir\b|librar|profiling|dump|ep.context|cache_prefix|trace|skel|blob|plugin",
    re.IGNORECASE,
)
_KEY = re.compile(r"[A-Za-z0-9_.:-]{1,128}")
_VALUE = re.compile(r"[A-Za-z0-9_.,:;=+ -]{0,512}")  # no separator of paths
_OPTIONS = ("session_options", "run_options")


def check_options(config: dict[str, Any], rules: Rules, findings: Findings) -> None:
    """Everything under session_options, run_options and provider_options, wherever it stands."""
    for where, options in _objects(config, ""):
        if not isinstance(options, dict):
            findings.add(Code.OPTION_INVALID, f"{CONFIG_FILE}: {where} is not an object")
            continue
        for key, value in options.items():
            _check_option(f"{where}.{key}", key, value, rules, findings)
        providers = options.get("provider_options")
        if isinstance(providers, list):
            _check_providers(f"{where}.provider_options", providers, rules, findings)


def custom_libraries(config: dict[str, Any]) -> list[tuple[str, str]]:
    """(where, file) of each library of custom operators that it names."""
    return [
        (f"{where}.{_LIBRARY}", str(options[_LIBRARY]))
        for where, options in _objects(config, "")
        if isinstance(options, dict) and options.get(_LIBRARY)
    ]


def _objects(value: Any, where: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, list):
        for number, inside in enumerate(value):
            yield from _objects(inside, f"{where}[{number}]")
    elif isinstance(value, dict):
        for key, inside in value.items():
            place = f"{where}.{key}" if where else key
            if key in _OPTIONS and inside is not None:
                yield place, inside
            else:
                yield from _objects(inside, place)


def _check_option(where: str, key: str, value: Any, rules: Rules, findings: Findings) -> None:
    said = f"{CONFIG_FILE}: {shown(where)}"
    if key == _LIBRARY:
        if value and not rules.custom_operators:
            findings.add(Code.CUSTOM_OPERATORS, f"{said} loads the library {shown(value)}, which is code")
    elif key in _TYPED:
        fits = isinstance(value, _TYPED[key]) and (_TYPED[key] is bool or not isinstance(value, bool))
        if not fits or (key.endswith("_threads") and not 0 <= value <= _MOST_THREADS):
            findings.add(Code.OPTION_INVALID, f"{said} is {shown(value)}")
    elif _PLACE.search(key):
        if value not in ("", "0", False, None):
            findings.add(Code.OPTION_OPENS_FILES, f"{said} ({shown(value)}) opens or writes files")
    else:
        _check_entry(said, key, value, findings)


def _check_entry(said: str, key: str, value: Any, findings: Findings) -> None:
    if not _KEY.fullmatch(key) or not isinstance(value, str | bool | int | float):
        findings.add(Code.OPTION_INVALID, f"{said} is no option: {shown(value)}")
    elif isinstance(value, str) and not _VALUE.fullmatch(value):
        findings.add(Code.OPTION_OPENS_FILES, f"{said} ({shown(value)}) could be a path")


def _check_providers(where: str, providers: list[Any], rules: Rules, findings: Findings) -> None:
    names: list[str] = []
    for number, each in enumerate(providers):
        for name, options in each.items() if isinstance(each, dict) else [(shown(each), None)]:
            place = f"{where}[{number}].{name}"
            if not isinstance(options, dict):
                findings.add(Code.OPTION_INVALID, f"{CONFIG_FILE}: {shown(place)} is not an object of options")
                continue
            names.append(name)
            for key, value in options.items():
                if key != "device_filtering_options":
                    _check_option(f"{place}.{key}", key, value, rules, findings)
    wanted = rules.provider
    if wanted is not None and names and not any(provider_name(name) in (wanted, "cpu") for name in names):
        said = f"{CONFIG_FILE}: {where} is for {', '.join(map(shown, names[:3]))}, and {wanted} was asked for"
        findings.add(Code.PROVIDER_CONTRADICTS, said)


def provider_name(name: str) -> str:
    """A provider's name as the spec writes it, from any of the spellings that GenAI takes."""
    plain = name.lower().removesuffix("executionprovider")
    return {"nvtensorrtrtx": "trt-rtx", "web": "webgpu"}.get(plain, plain)

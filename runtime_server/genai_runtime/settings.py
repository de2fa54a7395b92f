"""Everything the model server can be told, from `GENAI_*` variables; read once at the start, then immutable.

What a setting does is said where it is used. The model's own facts come from its folder, not from here.
"""

import os
import stat
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from genai_runtime.cpu_limit import usable_cpus
from genai_runtime.errors import InvalidSettings

PREFIX = "GENAI_"
# Variables of this prefix that are read by other parts.
OTHER_VARIABLES = frozenset({"GENAI_TERMINATION_LOG"})

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]
Length = Annotated[int, Field(ge=0, le=2**24)]


class Settings(BaseSettings):
    """One process's settings; seconds are seconds, lengths are tokens, bytes are bytes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    # What is served, and on what.
    model_dir: str = ""
    model_name: str = ""  # empty: the folder's name
    device: Literal["cpu", "cuda"] = "cpu"
    max_length: Length = 0  # 0: the model's context length
    engine: Literal["auto", "single"] = "auto"

    # Where it listens. Loopback unless told otherwise: the data port has no authentication of its own.
    host: str = "127.0.0.1"
    grpc_port: Port = 9000  # 0: any free port, printed at the start
    metrics_port: Port = 9090  # 0: off
    control_port: Port = 0  # 0: off; the Unix socket in run_dir is always there
    control_tls_dir: Path = Path("/etc/genai/control-tls")
    control_client_name: str = "genai-operator"
    run_dir: Path = Path("/run/genai")
    profile_dir: Path = Path("/var/lib/genai/profiles")

    # The session.
    threads: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = "auto"
    spinning: bool = True
    graph_optimization_level: Literal["disabled", "basic", "extended", "all"] | None = None
    memory_arena: bool | None = None
    memory_pattern: bool | None = None

    # How much is taken on at once.
    max_concurrent_requests: Annotated[int, Field(ge=1, le=1024)] = 4
    max_queue_length: Annotated[int, Field(ge=0, le=100_000)] = 64
    max_queue_seconds: Seconds = 30.0
    max_request_seconds: Seconds = 600.0  # 0: no limit
    drain_seconds: Seconds = 25.0

    # What a request gets that does not say.
    default_max_tokens: Annotated[int, Field(ge=1, le=2**24)] = 512
    limit_max_tokens: Length = 0  # 0: bounded by the sequence length alone
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_k: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)] | None = None

    # The start.
    warmup_prompts: list[str] = ["Hello"]  # empty: no warm-up
    warmup_max_tokens: Annotated[int, Field(ge=1, le=4096)] = 16
    options_wait_seconds: Seconds = 0.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        ports = [port for port in (self.grpc_port, self.metrics_port, self.control_port) if port]
        if len(set(ports)) != len(ports):
            raise ValueError("GENAI_GRPC_PORT, GENAI_METRICS_PORT and GENAI_CONTROL_PORT must differ")
        return self

    def thread_count(self) -> int:
        """Threads of one run of the model."""
        return usable_cpus() if self.threads == "auto" else self.threads

    @property
    def control_socket(self) -> Path:
        """The Unix socket of the control service, for `genai-runtime ctl`."""
        return self.run_dir / "control.sock"


def load_settings(**overrides: Any) -> Settings:
    """Settings from the environment; `overrides` (from the command line) win.

    Raises `InvalidSettings` that names every wrong variable and what it may be. Folders that a pod mounts and a
    workstation lacks are replaced by the user's own (see `private_run_dir`), unless they were given.
    """
    try:
        settings = Settings(**{name: value for name, value in overrides.items() if value is not None})
    except ValidationError as error:
        raise InvalidSettings("; ".join(_describe(dict(item)) for item in error.errors())) from error
    except ValueError as error:  # a list that is not JSON
        raise InvalidSettings(f'{error}: lists are written as JSON, for example ["Hello"]') from error
    folders: dict[str, Path] = {}
    run_dir = settings.run_dir
    if "run_dir" not in settings.model_fields_set and not os.access(run_dir, os.W_OK):
        run_dir = folders["run_dir"] = private_run_dir()
    if "profile_dir" not in settings.model_fields_set and not os.access(settings.profile_dir, os.W_OK):
        folders["profile_dir"] = run_dir / "profiles"
    return settings.model_copy(update=folders)


def unknown_variables() -> list[str]:
    """GENAI_* variables that nothing reads, most likely misspelt."""
    known = {f"{PREFIX}{name.upper()}" for name in Settings.model_fields} | OTHER_VARIABLES
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def private_run_dir() -> Path:
    """A folder of this user alone, outside a pod. Raises `InvalidSettings` if somebody else holds its name."""
    base = os.environ.get("XDG_RUNTIME_DIR")
    folder = Path(base) / "genai" if base else Path(tempfile.gettempdir()) / f"genai-{os.getuid()}"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise InvalidSettings(f"{folder} is not a folder of this user alone; set GENAI_RUN_DIR to one that is")
    return folder


def _describe(error: dict[str, Any]) -> str:
    place = ".".join(str(part) for part in error["loc"][:1])
    if not place:
        return str(error["msg"]).removeprefix("Value error, ")
    return f"{PREFIX}{place.upper()}: {error['msg']} (it is {error['input']!r:.100})"

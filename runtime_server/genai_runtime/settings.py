"""Everything the model server can be told, from `GENAI_*` variables; read once at the start, then immutable.

`GENAI_SETTINGS` holds any number of them as one JSON object, which is how pods are told; a variable of its own wins.

What a setting does is said where it is used. The model's own facts come from its folder, not from here.
"""

import json
import os
import stat
import tempfile
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator
from pydantic_settings import BaseSettings, InitSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from genai_runtime.cpu_limit import cpu_share, usable_cpus
from genai_runtime.errors import InvalidSettings
from genai_runtime.provider_settings import Device, ProviderOptions
from genai_runtime.session_entries import SessionEntries

PREFIX = "GENAI_"
# Variables of this prefix that are read by other parts.
OTHER_VARIABLES = frozenset({"GENAI_SETTINGS", "GENAI_TERMINATION_LOG"})

Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(ge=0, le=86400, allow_inf_nan=False)]
Length = Annotated[int, Field(ge=0, le=2**24)]
Bytes = Annotated[int, Field(ge=0, le=2**50)]
AdapterName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$")]


class Settings(BaseSettings):
    """One process's settings; seconds are seconds, lengths are tokens, bytes are bytes."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid")

    # What is served, and on what.
    model_dir: str = ""
    model_name: str = ""  # empty: the folder's name
    device: Device = "cpu"
    provider_fallback: Literal["forbid", "allow"] = "forbid"  # allow: the CPU, where the device is missing
    provider_options: ProviderOptions = ProviderOptions()  # of the device's execution provider
    precision: Literal["", "fp32", "fp16", "bf16", "int8", "int4"] = ""  # empty: whatever the model is
    custom_operators: Literal["forbid", "allow"] = "forbid"  # allow: libraries in the model folder are code that runs
    max_length: Length = 0  # 0: the model's context length
    adapters: dict[AdapterName, Path] = {}  # LoRA adapters: a folder or file each, by the name that requests use
    adapter_cache_bytes: Bytes = 0  # of LoRA adapters that are fetched while it serves; 0: none are
    adapter_cache_dir: Path = Path("/var/lib/genai/adapters")
    adapter_credentials_dir: Path = Path("/etc/genai/adapter-credentials")  # a folder for each Secret, by its name
    adapter_proxies: dict[Literal["HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY"], str] = {}  # for fetching adapters alone

    # The engine. What a setting means to an engine that has no such thing: nothing, and GetModel says which engine.
    engine: Literal["auto", "batch", "single"] = "auto"
    prefill_chunk: Literal["auto"] | Annotated[int, Field(ge=16, le=8192)] = "auto"  # tokens (engine/batch/chunk.py)
    kv_cache_bytes: Bytes = 0  # 0: what the memory limit allows
    prefix_cache_bytes: Annotated[int, Field(ge=-1, le=2**50)] = -1  # -1: a share of the KV cache; 0: off
    speculation: Literal["off", "ngram"] = "off"
    stream_interval_seconds: Annotated[float, Field(ge=0, le=1)] = 0.04  # tokens are gathered that long; 0: never
    engine_silence_seconds: Seconds = 30.0  # an engine that hangs so long is restarted (engine/watch.py); 0: never

    # Where it listens. Loopback unless told otherwise: without keys and certificates the data ports trust everybody.
    host: str = "127.0.0.1"
    grpc_port: Port = 9000  # 0: any free port, printed at the start
    http_port: Port = 8080  # 0: off
    tls_dir: Path | None = None  # tls.crt and tls.key of the data ports; none: plain text
    client_ca_dir: Path | None = None  # ca.crt: who calls the data ports shows a certificate of it; needs tls_dir
    api_keys_dir: Path | None = None  # one key a file, named for whose it is; none: no keys are asked for
    health_port: Port = 0  # 0: off; gRPC health alone in plain text, for probes that speak no TLS
    metrics_port: Port = 9090  # 0: off
    control_port: Port = 0  # 0: off; the Unix socket in run_dir is always there
    control_tls_dir: Path = Path("/etc/genai/control-tls")
    control_client_name: str = "genai-operator"
    run_dir: Path = Path("/run/genai")
    profile_dir: Path = Path("/var/lib/genai/profiles")

    # The session. What `auto` means is decided by the cgroup (cpu_limit.py).
    threads: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = "auto"
    inter_op_threads: Annotated[int, Field(ge=0, le=64)] = 0  # of execution_mode parallel; 0: as many as threads
    spinning: Literal["auto", "enabled", "disabled"] = "auto"
    affinity: Literal["auto", "disabled"] = "auto"
    guaranteed_cpus: Annotated[int, Field(ge=0, le=4096)] = 0  # whole CPUs of a pod of class Guaranteed; 0: of others
    graph_optimization_level: Literal["disabled", "basic", "extended", "all"] | None = None
    execution_mode: Literal["sequential", "parallel"] = "sequential"
    memory_arena: bool | None = None
    memory_pattern: bool | None = None
    session_entries: SessionEntries = {}  # ONNX Runtime's own, by key

    # How much is taken on at once.
    max_concurrent_requests: Annotated[int, Field(ge=1, le=1024)] = 16
    max_queue_length: Annotated[int, Field(ge=0, le=100_000)] = 64
    max_queue_seconds: Seconds = 30.0
    max_request_seconds: Seconds = 600.0  # 0: no limit
    max_unread_bytes: Annotated[int, Field(ge=4096, le=2**30)] = 2**20  # of one stream, not taken by its client
    drain_seconds: Seconds = 25.0
    connection_seconds: Seconds = 10.0  # a gRPC connection of that age is left by its client (leaving.py); 0: never

    # What a request gets that does not say.
    default_max_tokens: Annotated[int, Field(ge=1, le=2**24)] = 512
    limit_max_tokens: Length = 0  # 0: bounded by the sequence length alone
    limit_prompt_tokens: Length = 0  # the same
    limit_choices: Annotated[int, Field(ge=1, le=128)] = 8  # of one request (n)
    limit_guidance_bytes: Annotated[int, Field(ge=0, le=65_536)] | None = None  # 0: none; the bounds of a kind hold too
    temperature: Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)] | None = None
    top_k: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] | None = None
    repetition_penalty: Annotated[float, Field(gt=0, le=2, allow_inf_nan=False)] | None = None

    # The start.
    warmup_prompts: list[str] = ["Hello"]  # empty: no warm-up
    warmup_max_tokens: Annotated[int, Field(ge=1, le=4096)] = 16
    options_wait_seconds: Seconds = 0.0
    log_level: Literal["debug", "info", "warning", "error"] = "info"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The command line, then single variables, then the one that holds many; no files."""
        del dotenv_settings, file_secret_settings
        return init_settings, env_settings, InitSettingsSource(settings_cls, _many())

    @model_validator(mode="after")
    def _ports_differ(self) -> Self:
        every = (self.grpc_port, self.http_port, self.health_port, self.metrics_port, self.control_port)
        ports = [port for port in every if port]
        if len(set(ports)) != len(ports):
            raise ValueError("the ports GENAI_{GRPC,HTTP,HEALTH,METRICS,CONTROL}_PORT must differ")
        return self

    @model_validator(mode="after")
    def _clients_are_known_by_tls(self) -> Self:
        if self.client_ca_dir is not None and self.tls_dir is None:
            raise ValueError("GENAI_CLIENT_CA_DIR asks clients for certificates, which needs GENAI_TLS_DIR")
        return self

    @model_validator(mode="after")
    def _options_of_the_device(self) -> Self:
        foreign = self.provider_options.foreign(self.device)
        if foreign:
            raise ValueError(f"GENAI_PROVIDER_OPTIONS has {', '.join(foreign)}, and GENAI_DEVICE is {self.device}")
        return self

    @model_validator(mode="after")
    def _inter_op_of_parallel(self) -> Self:
        if self.inter_op_threads and self.execution_mode != "parallel":
            raise ValueError("GENAI_INTER_OP_THREADS needs GENAI_EXECUTION_MODE=parallel")
        return self

    def thread_count(self) -> int:
        """Threads of one run of the model."""
        return usable_cpus() if self.threads == "auto" else self.threads

    def inter_op_count(self) -> int:
        """Operators that run at the same time; 0: one after the other."""
        if self.execution_mode == "sequential":
            return 0
        return self.inter_op_threads or self.thread_count()

    def spins(self) -> bool:
        """Whether threads wait busily."""
        if self.spinning == "auto":
            return cpu_share().may_spin(self.thread_count(), self.guaranteed_cpus)
        return self.spinning == "enabled"

    def exclusive_cpus(self) -> tuple[int, ...]:
        """CPUs that threads are to stay on, for nobody else has them; empty: none."""
        return cpu_share().exclusive(self.guaranteed_cpus) if self.affinity == "auto" else ()

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


def _many() -> dict[str, Any]:
    """What `GENAI_SETTINGS` holds."""
    text = os.environ.get("GENAI_SETTINGS") or "{}"
    try:
        found = json.loads(text)
    except ValueError as error:
        raise InvalidSettings(f"GENAI_SETTINGS is not JSON: {error}") from error
    if not isinstance(found, dict):
        raise InvalidSettings('GENAI_SETTINGS is not a JSON object such as {"max_length": 2048}')
    return found


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

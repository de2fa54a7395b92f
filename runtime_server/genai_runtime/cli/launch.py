"""A server and its engine from settings, run until a signal. Imported by `serve` alone: it takes a second."""

import asyncio
import gc
import signal
import sys
from pathlib import Path

import uvloop

from genai_runtime.engine.process import EngineProcess
from genai_runtime.engine.protocol import EngineSpec
from genai_runtime.front.profiles import ProfileRegistry
from genai_runtime.front.server import RuntimeServer
from genai_runtime.memory_limit import memory_limit
from genai_runtime.settings import Settings

# Python's own are (700, 10, 10). A token's objects are in no cycles; looking for them is a pause for every stream.
_COLLECT_AFTER = (5000, 20, 20)
# What a process that fetches an adapter takes, which is there now and then (`cli/fetch_adapter.py`).
_FETCH_BYTES = 128 * 1024 * 1024


def serve(settings: Settings, folder: Path, name: str) -> None:
    """`run` on uvloop, which saves a fifth of a streamed token's time. What imports made is no garbage: it stays."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_COLLECT_AFTER)
    uvloop.run(run(settings, folder, name))


async def run(settings: Settings, folder: Path, name: str) -> None:
    """Serve `folder`, which was inspected, until SIGTERM or SIGINT. Raises what `RuntimeServer` raises."""
    spec, silence = engine_spec(settings, folder), settings.engine_silence_seconds
    # A pod's settings come as one variable, which the engine process does not read.
    level: dict[str, str] = {"GENAI_LOG_LEVEL": settings.log_level}
    engine = EngineProcess(spec, settings.engine, silence_seconds=silence, environment=level)
    profiles = ProfileRegistry(settings.profile_dir, engine)
    server = RuntimeServer(settings, folder, settings.model_name or name, engine, profiles)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, server.request_stop)
    if sys.stdout.isatty():
        addresses = server.addresses
        print(f"gRPC on {addresses['grpc']}; ask it: genai-runtime chat --target {addresses['grpc']} 'QUESTION'")
    await server.run()


def engine_spec(settings: Settings, folder: Path) -> EngineSpec:
    """What the settings mean to an engine on this machine."""
    return EngineSpec(
        model_dir=folder.resolve(),
        profile_dir=settings.profile_dir,
        provider=settings.device,
        provider_options=settings.provider_options.of(settings.device),
        provider_fallback=settings.provider_fallback == "allow",
        precision=settings.precision,
        intra_op_threads=settings.thread_count(),
        inter_op_threads=settings.inter_op_count(),
        spinning=settings.spins(),
        exclusive_cpus=settings.exclusive_cpus(),
        graph_optimization_level=settings.graph_optimization_level,
        memory_arena=settings.memory_arena,
        memory_pattern=settings.memory_pattern,
        session_entries=settings.session_entries,
        max_sequence_length=settings.max_length,
        max_concurrent=settings.max_concurrent_requests,
        prefill_chunk=0 if settings.prefill_chunk == "auto" else settings.prefill_chunk,
        kv_cache_bytes=settings.kv_cache_bytes,
        prefix_cache_bytes=settings.prefix_cache_bytes,
        stream_interval_seconds=settings.stream_interval_seconds,
        memory_limit_bytes=memory_limit() - (_FETCH_BYTES if settings.adapter_cache_bytes else 0),
        speculation=settings.speculation,
        adapters={name: path.resolve() for name, path in settings.adapters.items()},
    )

"""The engine process: `python -m genai_runtime.engine.worker --fd N`, spawned by the front (`child.py`).

The main thread owns the engine: it takes requests in their order and steps. A reader thread applies cancel, halt and
resume at once, also while the main thread is in a run. The process ends with its front, whatever it is doing.
"""

import argparse
import contextlib
import ctypes
import gc
import logging
import os
import signal
import socket
import struct
import sys
import threading
import time

import structlog

from genai_runtime.engine import frames
from genai_runtime.engine.batch.fit import DoesNotFit, layout_of
from genai_runtime.engine.fake import FakeEngine
from genai_runtime.engine.inbox import Inbox
from genai_runtime.engine.loading import load
from genai_runtime.engine.outbox import Outbox
from genai_runtime.engine.protocol import AdapterState, Engine, EngineSpec
from genai_runtime.engine.single import SingleEngine
from genai_runtime.errors import EngineFailure, ModelUnusable
from genai_runtime.generation import Finished, FinishReason

_IDLE_SECONDS = 0.5  # how often an idle engine looks whether an open window's time is up
_SEND_SECONDS = 30  # a front that has not read for so long is stuck
_EXIT_SECONDS = 2.0
_PR_SET_PDEATHSIG = 1
_ASKED_FOR = "asked for by name"
_log = structlog.get_logger("genai_runtime.engine")


class Worker:
    """One engine and its front, until either ends."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = threading.Lock()
        self._adapters_told: tuple[AdapterState, ...] | None = None

    def run(self) -> None:
        """Load, then serve. Returns when the front says so, is gone, or the model cannot be loaded."""
        first = frames.receive(self._sock)
        if not isinstance(first, frames.Load):
            raise EngineFailure("the first frame to an engine process must be Load")
        try:
            engine, info = load(make_engine, first.engine, first.spec)
        except ModelUnusable as error:
            self._send(frames.LoadFailed(error.reason, error.message))
            return
        gc.collect()
        gc.freeze()  # what is loaded stays: the collector would look through it again and again, between two tokens
        self._send(frames.Loaded(info))
        inbox = Inbox(engine)
        threading.Thread(target=self._read, args=(inbox, engine), name="frames", daemon=True).start()
        self._serve(inbox, Outbox(first.spec.stream_interval_seconds), engine)
        engine.close()

    def _serve(self, inbox: Inbox, outbox: Outbox, engine: Engine) -> None:
        stopping = False
        self._adapters_told = engine.adapters
        while not inbox.closed and not (stopping and not engine.busy()):
            if not engine.busy() and not stopping:
                inbox.wait(_IDLE_SECONDS)
            messages, events = inbox.take()
            for message in messages:
                stopping |= self._apply(message, engine)
            if stopping:
                for request_id in inbox.active:
                    engine.cancel(request_id, FinishReason.SHUTDOWN)
            if engine.prefilling():
                self._tell(outbox, hurry=True)
            events += engine.step()
            for event in events:
                if isinstance(event, Finished):
                    inbox.active.discard(event.request_id)
                    _log.debug("request ended", **_shown(event))
            outbox.add(events)
            if not inbox.closed:
                self._tell(outbox, hurry=not engine.busy())
                self._tell_adapters(engine)

    def _tell(self, outbox: Outbox, *, hurry: bool) -> None:
        frame = outbox.take(hurry=hurry)
        if frame is not None:
            self._send(frame)

    def _apply(self, message: frames.ToEngine, engine: Engine) -> bool:
        if isinstance(message, frames.SetAdapters):
            self._adapters_told = None  # it is answered even if nothing has changed
        return _apply(message, engine)

    def _tell_adapters(self, engine: Engine) -> None:
        if engine.adapters is not self._adapters_told:
            self._adapters_told = engine.adapters
            self._send(frames.Adapters([*engine.adapters]))

    def _read(self, inbox: Inbox, engine: Engine) -> None:
        """The reader thread."""
        try:
            while (message := frames.receive(self._sock)) is not None:
                if isinstance(message, frames.Ping):
                    self._send(frames.Pong(message.number, engine.stats()))
                elif isinstance(message, frames.ToEngine):
                    inbox.put(message)
                else:
                    _log.error("the front sent what only an engine sends", kind=type(message).__name__)
                    break
        except (OSError, EngineFailure) as error:
            _log.error("frames from the front cannot be read", reason=str(error))
        inbox.close()
        time.sleep(_EXIT_SECONDS)  # a daemon thread: it goes with the process if the main thread ends in time
        os._exit(1)

    def _send(self, message: frames.ToFront) -> None:
        with self._sending:
            frames.send(self._sock, message)


def _shown(end: Finished) -> dict[str, object]:
    """What a line of the log says of it."""
    return {
        "request": end.request_id,
        "finish": end.reason.value,
        "prompt_tokens": end.prompt_tokens,
        "cached_tokens": end.cached_tokens,
        "completion_tokens": end.completion_tokens,
        "prefill_seconds": round(end.prefill_seconds, 6),
        "decode_seconds": round(end.decode_seconds, 6),
    }


def _apply(message: frames.ToEngine, engine: Engine) -> bool:
    """Do what the front says between two steps. Whether it is the end."""
    match message:
        case frames.OpenWindow(window):
            engine.open_window(window)
        case frames.CloseWindow(reason):
            engine.close_window(reason)
        case frames.SetLogLevel(level):
            set_log_level(level)
        case frames.SetArenaShrinkage(on):
            engine.set_arena_shrinkage(on)
        case frames.SetAdapters(wanted):
            engine.set_adapters(wanted)
        case frames.Shutdown():
            engine.close_window("shutdown")
            return True
    return False


def make_engine(name: str, spec: EngineSpec) -> tuple[Engine, str]:
    """The engine of that name for `spec`, and why it was taken.

    Raises `EngineFailure` for an unknown name, `ModelUnusable` when there is nothing that could be served, or `batch`
    was asked for and cannot drive the model.
    """
    match name:
        case "single":
            return _single(spec), _ASKED_FOR
        case "fake":
            return FakeEngine(), _ASKED_FOR
        case "auto" | "batch":
            return _batch_or_single(spec, forced=name == "batch")
    raise EngineFailure(f"there is no engine {name!r}; auto, batch and single are known")


def _batch_or_single(spec: EngineSpec, *, forced: bool) -> tuple[Engine, str]:
    try:
        layout = layout_of(spec)
    except DoesNotFit as error:
        if forced:
            raise ModelUnusable(
                "ModelInvalid",
                f"the engine batch was asked for and cannot drive {spec.model_dir}: {error}; use auto or single",
            ) from None
        return _single(spec), f"auto takes single, because batch cannot drive this model: {error}"
    from genai_runtime.engine.batch.engine import BatchEngine  # numpy and llguidance: 30 MB that single does without

    return BatchEngine(layout), _ASKED_FOR if forced else "auto takes batch: the model has the shape that it drives"


def _single(spec: EngineSpec) -> Engine:
    asked = [f"the adapters {', '.join(sorted(spec.adapters))}"] if spec.adapters else []
    asked += [f"speculation {spec.speculation}"] if spec.speculation != "off" else []
    asked += ["a KV cache of a given size"] if spec.kv_cache_bytes else []
    asked += ["a prefix cache"] if spec.prefix_cache_bytes > 0 else []
    if asked:
        raise ModelUnusable(
            "ModelInvalid", f"{', '.join(asked)} need the engine batch, and {spec.model_dir} is served by single"
        )
    return SingleEngine()


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when the thread that spawned it ends; also if that was before this call."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def configure_logs() -> None:
    """One JSON object a line on stderr, in the front's form."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True, key="time"),
            structlog.processors.dict_tracebacks,
            structlog.processors.EventRenamer("message"),
            structlog.processors.JSONRenderer(),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    set_log_level(os.environ.get("GENAI_LOG_LEVEL", "info"))


def set_log_level(level: str) -> None:
    """From the next line on. ONNX Runtime's own lines are not ours to switch: a session's level holds for its life."""
    number = logging.getLevelNamesMapping().get(level.upper(), logging.INFO)
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(number))


def main() -> None:
    """Serve one front over the socket that it passed."""
    parser = argparse.ArgumentParser(prog="genai_runtime.engine.worker")
    parser.add_argument("--fd", type=int, required=True)
    parser.add_argument("--parent", type=int, required=True)
    arguments = parser.parse_args()
    die_with_parent(arguments.parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is the front's to handle: it drains
    configure_logs()
    sock = socket.socket(fileno=arguments.fd)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", _SEND_SECONDS, 0))
    try:
        Worker(sock).run()
    except Exception as error:
        _log.exception("engine process fails")
        with contextlib.suppress(OSError):
            frames.send(sock, frames.Fatal(f"{type(error).__name__}: {error}"))
        sys.exit(1)


if __name__ == "__main__":
    main()

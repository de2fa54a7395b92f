"""Model pods that only know windows: a real ControlService over mutual TLS, each on a loopback address of its own.

They keep windows as a pod does: by the caller's id, one open at a time, none opened twice.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import Any

import grpc
import grpc.aio

from genai_operator.constants import PORT_CONTROL
from genai_operator.services.certificates import ControlAuthority, control_server_name
from genai_protocol.v1 import control_pb2, control_pb2_grpc

_ADDRESSES = count(1)
OPERATORS = (("MatMulNBits", "CPUExecutionProvider", 8, 0.75), ("Softmax", "CPUExecutionProvider", 2, 0.25))


class WindowPod(control_pb2_grpc.ControlServiceServicer):
    """One pod. `opened` are the windows in the order they were opened; `asked` all requests to open one."""

    def __init__(self) -> None:
        number = next(_ADDRESSES)
        self.ip = f"127.77.{number // 250}.{number % 250 + 1}"
        self.asked: list[control_pb2.OpenWindowRequest] = []
        self.windows: dict[str, control_pb2.Profile] = {}
        self.refuses: grpc.StatusCode | None = None
        self.hangs = False
        self.options: list[str] = []  # revisions

    @property
    def opened(self) -> list[str]:
        return list(self.windows)

    def state(self, window_id: str) -> str:
        """OPEN, MERGING, COMPLETE or FAILED."""
        return control_pb2.ProfileState.Name(self.windows[window_id].state).removeprefix("PROFILE_STATE_")

    def capture(self, window_id: str, runs: int = 4, overhead: float | None = 2.0) -> None:
        """Runs of the model go by inside the window."""
        window = self.windows[window_id]
        window.runs += runs
        window.requests = 1
        window.captured_bytes += 1000 * runs
        if overhead is not None:
            window.overhead_percent = overhead

    def finish(self, window_id: str, reason: str = "max_runs") -> None:
        """The window closes by itself and its trace is merged."""
        window = self.windows[window_id]
        window.close_reason = reason
        window.state = control_pb2.PROFILE_STATE_COMPLETE if window.runs else control_pb2.PROFILE_STATE_FAILED
        if window.runs:
            window.trace_bytes = 500
            del window.top_operators[:]
            for op_type, provider, calls, share in OPERATORS:
                window.top_operators.add(op_type=op_type, provider=provider, calls=calls, share=share)
        else:
            window.message = "no run was captured"

    def restart(self) -> None:
        """A new container, which knows nothing."""
        self.windows.clear()

    async def OpenWindow(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        self.asked.append(request)
        await self._obstacle(context)
        if request.window_id not in self.windows:
            if any(each.state == control_pb2.PROFILE_STATE_OPEN for each in self.windows.values()):
                await context.abort(grpc.StatusCode.FAILED_PRECONDITION, "another window is open")
            self.windows[request.window_id] = control_pb2.Profile(
                id=f"{request.spec.label}-20261121T120000Z-{len(self.asked)}",
                label=request.spec.label,
                state=control_pb2.PROFILE_STATE_OPEN,
                window_id=request.window_id,
            )
        return self.windows[request.window_id]

    async def CloseWindow(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        await self._obstacle(context)
        window = await self._find(request.window_id, context)
        if window.state == control_pb2.PROFILE_STATE_OPEN:
            self.finish(request.window_id, "disabled")
        return window

    async def GetWindow(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        await self._obstacle(context)
        return await self._find(request.window_id, context)

    async def ListProfiles(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        return control_pb2.ListProfilesResponse(profiles=self.windows.values())

    async def SetRuntimeOptions(self, request: Any, context: Any) -> Any:  # noqa: N802 - gRPC's name
        self.options.append(request.revision)
        return control_pb2.RuntimeOptionsState(revision=request.revision)

    async def _find(self, window_id: str, context: Any) -> Any:
        if window_id not in self.windows:
            await context.abort(grpc.StatusCode.NOT_FOUND, "no such window")
        return self.windows[window_id]

    async def _obstacle(self, context: Any) -> None:
        if self.hangs:
            await asyncio.sleep(3600)
        if self.refuses:
            await context.abort(self.refuses, "because of a test")


@asynccontextmanager
async def serving_windows(
    authority: ControlAuthority, *pods: WindowPod, model: str = "hello", namespace: str = "team"
) -> AsyncIterator[None]:
    """The pods of one model serve while the context is open."""
    made = authority.server_certificate(model, namespace, "uid")
    credentials = grpc.ssl_server_credentials(
        [(made.key, made.certificate)], root_certificates=made.authority, require_client_auth=True
    )
    servers = []
    for pod in pods:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        register: Any = control_pb2_grpc.add_ControlServiceServicer_to_server
        register(pod, server)
        server.add_secure_port(f"{pod.ip}:{PORT_CONTROL}", credentials)
        await server.start()
        servers.append(server)
    try:
        yield
    finally:
        await asyncio.gather(*(server.stop(0) for server in servers))


def server_name(model: str = "hello", namespace: str = "team") -> str:
    """The name in the pods' certificates."""
    return control_server_name(model, namespace)


@contextmanager
def windows_in_a_thread(authority: ControlAuthority, *pods: WindowPod, namespace: str) -> Iterator[None]:
    """As `serving_windows`, beside a test that blocks: the pods have an event loop of their own."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="pods")
    thread.start()

    def call(work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, loop).result(10)

    serving = serving_windows(authority, *pods, namespace=namespace)
    try:
        call(serving.__aenter__())
        try:
            yield
        finally:
            call(serving.__aexit__(None, None, None))
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()

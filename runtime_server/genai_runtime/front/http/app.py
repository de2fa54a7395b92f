"""The routes of the HTTP port on FastAPI, which finds the handler and describes everything in OpenAPI.

Handlers answer through `Exchange`, past FastAPI's own reading and writing: a stream sends one message a token.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from typing import Any

import structlog
from fastapi import FastAPI, Request, Response
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.exceptions import HTTPException
from starlette.routing import Match
from starlette.types import ASGIApp, Receive, Scope, Send

from genai_runtime.front.access import Access
from genai_runtime.front.dialects.model_card import ModelCard
from genai_runtime.front.generating import GenerationService
from genai_runtime.front.http.chat_completions import ChatCompletions
from genai_runtime.front.http.completions import Completions
from genai_runtime.front.http.docs_page import docs_page
from genai_runtime.front.http.errors import Problem, failed
from genai_runtime.front.http.exchange import Desk, Exchange, Handler
from genai_runtime.front.http.guide import Guide, GuideRequest
from genai_runtime.front.http.models_list import ModelsList
from genai_runtime.front.http.open_inference import GenerateBody, OpenInference, in_oip_words
from genai_runtime.front.http.openai_requests import ChatCompletionRequest, CompletionRequest
from genai_runtime.front.http.tensors import InferBody
from genai_runtime.front.state import StateHolder

_EXCHANGE = "genai.exchange"
_SCHEMAS = "#/components/schemas/{model}"
_log = structlog.get_logger("genai_runtime.http")


@dataclass(frozen=True, slots=True)
class Served:
    """What the port is about."""

    name: str
    model_dir: str
    service: GenerationService
    card: ModelCard
    state: StateHolder
    access: Access


@dataclass(frozen=True, slots=True)
class Route:
    """One path. `is_open`: also without an API key."""

    method: str
    path: str
    handler: Handler
    summary: str
    body: type[BaseModel] | None = None
    is_open: bool = False
    plain_errors: bool = False


def build_app(served: Served) -> ASGIApp:
    """The ASGI application, without a server."""
    app = FastAPI(
        title="genai-runtime",
        description=f"Model {served.name}. Keys, where there are any: `Authorization: Bearer KEY`.",
        version=version("genai-operator"),
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    routes = _routes(served)
    for route in routes:
        _add(app, route)
    page: list[bytes] = []

    async def docs(exchange: Exchange) -> None:
        page[:] = page or [docs_page(app.openapi())]
        await exchange.answer(page[0], kind=b"text/html; charset=utf-8")

    _add(app, Route("GET", "/docs", docs, "This description, for people", is_open=True))
    _describe(app, routes)  # the last route is known
    app.add_exception_handler(HTTPException, _no_route)
    return _Edge(app, Desk(served.access))


def _routes(served: Served) -> list[Route]:
    models = ModelsList(served.service, served.name)
    guide = Guide(served.service, served.state, served.name, served.model_dir)
    return [
        Route("GET", "/v1/models", models.all, "The served model and its adapters"),
        Route("GET", "/v1/models/{model:path}", models.one, "One of them"),
        Route("POST", "/v1/completions", Completions(served.service), "Continue texts (OpenAI)", CompletionRequest),
        Route(
            "POST",
            "/v1/chat/completions",
            ChatCompletions(served.service),
            "Answer a conversation (OpenAI)",
            ChatCompletionRequest,
        ),
        Route("GET", "/healthz", guide.health, "Ready for requests", is_open=True),
        Route("POST", "/v1/chat", guide.chat, "Answer a conversation, with timings", GuideRequest),
        Route("POST", "/v1/chat/stream", guide.stream, "The same as events", GuideRequest),
        *_open_inference_routes(OpenInference(served.service, served.card)),
    ]


def _open_inference_routes(oip: OpenInference) -> list[Route]:
    found = [
        Route("GET", "/v2", oip.server, "The server (Open Inference Protocol)", is_open=True),
        Route("GET", "/v2/health/live", oip.live, "The process lives", is_open=True),
        Route("GET", "/v2/health/ready", oip.ready, "Ready for requests", is_open=True),
    ]
    for base in ("/v2/models/{model}", "/v2/models/{model}/versions/{version}"):
        found += [
            Route("GET", base, oip.model, "The model's tensors"),
            Route("GET", f"{base}/ready", oip.model_ready, "Ready for requests"),
            Route("POST", f"{base}/infer", oip.infer, "Tensors in, tensors out", InferBody),
            Route("POST", f"{base}/generate", oip.generate, "Continue a text (Triton)", GenerateBody),
            Route("POST", f"{base}/generate_stream", oip.generate_stream, "The same as events", GenerateBody),
        ]
    return [
        Route(r.method, r.path, in_oip_words(r.handler), r.summary, r.body, r.is_open, plain_errors=True) for r in found
    ]


def _add(app: FastAPI, route: Route) -> None:
    async def endpoint(request: Request) -> Response:
        exchange: Exchange = request.scope[_EXCHANGE]
        exchange.path_parameters, exchange.plain_errors = request.path_params, route.plain_errors
        return _Answered(lambda: exchange.run(route.handler, is_open=route.is_open))

    described: dict[str, Any] = {}
    if route.body is not None:
        schema = {"$ref": _SCHEMAS.format(model=route.body.__name__)}
        described["requestBody"] = {"required": True, "content": {"application/json": {"schema": schema}}}
    app.add_api_route(
        route.path,
        endpoint,
        methods=[route.method],
        summary=route.summary,
        response_class=Response,
        openapi_extra=described,
        name=f"{route.method} {route.path}",
    )


def _describe(app: FastAPI, routes: list[Route]) -> None:
    """Bodies are read past FastAPI, so their schemas are added to its description."""
    bodies = {route.body for route in routes if route.body is not None}
    _, found = models_json_schema([(body, "validation") for body in bodies], ref_template=_SCHEMAS)
    described = app.openapi()
    described.setdefault("components", {}).setdefault("schemas", {}).update(found["$defs"])


class _Answered(Response):
    """A response that somebody else writes."""

    def __init__(self, answer: Callable[[], Awaitable[None]]) -> None:
        self._answer = answer
        self.background = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What FastAPI calls in the end; the exchange has these three."""
        del scope, receive, send
        await self._answer()


class _Edge:
    """Around all routes: one exchange a request; HEAD and OPTIONS as HTTP wants them. No CORS headers, on purpose."""

    def __init__(self, app: FastAPI, desk: Desk) -> None:
        self._app = app
        self._desk = desk

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send, self._desk)
        if scope["method"] == "OPTIONS":
            await self._tell_methods(exchange, scope)
            return
        method = "GET" if scope["method"] == "HEAD" else scope["method"]  # the server drops the body
        try:
            await self._app({**scope, "method": method, _EXCHANGE: exchange}, receive, send)
        except Exception:
            _log.exception("request failed", path=scope["path"][:200], request_id=exchange.request_id)
            if not exchange.started:
                await exchange.fail(failed())

    async def _tell_methods(self, exchange: Exchange, scope: Scope) -> None:
        methods: set[str] = set()
        for route in self._app.routes:
            if route.matches({**scope, "method": "GET"})[0] is not Match.NONE:
                methods |= getattr(route, "methods", None) or set()
        if not methods:
            await exchange.fail(_not_found(scope["path"]))
            return
        allowed = ", ".join(sorted({*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])}))
        await exchange.answer(b"", HTTPStatus.OK, [(b"allow", allowed.encode())])


async def _no_route(request: Request, error: Exception) -> Response:
    """404 and 405 in the same shape as all errors."""
    exchange: Exchange = request.scope[_EXCHANGE]
    exchange.plain_errors = request.url.path.startswith("/v2")
    status = error.status_code if isinstance(error, HTTPException) else HTTPStatus.INTERNAL_SERVER_ERROR
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        words = f"{request.scope['method']} is not offered on {request.url.path[:200]}"
        problem = Problem(status, words, "invalid_request_error", code="method_not_allowed")
    else:
        problem = _not_found(request.url.path)
    extra = [(name.encode(), value.encode()) for name, value in headers.items()]
    return _Answered(lambda: exchange.fail(problem, extra))


def _not_found(path: str) -> Problem:
    words = f"there is no {path[:200]} here; GET /docs lists what there is"
    return Problem(HTTPStatus.NOT_FOUND, words, "invalid_request_error", code="not_found")

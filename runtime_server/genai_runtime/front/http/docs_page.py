"""GET /docs: the routes and their fields as one plain page, made from OpenAPI's description; nothing from elsewhere.

/openapi.json has the same for programs.
"""

import html
import json
from typing import Any

_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "code,pre{font:13px/1.4 ui-monospace,monospace}pre{background:#8881;padding:.7rem;overflow:auto}"
    "summary{cursor:pointer;padding:.2rem 0}b{display:inline-block;width:3.5rem}"
)


def docs_page(description: dict[str, Any]) -> bytes:
    """UTF-8. `description` is OpenAPI's."""
    info = description["info"]
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        f"<title>{html.escape(info['title'])}</title><style>{_STYLE}</style>",
        f"<h1>{html.escape(info['title'])} {html.escape(info['version'])}</h1>",
        f"<p>{html.escape(info.get('description', ''))} For programs: <a href=openapi.json>openapi.json</a>.</p>",
    ]
    for path, methods in description["paths"].items():
        parts += [_operation(method, path, operation) for method, operation in methods.items()]
    parts.append("<h2>Bodies</h2>")
    schemas = description.get("components", {}).get("schemas", {})
    parts += [_schema(name, schema) for name, schema in schemas.items()]
    return "".join(parts).encode()


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    name = content.get("schema", {}).get("$ref", "").rpartition("/")[2]
    body = f" <a href='#{html.escape(name)}'>{html.escape(name)}</a>" if name else ""
    summary = html.escape(operation.get("summary", ""))
    return f"<div><b>{method.upper()}</b> <code>{html.escape(path)}</code> {summary}{body}</div>"


def _schema(name: str, schema: dict[str, Any]) -> str:
    text = html.escape(json.dumps(schema, indent=2, ensure_ascii=False))
    return f"<details id='{html.escape(name)}'><summary>{html.escape(name)}</summary><pre>{text}</pre></details>"

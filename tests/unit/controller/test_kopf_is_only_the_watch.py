"""kopf as the watch and nothing else: no handler of ours that makes it write, and a refusal where one would."""

import ast
from pathlib import Path
from typing import Any

import kopf
import pytest

import genai_operator.handlers
from genai_operator.constants import GROUP
from genai_operator.handlers.configuration import build_kopf_settings
from genai_operator.handlers.events import build_registry
from genai_operator.handlers.storage import StatefulHandler
from genai_operator.services.resync import WATCHED

HANDLERS = Path(genai_operator.handlers.__file__).parent
# All others make kopf write annotations or finalizers, or run by a clock of its own.
ALLOWED = {"event", "login"}


def decorators(source: str) -> set[str]:
    """The last names of what decorates a function and begins with `kopf`."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        for decorator in getattr(node, "decorator_list", ()):
            target = decorator.func if isinstance(decorator, ast.Call) else decorator
            name = ast.unparse(target)
            if name.startswith("kopf."):
                found.add(name.rpartition(".")[2])
    return found


def test_decorators_are_found() -> None:
    source = (
        "@kopf.timer('x', interval=1)\ndef f(): ...\n@kopf.on.create('x')\nasync def g(): ...\n@other\ndef h(): ..."
    )
    assert decorators(source) == {"timer", "create"}


def test_only_low_level_handlers_are_declared() -> None:
    sources = [path.read_text(encoding="utf-8") for path in sorted(HANDLERS.glob("*.py"))]
    assert set().union(*map(decorators, sources)) == ALLOWED


def test_the_registry_holds_one_event_handler_a_resource_and_no_stateful_one() -> None:
    async def login() -> kopf.ConnectionInfo:
        raise NotImplementedError

    registry: Any = build_registry(lambda *_: None, login)
    assert len(registry._watching.get_all_handlers()) == len(WATCHED)
    for others in (registry._changing, registry._spawning, registry._indexing, registry._webhooks):
        assert list(others.get_all_handlers()) == []


def test_kopf_refuses_to_keep_state_in_objects() -> None:
    persistence: Any = build_kopf_settings().persistence
    body, patch = kopf.Body({"metadata": {"annotations": {"a": "b"}}}), kopf.Patch()
    with pytest.raises(StatefulHandler):
        persistence.diffbase_storage.store(body=body, patch=patch, essence={})
    with pytest.raises(StatefulHandler):
        persistence.progress_storage.store(key="x", record={}, body=body, patch=patch)
    with pytest.raises(StatefulHandler):
        persistence.progress_storage.touch(body=body, patch=patch, value="x")
    assert persistence.diffbase_storage.fetch(body=body) is None
    assert persistence.diffbase_storage.build(body=body) == {}
    assert persistence.progress_storage.clear(essence={"spec": {}}) == {"spec": {}}
    assert persistence.finalizer.startswith(f"kopf.{GROUP}/")
    assert not patch


def test_a_watch_that_is_silent_or_a_server_that_hangs_is_noticed_and_the_process_ends_in_time() -> None:
    settings = build_kopf_settings()
    watching, networking = settings.watching, settings.networking
    # Bookmarks come every minute: longer silence means a dead stream.
    assert 60 < watching.inactivity_timeout <= 90
    assert watching.server_timeout is not None
    assert watching.client_timeout is not None
    assert watching.server_timeout < watching.client_timeout
    assert networking.request_timeout is not None
    assert networking.request_timeout <= 60
    assert settings.queueing.worker_limit is not None
    # The chart grants 20 seconds.
    assert settings.process.ultimate_exiting_timeout is not None
    assert settings.process.ultimate_exiting_timeout < 20
    assert not settings.posting.enabled
    assert settings.peering.standalone
    for resource, label in WATCHED.items():
        group, _, version = resource.api_version.rpartition("/")
        assert settings.watching.label_selectors.get((group, version, resource.plural), "") == label
        # Only our own kinds are watched whole.
        assert label or group == GROUP

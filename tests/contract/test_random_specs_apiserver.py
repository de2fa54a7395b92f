"""A thousand random good specs become children, and a thousand bad ones are refused by the name of what is wrong.

Both kinds are drawn from the generated schema, so that every field takes part from the day when it is there. The API
server and the operator's process are real; there are no controllers and no nodes, for what pods do is not the matter.
"""

import asyncio
import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from itertools import count, islice
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import pytest

from support.api_requests import ApiRequests, api_requests
from support.broken_specs import every_break, told_by_the_model
from support.control_ca import write_ca
from support.control_plane import control_plane
from support.operator_process import Operator, install_crds, new_team
from support.random_specs import FIELDS, SPEC_SCHEMA, Spec, rule_breaking_spec, valid_spec

pytestmark = pytest.mark.timeout(1200)

Object = dict[str, Any]
SCALED_OBJECTS = Path(__file__).parents[1] / "data" / "input" / "scaledobject-crd.yaml"
PROVIDERS = SPEC_SCHEMA["properties"]["provider"]["enum"]
# Everything is permitted that an installation can permit; what is not is refused in test_workload_apiserver.py.
SETTINGS = {
    "POD_LABELS": "*",
    "POD_ANNOTATIONS": "*",
    "ENV": "*",
    "ALLOW_POD_TEMPLATE": "true",
    "AUTOSCALERS": "HPA,KEDA",
    "PROMETHEUS_ADDRESS": "http://prometheus.example:9090",
    "RUNTIME_IMAGES": json.dumps({name: "runtime:1" for name in PROVIDERS if name != "cpu"}),
    "LOG_LEVEL": "warning",
}
OWNER = "genai-operator.io/model"
GOOD, BAD = 1000, 1000
BATCH = 250
SECONDS = 300.0
# Each listing is some megabytes for the machine that also does the work.
POLL_SECONDS = 2.0
_BREAKING_RULES = 350


@pytest.fixture(scope="module")
def operator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    with contextlib.ExitStack() as stack:
        environment = stack.enter_context(pytest.MonkeyPatch.context())
        for name, value in SETTINGS.items():
            environment.setenv(f"GENAI_OPERATOR_{name}", value)
        environment.setenv("GOGC", "400")  # the API server's garbage is half of its work, and its memory no matter here
        plane = stack.enter_context(control_plane(tmp_path_factory.mktemp("plane"), controllers=False))
        install_crds(plane)
        plane.kubectl("apply", "--server-side", "--filename", str(SCALED_OBJECTS))
        running = Operator(plane, write_ca(plane.folder / "ca"))
        running.start()
        try:
            yield running
        finally:
            running.kill()


def model(name: str, spec: Spec) -> Object:
    return {"apiVersion": "genai-operator.io/v1alpha1", "kind": "GenAIModel", "metadata": {"name": name}, "spec": spec}


def test_good_specs_become_children(operator: Operator, request: pytest.FixtureRequest) -> None:
    namespaces = [new_team(operator.plane, request, str(number)).name for number in range(0, GOOD, BATCH)]
    specs = asyncio.run(all_become_children(operator, namespaces))
    used = {place for spec in specs for place in places(spec)}
    never = ["/".join(map(str, where)) for where, _ in FIELDS if where not in used]
    assert never == [], "no spec has these; give random_specs a word of their form"
    assert_calm(operator)


async def all_become_children(operator: Operator, namespaces: list[str]) -> list[Spec]:
    """Drawing takes a while: the operator works on the specs of a namespace while those of the next are drawn."""
    specs: list[Spec] = []
    made: asyncio.Task[None] | None = None
    for namespace in namespaces:
        numbers = range(len(specs), len(specs) + BATCH)
        specs += await asyncio.to_thread(lambda drawn=numbers: [valid_spec(each) for each in drawn])
        if made is not None:
            await made
        bodies = [model(f"m{each}", specs[each]) for each in numbers]
        made = asyncio.create_task(become_children(operator, namespace, bodies))
    assert made is not None
    await made
    return specs


async def become_children(operator: Operator, namespace: str, bodies: list[Object]) -> None:
    names = [body["metadata"]["name"] for body in bodies]
    unbuilt = {body["metadata"]["name"] for body in bodies if "build" in body["spec"]["model"]}  # nobody builds here
    async with api_requests(operator.plane, namespace) as requests:
        answers = await requests.create_models(bodies)
        assert {name: said["message"] for name, (code, said) in zip(names, answers, strict=True) if code != 201} == {}
        await all_accepted(operator, requests)
        for api, plural, wanted in CHILDREN:
            owners = [each["metadata"]["labels"][OWNER] for each in await requests.items(api, plural)]
            having = names if plural != "deployments" else [name for name in names if name not in unbuilt]
            assert Counter(owners) == dict.fromkeys(having, wanted), plural


# What every model has, and how many; one that is to be built has no Deployment until it is.
CHILDREN = (("/apis/apps/v1", "deployments", 1), ("/api/v1", "services", 2), ("/api/v1", "secrets", 1))


async def all_accepted(operator: Operator, requests: ApiRequests) -> None:
    deadline = monotonic() + SECONDS
    while True:
        waiting, refused = [], {}
        for body in await requests.models():
            name, said = body["metadata"]["name"], condition(body)
            if said.get("observedGeneration") != body["metadata"]["generation"]:
                waiting.append(name)
            elif said["status"] != "True":
                refused[name] = (said["reason"], said["message"], body["spec"])
        assert not refused, list(refused.items())[:3]
        if not waiting:
            return
        assert operator.process is not None
        assert operator.process.poll() is None, "the operator has ended"
        assert monotonic() < deadline, f"without a word of the operator after {SECONDS:.0f} s: {waiting[:5]}"
        await asyncio.sleep(POLL_SECONDS)


def condition(body: Object) -> Object:
    conditions = body.get("status", {}).get("conditions", [])
    return next((dict(each) for each in conditions if each["type"] == "Accepted"), {})


def test_bad_specs_are_refused_by_the_name_of_the_field(operator: Operator, request: pytest.FixtureRequest) -> None:
    broken = [each.spec(Random(number)) for number, each in enumerate(every_break())]
    untold = [name for spec, name in broken if not told_by_the_model(spec, name)]
    assert untold == [], "the operator would take these if they were stored already"
    breaking = (found for number in count() if (found := rule_breaking_spec(number)))
    broken += islice(breaking, max(_BREAKING_RULES, BAD - len(broken)))
    assert len(broken) >= BAD
    namespace = new_team(operator.plane, request).name
    answers = asyncio.run(dry_run(operator, namespace, [spec for spec, _ in broken]))
    told = [(spec, name, code, said) for (spec, name), (code, said) in zip(broken, answers, strict=True)]
    assert [spec for spec, _, code, _ in told if code < 400] == []
    assert [(name, said["message"][:500]) for _, name, _, said in told if name not in said["message"]] == []
    assert_calm(operator)


async def dry_run(operator: Operator, namespace: str, specs: list[Spec]) -> list[tuple[int, Object]]:
    async with api_requests(operator.plane, namespace) as requests:
        return await requests.create_models((model(f"m{number}", spec) for number, spec in enumerate(specs)), dry=True)


def places(value: Any, path: tuple[int | str, ...] = ()) -> Iterator[tuple[int | str, ...]]:
    """The places of `random_specs.fields` that a value has."""
    yield path
    parts = value.items() if isinstance(value, dict) else ()
    if isinstance(value, list):
        parts = [(0, each) for each in value]
    for step, part in parts:
        yield from places(part, (*path, step))


def assert_calm(operator: Operator) -> None:
    """The operator lives, and nothing surprised it."""
    assert operator.process is not None
    assert operator.process.poll() is None, "the operator has ended"
    assert "Traceback" not in operator.log_file.read_text()
    assert [line for line in operator.log() if line["level"] in ("error", "critical")] == []

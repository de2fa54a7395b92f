"""LoRA adapters as live options: told to pods, and each pod's answer in the status."""

from datetime import UTC, datetime

from genai_operator.api.runtime_options import RuntimeOptions, desired_options, revision
from genai_operator.clients.option_messages import options_message, options_reply
from genai_operator.services.pod_link import acknowledged
from genai_operator.status.observed import PodOptionsState
from genai_operator.status.runtime_options import summarise_runtime_options
from genai_protocol.v1 import control_pb2
from support.models import make_model, message, observe, ready_pod

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LEGAL = {"name": "legal", "path": "adapters/legal"}


def test_adapters_are_part_of_what_pods_shall_have() -> None:
    plain, asked = desired_options(make_model()), desired_options(make_model(adapters=[LEGAL]))
    assert plain.revision == revision(RuntimeOptions())
    assert asked.revision != plain.revision
    (told,) = options_message(asked.options).adapters.adapters
    assert (told.name, told.path) == ("legal", "adapters/legal")
    nothing = options_message(plain.options)
    assert nothing.HasField("adapters")
    assert not nothing.adapters.adapters


def test_an_adapter_that_is_fetched_is_told_with_its_source() -> None:
    fetched = {"name": "hub", "uri": "s3://bucket/a", "path": "a.onnx_adapter", "secretName": "keys", "region": "eu"}
    asked = desired_options(make_model(adapters=[fetched, LEGAL]))
    here, there = options_message(asked.options).adapters.adapters
    assert (here.name, here.HasField("source")) == ("legal", False)
    assert (there.name, there.path) == ("hub", "a.onnx_adapter")
    source = control_pb2.AdapterSource(uri="s3://bucket/a", secret_name="keys", region="eu")
    assert there.source == source
    pinned = desired_options(make_model(adapters=[{**fetched, "sha256": "0a" * 32, "maxBytes": "2Mi"}, LEGAL]))
    assert pinned.revision != asked.revision
    there = options_message(pinned.options).adapters.adapters[1]
    assert (there.source.sha256, there.source.max_bytes) == ("0a" * 32, 2 << 20)


def test_a_rejected_adapter_is_told_for_itself() -> None:
    model, pod = make_model(adapters=[LEGAL, {"name": "other", "path": "b"}]), ready_pod()
    desired = desired_options(model)
    said = control_pb2.RuntimeOptionsState(
        revision=desired.revision,
        adapters=[
            control_pb2.AdapterState(name="legal", state=control_pb2.ADAPTER_LOADING_REJECTED, message="no such file"),
            control_pb2.AdapterState(name="other", state=control_pb2.ADAPTER_LOADING_LOADED),
        ],
    )
    answer = acknowledged(options_reply(said), (pod.container_id, desired.revision), NOW)
    assert answer.state is PodOptionsState.UNSUPPORTED
    status = summarise_runtime_options(model, desired, observe(pod, answers={pod.uid: answer}))
    (shown,) = status["runtimeOptions"]["pods"]
    assert [(each["name"], each["state"], each.get("message", "")) for each in shown["adapters"]] == [
        ("legal", "Rejected", "no such file"),
        ("other", "Loaded", ""),
    ]
    assert "adapter legal is rejected: no such file" in message(status, "RuntimeOptionsApplied")

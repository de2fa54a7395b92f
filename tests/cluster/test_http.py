"""OpenAI's HTTP by the Service, from a pod: the same answers as over gRPC, as long as the model serves."""

from collections.abc import Callable

from support.client_pod import ClientPod
from support.model_resource import ModelAccess

ANSWER = "The capital of France is Paris."


def test_the_same_answer_as_over_grpc(shared_model: ModelAccess, client: ClientPod) -> None:
    url = shared_model.status()["endpoints"]["http"]
    assert url == f"http://hello.{shared_model.namespace}.svc:8080"
    lines = client.run_http(url, "hello")
    assert client.ask_http(url, "hello") == (ANSWER, 200)
    assert client.ask(shared_model.address) == (ANSWER, "OK")
    assert [line["reason"] for line in lines if line["event"] == "finish"] == ["stop"]
    (usage,) = [line for line in lines if line["event"] == "usage"]
    over_grpc = next(line for line in client.run("ask", shared_model.address) if line["event"] == "finish")
    assert usage["prompt_tokens"] == over_grpc["prompt_tokens"]
    assert usage["completion_tokens"] == over_grpc["completion_tokens"]


def test_another_models_name_is_not_found(shared_model: ModelAccess, client: ClientPod) -> None:
    *_, status = client.run_http(shared_model.status()["endpoints"]["http"], "another")
    assert status["code"] == 404
    assert "another" in status["details"]


def test_a_halted_model_says_so(shared_model: ModelAccess, client: ClientPod) -> None:
    url = shared_model.status()["endpoints"]["http"]
    shared_model.annotate("terminate-session", "1")
    shared_model.wait_condition("Ready", "False", "Halted", 20)
    assert client.ask_http(url, "hello") == ("", 503)
    shared_model.annotate("terminate-session", "0")
    shared_model.wait_ready()
    assert client.ask_http(url, "hello") == (ANSWER, 200)


def test_http_can_be_left_out(apply_model: Callable[..., ModelAccess]) -> None:
    model = apply_model(server={"protocols": {"http": False}})
    model.wait_ready()
    assert "http" not in model.status()["endpoints"]
    for name in ("hello", "hello-headless"):
        service = model.cluster.get("Service", name, model.namespace)
        assert service is not None
        assert "http" not in {port["name"] for port in service["spec"]["ports"]}

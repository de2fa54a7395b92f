"""A model as Triton's configuration has it, converted, applied and served."""

from pathlib import Path

from support.client_pod import ClientPod
from support.live_cluster import LiveCluster
from support.model_resource import ModelAccess
from support.triton import documents, whole

CONFIG = """\
name: "From_Triton"
backend: "onnxruntime"
max_batch_size: 3
instance_group [ { count: 1 kind: KIND_CPU } ]
dynamic_batching { default_queue_policy { max_queue_size: 5 } }
optimization { graph { level: 1 } }
parameters { key: "intra_op_thread_count" value: { string_value: "1" } }
parameters { key: "inter_op_thread_count" value: { string_value: "2" } }
parameters { key: "execution_mode" value: { string_value: "1" } }
parameters { key: "enable_mem_pattern" value: { string_value: "0" } }
"""


def test_what_is_printed_is_served(cluster: LiveCluster, namespace: str, client: ClientPod, tmp_path: Path) -> None:
    file = tmp_path / "config.pbtxt"
    file.write_text(CONFIG)
    (body,) = documents(whole(file, uri="builtin://hello"))
    body["metadata"]["namespace"] = namespace
    cluster.create(body)
    model = ModelAccess(cluster, "from-triton", namespace)
    model.wait_ready()
    effective = model.status()["effective"]
    assert effective["maxBatchSize"] == 3
    assert {"intraOp": 1, "interOp": 2}.items() <= effective["threads"].items()
    answer, code = client.ask(model.address)
    assert (answer.strip(), code) == ("The capital of France is Paris.", "OK")

"""Specs that the API server must refuse, each with what its refusal must name. Data alone."""

from typing import Any

_BUILT: dict[str, Any] = {
    "model": {"uri": "hf://org/model", "cache": {"claimName": "cache"}, "build": {}},
    "precision": "int4",
}

# sentence: (what is added to a minimal spec, the field that the refusal names)
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a scheme nobody knows": ({"model": {"uri": "ftp://x/y"}}, "spec.model.uri"),
    "a path that climbs": ({"model": {"uri": "pvc://claim/a/../b"}}, "spec.model.uri"),
    "a line break in the URI": ({"model": {"uri": "builtin://hello\n"}}, "spec.model.uri"),
    "a URI without end": ({"model": {"uri": "pvc://claim/" + "a" * 600}}, "spec.model.uri"),
    "no URI": ({"model": {}}, "spec.model.uri"),
    "a provider nobody knows": ({"provider": "abacus"}, "spec.provider"),
    "options of another provider": (
        {"provider": "openvino", "providerOptions": {"cuda": {"deviceId": 0}}},
        "providerOptions may only have those of the provider",
    ),
    "options of no provider": ({"providerOptions": {"tpu": {}}}, "spec.providerOptions.tpu"),
    "an option nobody knows": (
        {"provider": "cuda", "providerOptions": {"cuda": {"userComputeStream": 1}}},
        "spec.providerOptions.cuda.userComputeStream",
    ),
    "a GPU beyond reason": (
        {"provider": "cuda", "providerOptions": {"cuda": {"deviceId": 64}}},
        "spec.providerOptions.cuda.deviceId",
    ),
    "an arena of half a byte": (
        {"provider": "cuda", "providerOptions": {"cuda": {"gpuMemLimit": "1048576.5"}}},
        "spec.providerOptions.cuda.gpuMemLimit",
    ),
    "a fall-back nobody knows": ({"providerFallback": "Maybe"}, "spec.providerFallback"),
    "a precision nobody knows": ({"precision": "int2"}, "spec.precision"),
    "zero threads": ({"threads": {"intraOp": 0}}, "spec.threads.intraOp"),
    "too many threads": ({"threads": {"intraOp": 1025}}, "spec.threads.intraOp"),
    "threads as a word": ({"threads": {"intraOp": "many"}}, "spec.threads.intraOp"),
    "spinning as a truth": ({"threads": {"spinning": True}}, "spec.threads.spinning"),
    "an affinity of one's own": ({"threads": {"affinity": "0-3"}}, "spec.threads.affinity"),
    "threads of operators one after the other": ({"threads": {"interOp": 2}}, "threads.interOp needs"),
    "a mode nobody knows": ({"session": {"executionMode": "both"}}, "spec.session.executionMode"),
    "a plan of operators at the same time": (
        {"session": {"executionMode": "parallel", "memoryPattern": True}},
        "session.memoryPattern needs",
    ),
    "an entry that nothing reads": ({"session": {"configEntries": {"session.made_up": "1"}}}, "takes these keys"),
    "an entry that is a path": (
        {"session": {"configEntries": {"session.optimized_model_filepath": "/tmp/x"}}},
        "spec.session.configEntries",
    ),
    "an entry of another kind": (
        {"session": {"configEntries": {"session.set_denormal_as_zero": "yes"}}},
        "a value of session.configEntries must be",
    ),
    "a default above the limit": ({"generation": {"maxTokens": 9, "maxTokensLimit": 8}}, "spec.generation"),
    "a hot temperature": ({"generation": {"temperature": 2.1}}, "spec.generation.temperature"),
    "top-p of nothing": ({"generation": {"topP": 0}}, "spec.generation.topP"),
    "a prompt without end": ({"warmup": {"prompts": ["x" * 4097]}}, "spec.warmup.prompts"),
    "a gate without a prompt": ({"rollout": {"gate": {"prompts": []}}}, "spec.rollout.gate.prompts"),
    "a gate that lets everything through": (
        {"rollout": {"gate": {"prompts": ["a"], "maxRegressionPercent": 100}}},
        "spec.rollout.gate.maxRegressionPercent",
    ),
    "a gate of one token": ({"rollout": {"gate": {"prompts": ["a"], "maxTokens": 1}}}, "spec.rollout.gate.maxTokens"),
    "a share above all": ({"providerLimits": {"minSharePercent": 101}}, "spec.providerLimits.minSharePercent"),
    "negative replicas": ({"replicas": -1}, "spec.replicas"),
    "a thousand and one replicas": ({"replicas": 1001}, "spec.replicas"),
    "an engine nobody knows": ({"engine": {"mode": "magic"}}, "spec.engine.mode"),
    "an option of another engine": ({"engine": {"mode": "single", "speculation": "ngram"}}, "spec.engine"),
    "a batch on a GPU": ({"engine": {"mode": "batch"}, "provider": "cuda"}, "engine.mode batch needs provider cpu"),
    "a KV cache as large as the pod": ({"engine": {"kvCache": "2Gi"}}, "less than resources.limits.memory"),
    "a KV cache larger than its pod": (
        {"engine": {"kvCache": "1Gi"}, "resources": {"limits": {"memory": "1000M"}}},
        "less than resources.limits.memory",
    ),
    "a KV cache of nothing": ({"engine": {"kvCache": 0}}, "spec.engine.kvCache"),
    "a KV cache of half a byte": ({"engine": {"kvCache": "1048576500m"}}, "spec.engine.kvCache"),
    "kept prefixes larger than what they are kept in": (
        {"engine": {"kvCache": "16Mi", "prefixCaching": {"maxBytes": "17Mi"}}},
        "must not exceed engine.kvCache",
    ),
    "a size of nothing": (
        {"engine": {"prefixCaching": {"enabled": False, "maxBytes": "1Mi"}}},
        "spec.engine.prefixCaching",
    ),
    "a batch of none": ({"engine": {"maxBatchSize": 0}}, "spec.engine.maxBatchSize"),
    "a chunk of one token": ({"engine": {"prefillChunk": 1}}, "spec.engine.prefillChunk"),
    "a Secret that is a path": ({"server": {"apiKeys": {"secretName": "../x"}}}, "spec.server.apiKeys.secretName"),
    "a client authority without a certificate": (
        {"server": {"tls": {"clientCASecretName": "clients"}}},
        "spec.server.tls.secretName",
    ),
    "requests above limits": (
        {"resources": {"requests": {"cpu": "1001m"}, "limits": {"cpu": 1}}},
        "spec.resources",
    ),
    "a quantity that is none": ({"resources": {"limits": {"memory": "much"}}}, "spec.resources.limits.memory"),
    "a label that is a path": ({"runtimeOptions": {"enableProfiling": "../x"}}, "spec.runtimeOptions.enableProfiling"),
    "a label that means on": ({"runtimeOptions": {"enableProfiling": "yes"}}, "spec.runtimeOptions.enableProfiling"),
    "a label of digits": ({"runtimeOptions": {"enableProfiling": "2"}}, "spec.runtimeOptions.enableProfiling"),
    "termination as a word": ({"runtimeOptions": {"terminateSession": "y"}}, "spec.runtimeOptions.terminateSession"),
    "a log level nobody knows": ({"runtimeOptions": {"logLevel": "loud"}}, "spec.runtimeOptions.logLevel"),
    "shrinking as a word": ({"runtimeOptions": {"arenaShrinkage": "yes"}}, "spec.runtimeOptions.arenaShrinkage"),
    "a drain without a unit": ({"runtimeOptions": {"drain": "30"}}, "spec.runtimeOptions.drain"),
    "a drain of two hours": ({"runtimeOptions": {"drain": "2h"}}, "spec.runtimeOptions.drain"),
    "a drain that is over": ({"runtimeOptions": {"drain": "-5s"}}, "spec.runtimeOptions.drain"),
    "a drain in milliseconds": ({"runtimeOptions": {"drain": "1500ms"}}, "spec.runtimeOptions.drain"),
    "a drain longer than numbers": ({"runtimeOptions": {"drain": "9" * 16 + "h"}}, "spec.runtimeOptions.drain"),
    "a rule of nothing": ({"runtimeOptions": {"cancel": "client="}}, "spec.runtimeOptions.cancel"),
    "a rule about a path": ({"runtimeOptions": {"cancel": "client=../x"}}, "spec.runtimeOptions.cancel"),
    "a rule that says a thing twice": (
        {"runtimeOptions": {"cancel": "client=a,client=b"}},
        "spec.runtimeOptions.cancel",
    ),
    "a rule about everything": ({"runtimeOptions": {"cancel": "older-than=0s"}}, "spec.runtimeOptions.cancel"),
    "a rule about days": ({"runtimeOptions": {"cancel": "client=a,older-than=25h"}}, "spec.runtimeOptions.cancel"),
    "a rule without end": ({"runtimeOptions": {"cancel": "client=" + "a" * 400}}, "spec.runtimeOptions.cancel"),
    "a rule about no tokens": ({"runtimeOptions": {"cancel": "tokens-over=0"}}, "spec.runtimeOptions.cancel"),
    "a load without clients": ({"tuning": {"load": {"clients": 0}}}, "spec.tuning.load.clients"),
    "too many threads to try": ({"tuning": {"sweep": {"threads": [1025]}}}, "spec.tuning.sweep.threads"),
    "too many values to try": ({"tuning": {"sweep": {"batch": list(range(1, 10))}}}, "spec.tuning.sweep.batch"),
    "spinning as a boolean": ({"tuning": {"sweep": {"spinning": [True]}}}, "spec.tuning.sweep.spinning"),
    "a chunk that is too small": ({"tuning": {"sweep": {"prefillChunk": [8]}}}, "spec.tuning.sweep.prefillChunk"),
    "no time to measure": ({"tuning": {"maxSeconds": 9}}, "spec.tuning.maxSeconds"),
    "a way to apply that there is not": ({"tuning": {"apply": "Once"}}, "spec.tuning.apply"),
    "a request of two words": ({"tuning": {"request": "a b"}}, "spec.tuning.request"),
    "other precisions of a model that is not built": (
        {"tuning": {"sweep": {"precision": ["int4", "fp32"]}}},
        "int4AccuracyLevel need model.build",
    ),
    "a precision to try that the builder does not make": (
        {**_BUILT, "tuning": {"sweep": {"precision": ["int4", "bf16"]}}},
        "what the builder makes for the provider",
    ),
    "blocks to try of a model without any": (
        {**_BUILT, "precision": "fp32", "tuning": {"sweep": {"int4BlockSize": [32, 64]}}},
        "need int4 among the precisions",
    ),
    "levels to try of precisions without any": (
        {**_BUILT, "tuning": {"sweep": {"precision": ["fp32", "int8"], "int4AccuracyLevel": [0]}}},
        "need int4 among the precisions",
    ),
    "a build for every taste": (
        {**_BUILT, "tuning": {"sweep": {"int4BlockSize": [16, 32, 64, 128], "int4AccuracyLevel": [0, 4]}}},
        "may name 6 builds at most",
    ),
    "seven builds of several precisions": (
        {
            **_BUILT,
            "tuning": {"sweep": {"precision": ["fp32", "int8", "int4"], "int4BlockSize": [16, 32, 64, 128, 256]}},
        },
        "may name 6 builds at most",
    ),
    "a permitted loss of nothing that is tried": (
        {**_BUILT, "tuning": {"sweep": {"threads": [1], "maxPerplexityIncreasePercent": 2}}},
        "maxPerplexityIncreasePercent needs one of",
    ),
    "no precision to try": ({**_BUILT, "tuning": {"sweep": {"precision": []}}}, "spec.tuning.sweep.precision"),
    "a block of no size": ({**_BUILT, "tuning": {"sweep": {"int4BlockSize": [33]}}}, "spec.tuning.sweep.int4BlockSize"),
    "a level beyond the last": (
        {**_BUILT, "tuning": {"sweep": {"int4AccuracyLevel": [5]}}},
        "spec.tuning.sweep.int4AccuracyLevel",
    ),
    "a loss beyond all measure": (
        {**_BUILT, "tuning": {"sweep": {"precision": ["fp32"], "maxPerplexityIncreasePercent": 1001}}},
        "spec.tuning.sweep.maxPerplexityIncreasePercent",
    ),
    "a recorder without an objective": ({"flightRecorder": {"for": "30s"}}, "spec.flightRecorder"),
    "an objective without a unit": ({"flightRecorder": {"ttftP99": "2"}}, "spec.flightRecorder.ttftP99"),
    "an objective of minutes": ({"flightRecorder": {"interTokenP99": "2m"}}, "spec.flightRecorder.interTokenP99"),
    "a recorder that never waits": (
        {"flightRecorder": {"ttftP99": "1s", "for": "10ms"}},
        "spec.flightRecorder.for",
    ),
    "a recorder without end": (
        {"flightRecorder": {"ttftP99": "1s", "maxPerHour": 61}},
        "spec.flightRecorder.maxPerHour",
    ),
    "a window larger than the pod's disk": (
        {"runtimeOptions": {"profilingLimits": {"maxBytes": "1Gi"}}},
        "spec.runtimeOptions.profilingLimits.maxBytes",
    ),
    "a window of no bytes": (
        {"runtimeOptions": {"profilingLimits": {"maxBytes": 1}}},
        "spec.runtimeOptions.profilingLimits.maxBytes",
    ),
    "a toleration of any value": ({"tolerations": [{"operator": "Exists", "value": "x"}]}, "spec.tolerations[0]"),
    "a node's label that none can have": ({"nodeSelector": {"a b": "c"}}, "spec.nodeSelector"),
    "a node's label with a bad value": ({"nodeSelector": {"disk": "s s d"}}, "spec.nodeSelector.disk"),
    "a resource with a blank": ({"resources": {"limits": {"c pu": "1"}}}, "spec.resources.limits"),
    "a toleration of no key": ({"tolerations": [{"value": "x"}]}, "spec.tolerations[0]"),
    "a toleration that ends": ({"tolerations": [{"key": "a", "tolerationSeconds": 5}]}, "spec.tolerations[0]"),
    "a build without a cache": (
        {"model": {"uri": "hf://org/model", "build": {}}, "precision": "int4"},
        "model.build needs model.cache",
    ),
    "a build of what is in the image": (
        {"model": {"uri": "builtin://hello", "build": {}}, "precision": "int4"},
        "model.build needs model.cache",
    ),
    "a build of a ConfigMap": (
        {**_BUILT, "model": {**_BUILT["model"], "uri": "configmap://tiny"}},
        "model.build needs model.cache",
    ),
    "a build of no precision": ({"model": _BUILT["model"]}, "model.build needs precision"),
    "a build that the builder does not make": ({**_BUILT, "precision": "fp16"}, "model.build needs precision"),
    "a build for a provider without a builder": ({**_BUILT, "provider": "qnn"}, "model.build needs precision"),
    "blocks of eight bits": (
        {"model": {**_BUILT["model"], "build": {"int4BlockSize": 32}}, "precision": "int8"},
        "int4AccuracyLevel need precision int4",
    ),
    "an accuracy of full precision": (
        {"model": {**_BUILT["model"], "build": {"int4AccuracyLevel": 0}}, "precision": "fp32"},
        "int4AccuracyLevel need precision int4",
    ),
    "a block of 48": (
        {**_BUILT, "model": {**_BUILT["model"], "build": {"int4BlockSize": 48}}},
        "spec.model.build.int4BlockSize",
    ),
    "a level of five": (
        {**_BUILT, "model": {**_BUILT["model"], "build": {"int4AccuracyLevel": 5}}},
        "spec.model.build.int4AccuracyLevel",
    ),
    "a text without a key": (
        {**_BUILT, "model": {**_BUILT["model"], "build": {"evaluation": {"configMapName": "texts"}}}},
        "spec.model.build.evaluation.key",
    ),
    "a text of one token": (
        {
            **_BUILT,
            "model": {
                **_BUILT["model"],
                "build": {"evaluation": {"configMapName": "texts", "key": "wiki.txt", "maxTokens": 1}},
            },
        },
        "spec.model.build.evaluation.maxTokens",
    ),
    "a build's request of two words": (
        {**_BUILT, "model": {**_BUILT["model"], "build": {"request": "a b"}}},
        "spec.model.build.request",
    ),
    "a build that wants more than it may have": (
        {
            **_BUILT,
            "model": {**_BUILT["model"], "build": {"resources": {"requests": {"cpu": "3"}, "limits": {"cpu": "2"}}}},
        },
        "spec.model.build.resources",
    ),
    "a claim that no claim is called": ({"model": {"uri": "pvc://a..b/x"}}, "spec.model.uri"),
    "an image with a space": ({"image": "not an image"}, "spec.image"),
    "a field of a later version": ({"teleport": {}}, "spec.teleport"),
    "an adapter outside its folder": ({"adapters": [{"name": "a", "path": "a/../b"}]}, "spec.adapters[0].path"),
    "a hub's name alone": ({"model": {"uri": "hf://name"}}, "spec.model.uri"),
    "a question that is none of ours": ({"model": {"uri": "hf://org/name?token=x"}}, "spec.model.uri"),
    "an archive without TLS": ({"model": {"uri": "http://models.example/a.tar"}}, "spec.model.uri"),
    "an archive with a user": ({"model": {"uri": "https://me:pw@models.example/a.tar"}}, "spec.model.uri"),
    "a file of a ConfigMap": ({"model": {"uri": "configmap://tiny/model.onnx"}}, "spec.model.uri"),
    "half an image's digest": ({"model": {"uri": "oci://r.example/model@sha256:0a"}}, "spec.model.uri"),
    "a Secret for a model of the image": (
        {"model": {"uri": "builtin://hello", "secretName": "keys"}},
        "are for sources that are fetched",
    ),
    "a cache for a claim": (
        {"model": {"uri": "pvc://claim/a", "cache": {"claimName": "cache"}}},
        "are for sources that are fetched",
    ),
    "a size for a ConfigMap": (
        {"model": {"uri": "configmap://tiny", "maxBytes": "1Gi"}},
        "are for sources that are fetched",
    ),
    "a region of no bucket": ({"model": {"uri": "gs://bucket/a", "region": "us"}}, "model.region is for s3://"),
    "an endpoint with a question": ({"model": {"uri": "hf://a/b", "endpoint": "https://b?x"}}, "spec.model.endpoint"),
    "offline without a cache": ({"model": {"uri": "hf://a/b", "offline": True}}, "model.offline needs model.cache"),
    "half a folder's digest": ({"model": {"uri": "builtin://hello", "sha256": "0a"}}, "spec.model.sha256"),
    "a folder of half a byte": ({"model": {"uri": "hf://a/b", "maxBytes": "2000000.5"}}, "spec.model.maxBytes"),
    "an adapter that is nowhere": ({"adapters": [{"name": "a"}]}, "an adapter needs path"),
    "an adapter that is mounted": ({"adapters": [{"name": "a", "uri": "pvc://claim/a"}]}, "spec.adapters[0].uri"),
    "a Secret of an adapter in the folder": (
        {"adapters": [{"name": "a", "path": "a", "secretName": "hub"}]},
        "are for adapters with uri",
    ),
    "a region of an adapter elsewhere": (
        {"adapters": [{"name": "a", "uri": "gs://bucket/a", "region": "eu"}]},
        "adapters[].region is for s3",
    ),
    "half an adapter's digest": (
        {"adapters": [{"name": "a", "uri": "hf://a/b", "sha256": "0a"}]},
        "spec.adapters[0].sha256",
    ),
    "guidance beyond reason": (
        {"generation": {"guidanceBytesLimit": 65_537}},
        "spec.generation.guidanceBytesLimit",
    ),
    "an adapter without a name": ({"adapters": [{"path": "a"}]}, "spec.adapters[0].name"),
    "two adapters of one name": (
        {"adapters": [{"name": "a", "path": "b"}, {"name": "a", "path": "c"}]},
        "spec.adapters[1]",
    ),
    "an adapter of another engine": (
        {"adapters": [{"name": "a", "path": "b"}], "engine": {"mode": "single"}},
        "adapters need the engine batch",
    ),
}

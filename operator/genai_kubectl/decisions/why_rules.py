"""What each reason of docs/status.md means to a person, and what helps. A table; which reason counts is `why.py`'s.

Sentences and remedies are templates of {name}, {namespace}, {message} (the condition's) and {pod}.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rule:
    """One reason. `sentence` is completed by a full stop; `remedy` may be empty where nothing has to be done."""

    sentence: str
    remedy: str = ""


_SERVING = Rule("{name} serves and nothing is wrong: {message}")
_LOG = "kubectl logs -n {namespace} {pod}"
_DESCRIBE = "kubectl describe pod -n {namespace} {pod}"
_EDIT = "kubectl edit gaim -n {namespace} {name}"

RULES: dict[str, Rule] = {
    # Nothing is wrong.
    "Accepted": _SERVING,
    "Available": _SERVING,
    "Serving": _SERVING,
    "Complete": _SERVING,
    "Healthy": _SERVING,
    "Applied": _SERVING,
    "Built": _SERVING,
    "NoPods": Rule("{name} has no pods that could have live options; every new one gets them"),
    # As you asked.
    "Suspended": Rule(
        "{name} has no pods because spec.suspend is true",
        'serve again: kubectl patch gaim -n {namespace} {name} --type=merge -p \'{{"spec":{{"suspend":false}}}}\'',
    ),
    "ScaledToZero": Rule(
        "{name} has no pods because spec.replicas is 0", "kubectl scale gaim/{name} -n {namespace} --replicas=1"
    ),
    "Paused": Rule(
        "{name} is left as it is because the annotation genai-operator.io/pause-reconciliation says so: {message}",
        "kubectl annotate gaim -n {namespace} {name} genai-operator.io/pause-reconciliation-",
    ),
    "Halted": Rule(
        "{name} refuses requests because it is halted: {message}",
        "serve again: kubectl genai resume -n {namespace} {name}",
    ),
    "Draining": Rule(
        "{name} refuses new requests because it is draining: {message}",
        "serve again: kubectl genai resume -n {namespace} {name}",
    ),
    # On the way.
    "Pending": Rule(
        "{name} is not ready yet because its pods are being made: {message}",
        "wait; if it lasts, look whether the operator runs and at: kubectl get events -n {namespace}",
    ),
    "Fetching": Rule(
        "{name} is not ready yet because its pods fetch the model: {message}",
        "wait; how far it is: kubectl get gaim -n {namespace} {name} -o wide",
    ),
    "Fetched": Rule(
        "{name} is not ready yet because nothing has loaded the model that was fetched: {message}",
        f"wait; a large model on slow storage takes minutes. Watch it: {_LOG} -f",
    ),
    "Building": Rule(
        "{name} is not as its spec says yet because its model is being built: {message}",
        "wait; how far it is: kubectl get gaim -n {namespace} {name} -o wide",
    ),
    "Loading": Rule(
        "{name} is not ready yet because its pods load the model or warm up: {message}",
        f"wait; a large model on slow storage takes minutes. Watch it: {_LOG} -f",
    ),
    "RollingOut": Rule(
        "{name} serves while its pods are being replaced: {message}",
        f"wait; if it lasts, look at the new pod: {_DESCRIBE}",
    ),
    "Applying": Rule(
        "{name} serves, and its live options are on their way to a pod: {message}",
        "wait: a pod that starts gets them before it is ready",
    ),
    # The resource.
    "InvalidSpec": Rule("{name} cannot be run because its spec cannot be used: {message}", f"correct it: {_EDIT}"),
    "NameConflict": Rule(
        "{name} cannot be run because the name of an object that it needs is taken: {message}",
        "delete that object, or give the model another name",
    ),
    # The cluster.
    "QuotaExceeded": Rule(
        "{name} gets no pod because a ResourceQuota of namespace {namespace} is used up: {message}",
        "raise the quota, or lower spec.resources or spec.replicas: kubectl describe quota -n {namespace}",
    ),
    "AdmissionDenied": Rule(
        "{name} gets no pod because a policy of the cluster refuses it: {message}",
        "follow the policy, or have it changed by who owns it",
    ),
    "Unschedulable": Rule(
        "{name} has a pod that no node takes: {message}",
        "lower spec.resources.requests, correct nodeSelector, tolerations or the claim, or add nodes",
    ),
    "AutoscalerUnavailable": Rule(
        "{name} serves and is not scaled because the cluster has no KEDA: {message}",
        f"install KEDA, or set autoscaling.type to HPA: {_EDIT}",
    ),
    "ImagePullBackOff": Rule(
        "{name} does not start because its image cannot be pulled: {message}",
        "correct spec.image or spec.imagePullSecrets; on a node without a registry, load the image",
    ),
    "ContainerConfigError": Rule(
        "{name} does not start because its container cannot be made: {message}",
        f"make what the message names: {_DESCRIBE}",
    ),
    # The pod and the model.
    "OutOfMemory": Rule(
        "{name} ran out of memory: {message}",
        "raise spec.resources.limits.memory, or lower engine.kvCache, engine.maxBatchSize or engine.maxSequenceLength",
    ),
    "CrashLoopBackOff": Rule(
        "{name} ends again and again: {message}", "read what it said last: kubectl logs -n {namespace} {pod} --previous"
    ),
    "ModelNotFound": Rule(
        "{name} does not start because there is no model where spec.model.uri points: {message}",
        f"correct the URI, or put the model there: {_EDIT}",
    ),
    "ModelInvalid": Rule(
        "{name} does not start because its model folder cannot be used: {message}", "build or copy the folder again"
    ),
    "ModelTooLarge": Rule(
        "{name} does not start because its model is larger than it may be: {message}",
        f"raise spec.model.maxBytes, or name a smaller folder: {_EDIT}",
    ),
    "ChecksumMismatch": Rule(
        "{name} does not start because its model is not the one that was promised: {message}",
        f"correct spec.model.sha256, or find out who changed the source: {_EDIT}",
    ),
    "Unauthorized": Rule(
        "{name} does not start because its model's source refuses the credentials: {message}",
        "correct the Secret that spec.model.secretName names",
    ),
    "SourceUnavailable": Rule(
        "{name} does not start because its model's source does not answer: {message}",
        "correct spec.model.endpoint, and look at network policies, proxies and the server's authority",
    ),
    "StorageFull": Rule(
        "{name} does not start because its model's cache has no room: {message}",
        "enlarge the claim of spec.model.cache, or remove models from it",
    ),
    "BuildFailed": Rule(
        "{name} is not what its spec says because its model cannot be built: {message}",
        "correct what the message names, or set another spec.model.build.request to have it tried again "
        "(docs/model-build.md)",
    ),
    "BuilderUnavailable": Rule(
        "{name} cannot be built because the operator was installed without a builder image: {message}",
        "have the chart's value builder.image.repository set, or take a model that is built already",
    ),
    "ExecutionProviderUnavailable": Rule(
        "{name} cannot have the provider that it asks for: {message}",
        "use a node and an image that have it (docs/providers.md), or provider: cpu",
    ),
    "ProviderDegraded": Rule(
        "{name} runs too much outside the device that was asked for: {message}",
        "use a model that was built for it, or lower spec.providerLimits.minSharePercent",
    ),
    "RolloutBlocked": Rule(
        "{name} keeps its old pods because the new ones are slower: {message}",
        "take the change back, or raise spec.rollout.gate.maxRegressionPercent",
    ),
    # Runtime options.
    "Unreachable": Rule(
        "{name} has a pod that does not answer the operator, so it lacks live options: {message}",
        "look whether the pod lives, and whether a NetworkPolicy keeps the operator from its port 9443",
    ),
    "PartiallyApplied": Rule(
        "{name} has pods that do not answer the operator, so only the others have its live options: {message}",
        "look whether those pods live, and whether a NetworkPolicy keeps the operator from their port 9443",
    ),
    "Unsupported": Rule(
        "{name} has a live option that its engine cannot do: {message}", "take the option away, or use the engine batch"
    ),
    "Rejected": Rule(
        "{name} has a live option with a value that it cannot have, so none is sent: {message}", "correct the value"
    ),
    # What no condition says.
    "NotSeen": Rule(
        "{name} has no status because no operator has taken it up",
        "look whether the operator runs and watches namespace {namespace}: kubectl get pods -A -l "
        "app.kubernetes.io/name=genai-operator",
    ),
    "NotActedOn": Rule(
        "{name} has a newer spec than its status speaks of: {message}",
        "wait a moment; if it lasts, look whether the operator runs",
    ),
}
UNKNOWN = Rule(
    "{name} is in a state that this version does not know: {message}",
    "kubectl describe gaim -n {namespace} {name}",
)

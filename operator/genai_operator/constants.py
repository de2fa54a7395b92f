"""Names that appear in the cluster: group, labels, annotations, field managers, ports. No behaviour."""

GROUP = "genai-operator.io"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "GenAIModel"
PLURAL = "genaimodels"
SINGULAR = "genaimodel"
SHORT_NAME = "gaim"
CATEGORY = "genai"

PROFILE_KIND = "GenAIProfile"
PROFILE_PLURAL = "genaiprofiles"
PROFILE_SINGULAR = "genaiprofile"
PROFILE_SHORT_NAME = "gap"

# kopf keeps its own state elsewhere: with our prefix it would not see changes of our annotations.
KOPF_PREFIX = f"kopf.{GROUP}"

LABEL_MODEL = f"{GROUP}/model"
# On what is made for a GenAIProfile; it carries no LABEL_MODEL, for it is no child of the model.
LABEL_PROFILE = f"{GROUP}/profile"
# On a Job that finds a model's settings, and on its pods; they carry no LABEL_MODEL, for they serve nothing.
LABEL_TUNING = f"{GROUP}/tuning"
# On a Job that builds a model, and on its pods: no LABEL_MODEL either, for the same reason.
LABEL_BUILD = f"{GROUP}/build"
# On a Job: what it was made for, so that another wish is told from this one.
ANNOTATION_REVISION = f"{GROUP}/revision"
MANAGED_BY = "genai-operator"
ANNOTATION_MANIFEST_HASH = f"{GROUP}/manifest-hash"
# A pod's readiness gate: the operator sets it when the pod is as fast as the old ones.
CONDITION_MEASURED = f"{GROUP}/measured"

# Live options and switches a person writes on a GenAIModel.
ANNOTATION_ENABLE_PROFILING = f"{GROUP}/enable-profiling"
ANNOTATION_TERMINATE_SESSION = f"{GROUP}/terminate-session"
ANNOTATION_LOG_LEVEL = f"{GROUP}/log-level"
ANNOTATION_ARENA_SHRINKAGE = f"{GROUP}/arena-shrinkage"
ANNOTATION_DRAIN = f"{GROUP}/drain"
ANNOTATION_CANCEL = f"{GROUP}/cancel"
ANNOTATION_PAUSE = f"{GROUP}/pause-reconciliation"

# Field managers: one writer per part of an object.
MANAGER = "genai-operator"
MANAGER_LIVE = "genai-operator-live"

# The init containers of a model pod: one fetches the model, the other compares what is there with `model.sha256`.
CONTAINER_FETCH = "fetch"
CONTAINER_VERIFY = "verify"
# Of the Job that builds a model, beside one of those.
CONTAINER_BUILD = "build"

PORT_GRPC = 9000
PORT_HTTP = 8080
PORT_HEALTH = 9001  # where the data ports speak TLS
PORT_METRICS = 9090
PORT_CONTROL = 9443

# Paths inside a model pod.
PATH_MODELS = "/models"
# A model that has no place of its own there: one that was fetched, or the files of a ConfigMap or an image.
PATH_MODEL = "/models/model"
PATH_MODEL_CACHE = "/var/lib/genai/models"
# What a model is built of, where it was fetched for that.
PATH_MODEL_SOURCE = "/models/source"
PATH_EVALUATION = "/etc/genai/evaluation"
# Links to the builds of a model that a tuning Job compares.
PATH_VARIANTS = "/var/lib/genai/variants"
PATH_MODEL_CREDENTIALS = "/etc/genai/model-credentials"
PATH_BUILTIN_MODELS = "/opt/genai/models"
PATH_ADAPTER_CACHE = "/var/lib/genai/adapters"
PATH_ADAPTER_CREDENTIALS = "/etc/genai/adapter-credentials"
PATH_PROFILES = "/var/lib/genai/profiles"
PATH_RUN = "/run/genai"
PATH_CONTROL_TLS = "/etc/genai/control-tls"
PATH_TLS = "/etc/genai/tls"
PATH_CLIENT_CA = "/etc/genai/client-ca"
PATH_API_KEYS = "/etc/genai/api-keys"
PATH_TERMINATION_LOG = "/dev/termination-log"

# The common name of the operator's client certificate; pods accept no other.
OPERATOR_COMMON_NAME = "genai-operator"
# Of the certificate that a profile's collector shows: pods let it read profiles and nothing else.
COLLECTOR_COMMON_NAME = "genai-collector"
PATH_COLLECTOR_TLS = "/etc/genai/collector-tls"
PATH_COLLECTOR_OUTPUT = "/output"

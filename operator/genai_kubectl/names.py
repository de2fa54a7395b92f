"""Names in the cluster that the commands use, as the operator's `constants` has them; a test holds the two together.

They are written again because the operator's package needs libraries that the one-file program does not carry.
"""

GROUP = "genai-operator.io"
VERSION = "v1alpha1"
MODELS = "genaimodels"
PROFILES = "genaiprofiles"
MODEL_KIND = "GenAIModel"
PROFILE_KIND = "GenAIProfile"

LABEL_MODEL = f"{GROUP}/model"
CONTAINER = "model"
PORT_HTTP = 8080
PORT_METRICS = 9090

ANNOTATION_TERMINATE_SESSION = f"{GROUP}/terminate-session"
ANNOTATION_DRAIN = f"{GROUP}/drain"
ANNOTATION_CANCEL = f"{GROUP}/cancel"
ANNOTATION_LOG_LEVEL = f"{GROUP}/log-level"

# How the sources of a live option call it: the annotation's key, and the field of spec and status.
OPTION_FIELDS = {
    ANNOTATION_TERMINATE_SESSION: "terminateSession",
    ANNOTATION_DRAIN: "drain",
    ANNOTATION_CANCEL: "cancel",
    ANNOTATION_LOG_LEVEL: "logLevel",
}

{{/* The names below stay under 63 characters, the limit of a label's value. */}}
{{- define "genai-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "genai-operator.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "genai-operator.name" . -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 50 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "genai-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ include "genai-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{- define "genai-operator.labels" -}}
app.kubernetes.io/name: {{ include "genai-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: genai-operator
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end -}}

{{- define "genai-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "genai-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "genai-operator.caSecretName" -}}
{{- default (printf "%s-control-ca" (include "genai-operator.fullname" .)) .Values.controlCA.existingSecret -}}
{{- end -}}

{{/* An image reference of (repository, tag, digest); a digest wins over a tag. */}}
{{- define "genai-operator.image" -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository .tag -}}
{{- end -}}
{{- end -}}

{{/* The test's model must be where the operator looks: the release's namespace, or the first one that is watched. */}}
{{- define "genai-operator.testNamespace" -}}
{{- if or (empty .Values.watchNamespaces) (has .Release.Namespace .Values.watchNamespaces) -}}
{{- .Release.Namespace -}}
{{- else -}}
{{- first .Values.watchNamespaces -}}
{{- end -}}
{{- end -}}

{{/* What Pod Security's profile `restricted` asks of a pod and of a container. The images name their own uid. */}}
{{- define "genai-operator.podSecurityContext" -}}
runAsNonRoot: true
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "genai-operator.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Which objects may scale models, as the operator's setting has them. */}}
{{- define "genai-operator.autoscalers" -}}
{{- join "," (compact (list (ternary "HPA" "" .Values.autoscaling.hpa) (ternary "KEDA" "" .Values.autoscaling.keda))) -}}
{{- end -}}

{{/* What the operator may do in every namespace it watches. No wildcard, no exec; of Secrets it can only write. */}}
{{- define "genai-operator.modelRules" -}}
- apiGroups: [genai-operator.io]
  resources: [genaimodels]
  verbs: [get, list, watch]
- apiGroups: [genai-operator.io]
  resources: [genaiprofiles]
  # delete: of those whose ttlSecondsAfterFinished is over
  verbs: [get, list, watch, delete]
- apiGroups: [genai-operator.io]
  resources: [genaimodels/status, genaiprofiles/status]
  verbs: [patch]
# Jobs that collect a profile's traces, find a model's settings or build it. delete: of one that nobody asks for any more.
- apiGroups: [batch]
  resources: [jobs]
  verbs: [get, list, watch, create, delete]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [""]
  resources: [services, serviceaccounts]
  verbs: [get, list, watch, create, patch, delete]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, watch, create, patch, delete]
{{- if .Values.autoscaling.hpa }}
- apiGroups: [autoscaling]
  resources: [horizontalpodautoscalers]
  verbs: [get, list, watch, create, patch, delete]
{{- end }}
{{- if .Values.autoscaling.keda }}
# Not watched: KEDA need not be installed.
- apiGroups: [keda.sh]
  resources: [scaledobjects]
  verbs: [get, list, create, patch, delete]
{{- end }}
- apiGroups: [""]
  resources: [pods]
  verbs: [get, list, watch]
# The verdict of a roll-out's gate: a condition of new pods (spec.rollout.gate).
- apiGroups: [""]
  resources: [pods/status]
  verbs: [patch]
- apiGroups: [""]
  resources: [secrets]
  verbs: [create, patch]
- apiGroups: [""]
  resources: [events]
  verbs: [create, patch]
{{- end -}}

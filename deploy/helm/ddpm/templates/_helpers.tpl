{{- define "ddpm.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Called with (list . "component"). */}}
{{- define "ddpm.selector" -}}
{{- $top := index . 0 -}}
app.kubernetes.io/name: {{ $top.Chart.Name }}
app.kubernetes.io/instance: {{ $top.Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end -}}

{{- define "ddpm.labels" -}}
{{- $top := index . 0 -}}
{{ include "ddpm.selector" . }}
app.kubernetes.io/version: {{ $top.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ $top.Release.Service }}
helm.sh/chart: {{ printf "%s-%s" $top.Chart.Name $top.Chart.Version }}
{{- end -}}

{{- define "ddpm.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{- define "ddpm.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{ .Values.serviceAccount.name | default (include "ddpm.fullname" .) }}
{{- else -}}
{{ .Values.serviceAccount.name | default "default" }}
{{- end -}}
{{- end -}}

{{- define "ddpm.tokenSecret" -}}
{{ .Values.security.tokenSecret | default (printf "%s-token" (include "ddpm.fullname" .)) }}
{{- end -}}

{{- define "ddpm.caSecret" -}}
{{ .Values.security.caSecret | default (printf "%s-ca" (include "ddpm.fullname" .)) }}
{{- end -}}

{{- define "ddpm.minioSecret" -}}
{{ .Values.minio.existingSecret | default (printf "%s-minio" (include "ddpm.fullname" .)) }}
{{- end -}}

{{- define "ddpm.storage" -}}
{{- if .Values.store.uri -}}
{{ .Values.store.uri }}
{{- else if .Values.store.existingClaim -}}
/store
{{- else if .Values.minio.enabled -}}
s3://{{ .Values.minio.bucket }}?endpoint={{ include "ddpm.fullname" . }}-minio:9000&insecure=true
{{- end -}}
{{- end -}}

{{/* A list, as JSON. */}}
{{- define "ddpm.etcd" -}}
{{- if .Values.etcd.endpoints -}}
{{ toJson .Values.etcd.endpoints }}
{{- else if .Values.etcd.enabled -}}
{{ toJson (list (printf "http://%s-etcd:2379" (include "ddpm.fullname" .))) }}
{{- else -}}
[]
{{- end -}}
{{- end -}}

{{/* Where workers look for coordinators. Only the one that leads listens, so with standbys each pod is named. */}}
{{- define "ddpm.join" -}}
{{- $name := printf "%s-coordinator" (include "ddpm.fullname" .) -}}
{{- if .Values.coordinator.standbys -}}
{{- $hosts := list -}}
{{- range $i := until (int (add 1 .Values.coordinator.standbys)) -}}
{{- $hosts = append $hosts (printf "%s-%d.%s-pods.%s.svc:7600" $name $i $name $.Release.Namespace) -}}
{{- end -}}
{{ join "," $hosts }}
{{- else -}}
{{ $name }}.{{ .Release.Namespace }}.svc:7600
{{- end -}}
{{- end -}}

{{/* The coordinator's --config: the user's settings, and those that are the chart's. */}}
{{- define "ddpm.run" -}}
{{- $c := deepCopy .Values.config -}}
{{- if not (hasKey $c "workers") }}{{- $_ := set $c "workers" (max 1 .Values.workers.replicas) }}{{- end -}}
{{- $name := printf "%s-coordinator" (include "ddpm.fullname" .) -}}
{{- $_ := set $c "listen" "0.0.0.0:7600" -}}
{{- /* One by TLS, and one for whoever may port-forward to the pod. */ -}}
{{- $_ := set $c "http" (list "0.0.0.0:7601" "127.0.0.1:7680") -}}
{{- $_ := set $c "metrics" "0.0.0.0:7602" -}}
{{- $_ := set $c "data-dir" "/data" -}}
{{- $_ := set $c "storage" (include "ddpm.storage" .) -}}
{{- $_ := set $c "hand-over" true -}}
{{- $_ := set $c "ca-cert" "/etc/ddpm/pki/tls.crt" -}}
{{- $_ := set $c "ca-key" "/etc/ddpm/pki/tls.key" -}}
{{- $_ := set $c "join-token-file" "/etc/ddpm/token/token" -}}
{{- $_ := set $c "tls-name" (list $name (printf "%s.%s.svc" $name .Release.Namespace)) -}}
{{- $etcd := include "ddpm.etcd" . | fromJsonArray -}}
{{- if $etcd }}{{- $_ := set $c "etcd" $etcd }}{{- end -}}
{{- if .Values.etcd.tlsSecret -}}
{{- $_ := set $c "etcd-cacert" "/etc/ddpm/etcd/ca.crt" -}}
{{- if .Values.etcd.clientCertificate -}}
{{- $_ := set $c "etcd-cert" "/etc/ddpm/etcd/tls.crt" -}}
{{- $_ := set $c "etcd-key" "/etc/ddpm/etcd/tls.key" -}}
{{- end -}}
{{- end -}}
{{- if .Values.coordinator.standbys }}{{- $_ := set $c "standby" true }}{{- end -}}
{{- /* Of a number helm keeps 53 bits, so a seed of more comes as text, and is written as it came. */ -}}
{{- if kindIs "string" .Values.config.seed }}{{- $_ := unset $c "seed" }}{{- end -}}
{{- toYaml $c -}}
{{- if kindIs "string" .Values.config.seed }}
seed: {{ .Values.config.seed }}
{{- end -}}
{{- end -}}

{{/* Pod Security "restricted". */}}
{{- define "ddpm.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
fsGroupChangePolicy: OnRootMismatch
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "ddpm.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* Pod fields that a component's values give. Called with (list . componentValues). */}}
{{- define "ddpm.scheduling" -}}
{{- $top := index . 0 -}}
{{- $v := index . 1 -}}
serviceAccountName: {{ include "ddpm.serviceAccount" $top }}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with $top.Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with $v.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
securityContext:
  {{- include "ddpm.podSecurity" $top | nindent 2 }}
{{- end -}}

{{/* Annotations of what helm makes before everything else, and removes when it is done. */}}
{{- define "ddpm.hook" -}}
helm.sh/hook: pre-install,pre-upgrade
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
{{- end -}}

{{/* Environment of our commands: where they may write, and the Store's credentials. */}}
{{- define "ddpm.environment" -}}
{{- $top := index . 0 -}}
{{- $v := index . 1 -}}
env:
  - {name: HOME, value: /tmp}
  - {name: TMPDIR, value: /tmp}
  - {name: XDG_CACHE_HOME, value: /cache}
  - name: POD_IP
    valueFrom:
      fieldRef: {fieldPath: status.podIP}
  {{- with $top.Values.monitoring.traces }}
  {{- if .endpoint }}
  {{- /* Not those for traces alone, which are used as they are: over HTTP without /v1/traces. */}}
  - {name: OTEL_EXPORTER_OTLP_ENDPOINT, value: {{ .endpoint | quote }}}
  - {name: OTEL_EXPORTER_OTLP_PROTOCOL, value: {{ .protocol | quote }}}
  {{- end }}
  {{- end }}
  {{- with $v.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $secret := $top.Values.store.existingSecret -}}
{{- if and (not $secret) $top.Values.minio.enabled (not $top.Values.store.uri) }}{{- $secret = include "ddpm.minioSecret" $top }}{{- end }}
{{- with $secret }}
envFrom:
  - secretRef: {name: {{ . }}}
{{- end }}
{{- end -}}

{{/* What values by themselves can't say; checked once, in the coordinator's manifest. */}}
{{- define "ddpm.check" -}}
{{- /* A Service's name is stricter than a release's. */}}
{{- if not (regexMatch "^[a-z]([-a-z0-9]*[a-z0-9])?$" (include "ddpm.fullname" .)) -}}
{{- fail (printf "names would begin with %q, and no Service's can: set fullnameOverride to lower-case letters, digits and hyphens, a letter first, no hyphen last, 40 at most" (include "ddpm.fullname" .)) -}}
{{- end -}}
{{- if not (include "ddpm.storage" .) -}}
{{- fail "store.uri is missing: give s3://bucket/prefix, or store.existingClaim, or set minio.enabled for a trial" -}}
{{- end -}}
{{- if and .Values.store.uri .Values.store.existingClaim -}}
{{- fail "store.uri and store.existingClaim: give one of them" -}}
{{- end -}}
{{- if and .Values.coordinator.standbys (eq (include "ddpm.etcd" .) "[]") -}}
{{- fail "coordinator.standbys needs an etcd that all coordinators reach: give etcd.endpoints, or set etcd.enabled for a trial" -}}
{{- end -}}
{{- if and .Values.etcd.enabled .Values.etcd.endpoints -}}
{{- fail "etcd.enabled and etcd.endpoints: give one of them" -}}
{{- end -}}
{{- if and .Values.security.caSecret .Values.security.certManager.enabled -}}
{{- fail "security.caSecret and security.certManager.enabled: give one of them" -}}
{{- end -}}
{{- if and .Values.samplers.autoscaling.enabled (not .Values.samplers.autoscaling.metrics) -}}
{{- fail "samplers.autoscaling.metrics is empty: say what to scale by" -}}
{{- end -}}
{{- if hasSuffix "/v1/traces" .Values.monitoring.traces.endpoint -}}
{{- fail "monitoring.traces.endpoint: give it without /v1/traces, which is added to it" -}}
{{- end -}}
{{- end -}}

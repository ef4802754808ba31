{{/* The pod of a worker or a sampler. Called with (list . "component" values extraArgs). */}}
{{- define "ddpm.workerPod" -}}
{{- $top := index . 0 -}}
{{- $component := index . 1 -}}
{{- $v := index . 2 -}}
metadata:
  labels:
    {{- include "ddpm.labels" (list $top $component) | nindent 4 }}
    {{- with $v.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $v.podAnnotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- include "ddpm.scheduling" (list $top $v) | nindent 2 }}
  # A polite leave takes graceSeconds at most; then there is a little to tell it.
  terminationGracePeriodSeconds: {{ add 20 $v.graceSeconds }}
  {{- if $v.spread }}
  topologySpreadConstraints:
    - maxSkew: 1
      topologyKey: kubernetes.io/hostname
      whenUnsatisfiable: ScheduleAnyway
      labelSelector:
        matchLabels:
          {{- include "ddpm.selector" (list $top $component) | nindent 10 }}
  {{- end }}
  containers:
    - name: {{ $component }}
      image: {{ include "ddpm.image" $top | quote }}
      imagePullPolicy: {{ $top.Values.image.pullPolicy }}
      command: [/ddpm-worker]
      args:
        - --join={{ include "ddpm.join" $top }}
        - --token-file=/etc/ddpm/token/token
        - --ca-cert=/etc/ddpm/pki/ca.crt
        - --advertise=$(POD_IP)
        # Pods begin in any order, and the coordinator's may wait for a volume or a node.
        - --wait=10m
        - --grace={{ int $v.graceSeconds }}s
        - --health=0.0.0.0:7602
        {{- with $v.cacheSize }}
        - --cache-size={{ . }}
        {{- end }}
        {{- range index . 3 }}
        - {{ . }}
        {{- end }}
      {{- include "ddpm.environment" (list $top $v) | nindent 6 }}
      ports:
        - {name: health, containerPort: 7602}
      # It is not alive when its loop stands still. One that can't go on ends by itself.
      livenessProbe:
        httpGet: {path: /healthz, port: health}
        periodSeconds: 15
        timeoutSeconds: 5
        failureThreshold: 4
      resources:
        {{- toYaml $v.resources | nindent 8 }}
      securityContext:
        {{- include "ddpm.containerSecurity" $top | nindent 8 }}
      volumeMounts:
        - {name: pki, mountPath: /etc/ddpm/pki, readOnly: true}
        - {name: token, mountPath: /etc/ddpm/token, readOnly: true}
        - {name: tmp, mountPath: /tmp}
        - {name: cache, mountPath: /cache}
        {{- if $top.Values.store.existingClaim }}
        - {name: store, mountPath: /store}
        {{- end }}
  volumes:
    - name: pki
      secret: # the certificate alone: the key is the coordinator's
        secretName: {{ include "ddpm.caSecret" $top }}
        defaultMode: 0440
        items:
          - {key: tls.crt, path: ca.crt}
    - name: token
      secret: {secretName: {{ include "ddpm.tokenSecret" $top }}, defaultMode: 0440}
    - name: tmp
      emptyDir: {}
    - name: cache
      emptyDir: {{ if $v.cacheSize }}{sizeLimit: {{ $v.cacheSize }}}{{ else }}{}{{ end }}
    {{- if $top.Values.store.existingClaim }}
    - name: store
      persistentVolumeClaim: {claimName: {{ $top.Values.store.existingClaim }}}
    {{- end }}
{{- end -}}

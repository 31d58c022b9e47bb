{{- define "neverblank.labels" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "neverblank.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "neverblank.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end -}}
{{- end }}

{{/* Every file that the service reads as a mapping of its path below configs/ to its text: the project's own, and those of
the values. Serve configs are not among them. */}}
{{- define "neverblank.files" -}}
{{- $files := dict -}}
{{- range $pattern := list "files/configs/{policy,backup}.yaml" "files/configs/*/*.yaml" -}}
{{- range $path, $_ := $.Files.Glob $pattern -}}
{{- $_ := set $files (trimPrefix "files/configs/" $path) ($.Files.Get $path) -}}
{{- end -}}
{{- end -}}
{{- range $path, $content := .Values.files -}}
{{- $_ := set $files $path (toYaml $content) -}}
{{- end -}}
{{- toYaml $files -}}
{{- end }}

{{/* A pod keeps the files it was started with: another content is another name, and so a new cluster beside the old one. */}}
{{- define "neverblank.configName" -}}
{{ .Release.Name }}-configs-{{ include "neverblank.files" . | sha256sum | trunc 10 }}
{{- end }}

{{/* The Serve config: switches and ports are those of a cluster's own config, the applications are those of the values. */}}
{{- define "neverblank.serveConfig" -}}
{{- $base := .Files.Get "files/configs/gpu.yaml" | fromYaml -}}
{{- $runtime := $base.controller_options.runtime_env -}}
{{- $policy := .Values.policy -}}
{{- if .Values.secrets.keys -}}
{{- $policy = merge (dict "access" (dict "keys" "keys")) (omit .Values.policy "access") -}}
{{- end -}}
{{- $router := dict "name" "Router" "user_config" $policy -}}
{{- $backup := ternary "configs/cluster/backup.yaml" "configs/backup.yaml" (not (empty .Values.workers)) -}}
{{- $arguments := dict "policy" "configs/policy.yaml" "backup" $backup "routers" .Values.routers.count -}}
{{- if .Values.routers.spread -}}
{{- $_ := set $arguments "routers_per_node" 1 -}}
{{- end -}}
{{- $service := dict "name" "neverblank" "route_prefix" "/" "import_path" "deployments.app:build" -}}
{{- $service = merge $service (dict "runtime_env" $runtime "args" $arguments "deployments" (list $router)) -}}
{{- $applications := list $service -}}
{{- range .Values.models -}}
{{- $model := dict "name" .name "route_prefix" nil "import_path" "deployments.app:build_model" -}}
{{- $_ := set $model "runtime_env" $runtime -}}
{{- $_ := set $model "args" (dict "spec" .spec) -}}
{{- $applications = append $applications $model -}}
{{- end -}}
{{- toYaml (set $base "applications" $applications) -}}
{{- end }}

{{/* What the container of every host has. The argument is a mapping: `root` is the chart's context, `gpus` their number,
`resources` those of the host, `drain` the seconds that it may take to leave. */}}
{{- define "neverblank.container" -}}
image: {{ include "neverblank.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
ports:
  - {name: serve, containerPort: 8000}
resources:
  {{- $limits := .resources.limits }}
  {{- if .gpus }}
  {{- $limits = merge (dict "nvidia.com/gpu" .gpus) $limits }}
  {{- end }}
  requests: {{ toYaml .resources.requests | nindent 4 }}
  limits: {{ toYaml $limits | nindent 4 }}
env:
  # How long Ray waits after SIGTERM for Serve to have started this host's replicas elsewhere and ended those here.
  - {name: RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S, value: {{ .drain | quote }}}
  {{- if .root.Values.workers }}
  # How soon a host is taken for dead, as configs/ray.env has it for every node of a cluster.
  {{- range regexFindAll "(?m)^\\w+=.*$" (.root.Files.Get "files/configs/ray.env") -1 }}
  {{- $variable := splitn "=" 2 . }}
  - {name: {{ $variable._0 }}, value: {{ $variable._1 | quote }}}
  {{- end }}
  {{- end }}
  {{- if .root.Values.snapshots.store.enabled }}
  - {name: NEVERBLANK_SNAPSHOT_STORE, value: /var/lib/neverblank/snapshots}
  {{- end }}
  {{- if not .gpus }}
  # NVIDIA's runtime shows every GPU of a host to a container that says nothing.
  - {name: NVIDIA_VISIBLE_DEVICES, value: void}
  {{- end }}
  {{- with .root.Values.secrets.hubToken }}
  {{- if .name }}
  - name: HF_TOKEN
    valueFrom:
      secretKeyRef: {name: {{ .name }}, key: {{ .key }}}
  {{- end }}
  {{- end }}
{{- with .root.Values.secrets.environment }}
envFrom:
  {{- range . }}
  - secretRef: {name: {{ . }}}
  {{- end }}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: {drop: [ALL]}
volumeMounts:
  - {name: configs, mountPath: /srv/neverblank/configs, readOnly: true}
  {{- if .root.Values.secrets.keys }}
  - {name: keys, mountPath: /srv/neverblank/keys, readOnly: true}
  {{- end }}
  {{- if ne .root.Values.snapshots.cache.kind "image" }}
  - {name: cache, mountPath: /var/cache/neverblank}
  {{- end }}
  {{- if .root.Values.snapshots.store.enabled }}
  - {name: snapshots, mountPath: /var/lib/neverblank}
  {{- end }}
{{- end }}

{{/* What the pod of every host has beside its container. */}}
{{- define "neverblank.pod" -}}
securityContext:
  runAsNonRoot: true
  runAsUser: 1000
  runAsGroup: 1000
  fsGroup: 1000
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
  {{- range . }}
  - {name: {{ . }}}
  {{- end }}
{{- end }}
terminationGracePeriodSeconds: {{ add .drain 30 }}
{{- with .nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- if eq .root.Values.snapshots.cache.kind "volume" }}
# The volume is attached to one node: during an upgrade the new head starts beside the old one, where it is.
affinity:
  podAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      - topologyKey: kubernetes.io/hostname
        labelSelector:
          matchLabels: {{ include "neverblank.selector" .root | nindent 12 }}
          matchExpressions:
            - {key: app.kubernetes.io/component, operator: DoesNotExist}
{{- end }}
volumes:
  {{- with .root.Values.secrets.keys }}
  - name: keys
    secret: {secretName: {{ . }}}
  {{- end }}
  - name: configs
    configMap:
      name: {{ include "neverblank.configName" .root }}
      items:
        {{- range $path, $_ := include "neverblank.files" .root | fromYaml }}
        - {key: {{ $path | replace "/" "--" }}, path: {{ $path }}}
        {{- end }}
  {{- with .root.Values.snapshots.cache }}
  {{- if eq .kind "volume" }}
  - name: cache
    persistentVolumeClaim: {claimName: {{ $.root.Release.Name }}-cache}
  {{- else if eq .kind "scratch" }}
  - name: cache
    emptyDir: {sizeLimit: {{ .size }}}
  {{- end }}
  {{- end }}
  {{- with .root.Values.snapshots.store }}
  {{- if .enabled }}
  - name: snapshots
    persistentVolumeClaim: {claimName: {{ .existingClaim | default (printf "%s-snapshots" $.root.Release.Name) }}}
  {{- end }}
  {{- end }}
{{- end }}

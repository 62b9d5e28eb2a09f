{{- define "fitscore.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 55 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- (contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name)) | trunc 55 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "fitscore.selector" -}}
app.kubernetes.io/name: fitscore
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "fitscore.labels" -}}
{{ include "fitscore.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "fitscore.serviceAccount" -}}
{{- default (.Values.serviceAccount.create | ternary (include "fitscore.fullname" .) "default") .Values.serviceAccount.name -}}
{{- end -}}

{{- define "fitscore.image" -}}
{{- with .Values.image -}}
{{ .repository }}{{ if .digest }}@{{ .digest }}{{ else }}:{{ .tag }}{{ end }}
{{- end -}}
{{- end -}}

{{- /* The folder of the live bundle in the container. */ -}}
{{- define "fitscore.bundle" -}}
{{- eq .Values.bundle.source "image" | ternary "/app/bundle" (printf "/bundles/%s" .Values.bundle.path) -}}
{{- end -}}

{{- /* Bytes of a memory quantity such as 2Gi, 512Mi, 1G or 1000000. */ -}}
{{- define "fitscore.bytes" -}}
{{- $units := dict "Ki" 1024 "Mi" 1048576 "Gi" 1073741824 "Ti" 1099511627776 "k" 1000 "M" 1000000 "G" 1000000000 "T" 1000000000000 "" 1 -}}
{{- $text := toString . -}}
{{- $unit := regexFind "[A-Za-z]*$" $text -}}
{{- mulf (float64 (trimSuffix $unit $text)) (get $units $unit) | int64 -}}
{{- end -}}

{{- /* Millicores of a CPU quantity such as 2, 1.5 or 500m. */ -}}
{{- define "fitscore.millicores" -}}
{{- $text := toString . -}}
{{- if hasSuffix "m" $text -}}{{ trimSuffix "m" $text | int64 }}{{- else -}}{{ mulf (float64 $text) 1000 | int64 }}{{- end -}}
{{- end -}}

{{- define "fitscore.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "fitscore.podSecurity" -}}
runAsNonRoot: true
runAsUser: {{ .Values.runAsUser }}
runAsGroup: {{ .Values.runAsUser }}
fsGroup: {{ .Values.runAsUser }}
fsGroupChangePolicy: OnRootMismatch
seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- /* The replicas that are always there. */ -}}
{{- define "fitscore.minReplicas" -}}
{{- eq .Values.autoscaling.mode "none" | ternary .Values.replicas .Values.autoscaling.minReplicas -}}
{{- end -}}

{{- define "fitscore.maxReplicas" -}}
{{- eq .Values.autoscaling.mode "none" | ternary .Values.replicas .Values.autoscaling.maxReplicas -}}
{{- end -}}

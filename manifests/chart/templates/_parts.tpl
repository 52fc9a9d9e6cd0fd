{{- define "vmferry.labels" -}}
app.kubernetes.io/name: vmferry
app.kubernetes.io/part-of: vmferry
{{- end }}

{{- define "vmferry.selector" -}}
app.kubernetes.io/name: vmferry
app.kubernetes.io/component: {{ . }}
{{- end }}

{{- /* The name of an image. Takes [root, operator or agent]. */ -}}
{{- define "vmferry.image" -}}
{{- $all := (index . 0).Values.image -}}
{{- $own := (index . 1).image -}}
{{- with $all.registry }}{{ trimSuffix "/" . }}/{{ end }}{{ $own.name }}
{{- if $own.digest }}@{{ $own.digest }}{{ else }}:{{ $all.tag | default (index . 0).Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* Flags as environment variables. */ -}}
{{- define "vmferry.environment" -}}
{{- range $flag, $value := . }}
- name: VMFERRY_{{ $flag | replace "-" "_" | upper }}
  value: {{ $value | quote }}
{{- end }}
{{- end }}

{{- /* What both containers may do: nothing. */ -}}
{{- define "vmferry.containerSecurityContext" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{- /* Probes that ask `path` at the port `health`. */ -}}
{{- define "vmferry.livenessProbe" -}}
httpGet:
  path: /healthz
  port: health
periodSeconds: 10
timeoutSeconds: 5
failureThreshold: 6
{{- end }}

{{- /* As the kubelet mounts it by itself, but for an hour: that one the API server has hold for a year. */ -}}
{{- define "vmferry.tokenVolume" -}}
- name: token
  projected:
    sources:
    - serviceAccountToken:
        path: token
        expirationSeconds: 3600
    - configMap:
        name: kube-root-ca.crt
        items:
        - key: ca.crt
          path: ca.crt
    - downwardAPI:
        items:
        - path: namespace
          fieldRef:
            fieldPath: metadata.namespace
{{- end }}

{{- define "vmferry.tokenMount" -}}
- name: token
  mountPath: /var/run/secrets/kubernetes.io/serviceaccount
  readOnly: true
{{- end }}

{{/* Templates of the services' charts. Their argument is the chart's context, or a list that starts with it. */}}

{{- define "bcs.fullname" -}}
{{- .Values.fullnameOverride | default .Chart.Name | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "bcs.selector" -}}
app.kubernetes.io/platform: bk-bcs
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "bcs.labels" -}}
{{ include "bcs.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "bcs.image" -}}
{{- $registry := .Values.global.imageRegistry | default .Values.image.registry -}}
{{- if $registry }}{{ $registry }}/{{ end -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}

{{/* (context, key): a value of the environment. What is set for all services wins. */}}
{{- define "bcs.value" -}}
{{- $context := index . 0 -}}
{{- $key := index . 1 -}}
{{- $all := get ($context.Values.global.env | default dict) $key | toString -}}
{{- if or (eq $all "") (eq $all "<nil>") -}}
{{- $own := get $context.Values.env $key -}}
{{- if not (kindIs "invalid" $own) }}{{ $own }}{{ end -}}
{{- else -}}
{{ $all }}
{{- end -}}
{{- end -}}

{{/* (context, variable, key): a variable of the container. */}}
{{- define "bcs.env" -}}
- name: {{ index . 1 }}
  value: {{ include "bcs.value" (list (index . 0) (index . 2)) | quote }}
{{ end -}}

{{/* (context, variable, value): a secret variable, from the existing secret if there is one. */}}
{{- define "bcs.secretEnv" -}}
{{- $context := index . 0 -}}
{{- $secret := $context.Values.global.secret.existingSecret | default $context.Values.secret.existingSecret -}}
- name: {{ index . 1 }}
{{- if $secret }}
  valueFrom:
    secretKeyRef:
      name: {{ $secret }}
      key: {{ index . 1 }}
      optional: true
{{- else }}
  value: {{ index . 2 | quote }}
{{- end }}
{{ end -}}

{{/* Variables of every service. */}}
{{- define "bcs.commonEnv" -}}
- name: localIp
  valueFrom:
    fieldRef:
      fieldPath: status.podIP
- name: log_dir
  value: /data/bcs/logs/bcs
- name: caFile
  value: /data/bcs/cert/bcs/bcs-ca.crt
- name: serverCertFile
  value: /data/bcs/cert/bcs/bcs-server.crt
- name: serverKeyFile
  value: /data/bcs/cert/bcs/bcs-server.key
- name: bcsEtcdCAFile
  value: /data/bcs/cert/etcd/etcd-ca.pem
- name: bcsEtcdCertFile
  value: /data/bcs/cert/etcd/etcd.pem
- name: bcsEtcdKeyFile
  value: /data/bcs/cert/etcd/etcd-key.pem
{{ include "bcs.env" (list . "BCS_CONFIG_TYPE" "BK_BCS_CONFIG_TYPE") -}}
{{ include "bcs.env" (list . "bcsEtcdHost" "BK_BCS_bcsEtcdHost") -}}
{{- end -}}

{{/* Variables of the services that call others. */}}
{{- define "bcs.clientCertEnv" -}}
- name: clientCertFile
  value: /data/bcs/cert/bcs/bcs-client.crt
- name: clientKeyFile
  value: /data/bcs/cert/bcs/bcs-client.key
{{ end -}}

{{/* (context, probe's port, argument that names the file, variables): the Deployment. */}}
{{- define "bcs.deployment" -}}
{{- $metricPort := index . 1 -}}
{{- $file := index . 2 -}}
{{- $env := index . 3 -}}
{{- $context := index . 0 -}}
{{- with $context -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ include "bcs.fullname" . }}
  namespace: {{ .Release.Namespace }}
  labels:
    {{- include "bcs.labels" . | nindent 4 }}
spec:
  replicas: {{ .Values.replicaCount }}
  selector:
    matchLabels:
      {{- include "bcs.selector" . | nindent 6 }}
  template:
    metadata:
      labels:
        {{- include "bcs.selector" . | nindent 8 }}
      annotations:
        prometheus.io/scrape: "true"
        prometheus.io/path: /metrics
        prometheus.io/port: {{ $metricPort | quote }}
        {{- with .Values.podAnnotations }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
    spec:
      {{- with concat (.Values.global.imagePullSecrets | default list) (.Values.imagePullSecrets | default list) | uniq }}
      imagePullSecrets:
        {{- range . }}
        - name: {{ . }}
        {{- end }}
      {{- end }}
      terminationGracePeriodSeconds: {{ .Values.terminationGracePeriodSeconds }}
      {{- with .Values.podSecurityContext }}
      securityContext:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      containers:
        - name: {{ .Chart.Name }}
          image: {{ include "bcs.image" . | quote }}
          imagePullPolicy: {{ .Values.global.pullPolicy | default .Values.image.pullPolicy }}
          command: ["/data/bcs/{{ .Chart.Name }}/container-start.sh"]
          args: [{{ $file | quote }}, "/data/bcs/{{ .Chart.Name }}/{{ .Chart.Name }}.json"]
          {{- with .Values.securityContext }}
          securityContext:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          env:
            {{- $env | trim | nindent 12 }}
          ports:
            {{- range .Values.containerPorts }}
            - name: {{ .name }}
              containerPort: {{ include "bcs.value" (list $context .value) }}
            {{- end }}
            - name: metrics
              containerPort: {{ $metricPort }}
          # A process that hangs is started again; one whose store is away answers errors and is left alone.
          livenessProbe:
            httpGet:
              path: /healthz
              port: metrics
            periodSeconds: 10
            timeoutSeconds: 5
            failureThreshold: 6
          readinessProbe:
            httpGet:
              path: /readyz
              port: metrics
            periodSeconds: 5
            timeoutSeconds: 5
          {{- with .Values.resources }}
          resources:
            {{- toYaml . | nindent 12 }}
          {{- end }}
          volumeMounts:
            - name: bcs-certs
              mountPath: /data/bcs/cert/bcs
              readOnly: true
            - name: etcd-certs
              mountPath: /data/bcs/cert/etcd
              readOnly: true
      volumes:
        - name: bcs-certs
          secret:
            secretName: {{ .Values.global.secret.bcsCerts | default .Values.secret.bcsCerts }}
        - name: etcd-certs
          secret:
            secretName: {{ .Values.global.secret.etcdCerts | default .Values.secret.etcdCerts }}
      {{- with .Values.nodeSelector }}
      nodeSelector:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.affinity }}
      affinity:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with .Values.tolerations }}
      tolerations:
        {{- toYaml . | nindent 8 }}
      {{- end }}
{{- end -}}
{{- end -}}

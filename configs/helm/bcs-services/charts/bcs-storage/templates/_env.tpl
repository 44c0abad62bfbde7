{{/* The variables of the container. */}}
{{- define "bcs-storage.env" -}}
{{ include "bcs.commonEnv" . -}}
- name: pid_dir
  value: "./"
- name: storageDbConfig
  value: "./storage-database.conf"
- name: queueConfig
  value: "./queue.conf"
- name: bcsEtcdFeature
  value: "true"
{{ include "bcs.env" (list . "verbosity" "BK_BCS_log_level") -}}
{{ include "bcs.env" (list . "alsologtostderr" "BK_BCS_also_log_to_stderr") -}}
{{ include "bcs.env" (list . "bcsStoragePort" "BK_BCS_bcsStoragePort") -}}
{{ include "bcs.env" (list . "bcsStorageMetricPort" "BK_BCS_bcsStorageMetricPort") -}}
{{ include "bcs.env" (list . "bcsZkHost" "BK_BCS_bcsZkHost") -}}
{{ include "bcs.env" (list . "eventMaxDay" "BK_BCS_eventMaxDay") -}}
{{ include "bcs.env" (list . "eventMaxCap" "BK_BCS_eventMaxCap") -}}
{{ include "bcs.env" (list . "alarmMaxDay" "BK_BCS_alarmMaxDay") -}}
{{ include "bcs.env" (list . "alarmMaxCap" "BK_BCS_alarmMaxCap") -}}
{{ include "bcs.env" (list . "mongodbUsername" "BK_BCS_mongodbUsername") -}}
{{ include "bcs.env" (list . "mongodbOplogCollection" "BK_BCS_mongodbOplogCollection") -}}
{{ include "bcs.env" (list . "queueFlag" "BK_BCS_queueFlag") -}}
{{ include "bcs.env" (list . "queueKind" "BK_BCS_queueKind") -}}
{{ include "bcs.env" (list . "resource" "BK_BCS_resource") -}}
{{ include "bcs.env" (list . "queueClusterId" "BK_BCS_queueClusterId") -}}
{{ include "bcs.env" (list . "mongodbHost" "BK_BCS_mongodbAddress") -}}
{{ include "bcs.secretEnv" (list . "mongodbPassword" (include "bcs.value" (list . "BK_BCS_mongodbPassword"))) -}}
{{ include "bcs.secretEnv" (list . "queueAddress" (include "bcs.value" (list . "BK_BCS_queueAddress"))) -}}
- name: ConfigDbHost
  value: {{ .Values.env.BK_BCS_ConfigDbHost | default (include "bcs.value" (list . "BK_BCS_mongodbAddress")) | quote }}
- name: ConfigDbUsername
  value: {{ .Values.env.BK_BCS_ConfigDbUsername | default (include "bcs.value" (list . "BK_BCS_mongodbUsername")) | quote }}
{{ include "bcs.secretEnv" (list . "ConfigDbPassword" (.Values.env.BK_BCS_ConfigDbPassword | default (include "bcs.value" (list . "BK_BCS_mongodbPassword")))) -}}
{{- end -}}

{{/* The variables of the container. */}}
{{- define "bcs-user-manager.env" -}}
{{ include "bcs.commonEnv" . -}}
{{ include "bcs.clientCertEnv" . -}}
- name: pid_dir
  value: "./"
- name: bcsEtcdFeature
  value: "true"
{{ include "bcs.env" (list . "verbosity" "BK_BCS_log_level") -}}
{{ include "bcs.env" (list . "alsologtostderr" "BK_BCS_also_log_to_stderr") -}}
{{ include "bcs.env" (list . "bcsUserManagerPort" "BK_BCS_bcsUserManagerPort") -}}
{{ include "bcs.env" (list . "bcsUserManagerMetricPort" "BK_BCS_bcsUserManagerMetricPort") -}}
{{ include "bcs.env" (list . "bcsUserManagerInsecurePort" "BK_BCS_bcsUserManagerInsecurePort") -}}
{{ include "bcs.env" (list . "bcsZkHost" "BK_BCS_bcsZkHost") -}}
{{ include "bcs.env" (list . "adminUser" "BK_BCS_adminUser") -}}
{{ include "bcs.env" (list . "tkeCcsHost" "BK_BCS_tkeCcsHost") -}}
{{ include "bcs.env" (list . "tkeCcsPath" "BK_BCS_tkeCcsPath") -}}
{{ include "bcs.env" (list . "bkiamAuthHost" "BK_BCS_bkiamAuthHost") -}}
{{ include "bcs.secretEnv" (list . "coreDatabaseDsn" (include "bcs.value" (list . "BK_BCS_coreDatabaseDsn"))) -}}
{{ include "bcs.secretEnv" (list . "adminToken" (include "bcs.value" (list . "BK_BCS_adminToken"))) -}}
{{ include "bcs.secretEnv" (list . "tkeSecretId" (include "bcs.value" (list . "BK_BCS_tkeSecretId"))) -}}
{{ include "bcs.secretEnv" (list . "tkeSecretKey" (include "bcs.value" (list . "BK_BCS_tkeSecretKey"))) -}}
{{- end -}}

{{/* The variables of the container. */}}
{{- define "bcs-cluster-manager.env" -}}
{{ include "bcs.commonEnv" . -}}
{{ include "bcs.clientCertEnv" . -}}
{{ include "bcs.env" (list . "bcsClusterManagerVerbosity" "BK_BCS_log_level") -}}
{{ include "bcs.env" (list . "bcsClusterManagerAlsoToStdErr" "BK_BCS_also_log_to_stderr") -}}
{{ include "bcs.env" (list . "bcsClusterManagerMongoAddress" "BK_BCS_mongodbAddress") -}}
{{ include "bcs.env" (list . "bcsClusterManagerMongoUsername" "BK_BCS_mongodbUsername") -}}
{{ include "bcs.env" (list . "bcsClusterManagerPort" "BK_BCS_bcsClusterManagerPort") -}}
{{ include "bcs.env" (list . "bcsClusterManagerHTTPPort" "BK_BCS_bcsClusterManagerHTTPPort") -}}
{{ include "bcs.env" (list . "bcsClusterManagerMetricPort" "BK_BCS_bcsClusterManagerMetricPort") -}}
{{ include "bcs.env" (list . "bcsClusterManagerDebug" "BK_BCS_bcsClusterManagerDebug") -}}
{{ include "bcs.env" (list . "bcsClusterManagerSwaggerDir" "BK_BCS_bcsClusterManagerSwaggerDir") -}}
{{ include "bcs.env" (list . "bcsClusterManagerMongoConnectTimeout" "BK_BCS_bcsClusterManagerMongoConnectTimeout") -}}
{{ include "bcs.env" (list . "bcsClusterManagerMongoDatabase" "BK_BCS_bcsClusterManagerMongoDatabase") -}}
{{ include "bcs.env" (list . "bcsClusterManagerMongoMaxPoolSize" "BK_BCS_bcsClusterManagerMongoMaxPoolSize") -}}
{{ include "bcs.env" (list . "bcsClusterManagerMongoMinPoolSize" "BK_BCS_bcsClusterManagerMongoMinPoolSize") -}}
{{ include "bcs.secretEnv" (list . "bcsClusterManagerPeerToken" (include "bcs.value" (list . "BK_BCS_bcsClusterManagerPeerToken"))) -}}
{{ include "bcs.secretEnv" (list . "bcsClusterManagerMongoPassword" (include "bcs.value" (list . "BK_BCS_mongodbPassword"))) -}}
{{- end -}}

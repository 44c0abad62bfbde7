//! The error codes of the envelope (common.md 6.2). Their texts are sent to clients, who may compare them: the
//! misspelt ones stay misspelt.

/// An error code and the text that normally goes with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The number in the `code` field of the envelope.
    pub value: i32,
    /// The default text; empty if the caller always supplies one.
    pub text: &'static str,
}

impl Code {
    const fn new(value: i32, text: &'static str) -> Self {
        Self { value, text }
    }
}

macro_rules! codes {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        $(
            #[doc = concat!("`", stringify!($value), "`: ", $text)]
            pub const $name: Code = Code::new($value, $text);
        )*

        /// Every code with the name of its constant, in the order of the numbers.
        pub const ALL: &[(&str, Code)] = &[$((stringify!($name), $name)),*];
    };
}

codes! {
    SUCCESS = 0, "success";
    COMM_ZK_CONNECT_FAIL = 1_405_001, "connect to zookeeper failed";
    COMM_CREATE_ZK_NODE_FAIL = 1_405_002, "cteate zookeeper node failed";
    COMM_DELETE_ZK_NODE_FAIL = 1_405_003, "delete zookeeper node failed";
    COMM_GET_ZK_NODE_FAIL = 1_405_004, "get zookeeper node failed";
    COMM_LIST_ZK_NODE_FAIL = 1_405_005, "list zookeeper node failed";
    COMM_HTTP_READ_BODY_FAIL = 1_405_006, "read http body failed";
    COMM_HTTP_PARAMETERS_FAILED = 1_405_007, "http parameters is invalid";
    COMM_REQUEST_DATA_ERR = 1_405_008, "request data not correct";
    COMM_HTTP_DO = 1_405_009, "do http request failed!";
    COMM_JSON_DECODE = 1_405_010, "json decode failed!";
    COMM_JSON_ENCODE = 1_405_011, "json encode failed!";
    COMM_HTTP_READ_REQ_BODY = 1_405_012, "read http request body failed!";
    COMM_HTTP_READ_RSP = 1_405_013, "read http response failed!";
    COMM_HTTP_NEW_REQUEST = 1_405_014, "http new request failed!";
    API_INTERNAL_FAIL = 1_405_050, "bcs apiserver internal error";
    API_GET_MESOS_API_FAIL = 1_405_051, "bcs mesos apiserver not found";
    API_GET_STORAGE_FAIL = 1_405_052, "bcs storage not found";
    API_REQUEST_MESOS_API_FAIL = 1_405_053, "request mesos apiserver failed";
    API_GET_NETSERVICE_FAIL = 1_405_054, "bcs netservice not found";
    API_GET_METRICS_FAIL = 1_405_055, "bcs metrics not found";
    API_GET_K8S_API_FAIL = 1_405_056, "bcs k8s apiserver not found";
    API_AUTH_CHECK_FAIL = 1_405_057, "bcs auth check error";
    API_AUTH_CHECK_NO_AUTHORITY = 1_405_058, "bcs auth check no authority";
    API_UNAUTHORIZED = 1_405_059, "";
    API_K8S_CLUSTER_NOT_FOUND = 1_405_060, "";
    API_BAD_REQUEST = 1_405_061, "";
    API_INTERNAL_DB_ERROR = 1_405_062, "";
    API_K8S_INTERNAL_ERROR = 1_405_063, "";
    API_WEB_CONSOLE_FAILED_CODE = 1_405_064, "";
    API_MEDIA_TYPE_ERROR = 1_405_065, "request yaml convert to json error";
    STORAGE_REST_REQUEST_DATA_IS_NOT_JSON = 1_405_080, "request data unmarshal failed.";
    STORAGE_RETURN_DATA_IS_NOT_JSON = 1_405_081, "returned data marshal failed.";
    STORAGE_PUT_RESOURCE_FAIL = 1_405_082, "put resource failed.";
    STORAGE_GET_RESOURCE_FAIL = 1_405_083, "get resource failed.";
    STORAGE_DELETE_RESOURCE_FAIL = 1_405_084, "delete resource failed.";
    STORAGE_LIST_RESOURCE_FAIL = 1_405_085, "list resource failed.";
    STORAGE_DECODE_LIST_RESOURCE_FAIL = 1_405_086, "base64 decode failed.";
    STORAGE_RESOURCE_NOT_EXIST = 1_405_087, "resource does not exist.";
    STORAGE_STATUS_NOT_READY = 1_405_088, "status not ready";
    METRIC_SET_METRIC_FAILED = 1_405_110, "failed to set metric";
    METRIC_SUBSCRIPTION_UNKNOWN = 1_405_111, "unknown the subscription type";
    METRIC_SET_APPLICATION_FAILED = 1_405_112, "failed to set application";
    METRIC_SET_COLLECTOR_FAILED = 1_405_113, "failed to set collector config";
    METRIC_CLUSTER_TYPE_IS_INVALID = 1_405_114, "the cluster type is invalid";
    METRIC_SUBSCRIPTION_IS_INVALID = 1_405_115, "the subscription type is invalid";
    METRIC_CREATE_SUBSCRIPTION_FAILED = 1_405_116, "failed to create the subscription";
    METRIC_DESTORY_SUBSCRIPTION_FAILED = 1_405_117, "failed to destroy the subscription";
    METRIC_GET_COLLECTOR_FAILED = 1_405_118, "failed to get collector config";
    METRIC_DELETE_METRIC_FAILED = 1_405_119, "failed to delete metric";
    METRIC_STATUS_NOT_READY = 1_405_120, "status not ready";
    METRIC_GET_METRIC_FAILED = 1_405_121, "failed to get metric";
    METRIC_SET_METRIC_TASK_FAILED = 1_405_122, "failed to set metric task";
    METRIC_DELETE_METRIC_TASK_FAILED = 1_405_123, "failed to delete metric task";
    METRIC_GET_METRIC_TASK_FAILED = 1_405_124, "failed to get metric task";
    METRIC_METRIC_TASK_NOT_EXIST = 1_405_125, "metric task not exist";
    METRIC_LIST_METRIC_TASK_FAILED = 1_405_126, "failed to list metric task";
    METRIC_STORAGE_NO_FOUND = 1_405_127, "storage not found";
    METRIC_INVALID_DATA = 1_405_128, "invalid metric data";
    METRIC_UNKNOWN_CLUSTER_TYPE = 1_405_129, "unknown cluster type";
    METRIC_RESOURCE_FILE_NOT_EXIST = 1_405_130, "resource file not exist";
    HEALTH_GET_HEALTHZ_INFO_ERR = 1_405_140, "get healthz info error";
    MESOS_SCHED_COMMON = 1_405_200, "scheduler common error";
    MESOS_SCHED_RESOURCE_EXIST = 1_405_201, "resource already exist";
    MESOS_SCHED_NOT_FOUND = 1_405_202, "404 not found";
    MESOS_DRIVER_COMMON = 1_405_230, "mesos driver common error";
    MESOS_DRIVER_PARAMETER_ERR = 1_405_231, "there is some error in the parameters";
    MESOS_DRIVER_NO_VERSION_ID = 1_405_232, "no version id";
    MESOS_DRIVER_SEND_MSG_UNKNOW_TYPE = 1_405_233, "unkown the message type";
    MESOS_DRIVER_HTTP_FILTER_FAILED = 1_405_234, "bcs auth check no authority";
    DAEMON_CREATE_PROCESS_FAILED = 1_405_260, "failed to create process";
    DAEMON_INSPECT_PROCESS_FAILED = 1_405_261, "failed to inspect process";
    DAEMON_STOP_PROCESS_FAILED = 1_405_262, "failed to stop process";
    DAEMON_DELETE_PROCESS_FAILED = 1_405_263, "failed to delete process";
    NETSERVICE_PARTIAL_ERR = 1_405_290, "partial error for requst";
    NETSERVICE_FAILED = 1_405_291, "";
    NETSERVICE_PARAMETER_ERR = 1_405_292, "";
    NETSERVICE_THIRDPARTY_ERR = 1_405_293, "";
    IP_SERVICE_PARTIAL_ERR = 1_405_320, "";
    IP_SERVICE_FAILED = 1_405_321, "";
    IP_SERVICE_PARAMETER_ERR = 1_405_322, "";
    IP_SERVICE_THIRD_PARTY_ERR = 1_405_323, "";
    CLUSTER_MANAGER = 1_405_400, "";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_unique_and_ascending() {
        assert!(ALL.is_sorted_by(|(_, a), (_, b)| a.value < b.value));
        assert_eq!(ALL.len(), 83);
    }

    #[test]
    fn known_pairs() {
        assert_eq!(STORAGE_PUT_RESOURCE_FAIL, Code { value: 1_405_082, text: "put resource failed." });
        assert_eq!(COMM_CREATE_ZK_NODE_FAIL.text, "cteate zookeeper node failed");
        assert_eq!(CLUSTER_MANAGER.value, 1_405_400);
        assert_eq!(SUCCESS.value, 0);
    }
}

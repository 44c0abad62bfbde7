//! The list of routes, and what no other test reaches: requests without their backends.

use std::convert::Infallible;

use bcs_common::http::Body;
use bcs_common::http::body::collect;
use bcs_common::http::envelope::Program;
use bcs_common::shutdown::Shutdown;
use http::{Request, Response};
use tower::Service;

use super::*;
use crate::backends::Backends;
use crate::observe::Metrics;
use crate::queue::Queue;
use crate::state::BestEffortIndexes;

/// A service with no backend at all.
fn bare() -> Storage {
    Storage {
        backends: Backends::default(),
        queue: Queue::off(),
        metrics: Metrics::new().unwrap(),
        program: Program::new("bcs-storage"),
        print_body: false,
        shutdown: Shutdown::new(),
        event_indexes: BestEffortIndexes::default(),
        alarm_indexes: BestEffortIndexes::default(),
    }
}

/// All routes as `METHODS template`, methods in the order in which they were added.
fn list() -> Vec<String> {
    let router = router(&bare());
    let mut all: Vec<(&str, Vec<String>)> = Vec::new();
    for (method, template) in router.routes() {
        match all.iter_mut().find(|(known, _)| *known == template) {
            Some((_, methods)) => methods.push(method.to_string()),
            None => all.push((template, vec![method.to_string()])),
        }
    }
    all.into_iter().map(|(template, methods)| format!("{} {template}", methods.join(","))).collect()
}

/// The list is a file because the tests of the whole program try every route of it.
#[test]
fn routes_are_those_of_the_spec() {
    let mut found = list();
    found.sort();
    let mut want: Vec<_> = include_str!("routes.txt").lines().collect();
    want.sort_unstable();
    assert_eq!(found, want);
}

async fn answer(request: Request<Body>) -> String {
    let storage = Arc::new(bare());
    let mut service = router(&storage).into_service(storage);
    let response: Result<Response<Body>, Infallible> = service.call(request).await;
    String::from_utf8(collect(response.unwrap().into_body(), 1 << 20).await.unwrap().to_vec()).unwrap()
}

/// Every route answers, with its own code, when its backend is not configured.
#[tokio::test]
async fn nothing_needs_its_backend_to_answer() {
    let storage = bare();
    let routes: Vec<_> = router(&storage).routes().map(|(method, template)| (method.clone(), template)).collect();
    for (method, template) in routes {
        let path = template.replace(['{', '}'], "");
        let body = match template {
            t if t.contains("/k8s/watch/") || t.contains("/mesos/watch/") => r#"{"data":{}}"#,
            t if t.contains("/index/") => r#"{"a":1}"#,
            _ => "{}",
        };
        let request = Request::builder().method(&method).uri(path).body(Body::from(body)).unwrap();
        let answer = answer(request).await;
        let want = match template {
            t if t.ends_with("/containers/{clusterId}") => "".to_owned(),
            t if t.contains("/dynamic/watch/") || t.contains("/metric/watch/") || t.ends_with("/events/watch") => {
                r#"{"type":-1,"value":null}"#.to_owned()
            }
            t => expected_failure(method.as_str(), t),
        };
        assert_eq!(answer, want, "{method} {template}");
    }
}

fn expected_failure(method: &str, template: &str) -> String {
    let last = template.rsplit('/').find(|part| !part.is_empty()).unwrap();
    let is_node = template.contains("/k8s/watch/") || template.contains("/mesos/watch/");
    let is_config = template.contains("/cluster_config/");
    let is_custom = template.contains("/customresources/");
    let is_list = !is_custom
        && !is_config
        && (matches!(last, "{resourceType}" | "events" | "alarms")
            || template.contains("/query/")
            || template.ends_with("/metric/clusters/{clusterId}")
            || template.ends_with("/host/clusters/{clusterId}"));
    let (code, text, data) = match method {
        _ if template.contains("/query/") => (1_405_085, "list resource failed.", "[]"),
        "PUT" if is_node => (1_405_080, "request data unmarshal failed.", "{}"),
        _ if template.contains("/index/") => (1_405_084, "delete resource failed.", "{}"),
        "PUT" | "POST" => (1_405_082, "put resource failed.", "{}"),
        "DELETE" => (1_405_084, "delete resource failed.", "{}"),
        _ if template.ends_with("/metric/clusters") => (1_405_086, "base64 decode failed.", "[]"),
        _ if is_list => (1_405_085, "list resource failed.", "[]"),
        _ => (1_405_083, "get resource failed.", "{}"),
    };
    let total = if template.ends_with("/events") && method == "GET" { ",\"total\":0" } else { "" };
    format!(r#"{{"result":false,"code":{code},"message":"(bcs-storage):{text}","data":{data}{total}}}"#)
}

//! `/{k8s,mesos}/watch/…`: watch resources (storage.md 8.5).

use bcs_common::http::Body;
use bcs_common::http::code;
use bcs_common::http::router::{Call, Router};
use chrono::Local;
use http::{Method, Response};

use crate::error::Result;
use crate::nodes::{self, Place};
use crate::state::Shared;

const ONE: [(&str, &str); 2] = [
    ("k8s", "/k8s/watch/clusters/{clusterId}/namespaces/{namespace}/{resourceType}/{resourceName}"),
    ("mesos", "/mesos/watch/clusters/{clusterId}/namespaces/{namespace}/{resourceType}/{resourceName}"),
];
const MANY: [(&str, &str); 2] = [
    ("k8s", "/k8s/watch/clusters/{clusterId}/namespaces/{namespace}/{resourceType}"),
    ("mesos", "/mesos/watch/clusters/{clusterId}/namespaces/{namespace}/{resourceType}"),
];

pub(super) fn add(mut router: Router<Shared>) -> Router<Shared> {
    for (env, template) in ONE {
        router = router
            .route(Method::GET, template, move |storage, call| get(storage, call, env))
            .route(Method::PUT, template, move |storage, call| put(storage, call, env))
            .route(Method::DELETE, template, move |storage, call| delete(storage, call, env));
    }
    for (env, template) in MANY {
        router = router.route(Method::GET, template, move |storage, call| list(storage, call, env));
    }
    router
}

fn place(call: &Call, env: &str) -> Result<Place> {
    let param = |name| call.params.get(name);
    Place::new(env, param("clusterId"), param("resourceType"), param("namespace"), param("resourceName"))
}

async fn get(storage: Shared, call: Call, env: &'static str) -> Response<Body> {
    let place = place(&call, env);
    let read = async { nodes::get(storage.nodes()?, &place?).await };
    storage.data(read.await, code::STORAGE_GET_RESOURCE_FAIL)
}

async fn list(storage: Shared, call: Call, env: &'static str) -> Response<Body> {
    let place = place(&call, env);
    let read = async { nodes::list(storage.nodes()?, &place?).await };
    storage.texts(read.await, code::STORAGE_LIST_RESOURCE_FAIL)
}

async fn put(storage: Shared, call: Call, env: &'static str) -> Response<Body> {
    let outcome = async {
        let place = place(&call, env)?;
        let body = storage.receive(call).await?;
        nodes::put(storage.nodes()?, &place, &body, nodes::rfc3339_nano(Local::now())).await
    };
    storage.done(outcome.await, code::STORAGE_REST_REQUEST_DATA_IS_NOT_JSON)
}

async fn delete(storage: Shared, call: Call, env: &'static str) -> Response<Body> {
    let place = place(&call, env);
    let outcome = async { nodes::delete(storage.nodes()?, &place?).await };
    storage.done(outcome.await, code::STORAGE_DELETE_RESOURCE_FAIL)
}

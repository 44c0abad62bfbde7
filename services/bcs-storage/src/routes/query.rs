//! `/query/…` (storage.md 6).

use bcs_common::http::Body;
use bcs_common::http::code;
use bcs_common::http::query::Query;
use bcs_common::http::router::{Call, Router};
use http::{Method, Response};

use crate::error::Result;
use crate::query::{self, KUBERNETES, KUBERNETES_NAMESPACE, Kind, MESOS, MESOS_NAMESPACE_ROUTE, Parameters};
use crate::state::{Shared, Storage};

pub(super) fn add(mut router: Router<Shared>) -> Router<Shared> {
    for kind in MESOS.iter().chain(KUBERNETES) {
        let handler = move |storage, call| list(storage, call, kind);
        router = router.route(Method::GET, kind.route, handler).route(Method::POST, kind.route, handler);
    }
    router
        .route(Method::GET, MESOS_NAMESPACE_ROUTE, mesos_namespaces)
        .route(Method::GET, KUBERNETES_NAMESPACE.route, kubernetes_namespaces)
        .route(Method::POST, KUBERNETES_NAMESPACE.route, kubernetes_namespaces)
}

async fn list(storage: Shared, call: Call, kind: &'static Kind) -> Response<Body> {
    let read = async {
        let (clusters, parameters) = storage.query_parameters(call).await?;
        query::list(storage.dynamic()?, kind, &clusters, parameters).await
    };
    storage.list(read.await)
}

async fn mesos_namespaces(storage: Shared, call: Call) -> Response<Body> {
    let read = async {
        let (clusters, parameters) = storage.query_parameters(call).await?;
        query::mesos_namespaces(storage.dynamic()?, &clusters, &parameters).await
    };
    storage.texts(read.await, code::STORAGE_LIST_RESOURCE_FAIL)
}

/// The namespace objects, or the names of those in use.
async fn kubernetes_namespaces(storage: Shared, call: Call) -> Response<Body> {
    let (clusters, parameters) = match storage.query_parameters(call).await {
        Ok(asked) => asked,
        Err(error) => return storage.list_failed(&error),
    };
    let store = storage.dynamic();
    if parameters.wants_used_namespaces() {
        let read = async { query::kubernetes_namespaces(store?, &clusters, &parameters).await };
        return storage.texts(read.await, code::STORAGE_LIST_RESOURCE_FAIL);
    }
    let read = async { query::list(store?, &KUBERNETES_NAMESPACE, &clusters, parameters).await };
    storage.list(read.await)
}

impl Storage {
    /// The clusters of the path and the parameters, which a POST has in its body.
    async fn query_parameters(&self, call: Call) -> Result<(String, Parameters)> {
        let clusters = call.params.get("clusterId").to_owned();
        let parameters = if call.parts.method == Method::POST {
            Parameters::from_body(&self.receive(call).await?)?
        } else {
            Parameters::from_query(&Query::of(&call.parts.uri))?
        };
        Ok((clusters, parameters))
    }
}

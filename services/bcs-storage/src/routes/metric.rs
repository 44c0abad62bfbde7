//! `/metric/…` (storage.md 8.4).

use bcs_common::http::Body;
use bcs_common::http::code;
use bcs_common::http::query::Query;
use bcs_common::http::router::{Call, Router};
use bcs_docstore::{Find, JsonText};
use bson::DateTime;
use http::{Method, Response};

use crate::dynamic::{self, SHOWN};
use crate::error::{Error, Result};
use crate::metric::{self, Target};
use crate::params;
use crate::state::{Shared, Storage};

const ONE: &str = "/metric/clusters/{clusterId}/namespaces/{namespace}/{type}/{name}";

pub(super) fn add(router: Router<Shared>) -> Router<Shared> {
    router
        .route(Method::GET, ONE, get)
        .route(Method::PUT, ONE, put)
        .route(Method::DELETE, ONE, delete)
        .route(Method::GET, "/metric/clusters/{clusterId}", list)
        .route(Method::GET, "/metric/clusters", clusters)
}

fn target(call: &Call) -> Target {
    let param = |name| call.params.get(name).to_owned();
    Target { cluster: param("clusterId"), namespace: param("namespace"), kind: param("type"), name: param("name") }
}

async fn get(storage: Shared, call: Call) -> Response<Body> {
    let target = target(&call);
    let read = async {
        let extra = params::extra(Query::of(&call.parts.uri).get("extra")).unwrap_or_default();
        dynamic::get(storage.metric()?, &target.cluster, Find::one(target.filter(extra))).await
    };
    storage.resource(read.await)
}

async fn put(storage: Shared, call: Call) -> Response<Body> {
    let outcome = async {
        let target = target(&call);
        let extra = params::extra(Query::of(&call.parts.uri).get("extra")).unwrap_or_default();
        let data = JsonText::member(&storage.receive(call).await?, "data")?;
        metric::put(storage.metric()?, &target, extra, data, DateTime::now()).await
    };
    storage.done(outcome.await, code::STORAGE_PUT_RESOURCE_FAIL)
}

async fn delete(storage: Shared, call: Call) -> Response<Body> {
    let outcome = storage.delete_metric(&target(&call), &Query::of(&call.parts.uri)).await;
    let failure = match outcome {
        Err(Error::NotFound) => code::STORAGE_RESOURCE_NOT_EXIST,
        _ => code::STORAGE_DELETE_RESOURCE_FAIL,
    };
    storage.done(outcome, failure)
}

async fn list(storage: Shared, call: Call) -> Response<Body> {
    let cluster = call.params.get("clusterId");
    let read = async {
        let find = metric::find(cluster, &Query::of(&call.parts.uri))?;
        Ok(storage.metric()?.find_json(cluster, &find, SHOWN).await?)
    };
    storage.list(read.await)
}

async fn clusters(storage: Shared, _call: Call) -> Response<Body> {
    let read = async { Ok(storage.metric()?.collections().await?) };
    storage.texts(read.await, code::STORAGE_DECODE_LIST_RESOURCE_FAIL)
}

impl Storage {
    async fn delete_metric(&self, target: &Target, query: &Query) -> Result<()> {
        let extra = params::extra(query.get("extra"))?;
        match dynamic::delete(self.metric()?, &target.cluster, &target.filter(extra)).await? {
            0 => Err(Error::NotFound),
            _ => Ok(()),
        }
    }
}

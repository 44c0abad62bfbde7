//! `/cluster_config/…` (storage.md 8.7).

use bcs_common::http::Body;
use bcs_common::http::code;
use bcs_common::http::query::Query;
use bcs_common::http::router::{Call, Router};
use bcs_docstore::json::write_bson;
use bcs_docstore::{Bson, Filter};
use bson::DateTime;
use http::{Method, Response};

use crate::cluster_config as rules;
use crate::error::Result;
use crate::state::{Shared, Storage};

const CLUSTER: &str = "/cluster_config/clusters/{clusterId}/";
const SERVICE: &str = "/cluster_config/services/{service}";
const VERSION: &str = "/cluster_config/versions/{service}";

pub(super) fn add(router: Router<Shared>) -> Router<Shared> {
    router
        .route(Method::GET, CLUSTER, get_cluster)
        .route(Method::PUT, CLUSTER, put_cluster)
        .route(Method::GET, SERVICE, get_service)
        .route(Method::GET, VERSION, get_version)
        .route(Method::PUT, VERSION, put_version)
}

fn json(value: &Bson) -> Vec<u8> {
    let mut out = Vec::new();
    write_bson(value, &mut out);
    out
}

async fn get_cluster(storage: Shared, call: Call) -> Response<Body> {
    let query = Query::of(&call.parts.uri);
    let cluster = rules::cluster(call.params.get("clusterId"), &query);
    let read = storage.service_config(rules::service("", &query), rules::one_cluster(cluster)).await;
    storage.data(read, code::STORAGE_GET_RESOURCE_FAIL)
}

async fn get_service(storage: Shared, call: Call) -> Response<Body> {
    let query = Query::of(&call.parts.uri);
    let service = rules::service(call.params.get("service"), &query);
    let read = storage.service_config(service, rules::clusters(&query)).await;
    storage.data(read, code::STORAGE_GET_RESOURCE_FAIL)
}

async fn put_cluster(storage: Shared, call: Call) -> Response<Body> {
    let outcome = storage.put_cluster_config(call).await;
    storage.data(outcome, code::STORAGE_PUT_RESOURCE_FAIL)
}

async fn get_version(storage: Shared, call: Call) -> Response<Body> {
    let read = async {
        let version = rules::stable_version(storage.cluster_config()?, call.params.get("service")).await?;
        Ok(json(&version))
    };
    storage.data(read.await, code::STORAGE_GET_RESOURCE_FAIL)
}

async fn put_version(storage: Shared, call: Call) -> Response<Body> {
    let outcome = async {
        let service = call.params.get("service").to_owned();
        let body = storage.receive(call).await?;
        rules::put_stable_version(storage.cluster_config()?, &service, &body).await
    };
    storage.done(outcome.await, code::STORAGE_PUT_RESOURCE_FAIL)
}

impl Storage {
    async fn service_config(&self, service: &str, clusters: Filter) -> Result<Vec<u8>> {
        let config = rules::get(self.cluster_config()?, service, clusters).await?;
        Ok(json(&Bson::Document(config)))
    }

    /// Answers like the GET.
    async fn put_cluster_config(&self, call: Call) -> Result<Vec<u8>> {
        let query = Query::of(&call.parts.uri);
        let cluster = rules::cluster(call.params.get("clusterId"), &query).to_owned();
        let body = self.receive(call).await?;
        let service = rules::put(self.cluster_config()?, &cluster, &query, &body, DateTime::now()).await?;
        self.service_config(&service, rules::one_cluster(&cluster)).await
    }
}

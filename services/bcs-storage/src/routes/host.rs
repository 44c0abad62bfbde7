//! `/host/…` (storage.md 8.6).

use bcs_common::http::Body;
use bcs_common::http::code;
use bcs_common::http::router::{Call, Router};
use bson::DateTime;
use http::{Method, Response};

use crate::dynamic::SHOWN;
use crate::error::{Error, Result};
use crate::host::{self, COLLECTION};
use crate::state::{Shared, Storage};

const HOST: &str = "/host/{ip}";
const CLUSTER: &str = "/host/clusters/{clusterId}";

pub(super) fn add(router: Router<Shared>) -> Router<Shared> {
    router
        .route(Method::GET, HOST, get)
        .route(Method::PUT, HOST, put)
        .route(Method::DELETE, HOST, delete)
        .route(Method::GET, CLUSTER, list)
        .route(Method::PUT, CLUSTER, |storage, call| relate(storage, call, true))
        .route(Method::POST, CLUSTER, |storage, call| relate(storage, call, false))
}

/// A host is answered as a list.
async fn get(storage: Shared, call: Call) -> Response<Body> {
    let read = async {
        let found = storage.host()?.find_json(COLLECTION, &host::by_ip(call.params.get("ip")), SHOWN).await?;
        if found.count == 0 {
            return Err(Error::NotFound);
        }
        let mut list = Vec::with_capacity(found.text.len() + 2);
        list.push(b'[');
        list.extend_from_slice(&found.text);
        list.push(b']');
        Ok(list)
    };
    storage.resource(read.await)
}

async fn put(storage: Shared, call: Call) -> Response<Body> {
    let outcome = async {
        let ip = call.params.get("ip").to_owned();
        let body = storage.receive(call).await?;
        host::put(storage.host()?, &ip, &body, DateTime::now()).await
    };
    storage.done(outcome.await, code::STORAGE_PUT_RESOURCE_FAIL)
}

async fn delete(storage: Shared, call: Call) -> Response<Body> {
    let outcome = async { host::delete(storage.host()?, call.params.get("ip")).await };
    storage.done(outcome.await, code::STORAGE_DELETE_RESOURCE_FAIL)
}

async fn list(storage: Shared, call: Call) -> Response<Body> {
    let find = host::by_cluster(call.params.get("clusterId"));
    let read = async { Ok(storage.host()?.find_json(COLLECTION, &find, SHOWN).await?) };
    storage.list(read.await)
}

async fn relate(storage: Shared, call: Call, only: bool) -> Response<Body> {
    let outcome = storage.relate_hosts(call, only).await;
    storage.done(outcome, code::STORAGE_PUT_RESOURCE_FAIL)
}

impl Storage {
    async fn relate_hosts(&self, call: Call, only: bool) -> Result<()> {
        let cluster = call.params.get("clusterId").to_owned();
        let body = self.receive(call).await?;
        host::relate(self.host()?, &cluster, &body, only, DateTime::now()).await
    }
}

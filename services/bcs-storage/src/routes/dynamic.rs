//! `/{k8s,mesos}/dynamic/…`: dynamic resources (storage.md 5).

use std::sync::Arc;

use bcs_common::http::Body;
use bcs_common::http::code;
use bcs_common::http::query::Query;
use bcs_common::http::router::{Call, Router};
use bcs_docstore::json::{self, Dollar};
use bcs_docstore::{Document, DocumentDatabase, Filter, Find, JsonText};
use bson::DateTime;
use http::{Method, Response};

use crate::dynamic::{self, Target};
use crate::error::Result;
use crate::params::{self, Page, Selection, projection};
use crate::queue::Message;
use crate::state::{Shared, Storage};

/// Both environments have the same routes and the same resources behind them.
const ONE: [&str; 4] = [
    "/k8s/dynamic/namespace_resources/clusters/{clusterId}/namespaces/{namespace}/{resourceType}/{resourceName}",
    "/k8s/dynamic/cluster_resources/clusters/{clusterId}/{resourceType}/{resourceName}",
    "/mesos/dynamic/namespace_resources/clusters/{clusterId}/namespaces/{namespace}/{resourceType}/{resourceName}",
    "/mesos/dynamic/cluster_resources/clusters/{clusterId}/{resourceType}/{resourceName}",
];
const MANY: [&str; 6] = [
    "/k8s/dynamic/namespace_resources/clusters/{clusterId}/namespaces/{namespace}/{resourceType}",
    "/k8s/dynamic/cluster_resources/clusters/{clusterId}/{resourceType}",
    "/k8s/dynamic/all_resources/clusters/{clusterId}/{resourceType}",
    "/mesos/dynamic/namespace_resources/clusters/{clusterId}/namespaces/{namespace}/{resourceType}",
    "/mesos/dynamic/cluster_resources/clusters/{clusterId}/{resourceType}",
    "/mesos/dynamic/all_resources/clusters/{clusterId}/{resourceType}",
];

/// What a deletion must read to tell the subscribers of the queue.
const DELETED_FIELDS: [&str; 3] = ["namespace", "resourceName", "data"];

pub(super) fn add(mut router: Router<Shared>) -> Router<Shared> {
    for template in ONE {
        router = router.route(Method::GET, template, get).route(Method::PUT, template, put).route(
            Method::DELETE,
            template,
            delete,
        );
    }
    for template in MANY {
        router = router.route(Method::GET, template, list).route(Method::DELETE, template, delete_many);
    }
    router
}

fn target(call: &Call) -> Target {
    let given = |name: &'static str| {
        let value = call.params.get(name);
        (!value.is_empty()).then(|| value.to_owned())
    };
    Target {
        cluster: call.params.get("clusterId").to_owned(),
        namespace: given("namespace"),
        kind: call.params.get("resourceType").to_owned(),
        name: given("resourceName"),
    }
}

/// The read that a request asks for.
fn find(target: &Target, query: &Query) -> Result<Find> {
    let page = Page::strict(query.get("offset"), query.get("limit"))?;
    Ok(page.find(target.filter(Selection::for_read(query)?), projection(query.get("field"))))
}

async fn get(storage: Shared, call: Call) -> Response<Body> {
    let target = target(&call);
    let read = async {
        let find = find(&target, &Query::of(&call.parts.uri))?;
        dynamic::get(storage.dynamic()?, target.collection(), find).await
    };
    storage.resource(read.await)
}

async fn list(storage: Shared, call: Call) -> Response<Body> {
    let target = target(&call);
    let read = async {
        let find = find(&target, &Query::of(&call.parts.uri))?;
        Ok(storage.dynamic()?.find_json(target.collection(), &find, dynamic::SHOWN).await?)
    };
    storage.list(read.await)
}

async fn put(storage: Shared, call: Call) -> Response<Body> {
    let writer = Arc::clone(&storage);
    let outcome = storage.write(async move { writer.put_resource(call).await }).await;
    storage.done(outcome, code::STORAGE_PUT_RESOURCE_FAIL)
}

async fn delete(storage: Shared, call: Call) -> Response<Body> {
    let writer = Arc::clone(&storage);
    let (target, query) = (target(&call), Query::of(&call.parts.uri));
    let write = async move {
        let filter = target.filter(Selection::for_delete(&query)?);
        writer.delete_resources(&target, filter).await
    };
    let outcome = storage.write(write).await;
    storage.done(outcome, code::STORAGE_DELETE_RESOURCE_FAIL)
}

async fn delete_many(storage: Shared, call: Call) -> Response<Body> {
    let writer = Arc::clone(&storage);
    let (target, query) = (target(&call), Query::of(&call.parts.uri));
    let write = async move {
        let selection = Selection::for_delete(&query)?;
        let body = writer.receive(call).await?;
        let filter = target.filter(selection).and(dynamic::batch_conditions(&body)?);
        writer.delete_resources(&target, filter).await
    };
    let outcome = storage.write(write).await;
    storage.done(outcome, code::STORAGE_DELETE_RESOURCE_FAIL)
}

impl Storage {
    async fn put_resource(&self, call: Call) -> Result<()> {
        let target = target(&call);
        // An unreadable one is ignored: it widens nothing here.
        let extra = params::extra(Query::of(&call.parts.uri).get("extra")).unwrap_or_default();
        let body = self.receive(call).await?;
        let data = JsonText::member(&body, "data")?;
        let message = match self.queue.wants(target.collection()) {
            true => Some(Message::updated(&target, &json::decode(data.as_bytes(), Dollar::Keep)?)),
            false => None,
        };
        dynamic::put(self.dynamic()?, &target, extra, data, DateTime::now()).await?;
        message.into_iter().for_each(|message| self.queue.publish(message));
        Ok(())
    }

    async fn delete_resources(&self, target: &Target, filter: Filter) -> Result<()> {
        let store = self.dynamic()?;
        let deleted = self.read_for_messages(store, target, &filter).await?;
        dynamic::delete(store, target.collection(), &filter).await?;
        for document in deleted {
            self.queue.publish(Message::deleted(target, &document));
        }
        Ok(())
    }

    /// The documents that a deletion will hit, if somebody wants to hear of them.
    async fn read_for_messages(
        &self,
        store: &dyn DocumentDatabase,
        target: &Target,
        filter: &Filter,
    ) -> Result<Vec<Document>> {
        if !self.queue.wants(target.collection()) {
            return Ok(Vec::new());
        }
        let projection = DELETED_FIELDS.map(str::to_owned).to_vec();
        Ok(store.find(target.collection(), &Find { projection, ..Find::all(filter.clone()) }).await?)
    }
}

//! `/dynamic/customresources/…` (storage.md 5.7).

use bcs_common::http::Body;
use bcs_common::http::code;
use bcs_common::http::envelope::Success;
use bcs_common::http::query::Query;
use bcs_common::http::router::{Call, Router};
use bson::DateTime;
use http::{Method, Response};
use tracing::warn;

use super::answer::listed;
use crate::custom;
use crate::dynamic::{self, SHOWN};
use crate::error::Result;
use crate::events::total;
use crate::params::{Page, Selection, projection};
use crate::state::{Shared, Storage};

const RESOURCES: &str = "/dynamic/customresources/{resourceType}";
const INDEX: &str = "/dynamic/customresources/{resourceType}/index/{indexName}";

pub(super) fn add(router: Router<Shared>) -> Router<Shared> {
    router
        .route(Method::GET, RESOURCES, list)
        .route(Method::PUT, RESOURCES, put)
        .route(Method::DELETE, RESOURCES, delete)
        .route(Method::PUT, INDEX, put_index)
        .route(Method::DELETE, INDEX, delete_index)
}

async fn list(storage: Shared, call: Call) -> Response<Body> {
    match storage.custom_resources(call.params.get("resourceType"), &Query::of(&call.parts.uri)).await {
        Ok(envelope) => envelope.finish(),
        Err(error) => storage.data(Err(error), code::STORAGE_GET_RESOURCE_FAIL),
    }
}

async fn put(storage: Shared, call: Call) -> Response<Body> {
    let outcome = async {
        let collection = call.params.get("resourceType").to_owned();
        let body = storage.receive(call).await?;
        custom::put(storage.dynamic()?, &collection, &body, DateTime::now()).await
    };
    storage.done(outcome.await, code::STORAGE_PUT_RESOURCE_FAIL)
}

async fn delete(storage: Shared, call: Call) -> Response<Body> {
    let outcome = async {
        let collection = call.params.get("resourceType");
        let selection = Selection::for_delete(&Query::of(&call.parts.uri))?;
        if selection.extra.is_empty() && selection.conditions.is_all() {
            warn!("all custom resources {collection} are deleted: the request has no conditions");
        }
        dynamic::delete(storage.dynamic()?, collection, &custom::filter(selection)).await?;
        Ok(())
    };
    storage.done(outcome.await, code::STORAGE_DELETE_RESOURCE_FAIL)
}

async fn put_index(storage: Shared, call: Call) -> Response<Body> {
    let outcome = async {
        let (collection, name) = (call.params.get("resourceType").to_owned(), call.params.get("indexName").to_owned());
        let body = storage.receive(call).await?;
        custom::create_index(storage.dynamic()?, &collection, &name, &body).await
    };
    storage.done(outcome.await, code::STORAGE_DELETE_RESOURCE_FAIL)
}

async fn delete_index(storage: Shared, call: Call) -> Response<Body> {
    let outcome = async {
        let (collection, name) = (call.params.get("resourceType"), call.params.get("indexName"));
        Ok(storage.dynamic()?.drop_index(collection, name).await?)
    };
    storage.done(outcome.await, code::STORAGE_DELETE_RESOURCE_FAIL)
}

impl Storage {
    async fn custom_resources(&self, collection: &str, query: &Query) -> Result<Success> {
        let page = Page::strict(query.get("offset"), query.get("limit"))?;
        let filter = custom::filter(Selection::for_read(query)?);
        let find = page.find(filter, projection(query.get("field")));
        let store = self.dynamic()?;
        let found = store.find_json(collection, &find, SHOWN).await?;
        let total = total(store, collection, &find, &found).await?;
        let mut envelope = listed(&found);
        for (key, value) in [("total", total), ("pageSize", page.asked), ("offset", page.offset)] {
            envelope.extra(key, value.to_string().as_bytes());
        }
        Ok(envelope)
    }
}

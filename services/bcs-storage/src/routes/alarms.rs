//! `/alarms` (storage.md 8.2).

use bcs_common::http::Body;
use bcs_common::http::code;
use bcs_common::http::envelope::Success;
use bcs_common::http::query::Query;
use bcs_common::http::router::{Call, Router};
use bson::DateTime;
use http::{Method, Response};

use super::answer::listed;
use crate::alarms::{self, COLLECTION};
use crate::error::Result;
use crate::events::total;
use crate::state::{Shared, Storage};

pub(super) fn add(router: Router<Shared>) -> Router<Shared> {
    router.route(Method::POST, "/alarms", post).route(Method::GET, "/alarms", list)
}

async fn post(storage: Shared, call: Call) -> Response<Body> {
    let outcome = async {
        let alarm = alarms::decode(&storage.receive(call).await?, DateTime::now())?;
        let store = storage.alarm()?;
        storage.alarm_indexes.ensure(store, COLLECTION, &alarms::indexes()).await?;
        alarms::put(store, alarm).await
    };
    storage.done(outcome.await, code::STORAGE_PUT_RESOURCE_FAIL)
}

async fn list(storage: Shared, call: Call) -> Response<Body> {
    match storage.alarms(&Query::of(&call.parts.uri)).await {
        Ok(envelope) => envelope.finish(),
        Err(error) => storage.list_failed(&error),
    }
}

impl Storage {
    async fn alarms(&self, query: &Query) -> Result<Success> {
        let find = alarms::find(query)?;
        let store = self.alarm()?;
        let found = store.find_json(COLLECTION, &find, alarms::SHOWN).await?;
        let total = total(store, COLLECTION, &find, &found).await?;
        let mut envelope = listed(&found);
        envelope.extra("total", total.to_string().as_bytes());
        Ok(envelope)
    }
}

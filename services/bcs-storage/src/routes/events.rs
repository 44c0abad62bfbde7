//! `/events` (storage.md 8.1).

use std::borrow::Cow;
use std::sync::Arc;

use bcs_common::http::Body;
use bcs_common::http::code;
use bcs_common::http::envelope::{self, Success};
use bcs_common::http::query::Query;
use bcs_common::http::router::{Call, Router};
use bcs_docstore::Bson;
use bcs_docstore::json::Dollar;
use bson::DateTime;
use http::{Method, Response};

use super::answer::listed;
use crate::error::Result;
use crate::events::{self, COLLECTION, Event};
use crate::fields::Fields;
use crate::queue::{EVENT, Message};
use crate::state::{Shared, Storage};

pub(super) fn add(router: Router<Shared>) -> Router<Shared> {
    router.route(Method::PUT, "/events", put).route(Method::GET, "/events", list)
}

async fn put(storage: Shared, call: Call) -> Response<Body> {
    let writer = Arc::clone(&storage);
    let outcome = storage.write(async move { writer.put_event(call).await }).await;
    storage.done(outcome, code::STORAGE_PUT_RESOURCE_FAIL)
}

async fn list(storage: Shared, call: Call) -> Response<Body> {
    match storage.events(&Query::of(&call.parts.uri)).await {
        Ok(envelope) => envelope.finish(),
        Err(error) => {
            let failure = code::STORAGE_LIST_RESOURCE_FAIL;
            storage.log_failure(failure, &error);
            let mut body = Vec::new();
            envelope::write(&mut body, storage.program, failure, failure.text, envelope::EMPTY_LIST);
            // The only failure that has a total.
            body.pop();
            body.extend_from_slice(b",\"total\":0}");
            envelope::json_response(body)
        }
    }
}

impl Storage {
    async fn put_event(&self, call: Call) -> Result<()> {
        let body = self.receive(call).await?;
        let event = Event::decode(&body)?;
        let message = match self.queue.wants(EVENT) {
            true => Some(Message::event(&event, original_data(&body, &event.data)?.as_ref())),
            false => None,
        };
        let store = self.event()?;
        self.event_indexes.ensure(store, COLLECTION, &events::indexes()).await?;
        events::put(store, event, DateTime::now()).await?;
        message.into_iter().for_each(|message| self.queue.publish(message));
        Ok(())
    }

    async fn events(&self, query: &Query) -> Result<Success> {
        let find = events::find(query)?;
        let store = self.event()?;
        let found = store.find_json(COLLECTION, &find, events::SHOWN).await?;
        let total = events::total(store, COLLECTION, &find, &found).await?;
        let mut envelope = listed(&found);
        envelope.extra("total", total.to_string().as_bytes());
        Ok(envelope)
    }
}

/// The field `data` with the keys that the client sent: a body that holds no `$` has them in `data` already.
fn original_data<'a>(body: &[u8], data: &'a Bson) -> Result<Cow<'a, Bson>> {
    if body.contains(&b'$') {
        return Ok(Cow::Owned(Fields::decode(body, Dollar::Keep)?.take("data")));
    }
    Ok(Cow::Borrowed(data))
}

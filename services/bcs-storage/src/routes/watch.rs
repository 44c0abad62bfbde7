//! Watch streams (storage.md 7).

use std::convert::Infallible;

use bcs_common::http::Body;
use bcs_common::http::router::{Call, Router};
use bytes::Bytes;
use futures::stream;
use http::{Method, Response};
use tracing::error;

use crate::error::{Error, Result};
use crate::events;
use crate::state::{Shared, Storage};
use crate::watch::{BREAK, Options, Scope, Watcher};

pub(super) fn add(router: Router<Shared>) -> Router<Shared> {
    router
        .route(Method::POST, "/dynamic/watch/{clusterId}/{resourceType}", dynamic)
        .route(Method::POST, "/dynamic/watch/containers/{clusterId}", containers)
        .route(Method::POST, "/events/watch", all_events)
        .route(Method::POST, "/metric/watch/{clusterId}/{type}", metric)
}

async fn dynamic(storage: Shared, call: Call) -> Response<Body> {
    let collection = call.params.get("resourceType").to_owned();
    let scope = Scope::Cluster(call.params.get("clusterId").to_owned());
    storage.watch(call, Family::Dynamic, &collection, scope).await
}

/// Never did anything: it has no table.
async fn containers(_storage: Shared, _call: Call) -> Response<Body> {
    Response::new(Body::empty())
}

async fn all_events(storage: Shared, call: Call) -> Response<Body> {
    storage.watch(call, Family::Event, events::COLLECTION, Scope::Events).await
}

async fn metric(storage: Shared, call: Call) -> Response<Body> {
    let collection = call.params.get("clusterId").to_owned();
    let scope = Scope::MetricType(call.params.get("type").to_owned());
    storage.watch(call, Family::Metric, &collection, scope).await
}

/// Which store is watched.
#[derive(Clone, Copy)]
enum Family {
    Dynamic,
    Event,
    Metric,
}

impl Storage {
    /// The stream of a watch request; one that cannot be watched is broken from the start. It has no content type.
    async fn watch(&self, call: Call, family: Family, collection: &str, scope: Scope) -> Response<Body> {
        let counted = self.metrics.watching(call.template, collection);
        let watcher = match self.watcher(call, family, collection, scope).await {
            Ok(watcher) => watcher,
            Err(error) => {
                error!("watch {collection} failed | err: {}", error.causes());
                return Response::new(Body::from(Bytes::from_static(BREAK)));
            }
        };
        let objects = stream::unfold((watcher, counted), |(mut watcher, counted)| async {
            let object = watcher.next().await?;
            counted.sent(object.len());
            Some((Ok::<_, Infallible>(object), (watcher, counted)))
        });
        Response::new(Body::from_stream(objects))
    }

    async fn watcher(&self, call: Call, family: Family, collection: &str, scope: Scope) -> Result<Watcher> {
        let options = Options::decode(&self.receive(call).await?)?;
        let store = match family {
            Family::Dynamic => self.dynamic()?,
            Family::Event => self.event()?,
            Family::Metric => self.metric()?,
        };
        let changes = store.watch(collection).await.map_err(Error::from)?;
        Ok(Watcher::new(changes, scope, options, self.shutdown.token()))
    }
}

//! The routes of the service, by families (storage.md 14). A handler reads the request, calls the rules of its family and
//! answers.

mod alarms;
mod answer;
mod cluster_config;
mod custom;
mod dynamic;
mod events;
mod host;
mod metric;
mod nodes;
mod query;
mod watch;

use std::sync::Arc;

use bcs_common::http::router::{Call, Router};
use bytes::Bytes;
use tracing::info;

use crate::error::{Error, Result};
use crate::fields;
use crate::state::{Shared, Storage};

/// The prefix of all routes.
const MOUNT: &str = "/bcsstorage/v1";

/// All routes.
pub fn router(storage: &Storage) -> Router<Shared> {
    let families = [
        dynamic::add,
        custom::add,
        query::add,
        watch::add,
        events::add,
        alarms::add,
        metric::add,
        nodes::add,
        host::add,
        cluster_config::add,
    ];
    let router = Router::new(MOUNT).redirect_page().observe(Arc::new(storage.metrics.clone()));
    families.into_iter().fold(router, |router, add| add(router))
}

impl Storage {
    /// Receives the body of a request; logs it if that is wanted.
    async fn receive(&self, call: Call) -> Result<Bytes> {
        let body = fields::receive(call.body).await?;
        if self.print_body {
            info!("body of {} {}: {}", call.parts.method, call.parts.uri, String::from_utf8_lossy(&body));
        }
        Ok(body)
    }

    /// Carries out a write. With a queue it goes on when its client goes away meanwhile: what is stored must be told.
    async fn write(&self, write: impl Future<Output = Result<()>> + Send + 'static) -> Result<()> {
        if !self.queue.is_on() {
            return write.await;
        }
        match self.shutdown.spawn("write", write).await.map_err(tokio::task::JoinError::try_into_panic) {
            Ok(outcome) => outcome,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(error)) => Err(Error::invalid(format!("the write was given up: {error}"))),
        }
    }
}

#[cfg(test)]
mod tests;

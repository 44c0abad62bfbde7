//! The BKE REST API (api.md 10).

use std::sync::Arc;

use bcs_common::http::router::Router;

use crate::metrics::ApiMetrics;
use crate::store::Store;

/// The prefix of all routes.
pub const MOUNT: &str = "/rest";

/// What the handlers work with.
pub(crate) struct Rest {
    pub store: Store,
    pub metrics: ApiMetrics,
}

/// The router of the REST API.
pub(crate) fn router() -> Router<Arc<Rest>> {
    Router::new(MOUNT)
}

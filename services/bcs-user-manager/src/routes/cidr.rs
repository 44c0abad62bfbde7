//! The CIDR pool (user-manager.md 6.6).

use super::{Request, Shared};
use crate::answer::{Answer, bare, success};
use crate::cidr;

pub(super) async fn add(app: Shared, mut request: Request) -> Answer {
    success(cidr::add(&app.database, &request.document().await?).await?)
}

pub(super) async fn apply(app: Shared, mut request: Request) -> Answer {
    success(cidr::apply(&app.database, &request.document().await?).await?)
}

pub(super) async fn release(app: Shared, mut request: Request) -> Answer {
    success(cidr::release(&app.database, &request.document().await?).await?)
}

/// A list without envelope (quirk Q6).
pub(super) async fn list_count(app: Shared, _request: Request) -> Answer {
    bare(cidr::count(&app.database).await?)
}

//! Granting, revoking and listing permissions (user-manager.md 6.5).

use bcs_common::http::code;
use http::StatusCode;
use std::sync::Arc;

use super::{Request, Shared};
use crate::answer::{Answer, Failure, success};
use crate::document::require;
use crate::permissions::{self, Change};

pub(super) async fn grant(app: Shared, request: Request) -> Answer {
    change(app, request, Change::Grant).await
}

pub(super) async fn revoke(app: Shared, request: Request) -> Answer {
    change(app, request, Change::Revoke).await
}

async fn change(app: Shared, mut request: Request, change: Change) -> Answer {
    let document = request.document().await?;
    let changing = {
        let app = Arc::clone(&app);
        async move {
            let users = permissions::apply(&app.database, &document, change).await?;
            app.grants.changed(users).await;
            Ok(())
        }
    };
    // A task of its own: a caller that hangs up between commit and reload must not leave a revoked grant in force.
    let changed = app.shutdown.spawn("permission change", changing).await;
    success(changed.unwrap_or_else(|_| Err(interrupted()))?)
}

/// The task panicked; its spawner has logged that.
fn interrupted() -> Failure {
    let text = "failed to change permissions";
    Failure::refused(StatusCode::INTERNAL_SERVER_ERROR, text).with_code(code::API_INTERNAL_FAIL)
}

pub(super) async fn get(app: Shared, mut request: Request) -> Answer {
    let document = request.document().await?;
    let (user, resource_type) = (document.text("user_name"), document.text("resource_type"));
    require(&[("user_name", !user.is_empty()), ("resource_type", !resource_type.is_empty())])?;
    success(permissions::get(&app.database, user, resource_type).await?)
}

//! Clusters, register tokens and credentials (user-manager.md 6.2 to 6.4, 6.6).

use super::{Request, Shared};
use crate::answer::{Answer, success};
use crate::{clusters, credentials, tke};

pub(super) async fn create(app: Shared, mut request: Request) -> Answer {
    let document = request.document().await?;
    let creator = request.caller.map_or(0, |caller| caller.id);
    success(clusters::create(&app.database, &document, creator).await?)
}

pub(super) async fn create_register_token(app: Shared, request: Request) -> Answer {
    success(clusters::create_register_token(&app.database, request.param("cluster_id")).await?)
}

pub(super) async fn get_register_token(app: Shared, request: Request) -> Answer {
    success(clusters::get_register_token(&app.database, request.param("cluster_id")).await?)
}

pub(super) async fn update_credentials(app: Shared, mut request: Request) -> Answer {
    let document = request.document().await?;
    success(credentials::report(&app.database, request.param("cluster_id"), &document).await?)
}

pub(super) async fn get_credentials(app: Shared, request: Request) -> Answer {
    success(credentials::get(&app.database, request.param("cluster_id")).await?)
}

pub(super) async fn list_credentials(app: Shared, _request: Request) -> Answer {
    success(credentials::list(&app.database).await?)
}

pub(super) async fn sync_tke(app: Shared, request: Request) -> Answer {
    success(tke::sync(&app.database, app.tke.as_ref(), request.param("cluster_id")).await?)
}

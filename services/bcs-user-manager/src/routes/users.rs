//! Users (user-manager.md 6.1). Bodies are ignored.

use super::{Request, Shared};
use crate::answer::{Answer, success};
use crate::users::{self, UserType};

async fn create(app: Shared, request: Request, user_type: UserType) -> Answer {
    success(users::create(&app.database, request.param("user_name"), user_type).await?)
}

async fn get(app: Shared, request: Request, user_type: UserType) -> Answer {
    success(users::get(&app.database, request.param("user_name"), user_type).await?)
}

pub(super) async fn create_admin(app: Shared, request: Request) -> Answer {
    create(app, request, UserType::Admin).await
}

pub(super) async fn get_admin(app: Shared, request: Request) -> Answer {
    get(app, request, UserType::Admin).await
}

pub(super) async fn create_saas(app: Shared, request: Request) -> Answer {
    create(app, request, UserType::Saas).await
}

pub(super) async fn get_saas(app: Shared, request: Request) -> Answer {
    get(app, request, UserType::Saas).await
}

pub(super) async fn refresh_saas(app: Shared, request: Request) -> Answer {
    success(users::refresh_saas(&app.database, request.param("user_name")).await?)
}

pub(super) async fn create_plain(app: Shared, request: Request) -> Answer {
    create(app, request, UserType::Plain).await
}

pub(super) async fn get_plain(app: Shared, request: Request) -> Answer {
    get(app, request, UserType::Plain).await
}

pub(super) async fn refresh_plain(app: Shared, request: Request) -> Answer {
    let days = users::parse_days(request.param("expire_time"))?;
    success(users::refresh_plain(&app.database, request.param("user_name"), days).await?)
}

pub(super) async fn refresh_plain_by_a_day(app: Shared, request: Request) -> Answer {
    success(users::refresh_plain(&app.database, request.param("user_name"), 1).await?)
}

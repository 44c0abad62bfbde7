//! Users and their tokens.

use bcs_common::go;
use bcs_common::http::code;
use bcs_sql::{SqlError, fits};
use http::StatusCode;

use super::answer::{Answer, Failure, success};
use super::validate::{self, Field};
use super::{Request, Shared, objects};
use crate::store::{NAME_COLUMN, TokenKind};

/// In front of the names that were asked for.
const PREFIX: &str = "plain:";

/// `POST /users`
pub(super) async fn create(rest: Shared, mut request: Request) -> Answer {
    let document = request.document().await?;
    let user_name = document.text("user_name");
    let name = format!("{PREFIX}{user_name}");
    validate::check([Field::text("user_name", user_name).rule("max", |_| fits(&name, NAME_COLUMN))])?;
    let exists =
        || Failure::bad_request("USER_ALREADY_EXISTS", "create failed, user with this username already exists");
    if rest.store.user_by_name(&name).await?.is_some() {
        return Err(exists());
    }
    let user = rest.store.insert_user(&name, false).await.map_err(|error| {
        Failure::of_sql(error, |error| match error {
            // Another request was faster.
            SqlError::Duplicate { .. } => exists(),
            error => Failure::errcode(
                StatusCode::INTERNAL_SERVER_ERROR,
                "*MODELS.USER",
                code::API_INTERNAL_DB_ERROR,
                format!("can not create user, error: {error}"),
            ),
        })
    })?;
    success(&objects::User::from(&user))
}

/// `GET /users/{user_name}`
pub(super) async fn get(rest: Shared, request: Request) -> Answer {
    let user_name = request.param("user_name");
    match rest.store.user_by_name(&format!("{PREFIX}{user_name}")).await? {
        Some(user) => success(&objects::User::from(&user)),
        None => Err(Failure::not_found("USER_NOT_FOUND", format!("user with user_name={user_name} not found"))),
    }
}

/// `POST /users/{user_id}/tokens`
pub(super) async fn create_token(rest: Shared, request: Request) -> Answer {
    let given = request.param("user_id");
    let user_id = parse_id(given)?;
    let unknown = || Failure::not_found("USER_NOT_FOUND", format!("user with user_id={user_id} not found"));
    let id = u32::try_from(user_id).map_err(|_| unknown())?;
    let user = rest.store.user(id).await?.ok_or_else(unknown)?;
    let token = rest.store.get_or_create_token(user.id, TokenKind::KUBECONFIG_PLAIN).await;
    success(&objects::UserToken::from(&token.map_err(no_token)?))
}

/// The failure to make a token.
pub(super) fn no_token(error: SqlError) -> Failure {
    Failure::of_sql(error, |error| {
        Failure::errcode(
            StatusCode::INTERNAL_SERVER_ERROR,
            "CANNOT_CREATE_USER_RTOKEN",
            code::API_INTERNAL_DB_ERROR,
            format!("can not create user token: {error}"),
        )
    })
}

/// A positive number; 0 would find the first user in the original (quirk Q5).
fn parse_id(text: &str) -> Result<u64, Failure> {
    let wrong =
        |error: String| Failure::bad_request("USER_ID_INVALID", format!("error parsing user_id to uint: {error}"));
    let id = go::atoi(text).map_err(wrong)?;
    let positive = u64::try_from(id).ok().filter(|id| *id > 0);
    positive.ok_or_else(|| wrong(format!("{} is not positive", go::quoted(text))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ids_are_positive() {
        for (text, id) in [("1", 1), ("+7", 7), ("007", 7), ("9223372036854775807", i64::MAX.unsigned_abs())] {
            assert_eq!(parse_id(text).unwrap(), id, "{text}");
        }
        for text in ["0", "-0", "-1", "", "+", "abc", "1.0", "0x1", "9223372036854775808", "١"] {
            let failure = parse_id(text).unwrap_err();
            assert_eq!((failure.status.as_u16(), failure.code_name), (400, "USER_ID_INVALID"), "{text}");
        }
        let message = parse_id("abc").unwrap_err().message;
        let want = "errcode: 1405061, error parsing user_id to uint: strconv.Atoi: parsing \"abc\": invalid syntax";
        assert_eq!(message, want);
    }

    proptest! {
        #[test]
        fn any_text_is_an_id_or_refused(text in "\\PC*|[-+]?[0-9]*") {
            prop_assert!(parse_id(&text).is_ok_and(|id| id > 0) || parse_id(&text).is_err());
        }
    }
}

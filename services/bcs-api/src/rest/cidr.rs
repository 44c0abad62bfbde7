//! The pool of CIDRs for TKE clusters.

use bcs_common::http::code;
use bcs_tke::cidr::{self, CidrError, NewCidr};
use http::StatusCode;

use super::answer::{Answer, Failure, done, success};
use super::validate::{self, Field};
use super::{Request, Shared};

/// `POST /clusters/cidr/add_cidr`
pub(super) async fn add(rest: Shared, mut request: Request) -> Answer {
    let document = request.document().await?;
    let (vpc, items) = (document.text("vpc"), document.list("tke_cidrs"));
    validate::check([Field::text("vpc", vpc), Field::given("tke_cidrs", items.is_some())])?;
    let items = items.unwrap_or_default();
    let cidrs: Vec<NewCidr<'_>> = items
        .iter()
        .map(|item| NewCidr { cidr: item.text("cidr"), ip_number: item.uint("ip_number"), status: item.text("status") })
        .collect();
    let added = cidr::add(rest.store.database(), vpc, &cidrs).await;
    added.map_err(|error| failed(error, "ADD_TKE_CIDR_FAILED", "add tke cidr failed, error: "))?;
    done()
}

/// `POST /clusters/cidr/apply_cidr`
pub(super) async fn apply(rest: Shared, mut request: Request) -> Answer {
    let document = request.document().await?;
    let (vpc, cluster, ip_number) = (document.text("vpc"), document.text("cluster"), document.uint("ip_number"));
    validate::check([
        Field::text("vpc", vpc),
        Field::text("cluster", cluster),
        Field::given("ip_number", ip_number != 0),
    ])?;
    let applied = cidr::apply(rest.store.database(), vpc, cluster, ip_number).await;
    match applied.map_err(|error| failed(error, "APPLY_TKE_CIDR_FAILED", "apply tkeCidr failed: "))? {
        Some(applied) => success(&applied),
        None => Err(Failure::errcode(
            StatusCode::BAD_REQUEST,
            "NO_AVAILABLE_CIDR",
            code::API_INTERNAL_DB_ERROR,
            "apply cidr failed, no available cidr any more",
        )),
    }
}

/// `POST /clusters/cidr/release_cidr`
pub(super) async fn release(rest: Shared, mut request: Request) -> Answer {
    let document = request.document().await?;
    let (vpc, cidr, cluster) = (document.text("vpc"), document.text("cidr"), document.text("cluster"));
    validate::check([Field::text("vpc", vpc), Field::text("cidr", cidr), Field::text("cluster", cluster)])?;
    let released = cidr::release(rest.store.database(), vpc, cidr, cluster).await;
    if released.map_err(|error| failed(error, "RELEASE_TKE_CIDR_FAILED", "release tkeCidr failed: "))? {
        done()
    } else {
        Err(Failure::bad_request("NO_SUCH_CIDR", "no such cidr to be released"))
    }
}

/// `GET /clusters/cidr/list_count`: `null` if there is none.
pub(super) async fn list_count(rest: Shared, _: Request) -> Answer {
    let counts = cidr::count(rest.store.database()).await?;
    success(&Some(counts).filter(|counts| !counts.is_empty()))
}

/// The pool did not change; `what` says at what, with its punctuation.
fn failed(error: CidrError, code_name: &'static str, what: &str) -> Failure {
    let specific = |reason: &dyn std::fmt::Display| {
        let text = format!("{what}{reason}");
        Failure::errcode(StatusCode::BAD_REQUEST, code_name, code::API_INTERNAL_DB_ERROR, text)
    };
    match error {
        CidrError::Sql(error) => Failure::of_sql(error, |error| specific(error)),
        error => specific(&error),
    }
}

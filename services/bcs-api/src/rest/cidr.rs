//! The pool of CIDRs for TKE clusters.

use bcs_common::http::code;
use bcs_tke::cidr::{self, CidrError, NewCidr};
use http::StatusCode;

use super::answer::{Answer, Failure, done, success};
use super::{Request, Shared, validate};

/// `POST /clusters/cidr/add_cidr`
pub(super) async fn add(rest: Shared, mut request: Request) -> Answer {
    let document = request.document().await?;
    let vpc = validate::required(&document, "vpc")?;
    let items = document.list("tke_cidrs").ok_or_else(|| validate::missing("tke_cidrs"))?;
    let cidrs: Vec<NewCidr<'_>> = items
        .iter()
        .map(|item| NewCidr { cidr: item.text("cidr"), ip_number: item.uint("ip_number"), status: item.text("status") })
        .collect();
    cidr::add(rest.store.database(), vpc, &cidrs).await.map_err(|error| failed(error, "ADD_TKE_CIDR_FAILED"))?;
    done()
}

/// `POST /clusters/cidr/apply_cidr`
pub(super) async fn apply(rest: Shared, mut request: Request) -> Answer {
    let document = request.document().await?;
    let vpc = validate::required(&document, "vpc")?;
    let cluster = validate::required(&document, "cluster")?;
    let ip_number = validate::required_number(&document, "ip_number")?;
    let applied = cidr::apply(rest.store.database(), vpc, cluster, ip_number).await;
    match applied.map_err(|error| failed(error, "APPLY_TKE_CIDR_FAILED"))? {
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
    let vpc = validate::required(&document, "vpc")?;
    let cidr = validate::required(&document, "cidr")?;
    let cluster = validate::required(&document, "cluster")?;
    let released = cidr::release(rest.store.database(), vpc, cidr, cluster).await;
    if released.map_err(|error| failed(error, "RELEASE_TKE_CIDR_FAILED"))? {
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

fn failed(error: CidrError, code_name: &'static str) -> Failure {
    let specific =
        |text: String| Failure::errcode(StatusCode::BAD_REQUEST, code_name, code::API_INTERNAL_DB_ERROR, text);
    match error {
        CidrError::Sql(error) => Failure::of_sql(error, |error| specific(error.to_string())),
        error => specific(error.to_string()),
    }
}

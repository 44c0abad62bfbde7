//! The pool of CIDRs for TKE clusters (user-manager.md 6.6): what a request must hold, and what it is answered.

use bcs_sql::Database;
use bcs_tke::cidr::{self, Applied, CidrError, Count, NewCidr};
use http::StatusCode;

use crate::answer::Failure;
use crate::document::{Document, require};

/// Adds CIDRs to the pool; those it holds already are skipped. All or none.
pub(crate) async fn add(database: &Database, document: &Document) -> Result<(), Failure> {
    let vpc = document.text("vpc");
    let items = document.list("tke_cidrs");
    require(&[("vpc", !vpc.is_empty()), ("tke_cidrs", items.is_some())])?;
    let items = items.unwrap_or_default();
    let cidrs: Vec<NewCidr<'_>> = items.iter().map(new).collect::<Result<_, _>>()?;
    cidr::add(database, vpc, &cidrs).await.map_err(failed("add tke cidr failed, error: "))
}

fn new(item: &Document) -> Result<NewCidr<'_>, Failure> {
    let (cidr, ip_number, status) = (item.text("cidr"), item.uint("ip_number"), item.text("status"));
    require(&[("cidr", !cidr.is_empty()), ("ip_number", ip_number != 0)])?;
    Ok(NewCidr { cidr, ip_number, status })
}

/// 400 with the code of a database error (quirk Q3).
fn failed(what: &'static str) -> impl Fn(CidrError) -> Failure {
    move |error| {
        let failure = match error {
            CidrError::Sql(error) => Failure::database(what, error),
            unfit => Failure::database_text(what, &unfit.to_string()),
        };
        failure.with_status(StatusCode::BAD_REQUEST)
    }
}

/// Hands out the first available CIDR of that size.
pub(crate) async fn apply(database: &Database, document: &Document) -> Result<Applied, Failure> {
    let (vpc, cluster, ip_number) = (document.text("vpc"), document.text("cluster"), document.uint("ip_number"));
    require(&[("vpc", !vpc.is_empty()), ("cluster", !cluster.is_empty()), ("ip_number", ip_number != 0)])?;
    let applied = cidr::apply(database, vpc, cluster, ip_number).await.map_err(failed("apply tkeCidr failed: "))?;
    applied.ok_or_else(|| Failure::bad_request("apply cidr failed, no available cidr any more"))
}

/// Takes a CIDR back.
pub(crate) async fn release(database: &Database, document: &Document) -> Result<(), Failure> {
    let (vpc, cidr, cluster) = (document.text("vpc"), document.text("cidr"), document.text("cluster"));
    require(&[("vpc", !vpc.is_empty()), ("cidr", !cidr.is_empty()), ("cluster", !cluster.is_empty())])?;
    let released = cidr::release(database, vpc, cidr, cluster).await.map_err(failed("release tkeCidr failed: "))?;
    if released { Ok(()) } else { Err(Failure::bad_request("no such cidr to be released")) }
}

/// How many CIDRs there are of each VPC, size and status, in that order.
pub(crate) async fn count(database: &Database) -> Result<Vec<Count>, Failure> {
    cidr::count(database).await.map_err(Failure::reading("tke cidrs"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{database, document};

    #[tokio::test]
    async fn a_bad_item_leaves_nothing() {
        let (_dir, database) = database().await;
        for (item, status, code) in [
            (r#"{"ip_number":1}"#, 400, 1_405_061),
            (r#"{"cidr":"x"}"#, 400, 1_405_061),
            (r#"{"cidr":"x","ip_number":"1"}"#, 400, 1_405_061),
            (r#""x""#, 400, 1_405_061),
            (r#"{"cidr":"x","ip_number":4294967296}"#, 400, 1_405_062),
        ] {
            let body = format!(r#"{{"vpc":"v","tke_cidrs":[{{"cidr":"a","ip_number":1}},{item}]}}"#);
            let failure = add(&database, &document(&body)).await.unwrap_err();
            assert_eq!((failure.status.as_u16(), failure.code.value), (status, code), "{item}");
        }
        assert_eq!(count(&database).await.unwrap(), []);
    }

    #[tokio::test]
    async fn refusals() {
        let (_dir, database) = database().await;
        add(&database, &document(r#"{"vpc":"v","tke_cidrs":[]}"#)).await.unwrap();
        let failure = add(&database, &document(r#"{"vpc":"v"}"#)).await.unwrap_err();
        assert_eq!(failure.message, "errcode: 1405061, field 'tke_cidrs' is required");
        let failure = apply(&database, &document(r#"{"vpc":"v","cluster":"c","ip_number":"1"}"#)).await.unwrap_err();
        assert_eq!(failure.message, "errcode: 1405061, field 'ip_number' is required");
        let failure = apply(&database, &document(r#"{"vpc":"v","cluster":"c","ip_number":1}"#)).await.unwrap_err();
        assert_eq!(failure.message, "errcode: 1405061, apply cidr failed, no available cidr any more");
        let failure = release(&database, &document(r#"{"vpc":"v","cidr":"x","cluster":"c"}"#)).await.unwrap_err();
        assert_eq!(failure.message, "errcode: 1405061, no such cidr to be released");
    }
}

//! The pool of TKE CIDRs over HTTP (cluster-manager.md 9): JSON with conventions of its own, and XML.

use std::sync::Arc;
use std::time::Instant;

use bcs_common::http::body::{self, DEFAULT_LIMIT};
use bcs_common::http::document::Document;
use bcs_common::http::envelope::{NULL, success};
use bcs_common::http::{Body, text};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::ser::PrettyFormatter;
use serde_json::{Value, json};

use super::tke_xml;
use crate::app::App;
use crate::cidr::{self, Entry};
use crate::failure::Failure;

/// Where the calls are.
pub(super) const CIDR: &str = "/clustermanager/v1/tke/cidr/";

/// Answers a call, named by the rest of the path.
pub(super) async fn answer(app: &Arc<App>, call: &str, request: Request<Body>) -> Response<Body> {
    let start = Instant::now();
    // A slash at the end leads to the same call.
    let call = call.strip_suffix('/').unwrap_or(call);
    let handler = match call {
        "add_cidr" => "AddTkeCidr",
        "apply_cidr" => "ApplyTkeCidr",
        "release_cidr" => "ReleaseTkeCidr",
        "list_count" => "ListTkeCidrCount",
        _ => return text(StatusCode::NOT_FOUND, "404: Page Not Found"),
    };
    if request.method() != Method::POST {
        return text(StatusCode::METHOD_NOT_ALLOWED, "405: Method Not Allowed");
    }
    let wants_xml = names_xml(request.headers(), &ACCEPT);
    let fields = read(request).await;
    let outcome = match call {
        "add_cidr" => add(app, &fields).await,
        "apply_cidr" => apply(app, &fields).await,
        "release_cidr" => release(app, &fields).await,
        _ => counts(app, wants_xml).await,
    };
    let response = outcome.unwrap_or_else(|failure| refusal(&failure));
    app.metrics.answered(handler, "http", response.status().as_str(), start.elapsed());
    response
}

/// A body that cannot be read counts as an empty one.
async fn read(request: Request<Body>) -> Document {
    let (parts, body) = request.into_parts();
    if !names_xml(&parts.headers, &CONTENT_TYPE) {
        return Document::read(&parts.headers, body, DEFAULT_LIMIT).await.unwrap_or_default();
    }
    let bytes = body::collect(body, DEFAULT_LIMIT).await.unwrap_or_default();
    let members = tke_xml::read(&bytes).unwrap_or_default();
    Document::parse(Value::Object(members).to_string().as_bytes())
}

fn names_xml(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get(name).is_some_and(|value| value.as_bytes().starts_with(tke_xml::MEDIA_TYPE.as_bytes()))
}

/// A text that must be there.
fn text_of(fields: &Document, name: &str, field: &str) -> Result<String, Failure> {
    match fields.text(name) {
        "" => Err(missing(field)),
        text => Ok(text.to_owned()),
    }
}

fn ip_number(fields: &Document) -> Result<i64, Failure> {
    i64::try_from(fields.uint("ip_number")).ok().filter(|number| *number > 0).ok_or_else(|| missing("IPNumber"))
}

fn missing(field: &str) -> Failure {
    Failure::invalid(format!("errcode: 1405401, field '{field}' is required"))
}

async fn add(app: &Arc<App>, fields: &Document) -> Result<Response<Body>, Failure> {
    let vpc = text_of(fields, "vpc", "Vpc")?;
    let entries = fields.list("tke_cidrs").ok_or_else(|| missing("TkeCidrs"))?;
    let entries = entries.iter().map(|entry| {
        let status = entry.text("status").to_owned();
        Ok(Entry { cidr: text_of(entry, "cidr", "Cidr")?, ip_number: ip_number(entry)?, status })
    });
    cidr::add(app, &vpc, entries.collect::<Result<_, Failure>>()?).await?;
    Ok(success(NULL))
}

async fn apply(app: &Arc<App>, fields: &Document) -> Result<Response<Body>, Failure> {
    let (vpc, cluster) = (text_of(fields, "vpc", "Vpc")?, text_of(fields, "cluster", "Cluster")?);
    let applied = cidr::apply(app, vpc.clone(), cluster, ip_number(fields)?).await?;
    let data = Applied { vpc: &vpc, cidr: &applied.cidr, ip_number: applied.ip_number, status: "used" };
    Ok(success(serde_json::to_string(&data).unwrap_or_default().as_bytes()))
}

async fn release(app: &Arc<App>, fields: &Document) -> Result<Response<Body>, Failure> {
    let (vpc, cidr) = (text_of(fields, "vpc", "Vpc")?, text_of(fields, "cidr", "Cidr")?);
    text_of(fields, "cluster", "Cluster")?;
    cidr::release(app, vpc, cidr).await?;
    Ok(success(NULL))
}

async fn counts(app: &Arc<App>, as_xml: bool) -> Result<Response<Body>, Failure> {
    let counts = cidr::counts(app).await?;
    if as_xml {
        let mut response = Response::new(Body::from(tke_xml::list(&counts)));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(tke_xml::MEDIA_TYPE));
        return Ok(response);
    }
    let counts: Vec<Value> = counts
        .iter()
        .map(|it| json!({"vpc": it.vpc, "ip_number": it.ip_number, "count": it.count, "status": it.status}))
        .collect();
    let body = if counts.is_empty() { Value::Null } else { Value::Array(counts) };
    Ok(indented(StatusCode::OK, &body))
}

#[derive(Serialize)]
struct Applied<'a> {
    vpc: &'a str,
    cidr: &'a str,
    ip_number: i64,
    status: &'a str,
}

#[derive(Serialize)]
struct Refusal<'a> {
    result: bool,
    code: u64,
    message: &'a str,
    data: Option<()>,
}

fn refusal(failure: &Failure) -> Response<Body> {
    let body = Refusal { result: false, code: failure.code, message: &failure.message, data: None };
    indented(StatusCode::BAD_REQUEST, &body)
}

/// JSON indented by one blank.
fn indented(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let mut out = Vec::new();
    let formatter = PrettyFormatter::with_indent(b" ");
    // Maps with text keys and plain values always serialise.
    let _ = body.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter));
    let mut response = Response::new(Body::from(out));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

//! The pool of TKE CIDRs over HTTP (cluster-manager.md 9): JSON with conventions of its own, and XML.

use std::sync::Arc;
use std::time::Instant;

use bcs_common::http::body::{self, DEFAULT_LIMIT};
use bcs_common::http::envelope::{NULL, success};
use bcs_common::http::{Body, text};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use serde::Serialize;
use serde_json::ser::PrettyFormatter;
use serde_json::{Map, Value, json};

use super::tke_xml;
use crate::app::App;
use crate::cidr::{self, Entry};
use crate::failure::Failure;

/// Where the calls are.
pub(super) const CIDR: &str = "/clustermanager/v1/tke/cidr/";

/// Answers a call, named by the rest of the path.
pub(super) async fn answer(app: &Arc<App>, call: &str, request: Request<Body>) -> Response<Body> {
    let start = Instant::now();
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
    let fields = Fields(read(request).await);
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
async fn read(request: Request<Body>) -> Map<String, Value> {
    let is_xml = names_xml(request.headers(), &CONTENT_TYPE);
    let bytes = body::collect(request.into_body(), DEFAULT_LIMIT).await.unwrap_or_default();
    match is_xml {
        true => tke_xml::read(&bytes).unwrap_or_default(),
        false => serde_json::from_slice(&bytes).unwrap_or_default(),
    }
}

fn names_xml(headers: &HeaderMap, name: &HeaderName) -> bool {
    headers.get(name).is_some_and(|value| value.as_bytes().starts_with(tke_xml::MEDIA_TYPE.as_bytes()))
}

/// The members of a request; those of a wrong type are missing.
struct Fields(Map<String, Value>);

impl Fields {
    fn get(&self, name: &str) -> Option<&Value> {
        let any_case = || self.0.iter().find(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value);
        self.0.get(name).or_else(any_case)
    }

    fn text(&self, name: &str, field: &str) -> Result<String, Failure> {
        let text = self.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(|| missing(field))
    }

    fn ip_number(&self) -> Result<i64, Failure> {
        let number = self.get("ip_number").and_then(Value::as_i64).filter(|number| *number > 0);
        number.ok_or_else(|| missing("IPNumber"))
    }
}

fn missing(field: &str) -> Failure {
    Failure::invalid(format!("errcode: 1405401, field '{field}' is required"))
}

async fn add(app: &Arc<App>, fields: &Fields) -> Result<Response<Body>, Failure> {
    let vpc = fields.text("vpc", "Vpc")?;
    let entries = fields.get("tke_cidrs").and_then(Value::as_array).ok_or_else(|| missing("TkeCidrs"))?;
    let entries = entries.iter().map(|entry| {
        let fields = Fields(entry.as_object().cloned().unwrap_or_default());
        let status = fields.get("status").and_then(Value::as_str).unwrap_or_default().to_owned();
        Ok(Entry { cidr: fields.text("cidr", "Cidr")?, ip_number: fields.ip_number()?, status })
    });
    cidr::add(app, &vpc, entries.collect::<Result<_, Failure>>()?).await?;
    Ok(success(NULL))
}

async fn apply(app: &Arc<App>, fields: &Fields) -> Result<Response<Body>, Failure> {
    let (vpc, cluster) = (fields.text("vpc", "Vpc")?, fields.text("cluster", "Cluster")?);
    let applied = cidr::apply(app, vpc.clone(), cluster, fields.ip_number()?).await?;
    let data = Applied { vpc: &vpc, cidr: &applied.cidr, ip_number: applied.ip_number, status: "used" };
    Ok(success(serde_json::to_string(&data).unwrap_or_default().as_bytes()))
}

async fn release(app: &Arc<App>, fields: &Fields) -> Result<Response<Body>, Failure> {
    let (vpc, cidr) = (fields.text("vpc", "Vpc")?, fields.text("cidr", "Cidr")?);
    fields.text("cluster", "Cluster")?;
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

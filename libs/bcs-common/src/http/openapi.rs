//! A description of a service's routes in the format of OpenAPI 3.0, made from the router's own list so that it cannot
//! tell anything else.

use http::Method;
use serde_json::{Map, Value, json};

use super::router::Router;
use crate::version;

/// The document as JSON text. Paths and methods are those of the router, parameters those of the templates; bodies and
/// answers are JSON whose members the specification of the service explains.
pub fn document<S: Clone + Send + Sync + 'static>(title: &str, router: &Router<S>) -> String {
    of_routes(title, router.routes())
}

/// The same for a service that has more than one router.
pub fn of_routes<'m, 't>(title: &str, routes: impl Iterator<Item = (&'m Method, &'t str)>) -> String {
    let mut paths = Map::new();
    for (method, template) in routes {
        let (path, parameters) = path_of(template);
        let item = paths.entry(path).or_insert_with(|| match parameters.is_empty() {
            true => json!({}),
            false => json!({ "parameters": parameters }),
        });
        if let Value::Object(item) = item {
            item.insert(method.as_str().to_ascii_lowercase(), operation(method, template));
        }
    }
    json!({
        "openapi": "3.0.3",
        "info": { "title": title, "version": version::VERSION },
        "paths": paths,
    })
    .to_string()
}

/// The path without the mark of a parameter that takes the rest of the path, and its parameters.
fn path_of(template: &str) -> (String, Vec<Value>) {
    let mut parameters = Vec::new();
    let segments = template.split('/').map(|segment| {
        let Some(name) = segment.strip_prefix('{').and_then(|segment| segment.strip_suffix('}')) else {
            return segment.to_owned();
        };
        let (name, rest) = name.strip_suffix(":*").map_or((name, false), |name| (name, true));
        let mut parameter = Map::from_iter([member("name", name), member("in", "path"), member("required", true)]);
        parameter.extend([member("schema", json!({ "type": "string" }))]);
        if rest {
            parameter.extend([member("description", "The rest of the path, with its slashes.")]);
        }
        parameters.push(parameter.into());
        format!("{{{name}}}")
    });
    let path = segments.collect::<Vec<_>>().join("/");
    (path, parameters)
}

fn operation(method: &Method, template: &str) -> Value {
    let answer = json!({ "200": { "description": "Done", "content": { "application/json": {} } } });
    let mut operation = Map::from_iter([member("tags", json!([tag(template)])), member("responses", answer)]);
    // GET and DELETE read a body on some routes; OpenAPI knows none there.
    if method == Method::PUT || method == Method::POST || method == Method::PATCH {
        operation.extend([member("requestBody", json!({ "content": { "application/json": {} } }))]);
    }
    operation.into()
}

fn member(name: &str, value: impl Into<Value>) -> (String, Value) {
    (name.to_owned(), value.into())
}

/// What a route is about: the first fixed segment behind the version, or else the first one.
fn tag(template: &str) -> &str {
    let fixed = || template.split('/').filter(|segment| !segment.is_empty() && !segment.starts_with('{'));
    let is_version = |segment: &&str| {
        segment.strip_prefix('v').is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
    };
    fixed().skip_while(|segment| !is_version(segment)).nth(1).or_else(|| fixed().next()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::http::{Body, text};

    async fn nothing(_: (), _: crate::http::router::Call) -> http::Response<Body> {
        text(http::StatusCode::OK, "")
    }

    fn router() -> Router<()> {
        Router::new("/x/v1")
            .route(Method::GET, "/events/{id}", nothing)
            .route(Method::PUT, "/events/{id}", nothing)
            .route(Method::GET, "/events", nothing)
            .merge(Router::new("/proxy").route(Method::POST, "/{cluster}/{uri:*}", nothing))
    }

    #[test]
    fn every_route_is_there_and_nothing_else() {
        let document: Value = serde_json::from_str(&document("bcs-x", &router())).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let listed: BTreeSet<_> = paths
            .iter()
            .flat_map(|(path, item)| item.as_object().unwrap().keys().map(move |method| format!("{method} {path}")))
            .filter(|entry| !entry.starts_with("parameters "))
            .collect();
        let wanted =
            ["get /x/v1/events", "get /x/v1/events/{id}", "post /proxy/{cluster}/{uri}", "put /x/v1/events/{id}"];
        assert_eq!(listed, wanted.map(str::to_owned).into());
        assert_eq!(document["info"]["title"], "bcs-x");
    }

    #[test]
    fn parameters_bodies_and_tags() {
        let document: Value = serde_json::from_str(&document("bcs-x", &router())).unwrap();
        let event = &document["paths"]["/x/v1/events/{id}"];
        assert_eq!(event["parameters"][0]["name"], "id");
        assert_eq!(event["get"]["tags"], json!(["events"]));
        assert!(event["get"].get("requestBody").is_none() && event["put"].get("requestBody").is_some());
        let proxy = &document["paths"]["/proxy/{cluster}/{uri}"];
        assert_eq!(proxy["parameters"][1]["description"], "The rest of the path, with its slashes.");
        assert_eq!(proxy["post"]["tags"], json!(["proxy"]));
        assert!(document["paths"]["/x/v1/events"].get("parameters").is_none());
    }
}

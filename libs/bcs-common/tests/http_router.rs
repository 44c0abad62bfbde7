//! The router against the recorded answers of the original, and against a naive reading of its rules.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)] // a failed test is a failed test

use std::sync::{Arc, Mutex};

use bcs_common::http::body::collect;
use bcs_common::http::router::{Call, Observer, Router, RouterService, Served};
use bcs_common::http::{Body, text};
use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use proptest::prelude::*;
use tower::ServiceExt;

/// Answers with the template and the parameters.
async fn echo(_: (), call: Call) -> Response<Body> {
    let params: Vec<String> = call.params.iter().map(|(name, value)| format!("{name}={value}")).collect();
    text(StatusCode::OK, format!("{} {} {}", call.parts.method, call.template, params.join(",")))
}

fn router(mount: &'static str, routes: &[(Method, &'static str)]) -> Router<()> {
    routes.iter().fold(Router::new(mount), |router, (method, template)| router.route(method.clone(), template, echo))
}

fn storage() -> RouterService<()> {
    router(
        "/bcsstorage/v1",
        &[
            (Method::PUT, "/events"),
            (Method::GET, "/events"),
            (Method::POST, "/dynamic/watch/{clusterId}/{type}"),
            (Method::POST, "/dynamic/watch/containers/{clusterId}"),
            (Method::GET, "/a/b"),
            (Method::POST, "/a/{x}"),
            (Method::GET, "/proxy/{uri:*}"),
            (Method::GET, "/proxy/{uri:*}/never"),
        ],
    )
    .redirect_page()
    .into_service(())
}

struct Answer {
    status: u16,
    body: String,
    headers: http::HeaderMap,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().unwrap()).unwrap_or_default()
    }
}

async fn send(service: &RouterService<()>, request: Request<Body>) -> Answer {
    let (parts, body) = service.clone().oneshot(request).await.unwrap().into_parts();
    let body = String::from_utf8(collect(body, 1 << 20).await.unwrap().to_vec()).unwrap();
    Answer { status: parts.status.as_u16(), body, headers: parts.headers }
}

async fn ask(method: &str, target: &str) -> Answer {
    send(&storage(), Request::builder().method(method).uri(target).body(Body::empty()).unwrap()).await
}

async fn expect(method: &str, target: &str, status: u16, body: &str) {
    let answer = ask(method, target).await;
    assert_eq!((answer.status, answer.body.as_str()), (status, body), "{method} {target}");
}

#[tokio::test]
async fn unknown_paths_differ_inside_and_outside() {
    for target in ["/", "/healthz", "/bcsstorage", "/bcsstorage/v12", "/bcsstorage/v"] {
        expect("GET", target, 404, "404 page not found\n").await;
    }
    for target in ["/bcsstorage/v1", "/bcsstorage/v1/", "/bcsstorage/v1/nope", "/bcsstorage/v1/events/x"] {
        expect("GET", target, 404, "404: Page Not Found").await;
    }
    let outside = ask("GET", "/").await;
    assert_eq!(outside.header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(outside.header("x-content-type-options"), "nosniff");
    assert_eq!(ask("GET", "/bcsstorage/v1").await.header("content-type"), "text/plain; charset=utf-8");
}

#[tokio::test]
async fn other_methods_are_told_in_the_order_of_the_routes() {
    let answer = ask("DELETE", "/bcsstorage/v1/events").await;
    assert_eq!((answer.status, answer.body.as_str()), (405, "405: Method Not Allowed"));
    assert_eq!(answer.header("allow"), "PUT, GET");
    for method in ["HEAD", "OPTIONS", "PATCH", "FOO"] {
        assert_eq!(ask(method, "/bcsstorage/v1/events").await.status, 405, "{method}");
    }
    assert_eq!(ask("DELETE", "/bcsstorage/v1/a/b").await.header("allow"), "GET, POST");
}

#[tokio::test]
async fn the_more_static_route_wins_unless_its_method_is_another() {
    expect(
        "POST",
        "/bcsstorage/v1/dynamic/watch/containers/c",
        200,
        "POST /bcsstorage/v1/dynamic/watch/containers/{clusterId} clusterId=c",
    )
    .await;
    expect(
        "POST",
        "/bcsstorage/v1/dynamic/watch/c/t",
        200,
        "POST /bcsstorage/v1/dynamic/watch/{clusterId}/{type} clusterId=c,type=t",
    )
    .await;
    expect("GET", "/bcsstorage/v1/a/b", 200, "GET /bcsstorage/v1/a/b ").await;
    expect("POST", "/bcsstorage/v1/a/b", 200, "POST /bcsstorage/v1/a/{x} x=b").await;
}

#[tokio::test]
async fn slashes_and_escapes() {
    expect("GET", "/bcsstorage/v1/events/", 200, "GET /bcsstorage/v1/events ").await;
    expect("GET", "/bcsstorage%2Fv1%2fevents?x=1", 200, "GET /bcsstorage/v1/events ").await;
    expect("POST", "/bcsstorage/v1/a/a%20b%2Bc+%E4%B8%AD", 200, "POST /bcsstorage/v1/a/{x} x=a b+c+中").await;
    expect("POST", "/bcsstorage/v1/a/%ff", 200, "POST /bcsstorage/v1/a/{x} x=\u{fffd}").await;
    expect("GET", "/bcsstorage/v1/proxy/x/y%20z/", 200, "GET /bcsstorage/v1/proxy/{uri:*} uri=x/y z").await;
    expect("GET", "/bcsstorage/v1/proxy/", 404, "404: Page Not Found").await;
    for target in ["/bcsstorage/v1/a/%zz", "/%", "/bcsstorage/v1/a/%4"] {
        let answer = ask("GET", target).await;
        assert_eq!((answer.status, answer.body.as_str()), (400, "400 Bad Request"), "{target}");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8");
    }
    assert_eq!(ask("OPTIONS", "*").await.status, 400);
}

#[tokio::test]
async fn unclean_paths_are_redirected() {
    let answer = ask("GET", "/bcsstorage/v1//events").await;
    assert_eq!(answer.status, 301);
    assert_eq!(answer.body, "<a href=\"/bcsstorage/v1/events\">Moved Permanently</a>.\n\n");
    assert_eq!(answer.header("location"), "/bcsstorage/v1/events");
    assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");

    let answer = ask("GET", "/x/../bcsstorage/./v1/a%20b/?a=1&b=%3C").await;
    assert_eq!(answer.header("location"), "/bcsstorage/v1/a%20b/?a=1&b=%3C");
    assert!(answer.body.contains("a=1&amp;b="), "{}", answer.body);

    let answer = ask("PUT", "/bcsstorage/v1/a/..%2fevents").await;
    assert_eq!((answer.status, answer.body.as_str()), (301, ""));
    assert_eq!(answer.header("location"), "/bcsstorage/v1/events");
    assert_eq!(answer.header("content-type"), "");
}

fn api() -> RouterService<()> {
    const ALL: &[&str] = &["application/json", "application/xml", "application/octet-stream"];
    router("/bcsapi/v4/storage", &[(Method::POST, "/{uri:*}"), (Method::PUT, "/{uri:*}"), (Method::GET, "/{uri:*}")])
        .produces(ALL)
        .inside("/bcsapi/")
        .merge(router("/bcsapi", &[(Method::GET, "/{uri:*}")]))
        .merge(router("/rest", &[(Method::GET, "/users/{id}")]).produces(&["application/json"]))
        .into_service(())
}

async fn ask_api(target: &str, accept: Option<&str>) -> Answer {
    let mut request = Request::builder().uri(target);
    if let Some(accept) = accept {
        request = request.header("accept", accept);
    }
    send(&api(), request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn several_mounts_the_longest_first() {
    assert_eq!(ask_api("/bcsapi/v4/storage/x", None).await.body, "GET /bcsapi/v4/storage/{uri:*} uri=x");
    assert_eq!(ask_api("/bcsapi/v4/storage", None).await.body, "404: Page Not Found");
    assert_eq!(ask_api("/bcsapi/v4/other", None).await.body, "GET /bcsapi/{uri:*} uri=v4/other");
    assert_eq!(ask_api("/rest/users/u", None).await.body, "GET /rest/users/{id} id=u");
    assert_eq!(ask_api("/rest/nope", None).await.body, "404: Page Not Found");
    assert_eq!(ask_api("/tunnels", None).await.body, "404 page not found\n");
    let redirect = ask_api("/bcsapi//v4/storage/x?a=1&b=2", None).await;
    assert_eq!((redirect.status, redirect.body.as_str()), (301, ""));
    assert_eq!(redirect.header("location"), "/bcsapi/v4/storage/x?a=1&b=2");
}

#[tokio::test]
async fn a_prefix_with_a_slash_leaves_out_the_path_without() {
    let service = router("/usermanager/v1", &[(Method::GET, "/users")]).inside("/usermanager/").into_service(());
    let status = async |target: &str| send(&service, Request::get(target).body(Body::empty()).unwrap()).await.body;
    assert_eq!(status("/usermanager").await, "404 page not found\n");
    assert_eq!(status("/usermanager/").await, "404: Page Not Found");
    assert_eq!(status("/usermanager/v2").await, "404: Page Not Found");
    assert_eq!(status("/usermanager/v1/users").await, "GET /usermanager/v1/users ");
}

#[tokio::test]
async fn accept_is_checked_where_asked() {
    for accept in [None, Some(""), Some("*/*"), Some("text/html, application/xml;q=0.1"), Some("application/json")] {
        assert_eq!(ask_api("/bcsapi/v4/storage/x", accept).await.status, 200, "{accept:?}");
    }
    for accept in ["text/html", "application/*", "Application/JSON", "application/jsonx"] {
        let answer = ask_api("/bcsapi/v4/storage/x", Some(accept)).await;
        let text = "406: Not Acceptable\n\nAvailable representations: application/json, application/xml, application/octet-stream";
        assert_eq!((answer.status, answer.body.as_str()), (406, text), "{accept}");
    }
    let answer = ask_api("/rest/users/u", Some("text/html")).await;
    assert_eq!(answer.body, "406: Not Acceptable\n\nAvailable representations: application/json");
    assert_eq!(ask_api("/bcsapi/other", Some("text/html")).await.status, 200);
    assert_eq!(ask_api("/rest/nope", Some("text/html")).await.status, 404);
}

#[test]
fn routes_are_listed_as_added() {
    let router = router("/m", &[(Method::PUT, "/b"), (Method::GET, "/a/{x}")]).merge(Router::new("/n"));
    let routes: Vec<(String, &str)> =
        router.routes().map(|(method, template)| (method.to_string(), template)).collect();
    assert_eq!(routes, [("PUT".to_owned(), "/m/b"), ("GET".to_owned(), "/m/a/{x}")]);
}

#[derive(Default)]
struct Log(Mutex<Vec<String>>);

impl Observer for Log {
    fn started(&self, method: &Method, template: &'static str) {
        self.0.lock().unwrap().push(format!("start {method} {template}"));
    }

    fn finished(&self, served: &Served<'_>) {
        let status = served.status.map_or(0, |status| status.as_u16());
        self.0.lock().unwrap().push(format!("end {} {status} {}", served.template, served.response_bytes));
    }
}

#[tokio::test]
async fn matched_requests_are_observed_to_their_end() {
    let log = Arc::new(Log::default());
    let service = Router::new("/m")
        .route(Method::GET, "/text", |(), _| async { text(StatusCode::CREATED, "four") })
        .route(Method::GET, "/stream", |(), _| async {
            let frames = ["12", "345"].map(|piece| Ok::<_, std::io::Error>(Frame::data(Bytes::from(piece))));
            Response::new(Body::new(StreamBody::new(futures::stream::iter(frames))))
        })
        .route(Method::GET, "/never", |(), _| std::future::pending())
        .observe(Arc::<Log>::clone(&log))
        .into_service(());
    let logged = || std::mem::take(&mut *log.0.lock().unwrap());
    let get = |target: &str| service.clone().oneshot(Request::get(target).body(Body::empty()).unwrap());

    get("/m/nope").await.unwrap();
    assert!(logged().is_empty());
    get("/m/text").await.unwrap();
    assert_eq!(logged(), ["start GET /m/text", "end /m/text 201 4"]);
    let response = get("/m/stream").await.unwrap();
    assert_eq!(logged(), ["start GET /m/stream"], "the stream goes on");
    assert_eq!(collect(response.into_body(), 9).await.unwrap(), "12345");
    assert_eq!(logged(), ["end /m/stream 200 5"]);
    let mut gone = Box::pin(get("/m/never"));
    assert!(futures::poll!(&mut gone).is_pending());
    drop(gone);
    assert_eq!(logged(), ["start GET /m/never", "end /m/never 0 0"]);
}

/// The rules, read literally from the description of go-restful's curly router, without any preparation.
mod naive {
    pub fn decode(path: &str) -> Option<String> {
        let bytes = path.as_bytes();
        let mut out = Vec::new();
        let mut i = 0;
        while i < bytes.len() {
            if bytes[i] == b'%' {
                let digits = path.get(i + 1..i + 3).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
                out.push(u8::from_str_radix(digits, 16).unwrap());
                i += 3;
            } else {
                out.push(bytes[i]);
                i += 1;
            }
        }
        Some(String::from_utf8_lossy(&out).into_owned())
    }

    /// The text that `echo` answers, or the status.
    pub fn route(routes: &[(http::Method, &'static str)], method: &http::Method, path: &str) -> Result<String, u16> {
        let path = decode(path).ok_or(400u16)?;
        if path.contains("//") || path.split('/').any(|part| part == "." || part == "..") {
            return Err(301);
        }
        if path != "/m" && !path.starts_with("/m/") {
            return Err(404);
        }
        let given: Vec<&str> = path.trim_matches('/').split('/').collect();
        let mut matching: Vec<(usize, usize, String, &http::Method, Vec<String>)> = Vec::new();
        for (method, template) in routes {
            let full = format!("/m{template}");
            let tokens: Vec<&str> = full.trim_matches('/').split('/').collect();
            let (mut statics, mut params, mut values, mut rest) = (0, 0, Vec::new(), given.as_slice());
            let fits = tokens.iter().all(|token| {
                let Some(first) = rest.first() else {
                    return false;
                };
                match token.strip_prefix('{') {
                    None => statics += 1,
                    Some(_) => params += 1,
                }
                if let Some(name) = token.strip_suffix(":*}") {
                    values.push(format!("{}={}", &name[1..], rest.join("/")));
                    rest = &[];
                    return true;
                }
                rest = &rest[1..];
                if token.starts_with('{') {
                    values.push(format!("{}={first}", &token[1..token.len() - 1]));
                    return true;
                }
                token == first
            });
            if fits && rest.is_empty() {
                matching.push((statics, params, full, method, values));
            }
        }
        matching.sort_by(|a, b| (b.0, b.1, &b.2).cmp(&(a.0, a.1, &a.2)));
        match matching.iter().find(|route| route.3 == method) {
            Some(route) => Ok(format!("{method} {} {}", route.2, route.4.join(","))),
            None => Err(if matching.is_empty() { 404 } else { 405 }),
        }
    }
}

const METHODS: [Method; 3] = [Method::GET, Method::PUT, Method::POST];
const TEMPLATES: [&str; 14] = [
    "",
    "/a",
    "/b",
    "/{x}",
    "/a/b",
    "/a/{x}",
    "/{x}/b",
    "/{x}/{y}",
    "/a/{x}/b",
    "/a/b/{x}",
    "/{x:*}",
    "/a/{x:*}",
    "/{x}/a/{y:*}",
    "/a/{x}/{y:*}",
];

fn block_on<F: Future>(future: F) -> F::Output {
    futures::executor::block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn agrees_with_the_naive_router(
        routes in proptest::collection::vec((0..METHODS.len(), 0..TEMPLATES.len()), 0..12),
        method in 0..METHODS.len(),
        path in prop_oneof![4 => "/m(/[abc]){0,5}/?", 2 => "/m(/(a|b|%2F|%41|\\.|\\.\\.|a%20|%ff|%z)){0,5}/?", 1 => "/[mab/.%2F]{0,8}"],
    ) {
        let routes: Vec<(Method, &'static str)> = routes.iter().map(|(m, t)| (METHODS[*m].clone(), TEMPLATES[*t])).collect();
        let service = router("/m", &routes).into_service(());
        let request = Request::builder().method(METHODS[method].clone()).uri(path.as_str()).body(Body::empty()).unwrap();
        let answer = block_on(send(&service, request));
        let got = if answer.status == 200 { Ok(answer.body) } else { Err(answer.status) };
        prop_assert_eq!(got, naive::route(&routes, &METHODS[method], &path), "{} of {:?}", path, routes);
    }

    #[test]
    fn never_panics(target in "/[ -~]{0,40}") {
        if let Ok(request) = Request::builder().uri(target.as_str()).body(Body::empty()) {
            let answer = block_on(send(&storage(), request));
            prop_assert!([200, 301, 400, 404, 405].contains(&answer.status));
        }
    }
}

#[tokio::test]
async fn bodies_must_have_a_consumed_media_type() {
    const JSON: &[&str] = &["application/json"];
    let service = router("/rest", &[(Method::POST, "/users"), (Method::GET, "/users")]).consumes(JSON).produces(JSON);
    let service = service.into_service(());
    let status = async |method: &str, content_type: &str, body: &'static str| {
        let mut request = Request::builder().method(method).uri("/rest/users");
        if !content_type.is_empty() {
            request = request.header("content-type", content_type);
        }
        let answer = send(&service, request.body(Body::from(body)).unwrap()).await;
        (answer.status, answer.body)
    };
    let unsupported = (415, "415: Unsupported Media Type".to_owned());
    for content_type in ["", "text/plain", "application/jsonx", "text/plain, text/html"] {
        assert_eq!(status("POST", content_type, "{}").await, unsupported, "{content_type}");
    }
    for content_type in ["application/json", "application/json; charset=utf-8", "text/plain, application/json"] {
        assert_eq!(status("POST", content_type, "{}").await.0, 200, "{content_type}");
    }
    for method in ["POST", "GET"] {
        assert_eq!(status(method, "", "").await.0, 200);
        let none = "406: Not Acceptable\n\nAvailable representations: ".to_owned();
        assert_eq!(status(method, "text/plain", "").await, (406, none));
    }
    // A reader needs no type for its body, but one that is not taken is refused.
    assert_eq!(status("GET", "", "{}").await.0, 200);
    assert_eq!(status("GET", "text/plain", "{}").await, unsupported);
    // The route is found first.
    assert_eq!(status("PUT", "text/plain", "{}").await.0, 405);
}

//! Whatever is sent to bcs-storage is answered, and nothing of it harms anybody else.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests: a panic is a failed test"
)]

use std::time::{Duration, Instant};

use bcs_integration_tests::http::{Client, Error, Response};
use bcs_integration_tests::service::Service;
use bcs_integration_tests::storage::{metrics, pod, storage};
use bcs_integration_tests::wait::LOAD;
use bytes::Bytes;
use futures::future::join_all;
use http::{Method, Request};
use http_body_util::Full;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What the most impatient client waits, far more than any request here takes.
const PATIENCE: Duration = Duration::from_secs(2).saturating_add(LOAD);

async fn start() -> Service {
    storage(&json!({})).start().await
}

/// The service and its metrics answer, and nothing panicked.
async fn assert_healthy(service: &mut Service) {
    let good = timeout(PATIENCE, service.client().get("/bcsstorage/v1/events?length=1")).await.unwrap();
    assert_eq!(good.unwrap().json()["code"], 0);
    assert_eq!(metrics(service).get("/metrics").await.unwrap().status, 200);
    let [_, log] = service.daemon().process().output();
    assert!(!log.contains("panicked"), "{log}");
}

/// What Go's decoder replaces is stored as the replacement character, and numbers in texts stay as they are written.
#[tokio::test]
async fn what_is_no_text_becomes_the_replacement_character() {
    let service = start().await;
    let client = service.client();
    let put = async |path: &str, body: &[u8]| {
        let request = Request::put(path).body(Full::new(Bytes::copy_from_slice(body))).unwrap();
        assert_eq!(client.request(request).await.unwrap().json()["code"], 0, "{}", String::from_utf8_lossy(body));
    };
    put(&pod("c", "p"), b"{\"data\":{\"s\":\"a\xff\xe4\xb8\"}}").await;
    let stored = client.get(&pod("c", "p")).await.unwrap().json();
    assert_eq!(stored["data"]["data"]["s"], "a\u{fffd}\u{fffd}\u{fffd}");
    let version = "/bcsstorage/v1/cluster_config/versions/s";
    put(version, br#"{"version":1.20}"#).await;
    assert_eq!(client.get(version).await.unwrap().json()["data"], "1.20");
}

mod sweep {
    use super::*;

    /// Requests under way at a time.
    const AT_ONCE: usize = 16;

    /// A route with its path for ordinary parameters.
    struct Route {
        method: Method,
        template: &'static str,
    }

    /// All routes; that the list is complete is a test of the service.
    fn routes() -> Vec<Route> {
        let list = include_str!("../../services/bcs-storage/src/routes/routes.txt");
        let of_line = |line: &'static str| {
            let (methods, template) = line.split_once(' ').unwrap();
            methods.split(',').map(move |method| Route { method: method.parse().unwrap(), template })
        };
        list.lines().flat_map(of_line).collect()
    }

    impl Route {
        /// The path with a value for each parameter.
        fn path(&self, value: &str) -> String {
            let parts = self.template.split('/').map(|part| if part.starts_with('{') { value } else { part });
            parts.collect::<Vec<_>>().join("/")
        }

        fn is_watch(&self) -> bool {
            let t = self.template;
            t.contains("/dynamic/watch/") || t.contains("/metric/watch/") || t.ends_with("/events/watch")
        }

        fn is_node(&self) -> bool {
            self.template.contains("/k8s/watch/") || self.template.contains("/mesos/watch/")
        }

        fn is_query(&self) -> bool {
            self.template.contains("/query/")
        }

        /// Whether a body that is no JSON must be refused.
        fn reads_body(&self) -> bool {
            let many = self.template.ends_with("{resourceType}") && self.template.contains("/dynamic/");
            match self.method {
                Method::PUT | Method::POST => !self.is_watch(),
                Method::DELETE => many && !self.template.contains("customresources"),
                _ => false,
            }
        }

        /// The code for a body that cannot be read (storage.md 13).
        fn body_code(&self) -> u64 {
            match self.method {
                _ if self.is_query() => 1_405_085,
                _ if self.template.contains("/index/") => 1_405_084,
                Method::DELETE => 1_405_084,
                _ if self.is_node() => 1_405_080,
                _ => 1_405_082,
            }
        }

        /// Whether `limit`, `offset` and `labelSelector` are checked: dynamic resources and custom ones.
        fn reads_selection(&self) -> bool {
            self.method == Method::GET
                && self.template.contains("/dynamic/")
                && !self.is_query()
                && !self.is_watch()
                && !self.is_node()
        }

        /// The code for a query that cannot be read.
        fn query_code(&self) -> u64 {
            let list = self.template.ends_with("{resourceType}") && !self.template.contains("customresources");
            if list { 1_405_085 } else { 1_405_083 }
        }
    }

    /// Never JSON objects.
    const BAD_BODIES: [&[u8]; 12] = [
        b"{",
        b"[]",
        b"[1,2]",
        b"5",
        b"\"x\"",
        b"true",
        b"nope",
        b"{\"data\":",
        b"{\"data\":{}",
        b"{\"a\":1,}",
        b"\xff\xfe{}",
        b"{\"a\":\"\x01\"}",
    ];

    /// JSON objects that no route was made for; some of them are good for some.
    fn odd_bodies() -> Vec<Vec<u8>> {
        let deep = format!("{{\"data\":{}1{}}}", "[".repeat(5000), "]".repeat(5000));
        let texts = [
            "",
            " ",
            "null",
            "{}",
            r#"{"data":{"a.b":{"$c":[{"$d.e":1}]}}}"#,
            r#"{"data":{"":1,"\u0000":2,"_id":3,"$set":{"x":1}}}"#,
            r#"{"data":99999999999999999999999,"x":1e999,"y":-0.0}"#,
            r#"{"data":"\ud800"}"#,
            r#"{"id":{},"env":[],"clusterId":{"$ne":1},"eventTime":"soon","extraInfo":[1]}"#,
            r#"{"type":7,"receivedTime":1.5,"message":null}"#,
            r#"{"ips":[{}],"ip":[],"version":{},"zkIp":"x"}"#,
            r#"{"updateTimeBegin":"yesterday","updateTimeEnd":-1}"#,
            r#"{"limit":"x","offset":-1,"field":{},"extra":"!","namespace":{"$gt":""}}"#,
            r#"{"maxEvents":-1,"timeout":"x","mustDiff":{},"selfOnly":3}"#,
            r#"{"a":1,"$b":-1,"c.d":"text"}"#,
            r#"{"clusterId":"c","_id":{"$oid":"zz"},"createTime":"x","_isBcsObjectDeleted":"maybe"}"#,
        ];
        texts.iter().map(|text| text.as_bytes().to_vec()).chain([deep.into_bytes()]).collect()
    }

    /// Queries that a route which reads them must refuse.
    const BAD_QUERIES: [&str; 9] = [
        "limit=-1",
        "limit=1.5",
        "limit=x",
        "offset=-5",
        "offset=9223372036854775808",
        "limit=99999999999999999999",
        "labelSelector=a+in+(",
        "labelSelector=a%3D%3D%3Db",
        "labelSelector=)(",
    ];

    /// Queries that are odd, or that only some routes refuse.
    const ODD_QUERIES: [&str; 20] = [
        "foo=",
        "=",
        "&&&==&",
        "%",
        "%zz=%1",
        "$where=1",
        "a.b.$c=1",
        "data.$x=1",
        "_id=zz",
        "field=.,a..b,$c,,",
        "limit=9223372036854775807&offset=9223372036854775807",
        "extra=!!!",
        "extra=e30",
        "extra=eyIkd2hlcmUiOiAxfQ%3D%3D",
        "extra_contain=eyJhIjogWzFdfQ%3D%3D",
        "updateTimeBefore=yesterday",
        "timeBegin=x&timeEnd=-1&length=-1",
        "type=(((&source=%5B",
        "createTimeBegin=x&replicas=x&isInRolling=x&checkTime=1e3",
        "labelSelector=!a,b+notin+(c),d%21%3De,f",
    ];

    const ODD_PARAMETERS: [&str; 10] =
        ["a.b", "$x", "%24cmd", "%2e%2e%2fx", "%00", "%ff%fe", "%F0%9F%92%A5", "system.x", "%20", "%25"];

    struct Try<'a> {
        route: &'a Route,
        target: String,
        body: Vec<u8>,
        /// The code that the answer must have, if only one is right.
        code: Option<u64>,
    }

    fn tries(route: &Route) -> Vec<Try<'_>> {
        let path = route.path("x");
        let one = |target: String, body: &[u8], code| Try { route, target, body: body.to_vec(), code };
        let refused = route.reads_body().then(|| route.body_code());
        let mut all: Vec<_> = BAD_BODIES.iter().map(|body| one(path.clone(), body, refused)).collect();
        all.extend(odd_bodies().iter().map(|body| one(path.clone(), body, None)));
        let refused = route.reads_selection().then(|| route.query_code());
        let good = br#"{"data":{}}"#;
        all.extend(BAD_QUERIES.iter().map(|query| one(format!("{path}?{query}"), good, refused)));
        all.extend(ODD_QUERIES.iter().map(|query| one(format!("{path}?{query}"), good, None)));
        let long = "y".repeat(3000);
        let parameters = ODD_PARAMETERS.iter().copied().chain([long.as_str()]);
        all.extend(parameters.map(|value| one(route.path(value), good, None)));
        all
    }

    fn request(attempt: &Try<'_>) -> Request<Full<Bytes>> {
        let method = attempt.route.method.clone();
        let body = if method == Method::GET { Vec::new() } else { attempt.body.clone() };
        Request::builder().method(method).uri(&attempt.target).body(Full::from(body)).unwrap()
    }

    fn assert_answer(attempt: &Try<'_>, answer: &Response) {
        let what = || {
            let body = String::from_utf8_lossy(&attempt.body[..attempt.body.len().min(200)]).into_owned();
            format!("{} {} {body}: {} {}", attempt.route.method, attempt.target, answer.status, answer.text())
        };
        if matches!(answer.status.as_u16(), 301 | 404 | 405) {
            assert!(attempt.code.is_none() && attempt.target != attempt.route.path("x"), "{}", what());
            return;
        }
        assert_eq!(answer.status, 200, "{}", what());
        let envelope: Value = serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{e}: {}", what()));
        let code = envelope["code"].as_u64().unwrap();
        assert!(code == 0 || (1_405_080..=1_405_087).contains(&code), "{}", what());
        assert_eq!(envelope["result"], code == 0, "{}", what());
        assert!(envelope.get("data").is_some(), "{}", what());
        let message = envelope["message"].as_str().unwrap();
        assert!(if code == 0 { message == "success" } else { message.starts_with("(bcs-storage):") }, "{}", what());
        if let Some(right) = attempt.code {
            assert_eq!(code, right, "{}", what());
        }
    }

    /// A watch is a stream; one that cannot be is broken at once.
    async fn assert_watch(client: &Client, attempt: &Try<'_>) {
        let body = serde_json::from_slice(&attempt.body);
        let Ok(Value::Object(_)) = body else {
            let answer = client.request(request(attempt)).await.unwrap();
            // The watch of containers never read its body.
            let broken = br#"{"type":-1,"value":null}"#;
            assert!(
                answer.body == broken[..] || answer.body.is_empty() || attempt.body == b"null",
                "{}",
                answer.text()
            );
            return;
        };
        let mut stream = client.stream(Method::POST, &attempt.target, Some(&body.unwrap())).await.unwrap();
        match stream.next(Duration::from_millis(1)).await {
            Err(Error::TimedOut) | Ok(None) => {}
            // Or a plain refusal of the router, for a path that is none.
            Err(Error::Json(_)) if stream.status != 200 => {}
            Ok(Some(event)) => assert!(event["type"].is_i64() || stream.status != 200, "{event}"),
            Err(error) => panic!("{} {error:?}", attempt.target),
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_that_is_sent_to_any_route_goes_unanswered() {
        let mut service = start().await;
        let client = service.client();
        for route in &routes() {
            for some in tries(route).chunks(AT_ONCE) {
                let asked = some.iter().map(async |attempt| {
                    // `null` opens a watch that never ends.
                    if route.is_watch() && attempt.body != b"null" {
                        assert_watch(&client, attempt).await;
                    } else if !route.is_watch() {
                        let answer = client.request(request(attempt)).await;
                        let answer = answer.unwrap_or_else(|e| panic!("{} {}: {e:?}", route.method, attempt.target));
                        assert_answer(attempt, &answer);
                    }
                });
                join_all(asked).await;
            }
        }
        assert_healthy(&mut service).await;
        service.stop().await;
    }
}

mod big {
    use super::*;

    const LIMIT: usize = 16 << 20;

    /// A body of exactly this many bytes.
    fn body(bytes: usize) -> Vec<u8> {
        let (head, tail) = (r#"{"data":{"fill":""#, r#""}}"#);
        let mut body = Vec::with_capacity(bytes);
        body.extend_from_slice(head.as_bytes());
        body.resize(bytes - tail.len(), b'x');
        body.extend_from_slice(tail.as_bytes());
        body
    }

    /// Sends a request the way a plain client does: all of it, and only then reads the answer.
    async fn send_whole(service: &Service, method: &str, path: &str, body: &[u8], length: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", service.port("port"))).await.unwrap();
        let head = format!("{method} {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n{length}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        stream.write_all(body).await.unwrap();
        let mut answer = Vec::new();
        timeout(Duration::from_secs(60), stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }

    fn announced(body: &[u8]) -> String {
        format!("Content-Length: {}", body.len())
    }

    #[tokio::test]
    async fn bodies_of_16_mib_are_taken_and_larger_ones_refused() {
        let mut service = start().await;
        let largest = body(LIMIT);
        let path = pod("BCS-BIG", "p");
        let answer = send_whole(&service, "PUT", &path, &largest, &announced(&largest)).await;
        assert!(answer.contains(r#""code":0,"#), "{answer}");
        let stored = service.client().get(&path).await.unwrap().json();
        assert_eq!(stored["data"]["data"]["fill"].as_str().unwrap().len(), LIMIT - 20);

        let events = "/bcsstorage/v1/events".to_owned();
        let index = "/bcsstorage/v1/dynamic/customresources/T/index/i".to_owned();
        let query = "/bcsstorage/v1/query/k8s/dynamic/clusters/c/pod".to_owned();
        let node = "/bcsstorage/v1/k8s/watch/clusters/c/namespaces/ns/t/n".to_owned();
        let many = "/bcsstorage/v1/k8s/dynamic/all_resources/clusters/c/Pod".to_owned();
        let routes = [
            ("PUT", path, 1_405_082),
            ("PUT", events, 1_405_082),
            ("PUT", index, 1_405_084),
            ("POST", query, 1_405_085),
            ("PUT", node, 1_405_080),
            ("DELETE", many, 1_405_084),
        ];
        for bytes in [LIMIT + 1, 4 * LIMIT] {
            let body = body(bytes);
            for (method, path, code) in &routes {
                let answer = send_whole(&service, method, path, &body, &announced(&body)).await;
                assert!(answer.contains(&format!(r#""code":{code},"#)), "{method} {path} {bytes}: {answer}");
            }
        }
        let stored = service.client().get(&pod("BCS-BIG", "p")).await.unwrap();
        assert!(stored.body.len() > LIMIT, "what was refused has changed nothing");
        assert_healthy(&mut service).await;
        service.stop().await;
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_is_bounded_too() {
        let mut service = start().await;
        let mut chunks = Vec::new();
        for _ in 0..20 {
            chunks.extend_from_slice(b"100000\r\n");
            chunks.extend(std::iter::repeat_n(b' ', 1 << 20));
            chunks.extend_from_slice(b"\r\n");
        }
        chunks.extend_from_slice(b"0\r\n\r\n");
        let path = pod("BCS-BIG", "chunked");
        let answer = send_whole(&service, "PUT", &path, &chunks, "Transfer-Encoding: chunked").await;
        assert!(answer.contains(r#""code":1405082,"#), "{answer}");
        assert_healthy(&mut service).await;
        service.stop().await;
    }
}

mod slow {
    use super::*;

    /// Clients of each kind.
    const CLIENTS: usize = 50;

    /// The limits of the server for a head and for the gap between two pieces of a body, and a good margin.
    const HEAD_LIMIT: Duration = Duration::from_secs(10 + 30);
    const BODY_LIMIT: Duration = Duration::from_secs(30 + 30);

    /// Sends something, then adds a byte now and then, and waits for the end; what came back until then.
    async fn until_cut(service: &Service, text: &str, drip: Option<&str>, limit: Duration) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", service.port("port"))).await.unwrap();
        let start = Instant::now();
        stream.write_all(text.as_bytes()).await.unwrap();
        let (mut reads, mut writes) = stream.split();
        let mut answer = Vec::new();
        let end = async {
            // A reset is an end as well.
            let _ = reads.read_to_end(&mut answer).await;
        };
        let dripping = async {
            let mut pace = tokio::time::interval(Duration::from_millis(500));
            while let Some(drip) = drip {
                pace.tick().await;
                if writes.write_all(drip.as_bytes()).await.is_err() {
                    break;
                }
            }
            std::future::pending::<()>().await;
        };
        let cut = async {
            tokio::select! {
                () = end => {}
                () = dripping => {}
            }
        };
        let in_time = timeout(limit, cut).await;
        assert!(in_time.is_ok(), "{text:?} is open after {:?}", start.elapsed());
        String::from_utf8(answer).unwrap()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn slow_requests_are_cut_and_hold_up_nobody() {
        let mut service = start().await;
        let half_head = "PUT /bcsstorage/v1/events HTTP/1.1\r\nHost: h\r\nX-Hea";
        let half_body = "PUT /bcsstorage/v1/events HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\n\r\n{\"id\":";
        let all = (0..CLIENTS).map(async |_| {
            let silent = until_cut(&service, "", None, HEAD_LIMIT);
            let half = until_cut(&service, half_head, None, HEAD_LIMIT);
            let dripping = until_cut(&service, half_head, Some("x"), HEAD_LIMIT);
            let body = until_cut(&service, half_body, None, BODY_LIMIT);
            let (silent, half, dripping, body) = tokio::join!(silent, half, dripping, body);
            assert_eq!([silent, half, dripping], ["", "", ""]);
            assert!(body.contains(r#""code":1405082,"#), "{body:?}");
        });
        let done = async {
            join_all(all).await;
        };
        let client = service.client();
        let good = async {
            let mut pace = tokio::time::interval(Duration::from_millis(50));
            loop {
                pace.tick().await;
                let start = Instant::now();
                let answer = client.put(&pod("BCS-SLOW", "p"), &json!({"data": {}})).await.unwrap().json();
                assert_eq!(answer["code"], 0);
                assert!(start.elapsed() < PATIENCE, "a good request took {:?}", start.elapsed());
            }
        };
        tokio::select! {
            () = done => {}
            () = good => {}
        }
        let events = service.client().get("/bcsstorage/v1/events").await.unwrap().json();
        assert_eq!(events["total"], 0, "half a body was written");
        assert_healthy(&mut service).await;
        service.stop().await;
    }
}

//! Requests whose body is in memory, and their answers: redirects are followed, and of the answer only the body counts
//! (api.md 5.2, 5.4).

use std::time::Duration;

use bcs_common::http::{Body, body, text};
use bytes::{Bytes, BytesMut};
use futures::StreamExt;
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST, LOCATION};
use http::header::{HeaderMap, HeaderName, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::uri::{PathAndQuery, Uri};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use tokio::time::timeout;
use tracing::warn;

use crate::discovery::{Backend, Dialer};

/// As many redirects are followed as by the original.
const MAX_REDIRECTS: usize = 10;
/// An answer up to this size is read before it is passed on, so that one which breaks off is an error and not half an
/// answer; the rest of a longer one is streamed.
const READ_AHEAD: usize = 1 << 20;
/// Headers of one connection, and those that are set anew.
const NOT_FORWARDED: [HeaderName; 11] = [
    ACCEPT_ENCODING,
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    PROXY_AUTHORIZATION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// A request to send, perhaps more than once.
pub(super) struct Outgoing {
    pub method: Method,
    pub target: PathAndQuery,
    pub headers: HeaderMap,
    pub body: Bytes,
    /// How long the head of an answer may take; None: for ever.
    pub head_limit: Option<Duration>,
}

/// No usable answer; the reason has been logged.
#[derive(Debug)]
pub(super) struct Unanswered;

/// The client's headers as they go to a driver, which gets even those that it has no use for. What concerns one connection
/// only would let a client cut requests where it likes, and a packed answer would reach it without the header that
/// says so.
pub(super) fn client_headers(mut headers: HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| HeaderName::try_from(name.trim()).ok())
        .collect();
    for name in named.iter().chain(&NOT_FORWARDED) {
        headers.remove(name);
    }
    headers
}

/// Reads a request body into memory.
pub(super) async fn read_body(body: Body, limit: u64) -> Result<Bytes, body::BodyError> {
    body::collect(body, usize::try_from(limit).unwrap_or(usize::MAX)).await
}

/// Sends a request, follows redirects, and gives the body of the last answer: 200, as text.
///
/// # Errors
/// No answer, or one that broke off early.
pub(super) async fn exchange(
    dialer: &Dialer,
    backend: Backend,
    mut outgoing: Outgoing,
) -> Result<Response<Body>, Unanswered> {
    let mut backend = backend;
    for _ in 0..=MAX_REDIRECTS {
        let answer = send(&backend, &outgoing).await?;
        let Some(location) = redirection(&answer) else { return passed_on(&backend, answer).await };
        if !matches!(answer.status(), StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT) {
            if outgoing.method != Method::HEAD {
                outgoing.method = Method::GET;
            }
            outgoing.body = Bytes::new();
            outgoing.headers.remove(CONTENT_TYPE);
        }
        let (next, target) = resolve(&backend, &outgoing.target, &location).ok_or_else(|| {
            warn!("{backend:?} redirects to something that is no URL");
            Unanswered
        })?;
        outgoing.target = target;
        if let Some(url) = next {
            // To another server: secrets of the client are not for it.
            for name in [AUTHORIZATION, COOKIE] {
                outgoing.headers.remove(name);
            }
            backend = dialer.backend(&url, backend.reach).ok_or(Unanswered)?;
        }
    }
    warn!("{backend:?} redirects for ever");
    Err(Unanswered)
}

async fn send(backend: &Backend, outgoing: &Outgoing) -> Result<Response<Body>, Unanswered> {
    let mut request = Request::new(Body::from(outgoing.body.clone()));
    *request.method_mut() = outgoing.method.clone();
    *request.uri_mut() = Uri::from(outgoing.target.clone());
    *request.headers_mut() = outgoing.headers.clone();
    if let Ok(host) = HeaderValue::try_from(backend.authority()) {
        request.headers_mut().insert(HOST, host);
    }
    let answer = backend.upstream.send(request);
    let answer = match outgoing.head_limit {
        Some(limit) => timeout(limit, answer).await.map_err(|_| {
            warn!("{backend:?} begins no answer within {} s", limit.as_secs());
            Unanswered
        })?,
        None => answer.await,
    };
    answer.map_err(|error| {
        warn!("{backend:?} does not answer: {error}");
        Unanswered
    })
}

/// Where an answer redirects to.
fn redirection(answer: &Response<Body>) -> Option<String> {
    let is_redirect = matches!(answer.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = answer.headers().get(LOCATION).filter(|_| is_redirect)?;
    Some(String::from_utf8_lossy(location.as_bytes()).into_owned())
}

/// The target of a redirect, and its server if that is another one.
fn resolve(backend: &Backend, current: &PathAndQuery, location: &str) -> Option<(Option<String>, PathAndQuery)> {
    let location = location.split('#').next().unwrap_or_default();
    if let Some(authority_on) = location.strip_prefix("//") {
        let scheme = if backend.is_https() { "https" } else { "http" };
        return resolve(backend, current, &format!("{scheme}://{authority_on}"));
    }
    if location.starts_with('/') {
        return Some((None, location.parse().ok()?));
    }
    let is_absolute = location.split_once("://").is_some_and(|(scheme, _)| !scheme.contains(['/', '?']));
    if !is_absolute {
        let directory = current.path().rsplit_once('/').map_or("", |(directory, _)| directory);
        return Some((None, format!("{directory}/{location}").parse().ok()?));
    }
    let uri: Uri = location.parse().ok()?;
    let scheme = uri.scheme_str().filter(|scheme| matches!(*scheme, "http" | "https"))?;
    let url = format!("{scheme}://{}", uri.authority()?);
    let target = uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
    Some(((*backend.url != url).then_some(url), target))
}

/// The body of an answer; status and headers are not passed on.
async fn passed_on(backend: &Backend, answer: Response<Body>) -> Result<Response<Body>, Unanswered> {
    let mut rest = answer.into_body().into_data_stream();
    let mut begin = BytesMut::new();
    let mut first = None;
    while let Some(piece) = rest.next().await {
        let piece = piece.map_err(|error| {
            warn!("the answer of {backend:?} broke off: {error}");
            Unanswered
        })?;
        match (first.take(), begin.is_empty()) {
            // Most answers are one piece: that one is not copied.
            (None, true) => first = Some(piece),
            (earlier, _) => {
                begin.extend_from_slice(&earlier.unwrap_or_default());
                begin.extend_from_slice(&piece);
            }
        }
        if begin.len() > READ_AHEAD {
            let begin = futures::stream::once(std::future::ready(Ok(begin.freeze())));
            return Ok(text(StatusCode::OK, Body::from_stream(begin.chain(rest))));
        }
    }
    Ok(text(StatusCode::OK, first.unwrap_or_else(|| begin.freeze())))
}

#[cfg(test)]
mod tests {
    use bcs_common::shutdown::Shutdown;
    use bcs_common::tls::{self, ClientTls};

    use bcs_tunnel::proxy::HttpProxies;
    use tokio::net::TcpListener;

    use super::*;
    use crate::discovery::Reach;

    fn dialer() -> Dialer {
        tls::install_provider();
        let tls = tls::client_config(&ClientTls::default(), &[]).unwrap();
        Dialer::new(tls, HttpProxies::default(), Shutdown::new())
    }

    #[tokio::test]
    async fn only_who_has_a_limit_is_hurried() {
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let dialer = dialer();
        let backend = dialer.backend(&format!("http://{}", silent.local_addr().unwrap()), Reach::Direct).unwrap();
        let outgoing = |head_limit| Outgoing {
            method: Method::GET,
            target: PathAndQuery::from_static("/"),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            head_limit,
        };
        let hurried = exchange(&dialer, backend.clone(), outgoing(Some(Duration::from_millis(50)))).await;
        assert!(hurried.is_err());
        let patient = timeout(Duration::from_millis(200), exchange(&dialer, backend, outgoing(None))).await;
        assert!(patient.is_err(), "it is still waiting");
    }

    #[tokio::test]
    async fn redirects_are_resolved_as_urls_are() {
        let dialer = dialer();
        let backend = dialer.backend("http://10.0.0.1:80", Reach::Direct).unwrap();
        let current = PathAndQuery::from_static("/a/b?q=1");
        for (location, want) in [
            ("/x?y=1#z", Some((None, "/x?y=1"))),
            ("c", Some((None, "/a/c"))),
            ("http://10.0.0.1:80/x", Some((None, "/x"))),
            ("http://10.0.0.2:80", Some((Some("http://10.0.0.2:80"), "/"))),
            ("//10.0.0.2:80/x", Some((Some("http://10.0.0.2:80"), "/x"))),
            ("https://h/x", Some((Some("https://h"), "/x"))),
            ("ftp://h/x", None),
        ] {
            let resolved = resolve(&backend, &current, location);
            let resolved = resolved.map(|(url, target)| (url, target.to_string()));
            let want = want.map(|(url, target): (Option<&str>, _)| (url.map(str::to_owned), target.to_owned()));
            assert_eq!(resolved, want, "{location}");
        }
    }

    #[test]
    fn headers_of_the_connection_do_not_pass() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "X-Hop, close"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "7"),
            ("accept-encoding", "gzip"),
            ("host", "h"),
            ("authorization", "Bearer x"),
            ("x-forwarded-for", "192.0.2.1"),
        ] {
            headers.insert(HeaderName::from_static(name), value.parse().unwrap());
        }
        let headers = client_headers(headers);
        let mut names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        names.sort_unstable();
        assert_eq!(names, ["authorization", "x-forwarded-for"]);
    }

    fn pieces(pieces: Vec<Result<&'static [u8], std::io::Error>>) -> Response<Body> {
        Response::new(Body::from_stream(futures::stream::iter(pieces)))
    }

    #[tokio::test]
    async fn a_short_answer_is_whole_or_an_error() {
        let dialer = dialer();
        let backend = dialer.backend("http://10.0.0.1:80", Reach::Direct).unwrap();
        let broken = || Err(std::io::Error::other("cut"));
        let whole = passed_on(&backend, pieces(vec![Ok(b"a"), Ok(b"b"), Ok(b"c")])).await.unwrap();
        assert_eq!(body::collect(whole.into_body(), 9).await.unwrap(), "abc");
        let empty = passed_on(&backend, pieces(vec![])).await.unwrap();
        assert_eq!(body::collect(empty.into_body(), 9).await.unwrap(), "");
        assert!(passed_on(&backend, pieces(vec![Ok(b"a"), broken()])).await.is_err());

        static MUCH: [u8; READ_AHEAD] = [0; READ_AHEAD];
        let long = passed_on(&backend, pieces(vec![Ok(b"a"), Ok(&MUCH), Ok(b"c")])).await.unwrap();
        assert_eq!(body::collect(long.into_body(), 9 << 20).await.unwrap().len(), READ_AHEAD + 2);
        let cut = passed_on(&backend, pieces(vec![Ok(b"a"), Ok(&MUCH), broken()])).await.unwrap();
        assert!(body::collect(cut.into_body(), 9 << 20).await.is_err());
    }
}

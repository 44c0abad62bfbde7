//! HTTP proxies between this host and its backends, as the environment names them (Go's `ProxyFromEnvironment`).

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Uri};
use hyper_util::client::proxy::matcher::Matcher;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tracing::warn;

use super::address::Address;
use super::no_proxy::NoProxy;

/// Longest head of an answer to CONNECT, in bytes.
const MAX_HEAD: usize = 16 << 10;

/// Which proxy leads to which backend. Hosts of this machine are reached without one, as in the original.
#[derive(Clone, Default)]
pub struct HttpProxies(Option<Arc<Proxies>>);

struct Proxies {
    matcher: Matcher,
    /// The matcher's own list knows no ports.
    without: NoProxy,
}

impl fmt::Debug for HttpProxies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "HttpProxies(some)" } else { "HttpProxies(none)" })
    }
}

impl PartialEq for HttpProxies {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            (None, None) => true,
            _ => false,
        }
    }
}

impl HttpProxies {
    /// Those of `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`, or the same in lower case.
    pub fn from_env() -> Self {
        let first = |names: [&str; 2]| {
            names.iter().find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty())).unwrap_or_default()
        };
        Self::new(
            &first(["HTTP_PROXY", "http_proxy"]),
            &first(["HTTPS_PROXY", "https_proxy"]),
            &first(["NO_PROXY", "no_proxy"]),
        )
    }

    /// A proxy for `http` and one for `https` backends, either may be empty; `no`: hosts, domains and networks without,
    /// with or without a port.
    pub fn new(http: &str, https: &str, no: &str) -> Self {
        let [http, https] = [("HTTP_PROXY", http), ("HTTPS_PROXY", https)].map(|(name, url)| {
            let is_other = url.split_once("://").is_some_and(|(scheme, _)| !scheme.eq_ignore_ascii_case("http"));
            if is_other {
                warn!("{name} is no http:// proxy, backends are reached without it");
            }
            if is_other { "" } else { url }
        });
        if http.is_empty() && https.is_empty() {
            return Self(None);
        }
        let matcher = Matcher::builder().http(http).https(https).build();
        Self(Some(Arc::new(Proxies { matcher, without: NoProxy::parse(no) })))
    }

    /// The proxy on the way to a backend.
    pub(super) fn to(&self, address: &Address) -> Option<Via> {
        let Proxies { matcher, without } = self.0.as_deref()?;
        let is_here = address.host.eq_ignore_ascii_case("localhost")
            || address.host.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback());
        if is_here || without.contains(address) {
            return None;
        }
        let scheme = if address.tls { "https" } else { "http" };
        let uri = Uri::builder().scheme(scheme).authority(address.host_port()).path_and_query("/").build().ok()?;
        let proxy = matcher.intercept(&uri)?;
        let host_port = format!("{}:{}", proxy.uri().host()?, proxy.uri().port_u16().unwrap_or(80));
        Some(Via { host_port, authorization: proxy.basic_auth().cloned() })
    }
}

/// A proxy on the way to a backend.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Via {
    pub host_port: String,
    /// For `Proxy-Authorization`.
    pub authorization: Option<HeaderValue>,
}

impl Via {
    /// Asks the proxy, over a connection to it, for one to the backend.
    pub async fn connect_through(&self, stream: &mut TcpStream, target: &str) -> io::Result<()> {
        let mut request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n").into_bytes();
        if let Some(authorization) = &self.authorization {
            request.extend_from_slice(b"Proxy-Authorization: ");
            request.extend_from_slice(authorization.as_bytes());
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
        stream.write_all(&request).await?;
        // Byte by byte: what is behind the head is not for us.
        let mut head = Vec::with_capacity(256);
        while !head.ends_with(b"\r\n\r\n") {
            if head.len() >= MAX_HEAD {
                return Err(io::Error::other("the proxy's answer is too long"));
            }
            head.push(stream.read_u8().await?);
        }
        let line = String::from_utf8_lossy(&head);
        let line = line.lines().next().unwrap_or_default();
        match line.split(' ').nth(1) {
            Some(status) if status.len() == 3 && status.starts_with('2') => Ok(()),
            _ => Err(io::Error::other(format!("the proxy says {line:?}"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn which_backend_has_which_proxy() {
        let proxies = HttpProxies::new("http://u:p@proxy:3128", "proxy2", "10.1.0.0/16,.intern,one.example:80");
        for (url, via) in [
            ("http://10.0.0.1:80", Some("proxy:3128")),
            ("https://10.0.0.1:6443", Some("proxy2:80")),
            ("http://[fd00::1]:80", Some("proxy:3128")),
            ("http://10.1.2.3:80", None),
            ("http://a.intern", None),
            ("http://one.example", None),
            ("http://one.example:81", Some("proxy:3128")),
            ("http://notone.example", Some("proxy:3128")),
            ("http://127.0.0.1:80", None),
            ("http://[::1]:80", None),
            ("https://localhost", None),
        ] {
            let found = proxies.to(&url.parse().unwrap());
            assert_eq!(found.as_ref().map(|via| via.host_port.as_str()), via, "{url}");
        }
        let authorization = proxies.to(&"http://a".parse().unwrap()).unwrap().authorization;
        assert_eq!(authorization.unwrap(), "Basic dTpw");
        for none in [HttpProxies::default(), HttpProxies::new("", "", ""), HttpProxies::new("socks5://p", "", "")] {
            assert!(none.to(&"http://10.0.0.1:80".parse().unwrap()).is_none());
        }
        assert!(!format!("{proxies:?}").contains("u:p"));
    }
}

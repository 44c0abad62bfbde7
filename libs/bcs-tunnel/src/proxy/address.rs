//! The address of a backend: scheme, host and port of a URL.

use std::str::FromStr;

use http::Uri;
use http::uri::Scheme;
use thiserror::Error;

/// Scheme, host and port. A path in the URL is ignored, as in the original.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// Whether it is `https`.
    pub tls: bool,
    /// Host name or IP address, IPv6 without brackets.
    pub host: String,
    /// The port; by default that of the scheme.
    pub port: u16,
    /// As in the URL: what a `Host` header holds.
    pub authority: String,
}

/// The text is no `http://` or `https://` URL with a host.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no http or https URL with a host")]
pub struct AddressError(String);

impl Address {
    /// `host:port`, IPv6 in brackets, as one dials it.
    pub fn host_port(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let error = || AddressError(text.to_owned());
        let uri: Uri = text.trim().parse().map_err(|_| error())?;
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(error()),
        };
        let authority = uri.authority().ok_or_else(error)?;
        // Go takes user and password out of the URL; nobody puts them in.
        let authority = authority.as_str().rsplit('@').next().unwrap_or_default().to_owned();
        let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(error());
        }
        let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
        Ok(Self { tls, host, port, authority })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls() {
        for (text, tls, host_port, authority) in [
            ("https://10.0.0.1:6443", true, "10.0.0.1:6443", "10.0.0.1:6443"),
            ("http://kube/some/path?x=1", false, "kube:80", "kube"),
            ("https://kube", true, "kube:443", "kube"),
            ("https://[::1]:6443/", true, "[::1]:6443", "[::1]:6443"),
            (" https://u:p@kube:1 ", true, "kube:1", "kube:1"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!(
                (address.tls, address.host_port().as_str(), address.authority.as_str()),
                (tls, host_port, authority)
            );
        }
        for text in ["", "10.0.0.1:6443", "kube", "ftp://kube", "https://", "https:///x", "https://:443", "https://a b"]
        {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}

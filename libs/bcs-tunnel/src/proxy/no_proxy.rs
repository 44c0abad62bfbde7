//! Backends that are reached without an HTTP proxy: `NO_PROXY`, as Go reads it.

use std::net::IpAddr;

use super::address::Address;

/// The entries of the list.
#[derive(Default)]
pub(super) struct NoProxy {
    entries: Vec<Entry>,
}

struct Entry {
    host: Host,
    /// None: any.
    port: Option<String>,
}

enum Host {
    Any,
    Ip(IpAddr),
    Network(IpAddr, u8),
    /// With a dot at its start. The name without that dot is meant as well, if `itself`.
    Domain {
        suffix: String,
        itself: bool,
    },
}

impl NoProxy {
    /// The entries of a comma list: `*`, addresses, networks and domains. All but networks may name a port. What is none of
    /// these is left out.
    pub fn parse(list: &str) -> Self {
        let entries = list.split(',').map(|entry| entry.trim().to_lowercase()).filter(|entry| !entry.is_empty());
        Self { entries: entries.filter_map(|entry| Entry::parse(&entry)).collect() }
    }

    /// Whether a backend is named.
    pub fn contains(&self, address: &Address) -> bool {
        let host = address.host.trim().to_lowercase();
        let ip = host.parse::<IpAddr>().ok().map(|ip| ip.to_canonical());
        let port = address.port.to_string();
        self.entries.iter().any(|entry| {
            entry.port.as_ref().is_none_or(|named| *named == port)
                && match &entry.host {
                    Host::Any => true,
                    Host::Ip(named) => ip == Some(*named),
                    Host::Network(network, bits) => ip.is_some_and(|ip| is_in(ip, *network, *bits)),
                    Host::Domain { suffix, itself } => {
                        host.ends_with(suffix.as_str()) || (*itself && suffix.strip_prefix('.') == Some(&host))
                    }
                }
        })
    }
}

impl Entry {
    fn parse(entry: &str) -> Option<Self> {
        if entry == "*" {
            return Some(Self { host: Host::Any, port: None });
        }
        if let Some(host) = network(entry) {
            return Some(Self { host, port: None });
        }
        let (host, port) = match split_port(entry) {
            Some((host, port)) => (host, Some(port.to_owned()).filter(|port| !port.is_empty())),
            None => (entry, None),
        };
        if let Ok(ip) = host.parse::<IpAddr>() {
            return Some(Self { host: Host::Ip(ip.to_canonical()), port });
        }
        let domain = host.strip_prefix('*').filter(|rest| rest.starts_with('.')).unwrap_or(host);
        let (suffix, itself) = match domain.chars().next()? {
            '.' => (domain.to_owned(), false),
            _ => (format!(".{domain}"), true),
        };
        Some(Self { host: Host::Domain { suffix, itself }, port })
    }
}

/// `host:port`, IPv6 in brackets; none if there is no port.
fn split_port(entry: &str) -> Option<(&str, &str)> {
    if let Some(rest) = entry.strip_prefix('[') {
        return rest.split_once("]:");
    }
    entry.split_once(':').filter(|(_, port)| !port.contains(':'))
}

/// `address/bits`.
fn network(entry: &str) -> Option<Host> {
    let (address, bits) = entry.split_once('/')?;
    let (address, bits) = (address.parse::<IpAddr>().ok()?, bits.parse::<u8>().ok()?);
    (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(Host::Network(address, bits))
}

fn is_in(ip: IpAddr, network: IpAddr, bits: u8) -> bool {
    let differing = match (ip, network) {
        (IpAddr::V4(ip), IpAddr::V4(network)) => (ip.to_bits() ^ network.to_bits()).leading_zeros(),
        (IpAddr::V6(ip), IpAddr::V6(network)) => (ip.to_bits() ^ network.to_bits()).leading_zeros(),
        _ => return false,
    };
    differing >= u32::from(bits)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn which_backends_are_named() {
        for (list, url, named) in [
            ("*", "http://10.0.0.1:80", true),
            ("10.1.0.0/16", "http://10.1.2.3:80", true),
            ("10.1.0.0/16", "http://10.2.2.3:80", false),
            ("0.0.0.0/0", "http://10.2.2.3:80", true),
            ("fd00::/8", "http://[fd12::1]:80", true),
            ("fd00::/8", "http://10.0.0.1:80", false),
            ("10.0.0.1", "http://10.0.0.1:8080", true),
            ("10.0.0.1:8080", "http://10.0.0.1:8080", true),
            ("10.0.0.1:8080", "http://10.0.0.1:80", false),
            ("10.0.0.1:80", "http://10.0.0.1", true),
            ("10.0.0.1:443", "https://10.0.0.1", true),
            ("[fd00::1]:80", "http://[fd00::1]:80", true),
            ("[fd00::1]:81", "http://[fd00::1]:80", false),
            ("fd00::1", "http://[fd00::1]:80", true),
            ("one.example", "http://ONE.example:80", true),
            ("one.example", "http://sub.one.example:80", true),
            ("one.example", "http://notone.example", false),
            ("one.example:81", "http://one.example:80", false),
            ("one.example:80", "http://sub.one.example", true),
            (".intern", "http://a.intern", true),
            (".intern", "http://intern", false),
            ("*.intern:80", "http://a.intern", true),
            ("*.intern:80", "https://a.intern", false),
            (" a , 10.0.0.2 ,,:80,b", "http://10.0.0.2:1", true),
            ("", "http://10.0.0.1", false),
        ] {
            let address: Address = url.parse().unwrap();
            assert_eq!(NoProxy::parse(list).contains(&address), named, "{list:?} {url}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(list in "\\PC*|[*.:,/\\[\\]a0-9]*") {
            let _ = NoProxy::parse(&list).contains(&"http://10.0.0.1:80".parse().unwrap());
        }
    }
}

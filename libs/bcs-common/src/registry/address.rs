//! Address lists of registries: `host[:port]`, separated by commas (common.md 1.3, 4.1).

/// Why an address list of a registry cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddressError {
    /// No address at all.
    #[error("the address list is empty")]
    Empty,
    /// One entry is not `host[:port]`.
    #[error("`{0}` is not an address of the form host[:port]")]
    Invalid(String),
}

/// One server of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub host: String,
    pub port: u16,
}

impl Address {
    fn parse(text: &str, default_port: u16) -> Option<Self> {
        let (host, port) = if let Some(text) = text.strip_prefix('[') {
            let (host, rest) = text.split_once(']')?;
            (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
        } else {
            text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port)))
        };
        let port = match port {
            Some(port) => port.parse().ok().filter(|port| *port != 0)?,
            None => default_port,
        };
        let is_host_char = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        (!host.is_empty() && host.chars().all(is_host_char)).then(|| Self { host: host.to_owned(), port })
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Reads a list separated by `,` or `;`. Blanks around entries, empty entries and a scheme are dropped.
pub(crate) fn parse_list(list: &str, default_port: u16) -> Result<Vec<Address>, AddressError> {
    let mut addresses = Vec::new();
    for entry in list.split([',', ';']).map(str::trim).filter(|entry| !entry.is_empty()) {
        let text = entry.split_once("://").map_or(entry, |(_, rest)| rest);
        let address = Address::parse(text, default_port).ok_or_else(|| AddressError::Invalid(entry.to_owned()))?;
        addresses.push(address);
    }
    if addresses.is_empty() { Err(AddressError::Empty) } else { Ok(addresses) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(list: &str) -> Vec<String> {
        parse_list(list, 2181).unwrap().iter().map(Address::to_string).collect()
    }

    #[test]
    fn trims_entries_and_adds_the_default_port() {
        assert_eq!(parsed("zk1, zk2:2182 ,,10.0.0.1"), ["zk1:2181", "zk2:2182", "10.0.0.1:2181"]);
    }

    #[test]
    fn strips_the_scheme_and_takes_semicolons() {
        assert_eq!(parsed("https://etcd-1:2379;http://etcd-2"), ["etcd-1:2379", "etcd-2:2181"]);
    }

    #[test]
    fn reads_ipv6_in_brackets() {
        assert_eq!(parsed("[::1]:2182,[fe80::1]"), ["[::1]:2182", "[fe80::1]:2181"]);
    }

    #[test]
    fn refuses_what_is_no_address() {
        assert_eq!(parse_list(" , ", 2181), Err(AddressError::Empty));
        for bad in ["zk:port", "zk:0", "zk:70000", ":2181", "a b", "zk:2181/chroot", "[::1", "::1"] {
            assert_eq!(parse_list(bad, 2181), Err(AddressError::Invalid(bad.into())), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn what_is_accepted_reads_the_same_again(list in "\\PC{0,60}") {
            if let Ok(addresses) = parse_list(&list, 2181) {
                let text = addresses.iter().map(Address::to_string).collect::<Vec<_>>().join(",");
                prop_assert_eq!(parse_list(&text, 1), Ok(addresses));
            }
        }
    }
}

//! Which hosts web consoles may reach (design: a gateway is no open relay).

use std::net::IpAddr;
use std::str::FromStr;

use thiserror::Error;

/// A network: an address and how many of its bits count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(u32::from(32 - self.bits)).unwrap_or(0);
                (network.to_bits() ^ address.to_bits()) & mask == 0
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(u32::from(128 - self.bits)).unwrap_or(0);
                (network.to_bits() ^ address.to_bits()) & mask == 0
            }
            _ => false,
        }
    }
}

/// A text that is no network.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("{0:?} is no network of the form address/bits")]
pub struct NetworkError(String);

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError(text.to_owned());
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.trim().parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = match bits {
            Some(bits) => bits.trim().parse().ok().filter(|bits| *bits <= most).ok_or_else(wrong)?,
            None => most,
        };
        Ok(Self { address, bits })
    }
}

/// The hosts that may be reached.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed(Vec<Network>);

impl Allowed {
    /// Those of these networks; of none: every host but this one, link-local and multicast addresses.
    ///
    /// # Errors
    /// A text is no network.
    pub fn parse(networks: &[String]) -> Result<Self, NetworkError> {
        networks.iter().map(|network| network.parse()).collect::<Result<_, _>>().map(Self)
    }

    /// Whether an address may be reached.
    pub fn contains(&self, address: IpAddr) -> bool {
        // ::ffff:127.0.0.1 is 127.0.0.1.
        let address = address.to_canonical();
        match self.0.is_empty() {
            true => is_remote(address),
            false => self.0.iter().any(|network| network.contains(address)),
        }
    }
}

fn is_remote(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            let [first, ..] = address.octets();
            first != 0
                && !address.is_loopback()
                && !address.is_link_local()
                && !address.is_multicast()
                && !address.is_broadcast()
        }
        IpAddr::V6(address) => {
            // The older form of an embedded IPv4 address, ::a.b.c.d, covers ::1 and :: too.
            let is_embedded = address.to_bits() >> 32 == 0;
            !is_embedded && !address.is_unicast_link_local() && !address.is_multicast()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_are_not_this_one() {
        let allowed = Allowed::default();
        for (address, want) in [
            ("10.0.0.1", true),
            ("192.168.1.1", true),
            ("2001:db8::1", true),
            ("fd00::1", true),
            ("127.0.0.1", false),
            ("127.8.8.8", false),
            ("0.0.0.0", false),
            ("0.0.0.1", false),
            ("169.254.169.254", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("::1", false),
            ("::", false),
            ("::ffff:127.0.0.1", false),
            ("::ffff:169.254.169.254", false),
            ("::7f00:1", false),
            ("fe80::1", false),
            ("ff02::1", false),
        ] {
            assert_eq!(allowed.contains(address.parse().unwrap()), want, "{address}");
        }
    }

    #[test]
    fn networks_that_are_named() {
        let allowed = Allowed::parse(&["127.0.0.0/8".into(), "10.1.2.3".into(), "fd00::/8".into()]).unwrap();
        for (address, want) in [
            ("127.9.9.9", true),
            ("::ffff:127.0.0.1", true),
            ("10.1.2.3", true),
            ("10.1.2.4", false),
            ("fdff::1", true),
            ("fe00::1", false),
        ] {
            assert_eq!(allowed.contains(address.parse().unwrap()), want, "{address}");
        }
        assert!(Allowed::parse(&["0.0.0.0/0".into()]).unwrap().contains("1.2.3.4".parse().unwrap()));
        for wrong in ["", "host", "1.2.3.4/33", "1.2.3.4/x", "::/129", "1.2.3/8"] {
            assert_eq!(Allowed::parse(&[wrong.into()]).unwrap_err(), NetworkError(wrong.into()));
        }
    }
}

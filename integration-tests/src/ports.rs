//! Loopback ports that no one else takes.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::ops::Range;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddr, UnixListener};

/// Below Linux's ephemeral ports, so that no outgoing connection sits on a port between two starts of its server.
const RANGE: Range<u16> = 10_240..20_480;

/// A port of 127.0.0.1 that is free and belongs to this value: no other `Port`, of any process on the machine, gets
/// the same number while it lives. So a server can be stopped and started again on it.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// A socket in the abstract namespace whose name is the claim; the kernel drops it with the process.
    _claim: UnixListener,
}

impl Port {
    /// Claims a free port.
    ///
    /// # Panics
    /// When there is none.
    pub fn claim() -> Self {
        let span = RANGE.end - RANGE.start;
        let random = RandomState::new().build_hasher().finish();
        let offset = u16::try_from(random % u64::from(span)).unwrap();
        (0..span)
            .map(|step| RANGE.start + (offset + step) % span)
            .find_map(Self::try_claim)
            .expect("no free loopback port")
    }

    fn try_claim(number: u16) -> Option<Self> {
        let name = UnixAddr::from_abstract_name(format!("bcs-integration-tests-port-{number}")).ok()?;
        let claim = UnixListener::bind_addr(&name).ok()?;
        // Programs that know nothing of the claims may listen there.
        TcpListener::bind((Ipv4Addr::LOCALHOST, number)).ok()?;
        Some(Self { number, _claim: claim })
    }

    /// The port's number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// 127.0.0.1 with this port.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.number).into()
    }
}

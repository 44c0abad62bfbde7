//! Where a process listens.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// The IPv4 sockets on which a process accepts TCP connections.
pub fn listening(pid: u32) -> BTreeSet<SocketAddr> {
    let inodes: BTreeSet<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .unwrap()
        .filter_map(|entry| fs::read_link(entry.unwrap().path()).ok())
        .filter_map(|target| Some(target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
        .collect();
    let sockets = fs::read_to_string(format!("/proc/{pid}/net/tcp")).unwrap();
    let rows = sockets.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    // 0A is LISTEN.
    rows.filter(|row| row[3] == "0A" && inodes.contains(row[9])).map(|row| address(row[1])).collect()
}

/// `0100007F:1F90`: the address's bytes as a number of this machine, then the port.
fn address(text: &str) -> SocketAddr {
    let (ip, port) = text.split_once(':').unwrap();
    let ip = u32::from_str_radix(ip, 16).unwrap().to_ne_bytes();
    SocketAddr::new(IpAddr::V4(Ipv4Addr::from(ip)), u16::from_str_radix(port, 16).unwrap())
}

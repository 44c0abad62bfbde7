//! The rule `apiserver_addresses` for the addresses of API servers that agents report (user-manager.md 4.4, api.md 10).

/// Bytes of one address.
const LENGTH: std::ops::RangeInclusive<usize> = 4..=2082;
/// The schemes, lower case only.
const SCHEMES: &[&str] = &["ftp", "tcp", "udp", "ws", "wss", "http", "https"];

/// Whether a list, joined by `;` or (as newer agents do) by `,`, holds addresses of API servers only.
pub fn are_valid(list: &str) -> bool {
    list.split([';', ',']).all(is_valid)
}

fn is_valid(address: &str) -> bool {
    if !LENGTH.contains(&address.len()) || address.starts_with('.') || address.contains(char::is_whitespace) {
        return false;
    }
    if !escapes_are_whole(address) {
        return false;
    }
    let rest = match address.split_once("://") {
        Some((scheme, rest)) if SCHEMES.contains(&scheme) => rest,
        Some(_) => return false,
        None if !address.contains(['.', ':']) => return false,
        None => address,
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, _) = rest.split_at(end);
    let host = match authority.rsplit_once('@') {
        Some((credentials, host)) if is_credentials(credentials) => host,
        Some(_) => return false,
        None => authority,
    };
    let (host, port) = match host.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((v6, port)) if v6.parse::<std::net::Ipv6Addr>().is_ok() => return port.is_empty() || is_port(port),
            _ => return false,
        },
        None => host.split_at(host.find(':').unwrap_or(host.len())),
    };
    (port.is_empty() || is_port(port)) && is_host(host.strip_suffix('.').unwrap_or(host))
}

/// Every `%` is followed by two hexadecimal digits.
fn escapes_are_whole(text: &str) -> bool {
    let digits = |tail: &str| matches!(tail.as_bytes(), [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit());
    text.split('%').skip(1).all(digits)
}

/// `user` or `user:password`.
fn is_credentials(text: &str) -> bool {
    let (user, password) = text.split_once(':').unwrap_or((text, "x"));
    !user.is_empty() && !password.is_empty() && !password.contains(['@', ':'])
}

/// `:` and one to five digits.
fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':').unwrap_or_default();
    (1..=5).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_host(host: &str) -> bool {
    is_v4(host) || is_name(host)
}

/// Four numbers without leading zero, the first neither 0, multicast nor above 255.
fn is_v4(host: &str) -> bool {
    let number = |part: &str| part.parse::<u8>().ok().filter(|_| part == "0" || !part.starts_with('0'));
    let parts: Option<Vec<u8>> = host.split('.').map(number).collect();
    matches!(parts.as_deref(), Some([1..=223 | 240..=255, _, _, _]))
}

/// Labels of letters, digits and inner `-` or `_`. Of several the last one is of letters, or there may be digits in it if it
/// and the first one have two characters at least: that is how the original's expression tells a name from an address.
fn is_name(host: &str) -> bool {
    let letter = |char: char| char.is_ascii_alphabetic() || matches!(char, '\u{a1}'..='\u{ffff}');
    let plain = |char: char| letter(char) || char.is_ascii_digit();
    let label = |label: &str| {
        label.starts_with(plain) && label.ends_with(plain) && label.chars().all(|c| plain(c) || matches!(c, '-' | '_'))
    };
    let ends_well = match (host.split_once('.'), host.rsplit_once('.')) {
        (Some((first, _)), Some((_, last))) => last.chars().all(letter) || (first.len() > 1 && last.len() > 1),
        _ => true,
    };
    ends_well && host.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn accepts_what_the_original_accepts() {
        for address in [
            "https://1.2.3.4:6443",
            "1.2.3.4:6443",
            "10.0.0.1",
            "https://[::1]:6443",
            "[::1]",
            "https://[fe80::1]:6443",
            "https://localhost:6443",
            "localhost:6443",
            "https://master.cluster.local:443/",
            "my-svc.ns.svc.cluster.local:443",
            "https://my-host:6443",
            "https://my_host:6443",
            "https://EXAMPLE.com",
            "https://1.2.3.4:6443;https://1.2.3.5:6443",
            "1.2.3.4:6443;https://[::1]:6443;localhost:1",
            "https://1.2.3.4:6443,https://1.2.3.5:6443",
            "https://user@host.com/",
            "https://user:pw@host.com/",
            "tcp://10.0.0.1:80",
            "ws://a.b:1/x?y=1#z",
            "https://1.2.3.4:99999",
            "https://1.2.3.4:0",
            "https://1.2.3.4?x",
            "https://master.zone1:6443",
            "foo.bar1:6443",
            "https://a1.b2.c3",
            "https://1234",
            "https://中文.com",
            "https://1.2.3.4.",
        ] {
            assert!(are_valid(address), "{address}");
        }
    }

    #[test]
    fn rejects_what_the_original_rejects() {
        for address in [
            "",
            "localhost",
            "abc",
            "ab",
            "a.b",
            "1234",
            "https://",
            "//1.2.3.4",
            "https:/1.2.3.4",
            "https://1.2.3.4:",
            "https://1.2.3.4:123456",
            "https://::1:6443",
            "https://10.0.0.1:6443;",
            "https://10.0.0.1:6443;;https://10.0.0.2:6443",
            " https://10.0.0.1:6443",
            "https://10.0.0.1 :6443",
            "https://10.0.0.1\t:6443",
            ".abc.de",
            "http://a..b",
            "http://-a.b",
            "https://a-.com",
            "gopher://x.y",
            "ssh://a.b",
            "HTTPS://1.2.3.4",
            "file:///x",
            "https://0.1.2.3:1",
            "https://224.0.0.1",
            "https://256.1.1.1",
            "https://300.1.1.1:443",
            "https://1.2.3",
            "https://01.2.3.4",
            "https://1.2.3.4/%zz",
            "https://a.1",
            "https://_x.com",
            "https://x_.com",
            "https://1.2.3.256",
        ] {
            assert!(!are_valid(address), "{address}");
        }
        assert!(!are_valid(&format!("https://1.2.3.4/{}", "x".repeat(2100))));
    }

    proptest! {
        #[test]
        fn never_panics(list in "\\PC*|[a-z0-9.:/@\\[\\]%;,?#-]*") {
            let _ = are_valid(&list);
        }
    }
}

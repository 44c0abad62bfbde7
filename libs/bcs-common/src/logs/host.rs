//! Whose log files these are: host and user names (common.md 1.6).

use std::fs;
use std::os::unix::fs::MetadataExt;

/// The host name up to the first dot.
pub(super) fn host_name() -> String {
    let kernel = fs::read_to_string("/proc/sys/kernel/hostname").ok();
    let name = kernel.or_else(|| std::env::var("HOSTNAME").ok()).unwrap_or_default();
    match short(&name) {
        "" => "unknownhost".to_owned(),
        name => name.to_owned(),
    }
}

/// The name of the user that runs the process.
pub(super) fn user_name() -> String {
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = fs::metadata("/proc/self").ok().and_then(|process| user_of(&passwd, process.uid()));
    let name = name.or_else(|| std::env::var("USER").ok().filter(|name| !name.is_empty()));
    // The name becomes part of a file name.
    name.map_or_else(|| "unknownuser".to_owned(), |name| name.replace(['/', '\\'], "_"))
}

fn short(name: &str) -> &str {
    name.trim().split('.').next().unwrap_or_default()
}

fn user_of(passwd: &str, uid: u32) -> Option<String> {
    let uid = uid.to_string();
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then(|| name.to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_end_at_the_first_dot() {
        assert_eq!((short("node-1.example.org\n"), short("node"), short("")), ("node-1", "node", ""));
        assert!(!host_name().is_empty() && !host_name().contains(['.', '/', '\n']));
    }

    #[test]
    fn users_are_found_by_number() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nbcs:x:1000:1000::/:\nbroken\n";
        assert_eq!(user_of(passwd, 1000).as_deref(), Some("bcs"));
        assert_eq!(user_of(passwd, 7), None);
        assert!(!user_name().is_empty());
    }
}

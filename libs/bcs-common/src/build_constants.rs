//! Constants of the original that are baked in at build time (common.md 2.4).
//!
//! Each is looked up in three places, the first that is not empty wins: the environment of the running process, the
//! environment of the build, and the value of the community edition. All three use the original's variable names,
//! so an existing build script, an existing installation and a one-off override work alike.
//!
//! The values are secrets: callers must not log them.

use std::env;

/// Name of the variable that holds the key of encrypted configuration values; safe to show.
pub const ENCRYPTION_KEY: &str = "bcs_encryption_key";
/// Name of the variable that holds the password of server private keys; safe to show.
pub const SERVER_CERT_PWD: &str = "bcs_server_cert_pwd";
/// Name of the variable that holds the password of client private keys; safe to show.
pub const CLIENT_CERT_PWD: &str = "bcs_client_cert_pwd";

/// User of the ZooKeeper digest (`bcs_zk_client_user`).
pub fn zookeeper_client_user() -> String {
    choose(env::var("bcs_zk_client_user").ok(), option_env!("bcs_zk_client_user"), "bcsce")
}

/// Password of the ZooKeeper digest (`bcs_zk_client_pwd`).
pub fn zookeeper_client_pwd() -> String {
    choose(env::var("bcs_zk_client_pwd").ok(), option_env!("bcs_zk_client_pwd"), "bcsce@community2019")
}

/// Key of encrypted configuration values, 24 bytes when it is usable (`bcs_encryption_key`).
pub fn encryption_key() -> String {
    choose(env::var(ENCRYPTION_KEY).ok(), option_env!("bcs_encryption_key"), "!@#^&*()1qaz@WSX3ed84RFV")
}

/// Password of encrypted server private keys; empty: none (`bcs_server_cert_pwd`).
pub fn server_cert_pwd() -> String {
    choose(env::var(SERVER_CERT_PWD).ok(), option_env!("bcs_server_cert_pwd"), "")
}

/// Password of encrypted client private keys; empty: none (`bcs_client_cert_pwd`).
pub fn client_cert_pwd() -> String {
    choose(env::var(CLIENT_CERT_PWD).ok(), option_env!("bcs_client_cert_pwd"), "")
}

/// An empty variable counts as unset: build scripts export all of them, filled or not.
fn choose(at_run: Option<String>, at_build: Option<&str>, community: &str) -> String {
    at_run
        .filter(|value| !value.is_empty())
        .or_else(|| at_build.filter(|value| !value.is_empty()).map(str::to_owned))
        .unwrap_or_else(|| community.to_owned())
}

#[cfg(test)]
mod tests {
    use super::choose;

    #[test]
    fn the_running_process_wins_over_the_build_and_the_community_value() {
        assert_eq!(choose(Some("run".into()), Some("build"), "ce"), "run");
        assert_eq!(choose(None, Some("build"), "ce"), "build");
        assert_eq!(choose(None, None, "ce"), "ce");
    }

    #[test]
    fn an_empty_variable_counts_as_unset() {
        assert_eq!(choose(Some(String::new()), Some("build"), "ce"), "build");
        assert_eq!(choose(Some(String::new()), Some(""), "ce"), "ce");
    }
}

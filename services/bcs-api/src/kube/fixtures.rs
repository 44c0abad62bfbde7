//! Clusters that are configured and not in the database (api.md 7.3).

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tracing::warn;

use crate::options::{FixtureOptions, FixturesOptions};

/// How to reach a cluster directly.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Direct {
    /// URLs, joined by `;`.
    pub server_addresses: String,
    /// PEM; empty: the roots of the operating system.
    pub ca_cert_data: String,
    pub user_token: String,
}

/// The configured clusters by identifier, which is also their id. Those that cannot be used are left out with a warning.
pub(crate) fn load(options: &FixturesOptions) -> HashMap<String, Direct> {
    if !options.is_enabled_fixtures_credentials {
        return HashMap::new();
    }
    let clusters = options.credentials.iter().enumerate().filter_map(|(index, fixture)| match direct(fixture) {
        Ok(direct) => Some((fixture.cluster_id.clone(), direct)),
        Err(reason) => {
            warn!("key \"bke.cluster_credentials_fixtures.credentials[{index}]\" is skipped: {reason}");
            None
        }
    });
    clusters.collect()
}

fn direct(fixture: &FixtureOptions) -> Result<Direct, &'static str> {
    if fixture.kind != "service_account" {
        return Err("its type is not service_account");
    }
    if fixture.cluster_id.is_empty() || fixture.server.is_empty() {
        return Err("cluster_id or server is empty");
    }
    let decode = |value: &str, wrong| {
        let bytes = STANDARD.decode(value.trim()).map_err(|_| wrong)?;
        String::from_utf8(bytes).map_err(|_| wrong)
    };
    Ok(Direct {
        server_addresses: fixture.server.clone(),
        ca_cert_data: decode(&fixture.ca_cert, "its ca_cert is not base64 of a text")?,
        user_token: decode(&fixture.token, "its token is not base64 of a text")?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_bad_fixture_does_not_hide_the_next() {
        let fixture = |cluster_id: &str, kind: &str, ca_cert: &str| FixtureOptions {
            cluster_id: cluster_id.into(),
            kind: kind.into(),
            server: "https://a;https://b".into(),
            ca_cert: ca_cert.into(),
            token: "dG9rZW4=".into(),
        };
        let mut options = FixturesOptions {
            is_enabled_fixtures_credentials: true,
            credentials: vec![
                fixture("a", "service_account", "%"),
                fixture("b", "user", ""),
                fixture("", "service_account", ""),
                fixture("c", "service_account", "cGVt"),
            ],
        };
        let direct = Direct {
            server_addresses: "https://a;https://b".into(),
            ca_cert_data: "pem".into(),
            user_token: "token".into(),
        };
        assert_eq!(load(&options), HashMap::from([("c".to_owned(), direct)]));
        options.is_enabled_fixtures_credentials = false;
        assert!(load(&options).is_empty());
    }
}

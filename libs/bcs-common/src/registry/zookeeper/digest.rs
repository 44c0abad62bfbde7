//! Digest authentication and the only access rule the BCS services use (common.md 3.1, 3.2).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest as _, Sha1};
use zookeeper_client::{Acl, AuthId, Permission};

/// Name of the authentication scheme.
pub(super) const SCHEME: &str = "digest";

/// What a client sends to prove who it is.
pub(super) fn credentials(user: &str, password: &str) -> Vec<u8> {
    format!("{user}:{password}").into_bytes()
}

/// The identity a server derives from the credentials: `<user>:<base64(SHA1("<user>:<password>"))>`.
fn identity(user: &str, password: &str) -> String {
    let hash = Sha1::digest(credentials(user, password));
    format!("{user}:{}", STANDARD.encode(hash))
}

/// All permissions for the owner of the credentials, none for anyone else, not even to read.
pub(super) fn owner_only(user: &str, password: &str) -> Acl {
    Acl::new(Permission::ALL, AuthId::new(SCHEME, &identity(user, password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identities_of_the_specification() {
        assert_eq!(identity("bcsce", "bcsce@community2019"), "bcsce:n6AK5IylGI53+8xs1i567hzCPeg=");
        assert_eq!(identity("", ""), ":BaefBs8/Z/cm2uaNGKIpD2yaUMk=");
    }
}

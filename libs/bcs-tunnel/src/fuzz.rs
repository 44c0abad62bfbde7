//! Where fuzzers enter (see `fuzz/`), and the tests with them: one function for each parser of what comes from outside. They
//! are compiled for these two only.

use std::time::Instant;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use prometheus::Registry;

use crate::Metrics;
use crate::frame::Head;
use crate::handshake::{AgentHeaders, AgentParams};
use crate::session::core::Core;
use crate::websocket::codec::{Decoder, Role};

/// All of them.
pub const ALL: &[fn(&[u8])] = &[frame, websocket, session, handshake];

/// A message.
pub fn frame(data: &[u8]) {
    if let Ok((head, body)) = Head::decode(data) {
        let again = [head.encode().as_bytes(), body].concat();
        assert_eq!(Head::decode(&again), Ok((head, body)));
    }
}

/// The bytes of a socket, on both ends.
pub fn websocket(data: &[u8]) {
    for role in [Role::Server, Role::Client] {
        let (mut decoder, mut received) = (Decoder::new(role), BytesMut::from(data));
        while let Ok(Some(_)) = decoder.decode(&mut received) {}
    }
}

/// The messages of a session, each behind its length.
pub fn session(data: &[u8]) {
    let Ok(metrics) = Metrics::register(&Registry::new()) else { return };
    for role in [Role::Server, Role::Client] {
        let mut core = Core::new(role, "fuzz/0".to_owned(), metrics.of_session("fuzz"));
        let mut rest = data;
        while let Some((&length, after)) = rest.split_first() {
            let (message, next) = after.split_at(after.len().min(length.into()));
            if core.receive(&Bytes::copy_from_slice(message), Instant::now()).is_err() {
                break;
            }
            rest = next;
        }
        core.end();
    }
}

/// What an agent says about itself.
pub fn handshake(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let _ = AgentHeaders::of(&HeaderMap::new());
    if let Ok(params) = AgentParams::decode(&text) {
        let _ = params.ca_pem();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::ALL;

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes: Vec<u8>, text in "\\PC*|[A-Za-z0-9+/=]*") {
            for parser in ALL {
                parser(&bytes);
                parser(text.as_bytes());
            }
        }
    }
}

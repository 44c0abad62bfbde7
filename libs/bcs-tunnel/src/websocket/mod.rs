//! WebSocket (RFC 6455) as far as the tunnel needs it: binary messages, control frames, no extensions.
//!
//! A library does not fit: the protocol wants pongs with an empty payload whatever the ping carried, and one that owns
//! the socket would copy every byte once more.

pub mod codec;
pub mod connect;
pub mod upgrade;

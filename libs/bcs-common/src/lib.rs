//! What all BCS daemons share (spec: common.md): configuration, logs, TLS, secrets, service registries,
//! the HTTP server with the BCS envelope, metrics and shutdown. It knows no service.

pub mod build_constants;
pub mod certs;
pub mod config;
pub mod errors;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod go;
pub mod http;
pub mod ini;
pub mod json_members;
pub mod logs;
pub mod metrics;
pub mod pidfile;
pub mod registry;
pub mod secret;
pub mod server_addresses;
pub mod service;
pub mod shutdown;
pub mod tls;
pub mod token;
pub mod version;
pub mod yaml;

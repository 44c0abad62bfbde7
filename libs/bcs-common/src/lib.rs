//! What all BCS daemons share (spec: common.md): configuration, logs, TLS, secrets, service registries,
//! the HTTP server with the BCS envelope, metrics and shutdown. It knows no service.


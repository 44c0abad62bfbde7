//! RabbitMQ, one node with its own Erlang port mapper. It takes some seconds to start.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use crate::certs::Certs;
use crate::daemon::{Daemon, Ready};
use crate::ports::Port;
use crate::process::command;
use crate::workdir::WorkDir;

/// Debian's wrapper in the search path insists on the user `rabbitmq` and on the machine's own directories.
const SERVER: &str = "/usr/lib/rabbitmq/bin/rabbitmq-server";

/// A RabbitMQ broker. Its only user is `guest`, password `guest`.
pub struct RabbitMq {
    // Before the port mapper, which the node talks to until it is gone.
    broker: Daemon,
    _port_mapper: Daemon,
    tls: SocketAddr,
    _certs: Certs,
    _ports: [Port; 4],
}

impl RabbitMq {
    /// Starts an empty one.
    pub async fn start() -> Self {
        let ports = [Port::claim(), Port::claim(), Port::claim(), Port::claim()];
        let [amqp, mapper, distribution, tls] = ports.each_ref().map(Port::address);
        let port_mapper = start_port_mapper(mapper).await;

        let dir = WorkDir::new("rabbitmq");
        dir.write("enabled_plugins", "[].\n");
        let certs = Certs::generate();
        dir.write("rabbitmq.conf", configuration(tls, &certs));
        // It answers the protocol header with the method connection.start on channel 0.
        let ready = Ready::Answers { to: b"AMQP\x00\x00\x09\x01", with: |answer| answer.starts_with(&[1, 0, 0]) };
        let broker =
            Daemon::start("rabbitmq", dir, amqp, ready, move |dir| node(dir, amqp, mapper, distribution)).await;
        Self { broker, _port_mapper: port_mapper, tls, _certs: certs, _ports: ports }
    }

    /// Where clients connect, `host:port`.
    pub fn address(&self) -> SocketAddr {
        self.broker.address()
    }

    /// Where clients connect with TLS, `host:port`. Its certificate is of a CA that nobody knows.
    pub fn tls_address(&self) -> SocketAddr {
        self.tls
    }

    /// The connection string.
    pub fn uri(&self) -> String {
        format!("amqp://guest:guest@{}/%2f", self.address())
    }

    /// The process, to stop, freeze and start it again. Durable queues and persistent messages stay.
    pub fn daemon(&mut self) -> &mut Daemon {
        &mut self.broker
    }
}

fn configuration(tls: SocketAddr, certs: &Certs) -> String {
    format!(
        "log.console = true
log.console.level = warning
listeners.ssl.1 = {tls}
ssl_options.cacertfile = {}
ssl_options.certfile = {}
ssl_options.keyfile = {}
ssl_options.verify = verify_none
",
        certs.ca().display(),
        certs.server_cert().display(),
        certs.server_key().display()
    )
}

/// Nodes find each other through it; without one of its own the node would leave a daemon behind that nobody ends.
async fn start_port_mapper(address: SocketAddr) -> Daemon {
    let dir = WorkDir::new("epmd");
    Daemon::start("epmd", dir, address, Ready::Listens, move |dir| {
        let mut epmd = command("epmd", dir);
        epmd.args(["-address", "127.0.0.1", "-port", &address.port().to_string()]);
        epmd
    })
    .await
}

fn node(dir: &Path, amqp: SocketAddr, mapper: SocketAddr, distribution: SocketAddr) -> Command {
    let mut server = command(SERVER, dir);
    server
        .env("ERL_EPMD_ADDRESS", "127.0.0.1")
        .env("ERL_EPMD_PORT", mapper.port().to_string())
        .env("RABBITMQ_NODENAME", format!("bcs-{}@localhost", amqp.port()))
        .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
        .env("RABBITMQ_NODE_PORT", amqp.port().to_string())
        .env("RABBITMQ_DIST_PORT", distribution.port().to_string())
        .env("RABBITMQ_MNESIA_BASE", dir.join("mnesia"))
        .env("RABBITMQ_LOG_BASE", dir.join("log"))
        .env("RABBITMQ_CONFIG_FILE", dir.join("rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", dir.join("enabled_plugins"))
        .env("RABBITMQ_CONF_ENV_FILE", "/dev/null")
        // The script then becomes the Erlang machine instead of waiting for it, so that the process started here is
        // the broker.
        .env("RABBITMQ_ALLOW_INPUT", "1")
        .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "-noinput -kernel inet_dist_use_interface {127,0,0,1}");
    server
}

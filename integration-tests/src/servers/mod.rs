//! The servers that the services depend on, as real processes. Each value owns its server: a fresh one on its own port
//! of 127.0.0.1, ended and removed on drop. Where the start is slow (RabbitMQ), a test program shares one through a
//! `tokio::sync::OnceCell` in a static.

pub mod etcd;
pub mod mariadb;
pub mod mongodb;
pub mod rabbitmq;
pub mod zookeeper;

/// Options that make a small Java server start fast and stay small.
const JAVA_OPTIONS: [&str; 5] = [
    "-Xmx256m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    // Its files in the temporary directory would survive a kill.
    "-XX:-UsePerfData",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
];

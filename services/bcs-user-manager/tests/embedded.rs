//! The service inside of another process, as `bcs server` runs it.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "helpers of tests: a panic is a failed test")]

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use bcs_common::config;
use bcs_common::registry::{MemoryRegistry, Registry};
use bcs_common::shutdown::Shutdown;
use bcs_user_manager::{Options, Running, spec, start};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

fn options(data_dir: &Path) -> Options {
    let flags = ["bcs-user-manager", "--insecure-address=127.0.0.1", "--metric-port=0"].map(OsString::from);
    let mut options: Options = config::load(&spec(), flags.into_iter()).map_err(|exit| exit.stderr).unwrap();
    options.ours.data_dir = data_dir.to_owned();
    options.embedded = true;
    options
}

async fn running(data_dir: &Path, registry: &MemoryRegistry, shutdown: &Shutdown) -> Running {
    start(&options(data_dir), Some(registry), shutdown).await.unwrap()
}

/// The status line of a request with a token.
async fn ask(address: SocketAddr, token: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!(
        "GET /usermanager/v1/users/admin/admin HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer.lines().next().unwrap().to_owned()
}

#[tokio::test]
async fn the_generated_admin_token_works_and_lasts() {
    let dir = tempfile::tempdir().unwrap();
    let shutdown = Shutdown::new();
    let registry = MemoryRegistry::new(shutdown.clone());
    let first = running(dir.path(), &registry, &shutdown).await;
    let admin = first.admin_token.clone().unwrap();
    let address = first.insecure_address.unwrap();
    assert!(admin.is_new && first.address.is_none());
    assert_eq!(admin.file, dir.path().join("admin-token"));
    assert_eq!(ask(address, &admin.token).await, "HTTP/1.1 200 OK");
    assert_eq!(ask(address, "wrong").await, "HTTP/1.1 401 Unauthorized");
    let nodes = registry.discover("usermanager");
    let info = nodes.borrow().first().and_then(|node| node.info.clone()).unwrap();
    assert_eq!((info.ip.as_str(), info.scheme.as_str()), ("127.0.0.1", "http"));
    assert!(shutdown.drain(Duration::from_secs(60)).await);
    assert!(TcpStream::connect(address).await.is_err());

    let shutdown = Shutdown::new();
    let again = running(dir.path(), &MemoryRegistry::new(shutdown.clone()), &shutdown).await;
    let same = again.admin_token.unwrap();
    assert!(!same.is_new && same.token == admin.token);
    assert_eq!(ask(again.insecure_address.unwrap(), &admin.token).await, "HTTP/1.1 200 OK");
    assert!(shutdown.drain(Duration::from_secs(60)).await);
}

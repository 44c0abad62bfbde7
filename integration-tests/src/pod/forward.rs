//! Port-forward: two streams of SPDY for each connection, one for its bytes and one for what went wrong.

use std::collections::HashMap;

use tokio::io::{AsyncWriteExt, DuplexStream, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::spdy::Stream;

/// Connects to the ports of this host that the client asks for.
pub async fn serve(mut opened: mpsc::Receiver<Stream>) {
    let (mut errors, mut connections) = (HashMap::new(), JoinSet::new());
    while let Some(Stream { headers, io }) = opened.recv().await {
        let request = headers["requestid"].clone();
        match headers["streamtype"].as_str() {
            "error" => drop(errors.insert(request, io)),
            // The client opens the one for errors first.
            "data" => {
                let (port, error) = (headers["port"].parse().unwrap(), errors.remove(&request).unwrap());
                connections.spawn(connect(port, io, error));
            }
            other => panic!("a stream of type {other}"),
        }
    }
}

async fn connect(port: u16, mut data: DuplexStream, mut error: DuplexStream) {
    let outcome = match TcpStream::connect(("127.0.0.1", port)).await {
        Ok(mut target) => copy_bidirectional(&mut data, &mut target).await.map(drop),
        Err(error) => Err(error),
    };
    if let Err(reason) = outcome {
        // The client may be gone.
        let _ = error.write_all(format!("port {port}: {reason}").as_bytes()).await;
    }
}

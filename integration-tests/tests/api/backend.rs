//! A backend that answers as it is told by the path, and remembers what it was sent, byte for byte.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// The running backend; it ends when this is dropped.
pub struct Backend {
    address: SocketAddr,
    seen: Arc<Seen>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    heads: Mutex<Vec<String>>,
    /// Lets the answers of `/wait` go on, and the reading of what is sent to `/stall`.
    go_on: Notify,
}

impl Backend {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (address, seen) = (listener.local_addr().unwrap(), Arc::new(Seen::default()));
        let mut tasks = JoinSet::new();
        let shared = Arc::clone(&seen);
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let seen = Arc::clone(&shared);
                connections.spawn(async move {
                    // The other side has gone.
                    let _ = serve(stream, &seen).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, seen, _tasks: tasks }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The heads of all requests so far.
    pub fn heads(&self) -> Vec<String> {
        self.seen.heads.lock().unwrap().clone()
    }

    /// Lets one answer of `/wait` go on, or one body be read that is sent to `/stall`.
    pub fn go_on(&self) {
        self.seen.go_on.notify_one();
    }
}

async fn serve(stream: TcpStream, seen: &Seen) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = BufReader::with_capacity(1 << 16, stream);
    loop {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if stream.read_line(&mut head).await? == 0 {
                return Ok(());
            }
        }
        seen.heads.lock().unwrap().push(head.clone());
        let path = head.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
        if path.ends_with("/stall") {
            seen.go_on.notified().await;
        }
        let received = read_body(&mut stream, &head).await?;
        let out = stream.get_mut();
        match path.rsplit('/').collect::<Vec<_>>()[..] {
            [size, "size", ..] => {
                let mut left: usize = size.parse().unwrap();
                out.write_all(format!("HTTP/1.1 200 OK\r\nContent-Length: {left}\r\n\r\n").as_bytes()).await?;
                let piece = vec![b'x'; 1 << 16];
                while left > 0 {
                    let length = left.min(piece.len());
                    out.write_all(&piece[..length]).await?;
                    left -= length;
                }
            }
            ["cut", ..] => {
                out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this").await?;
                return Ok(());
            }
            ["cut-chunked", ..] => {
                out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nonly this\r\n").await?;
                return Ok(());
            }
            ["reset", ..] => return Ok(()),
            ["wait", ..] => {
                out.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nfirst\n\r\n").await?;
                seen.go_on.notified().await;
                out.write_all(b"7\r\nsecond\n\r\n0\r\n\r\n").await?;
            }
            // As the IAM, which allows everything.
            ["verify", ..] => {
                let body = r#"{"data":{"is_pass":true}}"#;
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                out.write_all(answer.as_bytes()).await?;
            }
            // As the PaaS of the edition ieod, which knows one access token.
            ["token", "oauth", ..] => {
                let body = match head.contains("?access_token=a%2Fb%26c ") {
                    true => r#"{"code":0,"data":{"user_id":"ann","user_type":"rtx"}}"#,
                    false => r#"{"code":40101,"data":null}"#,
                };
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                out.write_all(answer.as_bytes()).await?;
            }
            ["slow", ..] => {
                tokio::time::sleep(Duration::from_millis(300)).await;
                out.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok").await?;
            }
            _ => {
                let body = format!("{{\"code\":0,\"message\":\"success\",\"data\":{received}}}");
                let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len());
                out.write_all(answer.as_bytes()).await?;
            }
        }
    }
}

/// The number of bytes of a body.
async fn read_body(stream: &mut BufReader<TcpStream>, head: &str) -> std::io::Result<u64> {
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    };
    if header("transfer-encoding").is_none() {
        let length = header("content-length").map_or(0, |value| value.parse().unwrap());
        return tokio::io::copy(&mut stream.take(length), &mut tokio::io::sink()).await;
    }
    let mut received = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        let length = u64::from_str_radix(line.trim(), 16).map_err(std::io::Error::other)?;
        tokio::io::copy(&mut stream.take(length), &mut tokio::io::sink()).await?;
        stream.read_line(&mut line).await?;
        received += length;
        if length == 0 {
            return Ok(received);
        }
    }
}

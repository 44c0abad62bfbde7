//! What runs in the pod, and how its streams come and go: over SPDY one stream each, over WebSocket one byte in front.
//!
//! | command | what it does |
//! |---|---|
//! | `echo WORD…` | prints the words |
//! | `cat` | prints what it reads |
//! | `flood N` | prints N bytes |
//! | `fail CODE WORD…` | complains, and exits with CODE |

use std::collections::HashMap;

use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream};
use tokio::sync::mpsc;

use super::spdy::Stream;
use super::websocket;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
const ERROR: u8 = 3;
/// In front of the number of a channel that ends; since v5.
const CLOSE: u8 = 255;

/// The streams of a process. Nobody asked for those that are not there.
#[derive(Default)]
struct Streams {
    stdin: Option<DuplexStream>,
    stdout: Option<DuplexStream>,
    stderr: Option<DuplexStream>,
    /// Where its exit is told.
    error: Option<DuplexStream>,
}

/// Runs a command whose streams the client opens over SPDY. `wanted`: how many.
pub async fn over_spdy(command: Vec<String>, wanted: usize, mut opened: mpsc::Receiver<Stream>) {
    let mut streams = Streams::default();
    for _ in 0..wanted {
        let Some(stream) = opened.recv().await else { return };
        let io = Some(stream.io);
        match stream.headers["streamtype"].as_str() {
            "stdin" => streams.stdin = io,
            "stdout" => streams.stdout = io,
            "stderr" => streams.stderr = io,
            "error" => streams.error = io,
            other => panic!("a stream of type {other}"),
        }
    }
    run(&command, streams).await;
    // The client closes when it has read all to the end.
    while opened.recv().await.is_some() {}
}

/// Runs a command whose streams are channels of a WebSocket connection.
pub async fn over_websocket<I: AsyncRead + AsyncWrite>(command: Vec<String>, io: I) {
    let (mut receiver, mut sender) = websocket::split(io);
    let (mut theirs, mut process) = (HashMap::new(), Streams::default());
    let places = [
        (STDIN, &mut process.stdin),
        (STDOUT, &mut process.stdout),
        (STDERR, &mut process.stderr),
        (ERROR, &mut process.error),
    ];
    for (channel, place) in places {
        let (ours, end) = tokio::io::duplex(64 << 10);
        *place = Some(end);
        theirs.insert(channel, ours);
    }
    let [mut stdin, mut stdout, mut stderr, mut error] =
        [STDIN, STDOUT, STDERR, ERROR].map(|channel| theirs.remove(&channel).unwrap());
    let inwards = async {
        while let Some(message) = receiver.next().await {
            match message[..] {
                [STDIN, ..] => drop(stdin.write_all(&message[1..]).await),
                [CLOSE, STDIN] => stdin.shutdown().await.unwrap(),
                _ => {}
            }
        }
    };
    let outwards = async {
        let (mut out, mut err, mut status) = (vec![0; 16 << 10], vec![0; 4 << 10], Vec::new());
        let (mut outs, mut errs) = (true, true);
        while outs || errs {
            tokio::select! {
                length = stdout.read(&mut out), if outs => match length.unwrap() {
                    0 => outs = false,
                    length => sender.send(&[STDOUT], &out[..length]).await.ok()?,
                },
                length = stderr.read(&mut err), if errs => match length.unwrap() {
                    0 => errs = false,
                    length => sender.send(&[STDERR], &err[..length]).await.ok()?,
                },
            }
        }
        error.read_to_end(&mut status).await.unwrap();
        sender.send(&[ERROR], &status).await.ok()?;
        sender.close().await.ok()
    };
    tokio::select! {
        () = inwards => {}
        ((), _) = async { tokio::join!(run(&command, process), outwards) } => {}
    }
}

/// Runs it and tells its exit. All streams have ended then.
async fn run(command: &[String], streams: Streams) {
    let Streams { stdin, stdout, stderr, error } = streams;
    let code = process(command, stdin, stdout, stderr).await;
    if let Some(mut error) = error {
        // The client may be gone.
        let _ = error.write_all(status(code).to_string().as_bytes()).await;
    }
}

async fn process(
    command: &[String],
    stdin: Option<DuplexStream>,
    mut stdout: Option<DuplexStream>,
    mut stderr: Option<DuplexStream>,
) -> i32 {
    let say = async |stream: &mut Option<DuplexStream>, text: &str| {
        if let Some(stream) = stream {
            let _ = stream.write_all(text.as_bytes()).await;
        }
    };
    let words: Vec<&str> = command.iter().map(String::as_str).collect();
    match words[..] {
        ["echo", ref words @ ..] => say(&mut stdout, &format!("{}\n", words.join(" "))).await,
        ["flood", length] => say(&mut stdout, &"x".repeat(length.parse().unwrap())).await,
        ["cat"] => {
            if let (Some(mut stdin), Some(stdout)) = (stdin, &mut stdout) {
                let _ = tokio::io::copy(&mut stdin, stdout).await;
            }
        }
        ["fail", code, ref words @ ..] => {
            say(&mut stderr, &format!("{}\n", words.join(" "))).await;
            return code.parse().unwrap();
        }
        _ => {
            say(&mut stderr, "not found\n").await;
            return 127;
        }
    }
    0
}

/// The Status object of an exit.
fn status(code: i32) -> Value {
    match code {
        0 => json!({"metadata": {}, "status": "Success"}),
        code => json!({
            "metadata": {}, "status": "Failure", "reason": "NonZeroExitCode",
            "message": format!("command terminated with non-zero exit code: exit status {code}"),
            "details": {"causes": [{"reason": "ExitCode", "message": code.to_string()}]},
        }),
    }
}

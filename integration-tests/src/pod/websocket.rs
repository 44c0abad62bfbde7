//! Binary messages over an upgraded connection.

use std::io;

use bcs_tunnel::websocket::codec::{Decoder, Encoder, Event, Opcode, Role};
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};

/// The receiving side.
pub struct Receiver<I> {
    io: ReadHalf<I>,
    decoder: Decoder,
    received: BytesMut,
}

/// The sending side.
pub struct Sender<I> {
    io: WriteHalf<I>,
    encoder: Encoder,
}

/// The server's side of a connection.
pub fn split<I: AsyncRead + AsyncWrite>(io: I) -> (Receiver<I>, Sender<I>) {
    let (read, write) = tokio::io::split(io);
    let receiver = Receiver { io: read, decoder: Decoder::new(Role::Server), received: BytesMut::new() };
    (receiver, Sender { io: write, encoder: Encoder::new(Role::Server) })
}

impl<I: AsyncRead> Receiver<I> {
    /// The next message; none after the close. kubectl sends pings, but takes no offence if nobody answers.
    pub async fn next(&mut self) -> Option<Bytes> {
        loop {
            match self.decoder.decode(&mut self.received).unwrap() {
                Some(Event::Binary(message)) => return Some(message),
                Some(Event::Close) => return None,
                Some(_) => {}
                None => match self.io.read_buf(&mut self.received).await {
                    Ok(1..) => {}
                    Ok(0) | Err(_) => return None,
                },
            }
        }
    }
}

impl<I: AsyncWrite> Sender<I> {
    /// Sends a message of two parts.
    pub async fn send(&mut self, first: &[u8], second: &[u8]) -> io::Result<()> {
        let mut frame = BytesMut::new();
        self.encoder.encode(&mut frame, Opcode::Binary, first, second);
        self.io.write_all(&frame).await?;
        self.io.flush().await
    }

    /// Says goodbye.
    pub async fn close(mut self) -> io::Result<()> {
        let mut frame = BytesMut::new();
        self.encoder.close(&mut frame, 1000);
        self.io.write_all(&frame).await?;
        self.io.shutdown().await
    }
}

/// Carries bytes in messages, as kubectl does with SPDY for port-forward, until either side ends.
pub async fn tunnel<I: AsyncRead + AsyncWrite>(io: I, bytes: DuplexStream) {
    let (mut receiver, mut sender) = split(io);
    let (mut read, mut write) = tokio::io::split(bytes);
    let inwards = async {
        while let Some(message) = receiver.next().await {
            if write.write_all(&message).await.is_err() {
                break;
            }
        }
    };
    let outwards = async {
        let mut buffer = vec![0; 16 << 10];
        while let Ok(length @ 1..) = read.read(&mut buffer).await {
            if sender.send(&[], &buffer[..length]).await.is_err() {
                break;
            }
        }
    };
    tokio::select! {
        () = inwards => {}
        () = outwards => {}
    }
}

//! SPDY/3.1 as far as kubectl speaks it: the client opens streams, data flows both ways, pings are answered. Neither
//! side of Kubernetes keeps to its flow control.

use std::collections::HashMap;
use std::io;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use zlib_rs::{Deflate, DeflateFlush, Inflate, InflateError, InflateFlush};

/// What both sides have compressed before the first header: words with their lengths, then texts without.
const WORDS: &str = "options head post put delete trace accept accept-charset accept-encoding accept-language \
    accept-ranges age allow authorization cache-control connection content-base content-encoding content-language \
    content-length content-location content-md5 content-range content-type date etag expect expires from host if-match \
    if-modified-since if-none-match if-range if-unmodified-since last-modified location max-forwards pragma \
    proxy-authenticate proxy-authorization range referer retry-after server te trailer transfer-encoding upgrade \
    user-agent vary via warning www-authenticate method get status 200_OK version HTTP/1.1 url public set-cookie \
    keep-alive origin";
const TEXTS: &str = "100101201202205206300302303304305306307402405406407408409410411412413414415416417502504505203 \
    Non-Authoritative Information204 No Content301 Moved Permanently400 Bad Request401 Unauthorized403 Forbidden404 Not \
    Found500 Internal Server Error501 Not Implemented503 Service UnavailableJan Feb Mar Apr May Jun Jul Aug Sept Oct Nov \
    Dec 00:00:00 Mon, Tue, Wed, Thu, Fri, Sat, Sun, GMTchunked,text/html,image/png,image/jpg,image/gif,application/xml,\
    application/xhtml+xml,text/plain,text/javascript,publicprivatemax-age=gzip,deflate,sdchcharset=utf-8charset=iso-8859-\
    1,utf-,*,enq=0.";

const WINDOW_BITS: u8 = 15;

const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const PING: u16 = 6;
const HEADERS: u16 = 8;
const CONTROL: u8 = 0x80;
const VERSION: u8 = 3;
const FIN: u8 = 1;
/// What may wait in a stream, in each direction.
const BUFFER: usize = 64 << 10;
/// The longest data frame that is sent.
const MAX_DATA: usize = 16 << 10;

/// A stream that the client opened.
pub struct Stream {
    /// What it said about it; names in lower case.
    pub headers: HashMap<String, String>,
    /// Its bytes. Shutting down the write side ends that direction alone.
    pub io: DuplexStream,
}

/// Serves a connection until it ends. Streams go to `opened`; what they read and write ends with the connection.
pub async fn serve<I>(io: I, opened: mpsc::Sender<Stream>)
where
    I: AsyncRead + AsyncWrite + Send + 'static,
{
    let (mut read, write) = tokio::io::split(io);
    let (frames, outgoing) = mpsc::channel(64);
    let mut tasks = JoinSet::new();
    tasks.spawn(write_frames(write, outgoing));
    let mut session = Session { streams: HashMap::new(), zlib: Zlib::new(), frames, opened, tasks };
    while let Ok(frame) = Frame::read(&mut read).await {
        if session.receive(frame).await.is_none() {
            return;
        }
    }
}

async fn write_frames<I: AsyncWrite>(mut write: WriteHalf<I>, mut outgoing: mpsc::Receiver<Vec<u8>>) {
    while let Some(frame) = outgoing.recv().await {
        if write.write_all(&frame).await.is_err() || write.flush().await.is_err() {
            return;
        }
    }
}

struct Frame {
    /// The type of a control frame, or none with the stream of a data frame.
    kind: Result<u16, u32>,
    flags: u8,
    payload: Vec<u8>,
}

impl Frame {
    async fn read(read: &mut (impl AsyncRead + Unpin)) -> io::Result<Self> {
        let mut head = [0; 8];
        read.read_exact(&mut head).await?;
        let [first, second, third, fourth, flags, length @ ..] = head;
        let mut payload = vec![0; number(&length) as usize];
        read.read_exact(&mut payload).await?;
        let kind = match first & CONTROL {
            0 => Err(number(&[first, second, third, fourth])),
            _ => Ok(u16::from_be_bytes([third, fourth])),
        };
        Ok(Self { kind, flags, payload })
    }

    fn control(kind: u16, payload: &[u8]) -> Vec<u8> {
        let [high, low] = kind.to_be_bytes();
        Self::bytes([CONTROL, VERSION, high, low], 0, payload)
    }

    fn data(stream: u32, flags: u8, payload: &[u8]) -> Vec<u8> {
        Self::bytes(stream.to_be_bytes(), flags, payload)
    }

    fn bytes(head: [u8; 4], flags: u8, payload: &[u8]) -> Vec<u8> {
        let [_, length @ ..] = u32::try_from(payload.len()).unwrap().to_be_bytes();
        [&head[..], &[flags], &length, payload].concat()
    }
}

fn number(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte))
}

struct Session {
    streams: HashMap<u32, WriteHalf<DuplexStream>>,
    zlib: Zlib,
    frames: mpsc::Sender<Vec<u8>>,
    opened: mpsc::Sender<Stream>,
    tasks: JoinSet<()>,
}

impl Session {
    /// None: nobody is interested any more.
    async fn receive(&mut self, Frame { kind, flags, payload }: Frame) -> Option<()> {
        let is_last = flags & FIN != 0;
        match kind {
            Ok(SYN_STREAM) => {
                // Stream, associated stream, priority and slot; then the headers.
                let (head, headers) = payload.split_at(10);
                let headers = self.zlib.headers(headers);
                self.open(number(&head[..4]), headers).await?;
                if is_last {
                    self.end(number(&head[..4])).await;
                }
            }
            Ok(HEADERS) => drop(self.zlib.headers(&payload[4..])),
            Ok(RST_STREAM) => drop(self.streams.remove(&number(&payload[..4]))),
            Ok(PING) => self.frames.send(Frame::control(PING, &payload)).await.ok()?,
            Ok(_) => {}
            Err(stream) => {
                if let Some(write) = self.streams.get_mut(&stream) {
                    // Whoever served the stream may have left it.
                    let _ = write.write_all(&payload).await;
                }
                if is_last {
                    self.end(stream).await;
                }
            }
        }
        Some(())
    }

    async fn open(&mut self, id: u32, headers: HashMap<String, String>) -> Option<()> {
        let reply = [&id.to_be_bytes()[..], &self.zlib.no_headers()].concat();
        self.frames.send(Frame::control(SYN_REPLY, &reply)).await.ok()?;
        let (ours, io) = tokio::io::duplex(BUFFER);
        let (read, write) = tokio::io::split(ours);
        self.streams.insert(id, write);
        self.tasks.spawn(send(id, read, self.frames.clone()));
        self.opened.send(Stream { headers, io }).await.ok()
    }

    async fn end(&mut self, stream: u32) {
        if let Some(mut write) = self.streams.remove(&stream) {
            let _ = write.shutdown().await;
        }
    }
}

/// Sends what a stream's owner writes, and its end.
async fn send(id: u32, mut read: ReadHalf<DuplexStream>, frames: mpsc::Sender<Vec<u8>>) {
    let mut buffer = vec![0; MAX_DATA];
    while let Ok(length @ 1..) = read.read(&mut buffer).await {
        if frames.send(Frame::data(id, 0, &buffer[..length])).await.is_err() {
            return;
        }
    }
    let _ = frames.send(Frame::data(id, FIN, &[])).await;
}

/// The headers of all frames of a direction are one compressed stream.
struct Zlib {
    inflate: Inflate,
    deflate: Deflate,
    dictionary: Vec<u8>,
}

impl Zlib {
    fn new() -> Self {
        let mut dictionary = Vec::new();
        for word in WORDS.split(' ') {
            dictionary.extend_from_slice(&u32::try_from(word.len()).unwrap().to_be_bytes());
            dictionary.extend_from_slice(word.replace('_', " ").as_bytes());
        }
        dictionary.extend_from_slice(TEXTS.as_bytes());
        let mut deflate = Deflate::new(6, true, WINDOW_BITS);
        deflate.set_dictionary(&dictionary).unwrap();
        Self { inflate: Inflate::new(true, WINDOW_BITS), deflate, dictionary }
    }

    fn headers(&mut self, compressed: &[u8]) -> HashMap<String, String> {
        let mut block = vec![0; 64 << 10];
        let (read, wrote) = (self.inflate.total_in(), self.inflate.total_out());
        let mut outcome = self.inflate.decompress(compressed, &mut block, InflateFlush::SyncFlush);
        if matches!(outcome, Err(InflateError::NeedDict { .. })) {
            self.inflate.set_dictionary(&self.dictionary).unwrap();
            let rest = &compressed[usize::try_from(self.inflate.total_in() - read).unwrap()..];
            outcome = self.inflate.decompress(rest, &mut block, InflateFlush::SyncFlush);
        }
        outcome.unwrap();
        block.truncate(usize::try_from(self.inflate.total_out() - wrote).unwrap());
        parse(&block)
    }

    /// Compressed as all others: an empty list.
    fn no_headers(&mut self) -> Vec<u8> {
        let mut block = vec![0; 128];
        let before = self.deflate.total_out();
        self.deflate.compress(&[0; 4], &mut block, DeflateFlush::SyncFlush).unwrap();
        block.truncate(usize::try_from(self.deflate.total_out() - before).unwrap());
        block
    }
}

/// The count, then names and values, each with its length.
fn parse(block: &[u8]) -> HashMap<String, String> {
    let (count, mut rest) = block.split_at(4);
    let mut text = || {
        let (length, behind) = rest.split_at(4);
        let (text, behind) = behind.split_at(number(length) as usize);
        rest = behind;
        String::from_utf8(text.to_vec()).unwrap()
    };
    (0..number(count)).map(|_| (text().to_lowercase(), text())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_dictionary_is_that_of_the_protocol() {
        let mut deflate = Deflate::new(6, true, WINDOW_BITS);
        assert_eq!(deflate.set_dictionary(&Zlib::new().dictionary), Ok(0xe3c6_a7c2));
    }
}

//! The frames of RFC 6455 section 5, without I/O.

use bytes::{Buf, Bytes, BytesMut};
use thiserror::Error;

/// The largest message that is taken. The protocol states no limit; senders use 32 KiB.
pub const MAX_MESSAGE: usize = 16 << 20;

/// The longest payload of a control frame.
const MAX_CONTROL: usize = 125;
const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// The kinds of frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// The rest of a fragmented message.
    Continuation,
    /// A text message.
    Text,
    /// A binary message.
    Binary,
    /// The end of the connection.
    Close,
    /// Asks for a pong.
    Ping,
    /// The answer to a ping.
    Pong,
}

impl Opcode {
    fn of(number: u8) -> Option<Self> {
        Some(match number {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    fn number(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
        }
    }

    fn is_control(self) -> bool {
        self.number() >= 8
    }
}

/// Which end of the connection this is. A client masks what it sends, a server must not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It accepted the connection.
    Server,
    /// It dialled.
    Client,
}

/// What arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole binary message.
    Binary(Bytes),
    /// A whole text message; the tunnel knows none. Not checked to be UTF-8.
    Text(Bytes),
    /// A ping. Its payload is dropped: the answer is always empty.
    Ping,
    /// A pong.
    Pong,
    /// The peer closes.
    Close,
}

/// The peer does not keep to RFC 6455; the connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WebsocketError {
    /// Extensions were not negotiated.
    #[error("websocket: reserved bits are set")]
    ReservedBits,
    /// An opcode that RFC 6455 does not define.
    #[error("websocket: unknown opcode {0}")]
    UnknownOpcode(u8),
    /// A client must mask, a server must not.
    #[error("websocket: incorrect mask flag")]
    Mask,
    /// A control frame in pieces or of more than 125 bytes.
    #[error("websocket: malformed control frame")]
    Control,
    /// A continuation of nothing, or a new message inside of another one.
    #[error("websocket: frames out of order")]
    Order,
    /// More than [`MAX_MESSAGE`] bytes.
    #[error("websocket: message too large")]
    TooLarge,
}

impl WebsocketError {
    /// The status code of the close frame that answers it.
    pub fn close_code(self) -> u16 {
        match self {
            Self::TooLarge => 1009,
            _ => 1002,
        }
    }
}

/// Turns received bytes into events.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    /// The message that is being put together, and its opcode.
    fragments: Option<(Opcode, BytesMut)>,
}

struct FrameHead {
    fin: bool,
    opcode: Opcode,
    mask: Option<[u8; 4]>,
    /// Bytes of this head.
    head: usize,
    /// Bytes of the payload.
    payload: usize,
}

impl Decoder {
    /// For one end of a connection.
    pub fn new(role: Role) -> Self {
        Self { role, fragments: None }
    }

    /// Takes the next event out of `received`; None: more bytes are needed.
    ///
    /// # Errors
    /// If the peer breaks the rules; the decoder is of no use then.
    pub fn decode(&mut self, received: &mut BytesMut) -> Result<Option<Event>, WebsocketError> {
        loop {
            let Some(head) = self.head(received)? else { return Ok(None) };
            if received.len() < head.head + head.payload {
                return Ok(None);
            }
            received.advance(head.head);
            let event = match received.get_mut(..head.payload) {
                Some(payload) => {
                    if let Some(key) = head.mask {
                        apply_mask(payload, key);
                    }
                    self.event(&head, payload)?
                }
                None => None,
            };
            received.advance(head.payload);
            if event.is_some() {
                return Ok(event);
            }
        }
    }

    fn head(&self, received: &[u8]) -> Result<Option<FrameHead>, WebsocketError> {
        let mut rest = received;
        let (Ok(first), Ok(second)) = (rest.try_get_u8(), rest.try_get_u8()) else { return Ok(None) };
        if first & RESERVED != 0 {
            return Err(WebsocketError::ReservedBits);
        }
        let fin = first & FIN != 0;
        let opcode = Opcode::of(first & 0x0f).ok_or(WebsocketError::UnknownOpcode(first & 0x0f))?;
        if (second & MASKED != 0) != (self.role == Role::Server) {
            return Err(WebsocketError::Mask);
        }
        let length = match second & !MASKED {
            126 => rest.try_get_u16().map(u64::from),
            127 => rest.try_get_u64(),
            short => Ok(u64::from(short)),
        };
        let Ok(length) = length else { return Ok(None) };
        let payload = usize::try_from(length).map_err(|_| WebsocketError::TooLarge)?;
        self.check(fin, opcode, payload)?;
        let mask = match self.role {
            Role::Client => None,
            Role::Server => match rest.try_get_u32() {
                Ok(key) => Some(key.to_be_bytes()),
                Err(_) => return Ok(None),
            },
        };
        Ok(Some(FrameHead { fin, opcode, mask, head: received.len() - rest.len(), payload }))
    }

    fn check(&self, fin: bool, opcode: Opcode, payload: usize) -> Result<(), WebsocketError> {
        if opcode.is_control() {
            return if fin && payload <= MAX_CONTROL { Ok(()) } else { Err(WebsocketError::Control) };
        }
        let so_far = self.fragments.as_ref().map(|(_, bytes)| bytes.len());
        if (opcode == Opcode::Continuation) != so_far.is_some() {
            return Err(WebsocketError::Order);
        }
        if payload > MAX_MESSAGE - so_far.unwrap_or(0) {
            return Err(WebsocketError::TooLarge);
        }
        Ok(())
    }

    fn event(&mut self, head: &FrameHead, payload: &[u8]) -> Result<Option<Event>, WebsocketError> {
        let message = match (head.opcode, head.fin) {
            (Opcode::Ping, _) => return Ok(Some(Event::Ping)),
            (Opcode::Pong, _) => return Ok(Some(Event::Pong)),
            (Opcode::Close, _) => return Ok(Some(Event::Close)),
            (Opcode::Binary, true) => return Ok(Some(Event::Binary(Bytes::copy_from_slice(payload)))),
            (Opcode::Text, true) => return Ok(Some(Event::Text(Bytes::copy_from_slice(payload)))),
            (opcode @ (Opcode::Binary | Opcode::Text), false) => {
                self.fragments = Some((opcode, BytesMut::from(payload)));
                return Ok(None);
            }
            (Opcode::Continuation, fin) => {
                let Some((opcode, mut bytes)) = self.fragments.take() else { return Err(WebsocketError::Order) };
                bytes.extend_from_slice(payload);
                if !fin {
                    self.fragments = Some((opcode, bytes));
                    return Ok(None);
                }
                (opcode, bytes)
            }
        };
        Ok(Some(match message {
            (Opcode::Text, bytes) => Event::Text(bytes.freeze()),
            (_, bytes) => Event::Binary(bytes.freeze()),
        }))
    }
}

/// Appends frames to a buffer of bytes to send.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    role: Role,
}

impl Encoder {
    /// For one end of a connection.
    pub fn new(role: Role) -> Self {
        Self { role }
    }

    /// Appends one whole message or control frame whose payload is `first` and then `second`. Returns its length.
    pub fn encode(self, out: &mut BytesMut, opcode: Opcode, first: &[u8], second: &[u8]) -> usize {
        let before = out.len();
        let payload = first.len() + second.len();
        out.reserve(payload + 14);
        let masked = if self.role == Role::Client { MASKED } else { 0 };
        out.extend_from_slice(&[FIN | opcode.number()]);
        match (u8::try_from(payload), u16::try_from(payload)) {
            (Ok(short @ ..=125), _) => out.extend_from_slice(&[masked | short]),
            (_, Ok(medium)) => {
                out.extend_from_slice(&[masked | 126]);
                out.extend_from_slice(&medium.to_be_bytes());
            }
            _ => {
                out.extend_from_slice(&[masked | 127]);
                out.extend_from_slice(&u64::try_from(payload).unwrap_or(u64::MAX).to_be_bytes());
            }
        }
        let key: Option<[u8; 4]> = (self.role == Role::Client).then(rand::random);
        out.extend_from_slice(key.as_ref().map_or(&[], <[u8; 4]>::as_slice));
        let start = out.len();
        out.extend_from_slice(first);
        out.extend_from_slice(second);
        if let (Some(key), Some(payload)) = (key, out.get_mut(start..)) {
            apply_mask(payload, key);
        }
        out.len() - before
    }

    /// Appends a close frame.
    pub fn close(self, out: &mut BytesMut, code: u16) {
        self.encode(out, Opcode::Close, &code.to_be_bytes(), &[]);
    }
}

/// Masks or unmasks a payload (RFC 6455 section 5.3).
fn apply_mask(payload: &mut [u8], key: [u8; 4]) {
    let [a, b, c, d] = key;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (chunks, rest) = payload.as_chunks_mut::<8>();
    for chunk in chunks {
        *chunk = (u64::from_ne_bytes(*chunk) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(key.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(role: Role, opcode: Opcode, payload: &[u8]) -> BytesMut {
        let mut out = BytesMut::new();
        let length = Encoder::new(role).encode(&mut out, opcode, payload, &[]);
        assert_eq!(length, out.len());
        out
    }

    fn decode_all(role: Role, bytes: &[u8]) -> Result<Vec<Event>, WebsocketError> {
        let mut decoder = Decoder::new(role);
        let mut received = BytesMut::from(bytes);
        let mut events = Vec::new();
        while let Some(event) = decoder.decode(&mut received)? {
            events.push(event);
        }
        Ok(events)
    }

    #[test]
    fn reads_the_examples_of_the_rfc() {
        let binary = |bytes: &'static [u8]| Event::Binary(Bytes::from_static(bytes));
        let masked_hello = [0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(decode_all(Role::Server, &masked_hello), Ok(vec![binary(b"Hello")]));
        let fragmented = [0x02, 0x03, 0x48, 0x65, 0x6c, 0x89, 0x01, 0x21, 0x80, 0x02, 0x6c, 0x6f];
        assert_eq!(decode_all(Role::Client, &fragmented), Ok(vec![Event::Ping, binary(b"Hello")]));
        assert_eq!(decode_all(Role::Client, &[0x81, 0x01, 0x41]), Ok(vec![Event::Text("A".into())]));
        assert_eq!(decode_all(Role::Client, &[0x8a, 0x00, 0x88, 0x00]), Ok(vec![Event::Pong, Event::Close]));
    }

    #[test]
    fn refuses_what_the_rfc_forbids() {
        for (bytes, error) in [
            (&[0xc2, 0x00][..], WebsocketError::ReservedBits),
            (&[0x83, 0x00], WebsocketError::UnknownOpcode(3)),
            (&[0x82, 0x80], WebsocketError::Mask),
            (&[0x09, 0x00], WebsocketError::Control),
            (&[0x89, 0x7e, 0x00, 0x7e], WebsocketError::Control),
            (&[0x80, 0x00], WebsocketError::Order),
            (&[0x02, 0x00, 0x82, 0x00], WebsocketError::Order),
            (&[0x82, 0x7f, 0, 0, 0, 0, 1, 0, 0, 1], WebsocketError::TooLarge),
            (&[0x82, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], WebsocketError::TooLarge),
        ] {
            assert_eq!(decode_all(Role::Client, bytes), Err(error), "{bytes:x?}");
        }
        assert_eq!(decode_all(Role::Server, &[0x82, 0x00]), Err(WebsocketError::Mask));
    }

    #[test]
    fn a_server_pong_is_two_bytes() {
        assert_eq!(&encoded(Role::Server, Opcode::Pong, b"")[..], [0x8a, 0x00]);
    }

    #[test]
    fn encodes_all_three_lengths() {
        for (length, head) in [(125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let payload = vec![7; length];
            assert_eq!(encoded(Role::Server, Opcode::Binary, &payload).len(), length + head);
            let masked = encoded(Role::Client, Opcode::Binary, &payload);
            assert_eq!(decode_all(Role::Server, &masked), Ok(vec![Event::Binary(payload.into())]));
        }
    }

    proptest! {
        #[test]
        fn messages_survive_any_cut(messages in proptest::collection::vec(any::<Vec<u8>>(), 0..5), cut in 1_usize..64) {
            let mut wire = BytesMut::new();
            for message in &messages {
                Encoder::new(Role::Client).encode(&mut wire, Opcode::Binary, message, b"!");
            }
            let mut decoder = Decoder::new(Role::Server);
            let mut received = BytesMut::new();
            let mut got = Vec::new();
            for piece in wire.chunks(cut) {
                received.extend_from_slice(piece);
                while let Some(event) = decoder.decode(&mut received).unwrap() {
                    got.push(event);
                }
            }
            let sent: Vec<_> = messages.into_iter().map(|m| Event::Binary([&m[..], b"!"].concat().into())).collect();
            prop_assert_eq!(got, sent);
        }

        #[test]
        fn any_bytes_are_decoded_without_a_panic(bytes: Vec<u8>, server: bool) {
            let _ = decode_all(if server { Role::Server } else { Role::Client }, &bytes);
        }
    }
}

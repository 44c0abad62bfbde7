//! One protocol message (common.md 7.2): `id connID type [deadline] body`, the numbers as Go's signed varints.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicI64, Ordering};

use thiserror::Error;

/// The longest varint of 64 bits.
const MAX_VARINT: usize = 10;

/// What a message is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes of a connection.
    Data,
    /// Opens a connection; the body is `<network>/<address>`.
    Connect,
    /// Ends a connection; the body says why, `EOF` for a normal end.
    Error,
    /// A replica announces a session; the body is `<client key>/<session key>`.
    AddClient,
    /// A replica takes the announcement back; same body.
    RemoveClient,
    /// A type of a later version; it is ignored.
    Unknown(i64),
}

impl Kind {
    fn number(self) -> i64 {
        match self {
            Self::Data => 1,
            Self::Connect => 2,
            Self::Error => 3,
            Self::AddClient => 4,
            Self::RemoveClient => 5,
            Self::Unknown(number) => number,
        }
    }

    fn has_deadline(self) -> bool {
        matches!(self, Self::Data | Self::Connect)
    }
}

impl From<i64> for Kind {
    fn from(number: i64) -> Self {
        match number {
            1 => Self::Data,
            2 => Self::Connect,
            3 => Self::Error,
            4 => Self::AddClient,
            5 => Self::RemoveClient,
            other => Self::Unknown(other),
        }
    }
}

/// What precedes the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// A number of the sender that receivers ignore.
    pub id: i64,
    /// The connection; 0 for announcements.
    pub connection: i64,
    /// What the message is for.
    pub kind: Kind,
    /// Milliseconds; 0 for none. Only [`Kind::Data`] and [`Kind::Connect`] carry it.
    pub deadline: i64,
}

/// A message whose head does not parse; it ends the session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// It ends in the middle of a number.
    #[error("message too short")]
    Short,
    /// A number of more than 64 bits.
    #[error("varint overflows a 64-bit integer")]
    Overflow,
}

impl Head {
    /// A head with the next id of this process.
    pub fn new(connection: i64, kind: Kind, deadline: i64) -> Self {
        Self { id: next_id(), connection, kind, deadline }
    }

    /// Splits a message into head and body.
    ///
    /// # Errors
    /// If a number of the head is cut off or too large.
    pub fn decode(message: &[u8]) -> Result<(Self, &[u8]), FrameError> {
        let (id, rest) = take_varint(message)?;
        let (connection, rest) = take_varint(rest)?;
        let (kind, rest) = take_varint(rest)?;
        let kind = Kind::from(kind);
        let (deadline, rest) = if kind.has_deadline() { take_varint(rest)? } else { (0, rest) };
        Ok((Self { id, connection, kind, deadline }, rest))
    }

    /// The bytes before the body.
    pub fn encode(&self) -> EncodedHead {
        let mut encoded = EncodedHead { bytes: [0; 4 * MAX_VARINT], length: 0 };
        encoded.put(self.id);
        encoded.put(self.connection);
        encoded.put(self.kind.number());
        if self.kind.has_deadline() {
            encoded.put(self.deadline);
        }
        encoded
    }
}

/// The bytes of a [`Head`].
#[derive(Clone, Copy, Debug)]
pub struct EncodedHead {
    bytes: [u8; 4 * MAX_VARINT],
    length: usize,
}

impl EncodedHead {
    fn put(&mut self, value: i64) {
        let mut rest = zigzag(value);
        loop {
            let low = u8::try_from(rest & 0x7f).unwrap_or(0);
            rest >>= 7;
            let byte = if rest == 0 { low } else { low | 0x80 };
            if let Some(place) = self.bytes.get_mut(self.length) {
                *place = byte;
                self.length += 1;
            }
            if rest == 0 {
                return;
            }
        }
    }

    /// As a slice.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// Maps signed to unsigned so that small absolute values become small numbers.
fn zigzag(value: i64) -> u64 {
    (value.cast_unsigned() << 1) ^ (value >> 63).cast_unsigned()
}

fn take_varint(bytes: &[u8]) -> Result<(i64, &[u8]), FrameError> {
    let mut value = 0_u64;
    for (position, byte) in bytes.iter().enumerate() {
        let last = *byte < 0x80;
        // The tenth byte holds the 64th bit only.
        if position >= MAX_VARINT || (position == MAX_VARINT - 1 && *byte > 1) {
            return Err(FrameError::Overflow);
        }
        value |= u64::from(byte & 0x7f) << (7 * position);
        if last {
            let signed = (value >> 1).cast_signed() ^ -((value & 1).cast_signed());
            return Ok((signed, bytes.get(position + 1..).unwrap_or_default()));
        }
    }
    Err(FrameError::Short)
}

/// Counts all messages of the process from a random start; it wraps to negative numbers.
fn next_id() -> i64 {
    static NEXT: OnceLock<AtomicI64> = OnceLock::new();
    NEXT.get_or_init(|| AtomicI64::new(rand::random::<i64>() & i64::MAX)).fetch_add(1, Ordering::Relaxed)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn hex(text: &str) -> Vec<u8> {
        text.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
    }

    fn encode(head: Head, body: &[u8]) -> Vec<u8> {
        [head.encode().as_bytes(), body].concat()
    }

    #[test]
    fn encodes_and_decodes_the_vectors_of_the_spec() {
        let cases: [(i64, i64, Kind, i64, &str, &str); 6] = [
            (
                1,
                2,
                Kind::Connect,
                15_000,
                "tcp/10.0.0.1:6443",
                "02 04 04 b0 ea 01 74 63 70 2f 31 30 2e 30 2e 30 2e 31 3a 36 34 34 33",
            ),
            (2, 2, Kind::Data, 0, "GET / HTTP/1.1\r\n", "04 04 02 00 47 45 54 20 2f 20 48 54 54 50 2f 31 2e 31 0d 0a"),
            (3, 2, Kind::Error, 0, "EOF", "06 04 06 45 4f 46"),
            (4, 0, Kind::AddClient, 0, "BCS-K8S-00000/42", "08 00 08 42 43 53 2d 4b 38 53 2d 30 30 30 30 30 2f 34 32"),
            (
                5,
                0,
                Kind::RemoveClient,
                0,
                "BCS-K8S-00000/42",
                "0a 00 0a 42 43 53 2d 4b 38 53 2d 30 30 30 30 30 2f 34 32",
            ),
            (7, 2, Kind::Connect, 15_000, "", "0e 04 04 b0 ea 01"),
        ];
        for (id, connection, kind, deadline, body, bytes) in cases {
            let head = Head { id, connection, kind, deadline };
            assert_eq!(encode(head, body.as_bytes()), hex(bytes));
            assert_eq!(Head::decode(&hex(bytes)), Ok((head, body.as_bytes())));
        }
    }

    #[test]
    fn encodes_the_ends_of_the_range() {
        let number = |value| {
            let mut encoded = EncodedHead { bytes: [0; 40], length: 0 };
            encoded.put(value);
            encoded.as_bytes().to_vec()
        };
        assert_eq!(number(0), hex("00"));
        assert_eq!(number(1), hex("02"));
        assert_eq!(number(-1), hex("01"));
        assert_eq!(number(i64::MAX), hex("fe ff ff ff ff ff ff ff ff 01"));
        assert_eq!(number(i64::MIN), hex("ff ff ff ff ff ff ff ff ff 01"));
    }

    #[test]
    fn refuses_cut_and_overlong_numbers() {
        for (bytes, error) in [
            ("", FrameError::Short),
            ("80", FrameError::Short),
            ("02 04", FrameError::Short),
            ("02 04 04", FrameError::Short),
            ("02 04 04 b0", FrameError::Short),
            ("ff ff ff ff ff ff ff ff ff 02 00 00", FrameError::Overflow),
            ("80 80 80 80 80 80 80 80 80 80 01 00 00", FrameError::Overflow),
        ] {
            assert_eq!(Head::decode(&hex(bytes)), Err(error), "{bytes}");
        }
        // Not the shortest form, but Go reads it too.
        assert!(Head::decode(&hex("82 00 04 06")).is_ok());
    }

    #[test]
    fn ids_go_up_by_one() {
        let first = Head::new(2, Kind::Data, 0).id;
        assert!(Head::new(2, Kind::Data, 0).id.wrapping_sub(first) >= 1);
    }

    proptest! {
        #[test]
        fn any_head_survives_the_round_trip(id: i64, connection: i64, kind: i64, deadline: i64, body: Vec<u8>) {
            let kind = Kind::from(kind % 8);
            let deadline = if kind.has_deadline() { deadline } else { 0 };
            let head = Head { id, connection, kind, deadline };
            let message = encode(head, &body);
            prop_assert_eq!(Head::decode(&message), Ok((head, body.as_slice())));
        }

        #[test]
        fn any_bytes_are_decoded_without_a_panic(bytes: Vec<u8>) {
            let _ = Head::decode(&bytes);
        }
    }
}

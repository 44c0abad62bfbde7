//! What has arrived for a connection and was not read yet.

use std::collections::VecDeque;
use std::time::Instant;

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;

/// What a queued message costs beside its bytes.
const OVERHEAD: usize = 64;

#[derive(Debug)]
pub(crate) struct Inbox {
    messages: VecDeque<Bytes>,
    size: usize,
    /// When the reader last took something, or when the first message came into the empty inbox.
    taken: Instant,
}

impl Inbox {
    pub fn new(now: Instant) -> Self {
        Self { messages: VecDeque::new(), size: 0, taken: now }
    }

    /// Bytes, overhead included.
    pub fn size(&self) -> usize {
        self.size
    }

    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Since when the reader has taken nothing although there was something.
    pub fn taken(&self) -> Instant {
        self.taken
    }

    /// Appends a message; returns by how much the inbox grew.
    pub fn push(&mut self, message: Bytes, now: Instant) -> usize {
        if self.messages.is_empty() {
            self.taken = now;
        }
        let grown = message.len() + OVERHEAD;
        self.size += grown;
        self.messages.push_back(message);
        grown
    }

    /// Moves as much as fits into `buf`; returns by how much the inbox shrank.
    pub fn take(&mut self, buf: &mut ReadBuf<'_>, now: Instant) -> usize {
        let before = self.size;
        while let Some(message) = self.messages.front_mut() {
            let length = message.len().min(buf.remaining());
            buf.put_slice(message.get(..length).unwrap_or_default());
            message.advance(length);
            self.size -= length;
            if !message.is_empty() {
                break;
            }
            self.size -= OVERHEAD;
            self.messages.pop_front();
        }
        if self.messages.is_empty() {
            // A burst is over; an idle connection keeps no room.
            self.messages = VecDeque::new();
        }
        self.taken = now;
        before - self.size
    }

    /// Throws everything away; returns by how much the inbox shrank.
    pub fn clear(&mut self) -> usize {
        self.messages = VecDeque::new();
        std::mem::take(&mut self.size)
    }
}

//! Idle connections of one backend.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bcs_common::http::Body;
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use parking_lot::Mutex;

/// As Go's transport.
const IDLE: Duration = Duration::from_secs(90);

/// The idle connections; the one used last is used first.
#[derive(Debug)]
pub(super) struct Pool {
    idle: Mutex<Idle>,
    max: usize,
}

#[derive(Debug, Default)]
struct Idle {
    connections: Vec<(SendRequest<Body>, Instant)>,
    closed: bool,
}

impl Pool {
    pub fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { idle: Mutex::default(), max })
    }

    /// A connection that can take a request now; without one, one that has its last answer behind it but was not heard
    /// of since.
    pub fn take(&self) -> Option<SendRequest<Body>> {
        let mut idle = self.idle.lock();
        let connections = &mut idle.connections;
        connections.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < IDLE);
        let ready = connections.iter().rposition(|(sender, _)| sender.is_ready());
        let place = ready.or_else(|| connections.len().checked_sub(1))?;
        Some(connections.remove(place).0)
    }

    fn put(&self, sender: SendRequest<Body>) {
        let mut idle = self.idle.lock();
        if !idle.closed && !sender.is_closed() && idle.connections.len() < self.max {
            idle.connections.push((sender, Instant::now()));
        }
    }

    /// Drops all idle connections.
    pub fn clear(&self) {
        self.idle.lock().connections = Vec::new();
    }

    /// Drops all idle connections, and those that become idle later.
    pub fn close(&self) {
        let mut idle = self.idle.lock();
        idle.closed = true;
        idle.connections = Vec::new();
    }
}

/// The body of an answer; its connection goes back to the pool at the end of it, and is closed if the body is dropped
/// before.
pub(super) struct Pooled {
    body: Incoming,
    lease: Option<(SendRequest<Body>, Option<Arc<Pool>>)>,
}

impl Pooled {
    /// Of a connection that is closed after this answer.
    pub fn unpooled(body: Incoming, sender: SendRequest<Body>) -> Self {
        Self { body, lease: Some((sender, None)) }
    }

    pub fn new(body: Incoming, sender: SendRequest<Body>, pool: &Arc<Pool>) -> Self {
        let mut pooled = Self { body, lease: Some((sender, Some(Arc::clone(pool)))) };
        pooled.give_back_at_end();
        pooled
    }

    fn give_back_at_end(&mut self) {
        if self.body.is_end_stream() {
            self.give_back();
        }
    }

    fn give_back(&mut self) {
        if let Some((sender, Some(pool))) = self.lease.take() {
            pool.put(sender);
        }
    }
}

impl HttpBody for Pooled {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(cx);
        match &frame {
            Poll::Ready(None) => self.give_back(),
            // A body of known length is not polled again after its last piece.
            Poll::Ready(Some(Ok(_))) => self.give_back_at_end(),
            Poll::Ready(Some(Err(_))) => self.lease = None,
            Poll::Pending => {}
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

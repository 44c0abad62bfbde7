//! A connection through the tunnel.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Session;
use super::core::EOF;

/// A byte stream to an address that the far end of a tunnel dialled. The protocol has no half close: shutting down
/// the write side, as dropping the stream, ends both directions. If the far end could not connect, reads and writes
/// fail with the text that it sent; after the end of the session with `tunnel disconnect`.
pub struct TunnelStream {
    session: Arc<Session>,
    connection: i64,
    network: Box<str>,
    address: Box<str>,
}

impl TunnelStream {
    pub(crate) fn new(session: Arc<Session>, connection: i64, network: &str, address: &str) -> Self {
        session.metrics.connection_added(network, address);
        Self { session, connection, network: network.into(), address: address.into() }
    }

    /// Ends both directions and tells the far end why.
    pub(crate) fn close(&self, text: &str) {
        self.session.core.lock().close(self.connection, text);
        self.session.driver.wake();
    }
}

impl fmt::Debug for TunnelStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TunnelStream({} {} {}/{})", self.session.key, self.connection, self.network, self.address)
    }
}

impl AsyncRead for TunnelStream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut core = self.session.core.lock();
        let result = core.poll_read(self.connection, cx, buf, Session::now());
        if core.is_paused() && result.is_ready() {
            self.session.driver.wake();
        }
        result
    }
}

impl AsyncWrite for TunnelStream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let result = self.session.core.lock().poll_write(self.connection, cx, bytes);
        if result.is_ready() {
            self.session.driver.wake();
        }
        result
    }

    /// The driver sends at once what was written.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.close(EOF);
        Poll::Ready(Ok(()))
    }
}

impl Drop for TunnelStream {
    fn drop(&mut self) {
        self.session.core.lock().release(self.connection);
        self.session.driver.wake();
        self.session.metrics.connection_removed(&self.network, &self.address);
    }
}

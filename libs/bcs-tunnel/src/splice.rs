//! Two byte streams that become one.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use std::future::poll_fn;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The buffer of a direction, small while little flows.
const SMALL: usize = 4 << 10;
const LARGE: usize = 64 << 10;

/// Copies both ways and flushes at once, until one side ends or breaks; closing both is left to the caller. What one
/// side sent before its end has been written to the other.
///
/// # Errors
/// The error that ended it.
pub async fn splice<A, B>(a: &mut A, b: &mut B) -> io::Result<()>
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let (mut forth, mut back) = (Direction::default(), Direction::default());
    poll_fn(|cx| {
        if let Poll::Ready(result) = forth.poll(cx, a, b) {
            return Poll::Ready(result);
        }
        back.poll(cx, b, a)
    })
    .await
}

#[derive(Default)]
struct Direction {
    buffer: Vec<u8>,
    /// The bytes of the buffer that are not written yet.
    start: usize,
    end: usize,
    unflushed: bool,
}

impl Direction {
    /// Ready at the end of `from`, when everything was written to `to`.
    fn poll<R, W>(&mut self, cx: &mut Context<'_>, from: &mut R, to: &mut W) -> Poll<io::Result<()>>
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        loop {
            while self.start < self.end {
                let bytes = self.buffer.get(self.start..self.end).unwrap_or_default();
                let length = ready!(Pin::new(&mut *to).poll_write(cx, bytes))?;
                if length == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.start += length;
                self.unflushed = true;
            }
            match self.poll_fill(cx, from) {
                Poll::Ready(Ok(0)) => {
                    ready!(Pin::new(&mut *to).poll_flush(cx))?;
                    return Poll::Ready(Ok(()));
                }
                Poll::Ready(Ok(_)) => {}
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
                Poll::Pending => {
                    if self.unflushed {
                        ready!(Pin::new(&mut *to).poll_flush(cx))?;
                        self.unflushed = false;
                    }
                    return Poll::Pending;
                }
            }
        }
    }

    fn poll_fill<R: AsyncRead + Unpin>(&mut self, cx: &mut Context<'_>, from: &mut R) -> Poll<io::Result<usize>> {
        if self.buffer.is_empty() {
            self.buffer = vec![0; SMALL];
        } else if self.end == self.buffer.len() && self.end < LARGE {
            self.buffer = vec![0; LARGE];
        }
        let mut space = ReadBuf::new(&mut self.buffer);
        ready!(Pin::new(from).poll_read(cx, &mut space))?;
        (self.start, self.end) = (0, space.filled().len());
        Poll::Ready(Ok(self.end))
    }
}

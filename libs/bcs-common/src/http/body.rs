//! Request bodies: collected with a limit, and watched for progress while they arrive.

use std::error::Error as StdError;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::BodyExt;
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep};

use super::Body;

/// The limit of a body for which the spec of a service states none: 16 MiB, as much as MongoDB takes in one document.
pub const DEFAULT_LIMIT: usize = 16 << 20;

/// Memory reserved on the word of a `Content-Length` header alone.
const MAX_RESERVED: usize = 256 << 10;

/// Why a body could not be collected.
#[derive(Debug, Error)]
pub enum BodyError {
    /// It is longer than the limit.
    #[error("the body is longer than {limit} bytes")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The sender paused for longer than `ServerOptions::body_timeout`.
    #[error("the body stalled")]
    Timeout,
    /// The connection broke, or the transfer coding is malformed.
    #[error("the body broke off")]
    Broken(#[source] axum::Error),
}

/// Reads a body to its end. A body in one piece is not copied.
///
/// # Errors
/// See [`BodyError`]; too long a body is refused before it is read if it says its length.
pub async fn collect(mut body: Body, limit: usize) -> Result<Bytes, BodyError> {
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(BodyError::TooLarge { limit });
    }
    let Some(first) = next_piece(&mut body).await? else {
        return Ok(Bytes::new());
    };
    if first.len() > limit {
        return Err(BodyError::TooLarge { limit });
    }
    let Some(second) = next_piece(&mut body).await? else {
        return Ok(first);
    };
    let mut all = BytesMut::with_capacity(announced.min(MAX_RESERVED).max(first.len() + second.len()));
    all.extend_from_slice(&first);
    let mut piece = Some(second);
    while let Some(bytes) = piece {
        if all.len() + bytes.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        all.extend_from_slice(&bytes);
        piece = next_piece(&mut body).await?;
    }
    Ok(all.freeze())
}

/// The next piece with something in it; trailers are skipped.
async fn next_piece(body: &mut Body) -> Result<Option<Bytes>, BodyError> {
    while let Some(frame) = body.frame().await {
        match frame.map_err(classify)?.into_data() {
            Ok(data) if !data.is_empty() => return Ok(Some(data)),
            _ => {}
        }
    }
    Ok(None)
}

fn classify(error: axum::Error) -> BodyError {
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    while let Some(current) = cause {
        if current.is::<Stalled>() {
            return BodyError::Timeout;
        }
        cause = current.source();
    }
    BodyError::Broken(error)
}

/// The error that ends a request body which made no progress in time.
#[derive(Debug, Error)]
#[error("no piece of the request body arrived in time")]
pub struct Stalled;

/// A body that ends with [`Stalled`] if two pieces are further apart than `gap`.
pub(crate) struct Watched<B> {
    inner: B,
    gap: Duration,
    /// Armed only while the reader waits, so a body that is there at once costs no timer.
    deadline: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl<B> Watched<B> {
    pub(crate) fn new(inner: B, gap: Duration) -> Self {
        Self { inner, gap, deadline: None, waiting: false }
    }

    fn poll_stalled(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let gap = self.gap;
        let deadline = self.deadline.get_or_insert_with(|| Box::pin(sleep(gap)));
        if !self.waiting {
            self.waiting = true;
            deadline.as_mut().reset(Instant::now() + gap);
        }
        deadline.as_mut().poll(cx)
    }
}

impl<B> HttpBody for Watched<B>
where
    B: HttpBody<Data = Bytes> + Unpin,
    B::Error: Into<Box<dyn StdError + Send + Sync>>,
{
    type Data = Bytes;
    type Error = Box<dyn StdError + Send + Sync>;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) {
            self.waiting = false;
            return Poll::Ready(frame.map(|frame| frame.map_err(Into::into)));
        }
        ready!(self.poll_stalled(cx));
        Poll::Ready(Some(Err(Box::new(Stalled))))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::stream;
    use http_body_util::StreamBody;

    fn pieces(pieces: &[&'static str]) -> Body {
        let pieces: Vec<Result<Bytes, std::io::Error>> =
            pieces.iter().map(|p| Ok(Bytes::from_static(p.as_bytes()))).collect();
        Body::from_stream(stream::iter(pieces))
    }

    #[tokio::test]
    async fn joins_the_pieces() {
        for (given, all) in [(&[][..], ""), (&["a"], "a"), (&["", "a", "", "bc"], "abc"), (&["a", "b", "c"], "abc")] {
            assert_eq!(collect(pieces(given), 3).await.unwrap(), all);
        }
        assert_eq!(collect(Body::from("abc"), 3).await.unwrap(), "abc");
    }

    #[tokio::test]
    async fn refuses_more_than_the_limit() {
        for body in [pieces(&["abcd"]), pieces(&["ab", "cd"]), pieces(&["a", "b", "c", "d"]), Body::from("abcd")] {
            assert!(matches!(collect(body, 3).await, Err(BodyError::TooLarge { limit: 3 })));
        }
    }

    #[tokio::test]
    async fn tells_a_broken_body() {
        let body = Body::from_stream(stream::iter([Ok(Bytes::from("a")), Err(std::io::Error::other("cut"))]));
        assert!(matches!(collect(body, 3).await, Err(BodyError::Broken(_))));
    }

    /// Sends the given pieces `every` so often, then nothing more.
    fn slow(pieces: usize, every: Duration) -> Body {
        let stream = stream::unfold(0, move |n| async move {
            if n == pieces {
                std::future::pending::<()>().await;
            }
            sleep(every).await;
            Some((Ok::<_, std::io::Error>(Frame::data(Bytes::from("a"))), n + 1))
        });
        Body::new(Watched::new(StreamBody::new(Box::pin(stream)), Duration::from_millis(400)))
    }

    #[tokio::test(start_paused = true)]
    async fn tells_a_stalled_body() {
        let started = Instant::now();
        let body = slow(3, Duration::from_millis(1));
        assert!(matches!(collect(body, 100).await, Err(BodyError::Timeout)));
        assert!(started.elapsed() >= Duration::from_millis(400));
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_may_take_longer_than_the_gap() {
        let body = slow(30, Duration::from_millis(20));
        assert!(matches!(collect(body, 29).await, Err(BodyError::TooLarge { .. })), "all 30 pieces arrived");
    }
}

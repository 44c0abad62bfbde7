//! Measuring of requests, for the metrics of a service.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};

use crate::http::Body;

/// Is told about every request that found its route. Called on the path of the request: it must not block.
pub trait Observer: Send + Sync + 'static {
    /// The handler is about to run. A call of [`finished`](Self::finished) will follow.
    fn started(&self, method: &Method, template: &'static str) {
        let _ = (method, template);
    }

    /// The response is complete, or the client went away.
    fn finished(&self, served: &Served<'_>);
}

/// How a request went.
#[derive(Debug)]
pub struct Served<'a> {
    /// The method of the request.
    pub method: &'a Method,
    /// The template of the route, mount first.
    pub template: &'static str,
    /// The status that was answered; None if the client went away, or the handler panicked, before there was one.
    pub status: Option<StatusCode>,
    /// From the match of the route to the response, or, if that is streamed, to its end.
    pub elapsed: Duration,
    /// Bytes of the response body.
    pub response_bytes: u64,
}

/// A request under observation; reports when it is dropped.
pub(super) struct Observation {
    observer: Arc<dyn Observer>,
    method: Method,
    template: &'static str,
    started: Instant,
    status: Option<StatusCode>,
    response_bytes: u64,
}

impl Observation {
    pub fn start(observer: Arc<dyn Observer>, method: Method, template: &'static str) -> Self {
        observer.started(&method, template);
        Self { observer, method, template, started: Instant::now(), status: None, response_bytes: 0 }
    }

    /// Reports a response of known length at once; goes along with a stream to its end.
    pub fn finish(mut self, response: Response<Body>) -> Response<Body> {
        self.status = Some(response.status());
        match response.body().size_hint().exact() {
            Some(length) => {
                self.response_bytes = length;
                response
            }
            None => response.map(|stream| Body::new(ObservedStream { stream, observation: self })),
        }
    }
}

impl Drop for Observation {
    fn drop(&mut self) {
        self.observer.finished(&Served {
            method: &self.method,
            template: self.template,
            status: self.status,
            elapsed: self.started.elapsed(),
            response_bytes: self.response_bytes,
        });
    }
}

struct ObservedStream {
    stream: Body,
    observation: Observation,
}

impl HttpBody for ObservedStream {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = Pin::new(&mut self.stream).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &frame {
            let length = frame.data_ref().map_or(0, Bytes::len);
            self.observation.response_bytes += u64::try_from(length).unwrap_or(u64::MAX);
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.stream.size_hint()
    }
}

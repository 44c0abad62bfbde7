//! A small etcd v3 client: the calls the registry and the lock need, over connections that are made when first used.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::stream::{self, Stream, StreamExt as _};
use http::Uri;
use http::uri::PathAndQuery;
use prost::Message;
use rustls::ClientConfig;
use tokio::time::timeout;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status, Streaming};
use tonic_prost::ProstCodec;

use super::super::address::{self, Address, AddressError};
use super::connector;
use super::messages::{
    DeleteRangeRequest, Ignored, KeyValue, LeaseGrantRequest, LeaseGrantResponse, LeaseKeepAliveRequest,
    LeaseKeepAliveResponse, LeaseRevokeRequest, PutRequest, RangeRequest, RangeResponse, WatchCreateRequest,
    WatchRequest, WatchRequestUnion, WatchResponse,
};

/// Port of a server whose address names none.
const DEFAULT_PORT: u16 = 2379;
/// Time limit of each call (common.md 4.3).
const CALL_LIMIT: Duration = Duration::from_secs(5);
/// While a call is open, make sure this often that the server is there. Servers refuse to be asked more than once in
/// 5 s.
const PING_EVERY: Duration = Duration::from_secs(10);
/// How long the server may take to answer that.
const PING_LIMIT: Duration = Duration::from_secs(5);

/// Why a call of etcd failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum EtcdError {
    /// The server list cannot be used.
    #[error("etcd address")]
    Address(#[from] AddressError),
    /// No answer in time.
    #[error("etcd {server} did not answer {method} within {} s", CALL_LIMIT.as_secs())]
    Timeout {
        /// The server asked.
        server: String,
        /// The method called.
        method: &'static str,
    },
    /// The server cannot be reached or refused.
    #[error("etcd {server} failed {method}")]
    Failed {
        /// The server asked.
        server: String,
        /// The method called.
        method: &'static str,
        /// The answer.
        source: Box<Status>,
    },
    /// The server ended a stream.
    #[error("etcd ended {method}: {reason}")]
    Ended {
        /// The method called.
        method: &'static str,
        /// The reason it gave.
        reason: String,
    },
}

/// Keys under a prefix, and the revision at which they were read.
pub(super) struct Listing {
    pub kvs: Vec<KeyValue>,
    pub revision: i64,
}

/// A client of one etcd cluster. Clones share the connections.
#[derive(Clone)]
pub(super) struct EtcdClient {
    servers: Arc<[Server]>,
    /// Which server to ask; the next one after a failure.
    current: Arc<AtomicUsize>,
}

struct Server {
    name: String,
    channel: Channel,
}

impl EtcdClient {
    /// A client for `host[:port]` addresses; connects later. With `tls` all connections use it, without they are
    /// plaintext.
    pub(super) fn new(servers: &str, tls: Option<&ClientConfig>) -> Result<Self, EtcdError> {
        let addresses = address::parse_list(servers, DEFAULT_PORT)?;
        let tls = tls.map(connector::for_http2);
        let servers: Arc<[Server]> = addresses.iter().map(|address| Server::new(address, tls.clone())).collect();
        Ok(Self { servers, current: Arc::default() })
    }

    pub(super) async fn get(&self, key: &str) -> Result<Option<KeyValue>, EtcdError> {
        let request = RangeRequest { key: key.into(), range_end: Vec::new() };
        let response: RangeResponse = self.unary("/etcdserverpb.KV/Range", request).await?;
        Ok(response.kvs.into_iter().next())
    }

    pub(super) async fn list(&self, prefix: &str) -> Result<Listing, EtcdError> {
        let request = RangeRequest { key: prefix.into(), range_end: prefix_end(prefix.as_bytes()) };
        let response: RangeResponse = self.unary("/etcdserverpb.KV/Range", request).await?;
        let revision = response.header.map_or(0, |header| header.revision);
        Ok(Listing { kvs: response.kvs, revision })
    }

    pub(super) async fn put(&self, key: &str, value: &str, lease: i64) -> Result<(), EtcdError> {
        let request = PutRequest { key: key.into(), value: value.into(), lease };
        self.unary::<_, Ignored>("/etcdserverpb.KV/Put", request).await.map(|_| ())
    }

    pub(super) async fn delete(&self, key: &str) -> Result<(), EtcdError> {
        let request = DeleteRangeRequest { key: key.into() };
        self.unary::<_, Ignored>("/etcdserverpb.KV/DeleteRange", request).await.map(|_| ())
    }

    /// Makes a lease that lives for `ttl`, and returns its id.
    pub(super) async fn grant_lease(&self, ttl: Duration) -> Result<i64, EtcdError> {
        let request = LeaseGrantRequest { ttl: i64::try_from(ttl.as_secs()).unwrap_or(i64::MAX) };
        let response: LeaseGrantResponse = self.unary("/etcdserverpb.Lease/LeaseGrant", request).await?;
        Ok(response.id)
    }

    /// Ends a lease; its keys go with it.
    pub(super) async fn revoke_lease(&self, id: i64) -> Result<(), EtcdError> {
        self.unary::<_, Ignored>("/etcdserverpb.Lease/LeaseRevoke", LeaseRevokeRequest { id }).await.map(|_| ())
    }

    /// Renews a lease once; false if it is gone.
    pub(super) async fn renew_lease(&self, id: i64) -> Result<bool, EtcdError> {
        const METHOD: &str = "/etcdserverpb.Lease/LeaseKeepAlive";
        let renewal = async |channel| {
            let requests = stream::once(async move { LeaseKeepAliveRequest { id } });
            let mut answers = open::<_, LeaseKeepAliveResponse>(channel, METHOD, requests).await?;
            answers.message().await
        };
        let answer = self.call(METHOD, renewal).await?;
        let reason = || EtcdError::Ended { method: METHOD, reason: "no answer".into() };
        Ok(answer.ok_or_else(reason)?.ttl > 0)
    }

    /// Follows all changes under a prefix after `revision`.
    pub(super) async fn watch(&self, prefix: &str, revision: i64) -> Result<Watch, EtcdError> {
        let create = WatchCreateRequest {
            key: prefix.into(),
            range_end: prefix_end(prefix.as_bytes()),
            start_revision: revision + 1,
        };
        let request = WatchRequest { request: Some(WatchRequestUnion::Create(create)) };
        // The server ends the watch when the requests end.
        let opening = async move |channel| {
            let requests = stream::once(async move { request }).chain(stream::pending());
            open(channel, Watch::METHOD, requests).await
        };
        Ok(Watch { answers: self.call(Watch::METHOD, opening).await?, client: self.clone() })
    }

    async fn unary<Q, R>(&self, method: &'static str, request: Q) -> Result<R, EtcdError>
    where
        Q: Message + Send + Sync + 'static,
        R: Message + Default + Send + Sync + 'static,
    {
        let exchange = async move |channel| {
            let mut grpc = connected(channel).await?;
            let codec = ProstCodec::<Q, R>::default();
            let response = grpc.unary(Request::new(request), PathAndQuery::from_static(method), codec).await?;
            Ok(response.into_inner())
        };
        self.call(method, exchange).await
    }

    /// Runs one call with its time limit; after a failure that may be the server's the next call asks another one.
    async fn call<T, F>(&self, method: &'static str, run: impl FnOnce(Channel) -> F) -> Result<T, EtcdError>
    where
        F: Future<Output = Result<T, Status>>,
    {
        let index = self.current.load(Ordering::Relaxed);
        let Some(server) = self.servers.get(index % self.servers.len()) else {
            return Err(AddressError::Empty.into());
        };
        let failed = |source| EtcdError::Failed { server: server.name.clone(), method, source: Box::new(source) };
        match timeout(CALL_LIMIT, run(server.channel.clone())).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(status)) => {
                if matches!(status.code(), Code::Unavailable | Code::Unknown | Code::Internal | Code::Cancelled) {
                    self.leave(index);
                }
                Err(failed(status))
            }
            Err(_) => {
                self.leave(index);
                Err(EtcdError::Timeout { server: server.name.clone(), method })
            }
        }
    }

    fn leave(&self, index: usize) {
        let next = index.wrapping_add(1);
        // If another call has moved on already, so much the better.
        let _ = self.current.compare_exchange(index, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

impl Server {
    fn new(address: &Address, tls: Option<Arc<ClientConfig>>) -> Self {
        let name = address.to_string();
        let url = |scheme: &str| {
            let path = PathAndQuery::from_static("/");
            // An address that was parsed is always a valid authority.
            Uri::builder().scheme(scheme).authority(name.as_str()).path_and_query(path).build().unwrap_or_default()
        };
        // The library takes no part in TLS, so to it the address is plain; requests still say what it is.
        let endpoint = Endpoint::from(url("http"))
            .origin(url(if tls.is_some() { "https" } else { "http" }))
            .connect_timeout(CALL_LIMIT)
            .http2_keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_LIMIT);
        let channel = endpoint.connect_with_connector_lazy(connector::connector(address.clone(), tls));
        Self { name, channel }
    }
}

/// The changes under a prefix.
pub(super) struct Watch {
    answers: Streaming<WatchResponse>,
    client: EtcdClient,
}

impl Watch {
    const METHOD: &str = "/etcdserverpb.Watch/Watch";

    /// Waits for the next changes.
    pub(super) async fn next(&mut self) -> Result<Vec<super::messages::Event>, EtcdError> {
        let ended = |reason: String| EtcdError::Ended { method: Self::METHOD, reason };
        loop {
            let answer = match self.answers.message().await {
                Ok(answer) => answer.ok_or_else(|| ended("the stream ended".into()))?,
                Err(status) => {
                    self.client.leave(self.client.current.load(Ordering::Relaxed));
                    return Err(ended(status.message().to_owned()));
                }
            };
            if answer.canceled {
                return Err(ended(answer.cancel_reason));
            }
            if !answer.events.is_empty() {
                return Ok(answer.events);
            }
        }
    }
}

async fn connected(channel: Channel) -> Result<Grpc<Channel>, Status> {
    let mut grpc = Grpc::new(channel);
    grpc.ready().await.map_err(|error: tonic::transport::Error| Status::from_error(error.into()))?;
    Ok(grpc)
}

/// Opens a call with a stream in both directions.
async fn open<Q, R>(
    channel: Channel,
    method: &'static str,
    requests: impl Stream<Item = Q> + Send + 'static,
) -> Result<Streaming<R>, Status>
where
    Q: Message + Send + Sync + 'static,
    R: Message + Default + Send + Sync + 'static,
{
    let mut grpc = connected(channel).await?;
    let codec = ProstCodec::<Q, R>::default();
    let response = grpc.streaming(Request::new(requests), PathAndQuery::from_static(method), codec).await?;
    Ok(response.into_inner())
}

/// The first key after all keys with the prefix.
fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    // Only bytes 255: up to the last key of all.
    vec![0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_ends_before_its_successor() {
        assert_eq!(prefix_end(b"/micro/"), b"/micro0");
        assert_eq!(prefix_end(&[1, 255]), [2]);
        assert_eq!(prefix_end(&[255, 255]), [0]);
    }
}

//! What all calls share, and the one way every rpc takes: bytes of the request, checks, handler, bytes of the answer.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use bcs_common::registry::etcd::EtcdRegistry;
use bcs_common::shutdown::Shutdown;
use bcs_proto::{Method, Rpc, WireError, check};
use bcs_tunnel::TunnelServer;
use bcs_tunnel::proxy::Upstreams;
use prost::Message;
use tracing::debug;

use crate::failure::{Failure, code};
use crate::kube::Kube;
use crate::metrics::Metrics;
use crate::reply::Reply;
use crate::stores::Stores;
use crate::{clusters, credentials, namespaces, quotas};

/// A running service.
pub(crate) struct App {
    pub stores: Arc<Stores>,
    pub kube: Kube,
    pub tunnels: TunnelServer,
    pub upstreams: Upstreams,
    /// Locks between replicas, if there is etcd.
    pub locks: Option<EtcdRegistry>,
    pub metrics: Metrics,
    pub swagger_dir: Option<PathBuf>,
    pub shutdown: Shutdown,
}

/// Whether a handler may be dropped in the middle.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Pace {
    /// It ends when its client goes away or its time is over.
    Bound,
    /// It changes a cluster in several steps, so it goes on.
    ToTheEnd,
}

impl App {
    /// Carries out an rpc on encoded messages.
    ///
    /// # Errors
    /// The request is no such message.
    pub(crate) async fn call(self: &Arc<Self>, method: &'static Method, request: &[u8]) -> Result<Vec<u8>, WireError> {
        use Pace::{Bound, ToTheEnd};
        let call = Call { app: self, method, request };
        match method.rpc {
            Rpc::CreateCluster => call.run(Bound, clusters::create).await,
            Rpc::UpdateCluster => call.run(Bound, clusters::update).await,
            Rpc::DeleteCluster => call.run(Bound, clusters::delete).await,
            Rpc::GetCluster => call.run(Bound, clusters::get).await,
            Rpc::ListCluster => call.run(Bound, clusters::list).await,
            Rpc::InitFederationCluster => call.run(Bound, clusters::init_federation).await,
            Rpc::AddFederatedCluster => call.run(Bound, clusters::add_federated).await,
            Rpc::GetClusterCredential => call.run(Bound, credentials::get).await,
            Rpc::UpdateClusterCredential => call.run(Bound, credentials::update).await,
            Rpc::DeleteClusterCredential => call.run(Bound, credentials::delete).await,
            Rpc::ListClusterCredential => call.run(Bound, credentials::list).await,
            Rpc::CreateNamespace => call.run(Bound, namespaces::create).await,
            Rpc::UpdateNamespace => call.run(Bound, namespaces::update).await,
            Rpc::DeleteNamespace => call.run(ToTheEnd, namespaces::delete).await,
            Rpc::GetNamespace => call.run(Bound, namespaces::get).await,
            Rpc::ListNamespace => call.run(Bound, namespaces::list).await,
            Rpc::CreateNamespaceQuota => call.run(ToTheEnd, quotas::create).await,
            Rpc::UpdateNamespaceQuota => call.run(ToTheEnd, quotas::update).await,
            Rpc::DeleteNamespaceQuota => call.run(ToTheEnd, quotas::delete).await,
            Rpc::GetNamespaceQuota => call.run(Bound, quotas::get).await,
            Rpc::ListNamespaceQuota => call.run(Bound, quotas::list).await,
            Rpc::CreateNamespaceWithQuota => call.run(ToTheEnd, quotas::create_with_namespace).await,
        }
    }
}

struct Call<'a> {
    app: &'a Arc<App>,
    method: &'static Method,
    request: &'a [u8],
}

impl Call<'_> {
    async fn run<Q, R, F>(self, pace: Pace, handler: impl FnOnce(Arc<App>, Q) -> F) -> Result<Vec<u8>, WireError>
    where
        Q: Message + Default,
        R: Reply + 'static,
        F: Future<Output = Result<R, Failure>> + Send + 'static,
    {
        let start = Instant::now();
        let request = Q::decode(self.request)?;
        let outcome = match check::violation(self.method.request, self.request)? {
            Some(violation) => Err(Failure::invalid(violation)),
            None => {
                let work = handler(Arc::clone(self.app), request);
                match pace {
                    Pace::Bound => work.await,
                    Pace::ToTheEnd => to_the_end(self.app, work).await,
                }
            }
        };
        if let Err(failure) = &outcome {
            debug!("{}: {} {}", self.method.name, failure.code, failure.message);
        }
        let reply = outcome.unwrap_or_else(R::failure);
        self.app.metrics.called(self.method, reply.code(), start.elapsed());
        Ok(reply.into_bytes())
    }
}

async fn to_the_end<R: Send + 'static>(
    app: &App,
    work: impl Future<Output = Result<R, Failure>> + Send + 'static,
) -> Result<R, Failure> {
    let task = app.shutdown.spawn("rpc", work);
    task.await.unwrap_or_else(|error| Err(Failure::new(code::KUBERNETES, error.to_string())))
}

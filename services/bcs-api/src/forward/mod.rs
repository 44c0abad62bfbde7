//! `/bcsapi/v4`: requests that go on to a service or a driver (api.md 2.3, 5).

mod answer;
mod drivers;
mod modules;
mod send;
mod streams;

use std::sync::Arc;
use std::time::Instant;

use bcs_common::http::Body;
use bcs_common::http::router::{Call, Router, decoded_path};
use bcs_tunnel::TunnelServer;
use bcs_tunnel::proxy::Upstreams;
use http::request::Parts;
use http::{Method, Response};

use crate::auth::{Users, V4Filter};
use crate::console;
use crate::discovery::{Dialer, Discovery, Driver, Module};
use crate::metrics::{ApiMetrics, Outcome, RequestType, method_label};
use crate::store::Store;

/// The prefix of all routes.
pub(crate) const MOUNT: &str = "/bcsapi/v4";
/// What the original's routes offer; an error lists them in this order.
const PRODUCES: &[&str] = &["application/json", "application/xml", "application/octet-stream"];
/// The methods of most routes, in the order of `Allow`.
const METHODS: [Method; 4] = [Method::POST, Method::PUT, Method::GET, Method::DELETE];

/// What the handlers work with.
pub(crate) struct V4 {
    pub filter: V4Filter,
    /// With the console: its users pass the filter.
    pub console_users: Option<Users>,
    pub discovery: Discovery,
    pub dialer: Dialer,
    pub store: Store,
    pub tunnels: TunnelServer,
    /// Drivers behind tunnels.
    pub upstreams: Upstreams,
    pub metrics: ApiMetrics,
    /// Bytes of a request body that is read before it is sent on.
    pub max_body_size: u64,
}

pub(crate) type Shared = Arc<V4>;

/// How a family of requests is forwarded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// As it is, both bodies streamed.
    Stream(Module),
    /// To the driver of the cluster that a header names.
    Driver(Driver),
    /// With nothing but method, path and body.
    Bare(Module),
}

/// A family of requests: one path prefix, one kind of backend.
#[derive(Clone, Copy, Debug)]
struct Family {
    /// Below [`MOUNT`].
    template: &'static str,
    /// What stands in front of the rest of the path at the backend.
    prefix: &'static str,
    way: Way,
    /// None: not counted.
    request_type: Option<RequestType>,
}

const STORAGE: Family = Family {
    template: "/storage/{uri:*}",
    prefix: "/bcsstorage/v1/",
    way: Way::Stream(Module::Storage),
    request_type: Some(RequestType::Storage),
};
const DETECTION: Family = Family {
    template: "/detection/{uri:*}",
    prefix: "/detection/v4/",
    way: Way::Stream(Module::NetworkDetection),
    request_type: Some(RequestType::Detection),
};
const MESOS: Family = Family {
    template: "/scheduler/mesos/{uri:*}",
    prefix: "/mesosdriver/v4/",
    way: Way::Driver(Driver::Mesos),
    request_type: Some(RequestType::Mesos),
};
const K8S: Family = Family {
    template: "/scheduler/k8s/{uri:*}",
    prefix: "/k8sdriver/v4/",
    way: Way::Driver(Driver::Kubernetes),
    request_type: Some(RequestType::K8sDriver),
};
const METRIC: Family = Family {
    template: "/metric/{uri:*}",
    prefix: "/api/v1/metric/",
    way: Way::Bare(Module::MetricService),
    request_type: Some(RequestType::Metrics),
};
const NETSERVICE: Family = Family {
    template: "/netservice/{uri:*}",
    prefix: "/v1/",
    way: Way::Bare(Module::NetService),
    request_type: Some(RequestType::NetService),
};
const CLUSTER_KEEPER: Family = Family {
    template: "/clusterkeeper/{uri:*}",
    prefix: "/bcsclusterkeeper/v1/",
    way: Way::Bare(Module::ClusterKeeper),
    request_type: Some(RequestType::ClusterKeeper),
};
/// What the gateway in front of the original routes to other services.
const USER_MANAGER: Family = Family {
    template: "/usermanager/{uri:*}",
    prefix: "/usermanager/",
    way: Way::Stream(Module::UserManager),
    request_type: None,
};
/// As [`USER_MANAGER`].
const CLUSTER_MANAGER: Family = Family {
    template: "/clustermanager/{uri:*}",
    prefix: "/clustermanager/",
    way: Way::Stream(Module::ClusterManager),
    request_type: None,
};

impl Family {
    /// Slashes before the rest of the path.
    fn slashes(&self) -> usize {
        MOUNT.matches('/').count() + self.template.matches('/').count()
    }

    /// The rest of the path, as the client wrote it.
    fn rest<'a>(&self, path: &'a str) -> &'a str {
        crate::path::after_slashes(path, self.slashes()).unwrap_or_default()
    }
}

/// The router. `beside`: further services run in this process, and are reached through it.
pub(crate) fn router(user_manager: bool, cluster_manager: bool) -> Router<Shared> {
    let mut router = Router::new(MOUNT).inside("/bcsapi/").produces(PRODUCES);
    for family in [&STORAGE, &DETECTION, &MESOS, &K8S, &METRIC, &NETSERVICE, &CLUSTER_KEEPER] {
        router = add(router, family, &METHODS);
    }
    router = add(router, &K8S, &[Method::PATCH]);
    let every = [Method::POST, Method::PUT, Method::GET, Method::DELETE, Method::PATCH];
    if user_manager {
        router = add(router, &USER_MANAGER, &every);
    }
    if cluster_manager {
        router = add(router, &CLUSTER_MANAGER, &every);
    }
    router
}

fn add(router: Router<Shared>, family: &'static Family, methods: &[Method]) -> Router<Shared> {
    methods.iter().fold(router, |router, method| {
        router.route(method.clone(), family.template, move |v4, call| serve(v4, call, family))
    })
}

async fn serve(v4: Shared, call: Call, family: &'static Family) -> Response<Body> {
    let started = Instant::now();
    if let Err(refusal) = admit(&v4, &call.parts).await {
        return *refusal;
    }
    let method = call.parts.method.clone();
    let (response, outcome) = match family.way {
        Way::Stream(module) => (streams::forward(&v4, call, family, module).await, Some(Outcome::Success)),
        Way::Driver(driver) => drivers::forward(&v4, call, family, driver).await,
        Way::Bare(module) => modules::forward(&v4, call, family, module).await,
    };
    if let (Some(request_type), Some(outcome)) = (family.request_type, outcome) {
        v4.metrics.record(request_type, method_label(&method), outcome, started.elapsed());
    }
    response
}

/// Whether a request may go on.
///
/// # Errors
/// It may not: the answer for the client.
async fn admit(v4: &V4, head: &Parts) -> Result<(), Box<Response<Body>>> {
    let path = decoded_path(head)?;
    let Err(refusal) = v4.filter.check(head, &path).await else { return Ok(()) };
    match &v4.console_users {
        Some(users) if console::is_super_user(users, &head.headers).await? => Ok(()),
        _ => Err(refusal),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_are_those_of_the_spec() {
        let router = router(false, false);
        let routes: Vec<String> =
            router.routes().map(|(method, template)| format!("{method} {}", &template[MOUNT.len()..])).collect();
        assert_eq!(routes.len(), 7 * 4 + 1);
        let storage = METHODS.map(|method| format!("{method} /storage/{{uri:*}}"));
        assert_eq!(routes[..4], storage);
        assert_eq!(routes.iter().filter(|route| route.starts_with("PATCH")).count(), 1);
        assert_eq!(super::router(true, true).routes().count(), 29 + 10);
    }

    #[test]
    fn the_rest_begins_behind_the_family() {
        assert_eq!(STORAGE.rest("/bcsapi/v4/storage/a%2Fb/"), "a%2Fb/");
        assert_eq!(MESOS.rest("/bcsapi/v4/scheduler/mesos/a/b"), "a/b");
    }
}

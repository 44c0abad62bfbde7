//! Which cluster of a federation takes a new quota: the one with the smallest part of its CPUs given away
//! (cluster-manager.md 7.4).

use bcs_docstore::doc;
use bcs_proto::messages::{Cluster, ResourceQuota};
use futures::StreamExt as _;
use tracing::warn;

use crate::app::App;
use crate::failure::{Failure, code};
use crate::kube::resource_quota;
use crate::record;

/// Clusters that are asked for their nodes at a time.
const QUERIES: usize = 8;

/// The id of the cluster.
pub(crate) async fn allocate(app: &App, region: &str, federation: &str) -> Result<String, Failure> {
    let failed = |message: String| Failure::new(code::ALLOCATION, message);
    let fields = doc! {
        "region": region, "federationClusterID": federation, "engineType": "k8s", "clusterType": "single"
    };
    let of_store = |error| failed(Failure::from(error).message);
    let candidates = app.stores.clusters.list(&fields, 0, 0).await.map_err(of_store)?;
    let candidates: Vec<Cluster> = candidates.into_iter().map(record::cluster).collect();
    let quotas = app.stores.quotas.list(&doc! { "federationClusterID": federation }, 0, 0).await.map_err(of_store)?;
    let quotas: Vec<ResourceQuota> = quotas.into_iter().map(record::quota).collect();
    let ids: Vec<String> = candidates.into_iter().map(|cluster| cluster.cluster_id).collect();
    let asked = futures::stream::iter(ids).map(|id| async move {
        let nodes = app.kube.allocatable_cpu(&id).await;
        (id, nodes)
    });
    let mut asked: std::pin::Pin<Box<dyn futures::Stream<Item = _> + Send>> = Box::pin(asked.buffered(QUERIES));
    let mut best: Option<(f64, String)> = None;
    let mut unreachable = None;
    while let Some((id, nodes)) = asked.next().await {
        match nodes {
            Ok(nodes) => {
                let rate = rate(given_cpu(&quotas, &id), nodes);
                // Of equal ones the first stays.
                if best.as_ref().is_none_or(|(least, _)| rate < *least) {
                    best = Some((rate, id));
                }
            }
            Err(error) => {
                warn!("cluster {id} takes no part in an allocation: {error}");
                unreachable = Some(error);
            }
        }
    }
    match (best, unreachable) {
        (Some((_, id)), _) => Ok(id),
        (None, Some(error)) => Err(failed(error.to_string())),
        (None, None) => Err(failed("can not find a suitable cluster".to_owned())),
    }
}

/// The CPUs that the quotas of a cluster give away.
fn given_cpu(quotas: &[ResourceQuota], cluster: &str) -> f64 {
    let of_cluster = quotas.iter().filter(|quota| quota.cluster_id == cluster);
    let cpu =
        |quota: &ResourceQuota| Some(resource_quota::decode(&quota.resource_quota).ok()?.hard.get("cpu")?.value());
    of_cluster.filter_map(cpu).sum()
}

/// A cluster without CPUs comes last.
fn rate(given: f64, nodes: f64) -> f64 {
    if nodes > 0.0 { given / nodes } else { f64::MAX }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_part_that_is_given_away() {
        assert!((rate(1.0, 3.0) - 0.33333).abs() < 0.0001);
        assert!(rate(0.0, 0.0) > rate(1000.0, 1.0));
    }

    #[test]
    fn only_readable_quotas_of_the_cluster_count() {
        let quota = |cluster: &str, text: &str| ResourceQuota {
            cluster_id: cluster.into(),
            resource_quota: text.into(),
            ..ResourceQuota::default()
        };
        let quotas = [
            quota("a", r#"{"spec":{"hard":{"cpu":"1500m","limits.cpu":"9"}}}"#),
            quota("a", r#"{"spec":{"hard":{"cpu":2}}}"#),
            quota("a", "nonsense"),
            quota("a", "{}"),
            quota("b", r#"{"spec":{"hard":{"cpu":"7"}}}"#),
        ];
        assert!((given_cpu(&quotas, "a") - 3.5).abs() < 1e-9);
    }
}

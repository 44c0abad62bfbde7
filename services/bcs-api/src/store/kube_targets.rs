//! Everything that the kube proxy asks for a request, in one query, and kept for a moment.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bcs_sql::SqlError;
use parking_lot::RwLock;

use super::{Cluster, Credentials, Store, TunnelCredentials};

/// How late a change that another instance makes may be seen. Own changes are seen at once.
const FRESH: Duration = Duration::from_secs(1);
/// Clusters that are kept at most.
const MAX_KEPT: usize = 4096;

/// A cluster and the ways to it.
#[derive(Clone)]
pub struct KubeTarget {
    /// The cluster.
    pub cluster: Cluster,
    /// The direct way.
    pub credentials: Option<Credentials>,
    /// The way through a tunnel; whether the tunnel is open is another question.
    pub tunnel: Option<TunnelCredentials>,
}

/// Targets by identifier, with the time when they were read.
#[derive(Default)]
pub(super) struct KubeTargets {
    kept: RwLock<Kept>,
}

#[derive(Default)]
struct Kept {
    targets: HashMap<String, (Instant, KubeTarget)>,
    /// Counts the changes: what was read before a change is not kept after it.
    changes: u64,
}

impl KubeTargets {
    fn get(&self, identifier: &str, now: Instant) -> Option<KubeTarget> {
        let kept = self.kept.read();
        let (read_at, target) = kept.targets.get(identifier)?;
        (now.saturating_duration_since(*read_at) < FRESH).then(|| target.clone())
    }

    fn changes(&self) -> u64 {
        self.kept.read().changes
    }

    fn keep(&self, identifier: &str, read_at: Instant, changes: u64, target: &KubeTarget) {
        let mut kept = self.kept.write();
        if kept.changes != changes {
            return;
        }
        if kept.targets.len() >= MAX_KEPT {
            kept.targets.clear();
        }
        kept.targets.insert(identifier.to_owned(), (read_at, target.clone()));
    }

    /// Something was changed.
    pub fn clear(&self) {
        let mut kept = self.kept.write();
        kept.changes += 1;
        kept.targets.clear();
    }
}

impl Store {
    /// The cluster of an identifier, which must be exact, and the ways to it.
    ///
    /// # Errors
    /// The database failed.
    pub async fn kube_target(&self, identifier: &str) -> Result<Option<KubeTarget>, SqlError> {
        if identifier.is_empty() {
            return Ok(None);
        }
        let now = Instant::now();
        if let Some(target) = self.kube_targets.get(identifier, now) {
            return Ok(Some(target));
        }
        let changes = self.kube_targets.changes();
        let target = self.read_kube_target(identifier).await?;
        if let Some(target) = &target {
            self.kube_targets.keep(identifier, now, changes, target);
        }
        Ok(target)
    }

    async fn read_kube_target(&self, identifier: &str) -> Result<Option<KubeTarget>, SqlError> {
        let sql = "SELECT c.id, c.provider, c.creator_id, c.identifier, c.created_at, \
                   d.id, d.cluster_id, d.server_addresses, d.ca_cert_data, d.user_token, d.cluster_domain, \
                   d.created_at, d.updated_at, \
                   w.server_key, w.client_module, w.server_address, w.ca_cert_data, w.user_token \
                   FROM clusters c \
                   LEFT JOIN cluster_credentials d ON d.cluster_id = c.id \
                   LEFT JOIN ws_cluster_credentials w ON w.server_key = c.id \
                   WHERE c.identifier = ? ORDER BY c.id";
        for row in self.database.read(sql, &[identifier.into()]).await? {
            let cluster = Cluster::of(&row)?;
            if cluster.identifier != identifier {
                continue;
            }
            let credentials = Credentials::of(&row, 5)?;
            let tunnel = TunnelCredentials::of(&row, 13)?;
            return Ok(Some(KubeTarget {
                credentials: Some(credentials).filter(|credentials| credentials.id != 0),
                tunnel: Some(tunnel).filter(|tunnel| tunnel.server_key == cluster.id),
                cluster,
            }));
        }
        Ok(None)
    }
}

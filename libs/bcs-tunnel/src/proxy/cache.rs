//! One backend for each cluster.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bcs_common::shutdown::Shutdown;
use parking_lot::Mutex;

use super::upstream::{Upstream, UpstreamError, UpstreamSettings};

/// Time between two looks at the address in use, where there are several (api.md 7.3).
const PROBE_PERIOD: Duration = Duration::from_secs(5);
/// An address that lets a connection and its handshake wait for so long does not answer.
const PROBE_LIMIT: Duration = Duration::from_secs(3);

/// Backends by a key of the caller, for example the cluster. Clones share them.
#[derive(Clone, Debug)]
pub struct Upstreams {
    upstreams: Arc<Mutex<Known>>,
    shutdown: Shutdown,
}

type Known = HashMap<String, (UpstreamSettings, Arc<Upstream>)>;

impl Upstreams {
    /// Without backends. Their idle connections are closed at the shutdown.
    pub fn new(shutdown: Shutdown) -> Self {
        let upstreams = Arc::new(Mutex::new(Known::new()));
        let (closing, stop) = (Arc::clone(&upstreams), shutdown.token());
        shutdown.spawn("upstreams", async move {
            stop.cancelled().await;
            for (_, upstream) in std::mem::take(&mut *closing.lock()).into_values() {
                upstream.close();
            }
        });
        Self { upstreams, shutdown }
    }

    /// The backend of a key. With other settings than before it is made anew and the old one's connections are closed.
    ///
    /// # Errors
    /// If the settings make no backend.
    pub fn get(&self, key: &str, settings: &UpstreamSettings) -> Result<Arc<Upstream>, UpstreamError> {
        if let Some((known, upstream)) = self.upstreams.lock().get(key)
            && known == settings
        {
            return Ok(Arc::clone(upstream));
        }
        let upstream = Arc::new(Upstream::new(settings, self.shutdown.clone())?);
        if self.shutdown.is_triggered() {
            upstream.close();
            return Ok(upstream);
        }
        self.keep_probing(&upstream);
        let entry = (settings.clone(), Arc::clone(&upstream));
        let replaced = self.upstreams.lock().insert(key.to_owned(), entry);
        if let Some((_, old)) = replaced {
            old.close();
        }
        Ok(upstream)
    }

    /// Of several addresses one that answers is known before the next request needs it.
    fn keep_probing(&self, upstream: &Arc<Upstream>) {
        if !upstream.has_choice() {
            return;
        }
        let (upstream, stop) = (Arc::downgrade(upstream), self.shutdown.token());
        self.shutdown.spawn(
            "upstream probe",
            stop.run_until_cancelled_owned(async move {
                let mut ticks = tokio::time::interval(PROBE_PERIOD);
                loop {
                    ticks.tick().await;
                    match upstream.upgrade() {
                        Some(upstream) => upstream.probe(PROBE_LIMIT).await,
                        None => return,
                    }
                }
            }),
        );
    }

    /// Forgets the backend of a key and closes its idle connections.
    pub fn remove(&self, key: &str) {
        if let Some((_, upstream)) = self.upstreams.lock().remove(key) {
            upstream.close();
        }
    }
}

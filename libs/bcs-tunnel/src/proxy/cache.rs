//! One backend for each cluster.

use std::collections::HashMap;
use std::sync::Arc;

use bcs_common::shutdown::Shutdown;
use parking_lot::Mutex;

use super::upstream::{Upstream, UpstreamError, UpstreamSettings};

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
        let entry = (settings.clone(), Arc::clone(&upstream));
        let replaced = self.upstreams.lock().insert(key.to_owned(), entry);
        if let Some((_, old)) = replaced {
            old.close();
        }
        Ok(upstream)
    }

    /// Forgets the backend of a key and closes its idle connections.
    pub fn remove(&self, key: &str) {
        if let Some((_, upstream)) = self.upstreams.lock().remove(key) {
            upstream.close();
        }
    }
}

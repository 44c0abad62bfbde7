//! The handle of a registration that is kept alive in the background.

use std::future::Future;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::RegistryError;
use crate::shutdown::Shutdown;

/// How a registration stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RegistrationState {
    /// No attempt has ended yet.
    Pending,
    /// Others can see the instance, under this node name.
    Registered(String),
    /// The last attempt failed or the registration was lost; another attempt follows.
    Failed(String),
    /// It was taken back.
    Ended,
}

/// Keeps an instance registered. Dropping it takes the registration back in the background.
#[derive(Debug)]
pub struct Registration {
    state: watch::Receiver<RegistrationState>,
    stop: DropGuard,
    task: JoinHandle<()>,
}

impl Registration {
    /// Runs `keep` until it is told to stop by the given token: on drop, deregistration or shutdown.
    pub(super) fn spawn<F>(
        shutdown: &Shutdown,
        name: &'static str,
        keep: impl FnOnce(watch::Sender<RegistrationState>, CancellationToken) -> F,
    ) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let (sender, state) = watch::channel(RegistrationState::Pending);
        let stop = shutdown.token().child_token();
        let task = shutdown.spawn(name, keep(sender, stop.clone()));
        Self { state, stop: stop.drop_guard(), task }
    }

    /// Follows the state of the registration.
    pub fn state(&self) -> watch::Receiver<RegistrationState> {
        self.state.clone()
    }

    /// Waits for the end of the first attempt and returns the node name. After an error the attempts go on.
    ///
    /// # Errors
    /// Why the first attempt failed.
    pub async fn first_result(&self) -> Result<String, RegistryError> {
        let mut state = self.state.clone();
        let first = state.wait_for(|state| *state != RegistrationState::Pending).await.map(|state| state.clone());
        match first {
            Ok(RegistrationState::Registered(node)) => Ok(node),
            Ok(RegistrationState::Failed(reason)) => Err(RegistryError { reason }),
            Ok(RegistrationState::Pending | RegistrationState::Ended) | Err(_) => {
                Err(RegistryError { reason: "shutting down".into() })
            }
        }
    }

    /// Takes the registration back and waits until that is done or has failed.
    pub async fn deregister(self) {
        let Self { stop, task, .. } = self;
        drop(stop);
        // An error here means that the task panicked, which its spawner has logged.
        let _ = task.await;
    }
}

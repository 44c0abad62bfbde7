//! One switch that stops a service, and the list of tasks to wait for before the process ends (common.md 9).

use std::future::Future;
use std::io;
use std::panic::AssertUnwindSafe;
use std::time::Duration;

use futures::FutureExt;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, info};

/// The stop switch of one service together with the tracker of its tasks. Clones share both.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Shutdown {
    /// A switch that has not been triggered and tracks no task.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks every task to stop. Calling it again changes nothing.
    pub fn trigger(&self) {
        self.token.cancel();
    }

    /// Whether [`trigger`](Self::trigger) has been called.
    pub fn is_triggered(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Waits until [`trigger`](Self::trigger) is called; returns at once if it was.
    pub async fn triggered(&self) {
        self.token.cancelled().await;
    }

    /// The token behind the switch, for libraries that take one. A `child_token()` of it can be cancelled alone.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Runs a task that [`drain`](Self::drain) waits for. A panic in it is logged with its name and ends only this
    /// task; the handle reports it as a join error. The task must end by itself after the trigger.
    pub fn spawn<F>(&self, name: &'static str, future: F) -> JoinHandle<F::Output>
    where
        F: Future + Send + 'static,
        F::Output: Send + 'static,
    {
        self.tasks.spawn(async move {
            match AssertUnwindSafe(future).catch_unwind().await {
                Ok(output) => output,
                Err(panic) => {
                    error!(task = name, "task panicked: {}", panic_text(panic.as_ref()));
                    std::panic::resume_unwind(panic)
                }
            }
        })
    }

    /// Triggers the switch and waits for all tasks, at most `limit`. False: some were still running then.
    pub async fn drain(&self, limit: Duration) -> bool {
        self.trigger();
        self.tasks.close();
        tokio::time::timeout(limit, self.tasks.wait()).await.is_ok()
    }

    /// Triggers the switch at the first SIGINT or SIGTERM. The second one ends the process at once with 128 + its
    /// number, for the operator who does not want to wait for the drain. SIGUSR1, which old systemd units send to
    /// reload, ends nothing (deploy.md 13).
    ///
    /// # Errors
    /// If a signal handler cannot be installed.
    pub fn listen_to_signals(&self) -> io::Result<()> {
        let signals = Signals {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            reload: signal(SignalKind::user_defined1())?,
        };
        // Not on the tracker: this task must outlive the drain to see the second signal.
        #[allow(clippy::disallowed_methods)]
        tokio::spawn(signals.watch(self.clone()));
        Ok(())
    }
}

/// What a panic said, if it said it in text.
pub(crate) fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    if let Some(text) = panic.downcast_ref::<&str>() {
        text
    } else if let Some(text) = panic.downcast_ref::<String>() {
        text
    } else {
        "no text"
    }
}

struct Signals {
    interrupt: Signal,
    terminate: Signal,
    reload: Signal,
}

impl Signals {
    async fn watch(mut self, shutdown: Shutdown) {
        // Not inside the macro: it does not evaluate its arguments when the level is off.
        let first = self.next().await;
        info!("Got {} signal, shutting down gracefully...", first.name);
        shutdown.trigger();
        let second = self.next().await;
        error!("Got {} signal while shutting down, exit at once", second.name);
        #[allow(clippy::disallowed_methods)]
        // the operator asked twice: skipping the flush is the point
        std::process::exit(128 + second.kind.as_raw_value());
    }

    async fn next(&mut self) -> Caught {
        loop {
            tokio::select! {
                _ = self.interrupt.recv() => return Caught { name: "SIGINT", kind: SignalKind::interrupt() },
                _ = self.terminate.recv() => return Caught { name: "SIGTERM", kind: SignalKind::terminate() },
                _ = self.reload.recv() => info!("Got SIGUSR1 signal: the configuration is read at the start only"),
            }
        }
    }
}

struct Caught {
    name: &'static str,
    kind: SignalKind,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn drain_waits_for_tasks_that_heed_the_trigger() {
        let shutdown = Shutdown::new();
        let seen = shutdown.clone();
        let task = shutdown.spawn("heeds", async move {
            seen.triggered().await;
            7
        });
        assert!(!shutdown.is_triggered());
        assert!(shutdown.drain(Duration::from_secs(5)).await);
        assert!(shutdown.is_triggered());
        assert_eq!(task.await.unwrap(), 7);
    }

    #[tokio::test]
    async fn drain_gives_up_at_its_limit() {
        let shutdown = Shutdown::new();
        let task = shutdown.spawn("stubborn", std::future::pending::<()>());
        assert!(!shutdown.drain(Duration::from_millis(20)).await);
        task.abort();
        assert!(shutdown.drain(Duration::from_secs(5)).await);
    }

    #[tokio::test]
    async fn a_panic_ends_one_task_only() {
        let shutdown = Shutdown::new();
        let task = shutdown.spawn("panics", async { panic!("{}", String::from("on purpose")) });
        assert!(task.await.unwrap_err().is_panic());
        assert!(!shutdown.is_triggered());
        assert!(shutdown.drain(Duration::from_secs(5)).await);
    }
}

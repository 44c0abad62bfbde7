//! Connections that are kept for the next statement. They are made when needed, so a database that was away is used again
//! with the first statement after its return, and one that is away is an error at once.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::connection::{Connection, Connector};
use crate::error::SqlError;

/// How long a connection lives (user-manager.md 8.3).
const LIFETIME: Duration = Duration::from_secs(60);
/// How long a statement waits for a free connection.
const WAIT: Duration = Duration::from_secs(5);

/// The connections to one database.
pub(crate) struct Pool {
    connector: Connector,
    idle: Mutex<Vec<Kept>>,
    slots: Semaphore,
}

struct Kept {
    connection: Connection,
    made: Instant,
}

impl Pool {
    /// At most `size` connections, none yet.
    pub fn new(connector: Connector, size: usize) -> Self {
        Self { connector, idle: Mutex::default(), slots: Semaphore::new(size) }
    }

    /// A connection of one's own: a kept one, or else a new one.
    pub async fn acquire(&self) -> Result<Lease<'_>, SqlError> {
        let slot = self.slot().await?;
        match self.take_idle() {
            Some(kept) => Ok(Lease { pool: self, reused: true, kept, _slot: slot }),
            None => self.connect(slot).await,
        }
    }

    /// As [`Self::acquire`], for statements that must not be sent twice: a kept connection is tried first.
    pub async fn acquire_alive(&self) -> Result<Lease<'_>, SqlError> {
        let slot = self.slot().await?;
        if let Some(mut kept) = self.take_idle() {
            let alive = tokio::time::timeout(WAIT, kept.connection.is_alive()).await;
            if alive == Ok(true) {
                return Ok(Lease { pool: self, reused: true, kept, _slot: slot });
            }
            self.forget_idle();
        }
        self.connect(slot).await
    }

    /// As [`Self::acquire`], but never a kept connection.
    pub async fn acquire_new(&self) -> Result<Lease<'_>, SqlError> {
        self.connect(self.slot().await?).await
    }

    /// Closes the kept connections: when one is broken the others most likely are, too.
    pub fn forget_idle(&self) {
        let forgotten = std::mem::take(&mut *self.idle.lock());
        drop(forgotten);
    }

    async fn slot(&self) -> Result<SemaphorePermit<'_>, SqlError> {
        match tokio::time::timeout(WAIT, self.slots.acquire()).await {
            Ok(Ok(slot)) => Ok(slot),
            // The semaphore is never closed.
            Ok(Err(_)) | Err(_) => Err(SqlError::Busy(WAIT)),
        }
    }

    async fn connect<'a>(&'a self, slot: SemaphorePermit<'a>) -> Result<Lease<'a>, SqlError> {
        let connection = self.connector.connect().await?;
        let kept = Kept { connection, made: Instant::now() };
        Ok(Lease { pool: self, reused: false, kept, _slot: slot })
    }

    /// The one used last, so that the others may grow old. SQLite's never do.
    fn take_idle(&self) -> Option<Kept> {
        let mut idle = self.idle.lock();
        if let Connector::MySql { .. } = self.connector {
            idle.retain(|kept| kept.made.elapsed() < LIFETIME);
        }
        idle.pop()
    }
}

/// A connection in use. Dropping it closes it, which also ends an open transaction: a future that is dropped in the
/// middle of a statement leaves nothing behind. [`Self::keep`] puts it back.
pub(crate) struct Lease<'a> {
    pool: &'a Pool,
    kept: Kept,
    reused: bool,
    _slot: SemaphorePermit<'a>,
}

impl Lease<'_> {
    pub fn connection(&mut self) -> &mut Connection {
        &mut self.kept.connection
    }

    /// Whether it has been used before; its server may have closed it meanwhile.
    pub fn is_reused(&self) -> bool {
        self.reused
    }

    /// Keeps it for the next statement. Nothing may be under way on it.
    pub fn keep(self) {
        self.pool.idle.lock().push(self.kept);
    }
}

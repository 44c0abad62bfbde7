//! Plain operations on nodes, for the watch resources of bcs-storage (storage.md 8.5). Each has a time limit: the
//! session timeout.

use std::future::Future;
use std::time::Duration;

use tokio::time::{sleep, timeout};
use zookeeper_client::{Acls, Client, CreateMode, Error};

use super::{ZooKeeper, ZooKeeperError};

/// Pause before an operation is tried again after the connection was lost under it.
const RETRY_PAUSE: Duration = Duration::from_millis(100);

impl ZooKeeper {
    /// The data of a node; none if it does not exist.
    ///
    /// # Errors
    /// [`ZooKeeperError::Timeout`] and [`ZooKeeperError::Refused`].
    pub async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, ZooKeeperError> {
        let read = |client: Client| async move { if_exists(client.get_data(path).await) };
        let found = self.attempt("read", path, read).await?;
        Ok(found.map(|(data, _stat)| data))
    }

    /// The names of a node's children, in no order; none if the node does not exist.
    ///
    /// # Errors
    /// [`ZooKeeperError::Timeout`] and [`ZooKeeperError::Refused`].
    pub async fn list(&self, path: &str) -> Result<Option<Vec<String>>, ZooKeeperError> {
        self.attempt("list", path, |client| async move { if_exists(client.list_children(path).await) }).await
    }

    /// Writes a node; creates it and its missing parents (with empty data) as persistent nodes that only the owner of
    /// the credentials may use.
    ///
    /// # Errors
    /// [`ZooKeeperError::Timeout`] (then the data may or may not be written) and [`ZooKeeperError::Refused`].
    pub async fn set_or_create(&self, path: &str, data: &[u8]) -> Result<(), ZooKeeperError> {
        self.attempt("write", path, |client| async move { self.write(&client, path, data).await }).await
    }

    /// Deletes a node without children; false if it did not exist.
    ///
    /// # Errors
    /// [`ZooKeeperError::Timeout`] (then the node may or may not be gone) and [`ZooKeeperError::Refused`].
    pub async fn delete(&self, path: &str) -> Result<bool, ZooKeeperError> {
        let delete = |client: Client| async move { if_exists(client.delete(path, None).await) };
        Ok(self.attempt("delete", path, delete).await?.is_some())
    }

    async fn write(&self, client: &Client, path: &str, data: &[u8]) -> Result<(), Error> {
        loop {
            match client.set_data(path, data, None).await {
                Err(Error::NoNode) => {}
                written => return written.map(|_stat| ()),
            }
            self.make_parents(client, path).await?;
            let options = CreateMode::Persistent.with_acls(Acls::new(&self.shared.acl));
            match client.create(path, data, &options).await {
                // Somebody else created or removed it in between: look again.
                Err(Error::NodeExists | Error::NoNode) => {}
                created => return created.map(|_created| ()),
            }
        }
    }

    /// Creates the missing directories above a path.
    pub(super) async fn make_parents(&self, client: &Client, path: &str) -> Result<(), Error> {
        match path.rsplit_once('/') {
            None | Some(("", _)) => Ok(()),
            Some((parent, _)) => {
                client.mkdir(parent, &CreateMode::Persistent.with_acls(Acls::new(&self.shared.acl))).await
            }
        }
    }

    /// Runs an operation that may be repeated, on whichever session there is, until it ends or time is up.
    async fn attempt<T, F>(
        &self,
        operation: &'static str,
        path: &str,
        run: impl Fn(Client) -> F,
    ) -> Result<T, ZooKeeperError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let limit = self.shared.session_timeout;
        let attempts = async {
            while let Some(session) = self.session().await {
                let result = tokio::select! {
                    result = run(session.client) => result,
                    () = session.ended.cancelled() => Err(Error::SessionExpired),
                };
                match result {
                    Err(error) if is_connection_trouble(&error) => sleep(RETRY_PAUSE).await,
                    result => return result,
                }
            }
            Err(Error::ClientClosed)
        };
        match timeout(limit, attempts).await {
            Ok(result) => result.map_err(|source| ZooKeeperError::Refused { operation, path: path.to_owned(), source }),
            Err(_) => {
                let state = self.shared.status.borrow().clone().err().unwrap_or_else(|| "connected".into());
                Err(ZooKeeperError::Timeout { limit, state })
            }
        }
    }
}

/// Turns "no such node" into none.
fn if_exists<T>(result: Result<T, Error>) -> Result<Option<T>, Error> {
    match result {
        Err(Error::NoNode) => Ok(None),
        result => result.map(Some),
    }
}

/// Whether the connection or the session failed, not the operation. Whatever is not a plain answer of the server
/// counts: the library reports socket errors as custom ones.
pub(super) fn is_connection_trouble(error: &Error) -> bool {
    matches!(
        error,
        Error::ConnectionLoss
            | Error::SessionExpired
            | Error::SessionMoved
            | Error::ClientClosed
            | Error::Timeout
            | Error::Custom(_)
    )
}

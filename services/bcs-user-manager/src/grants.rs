//! What users may do, as the answer to every verify is found: kept in memory, read from the database in the background
//! (user-manager.md 7.2, 7.3).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bcs_common::errors::chain;
use bcs_common::metrics::Health;
use bcs_common::shutdown::Shutdown;
use bcs_sql::{Database, Param, Row, SqlError};
use parking_lot::RwLock;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until};
use tracing::{error, info};

/// Time between two complete reloads.
const RELOAD: Duration = Duration::from_secs(60);
/// Time between two attempts while the database is away.
const RETRY: Duration = Duration::from_secs(1);
/// Changes that wait for their reload.
const QUEUE: usize = 256;
/// The name in `/readyz`.
const PART: &str = "permissions";
/// Resource types whose grants name a resource; for all others only the type counts.
const WITH_RESOURCE: [&str; 2] = ["cluster", "storage"];

/// The action lists of roles, such as `GET,POST`.
type Actions = Vec<Arc<str>>;

/// The grants of one resource type to one user.
#[derive(Default)]
struct OfType {
    /// Of all grants, whatever their resource.
    any: Actions,
    by_resource: HashMap<Box<str>, Actions>,
}

type OfUser = HashMap<Box<str>, OfType>;
type All = HashMap<u32, OfUser>;

/// The grants of all users. Clones share them.
#[derive(Clone)]
pub(crate) struct Grants {
    all: Arc<RwLock<All>>,
    changes: mpsc::Sender<Change>,
}

/// Users whose rows have changed, and who waits for their reload.
struct Change {
    users: Vec<u32>,
    done: oneshot::Sender<()>,
}

impl Grants {
    /// Loads all grants and keeps them up to date until the shutdown.
    ///
    /// # Errors
    /// The first load failed.
    pub async fn start(database: Database, health: Health, shutdown: &Shutdown) -> Result<Self, SqlError> {
        let all = Arc::new(RwLock::new(load(&database, None).await?));
        health.set(PART, Ok(()));
        let (changes, queue) = mpsc::channel(QUEUE);
        let loaded = Instant::now();
        let reloader = Reloader { database, all: Arc::clone(&all), health, loaded, next: loaded + RELOAD };
        shutdown.spawn("permission cache", reloader.run(queue, shutdown.clone()));
        Ok(Self { all, changes })
    }

    /// Whether a user may do something.
    pub fn allow(&self, user: u32, resource_type: &str, resource: &str, action: &str) -> bool {
        let resource = if WITH_RESOURCE.contains(&resource_type) { resource } else { "" };
        let all = self.all.read();
        let Some(grants) = all.get(&user).and_then(|types| types.get(resource_type)) else {
            return false;
        };
        if resource.is_empty() {
            return contain(Some(&grants.any), action);
        }
        contain(grants.by_resource.get(resource), action) || contain(grants.by_resource.get("*"), action)
    }

    /// Makes changes count that were just committed. If the database cannot be read now they count as soon as it can.
    pub async fn changed(&self, users: Vec<u32>) {
        let (done, is_done) = oneshot::channel();
        if self.changes.send(Change { users, done }).await.is_ok() {
            // An error means that the service is stopping.
            let _ = is_done.await;
        }
    }
}

fn contain(actions: Option<&Actions>, action: &str) -> bool {
    actions.into_iter().flatten().flat_map(|list| list.split(',')).any(|one| one == action)
}

/// The only one who changes the grants: a reload that started before a change can never replace a later one.
struct Reloader {
    database: Database,
    all: Arc<RwLock<All>>,
    health: Health,
    /// When the last complete load ended.
    loaded: Instant,
    /// When the next one is due.
    next: Instant,
}

impl Reloader {
    async fn run(mut self, mut queue: mpsc::Receiver<Change>, shutdown: Shutdown) {
        loop {
            tokio::select! {
                () = shutdown.triggered() => return,
                change = queue.recv() => match change {
                    Some(change) => self.reload_users(change).await,
                    None => return,
                },
                () = sleep_until(self.next) => self.reload_all().await,
            }
        }
    }

    async fn reload_users(&mut self, change: Change) {
        for user in change.users {
            match load(&self.database, Some(user)).await {
                Ok(mut loaded) => {
                    let grants = loaded.remove(&user).unwrap_or_default();
                    self.all.write().insert(user, grants);
                }
                Err(failure) => {
                    self.failed(&failure);
                    break;
                }
            }
        }
        // The request may have gone away.
        let _ = change.done.send(());
    }

    async fn reload_all(&mut self) {
        match load(&self.database, None).await {
            Ok(loaded) => {
                *self.all.write() = loaded;
                if self.loaded.elapsed() > RELOAD + RETRY {
                    info!("permissions are up to date again");
                }
                self.loaded = Instant::now();
                self.next = self.loaded + RELOAD;
                self.health.set(PART, Ok(()));
            }
            Err(failure) => self.failed(&failure),
        }
    }

    fn failed(&mut self, failure: &SqlError) {
        let age = self.loaded.elapsed().as_secs();
        error!("failed to reload permissions, the state of {age} s ago is kept: {}", chain(failure));
        self.health.set(PART, Err(format!("not reloaded for {age} s: {failure}")));
        self.next = Instant::now() + RETRY;
    }
}

/// The grants of one user or of all.
async fn load(database: &Database, user: Option<u32>) -> Result<All, SqlError> {
    let rows = match user {
        None => {
            let sql = "SELECT u.user_id, u.resource_type, u.resource, r.actions \
                       FROM bcs_user_resource_roles u LEFT JOIN bcs_roles r ON u.role_id = r.id";
            database.read(sql, &[]).await?
        }
        Some(user) => {
            let sql = "SELECT u.user_id, u.resource_type, u.resource, r.actions \
                       FROM bcs_user_resource_roles u LEFT JOIN bcs_roles r ON u.role_id = r.id WHERE u.user_id = ?";
            database.read(sql, &[Param::Uint(user)]).await?
        }
    };
    let mut lists = HashMap::<String, Arc<str>>::new();
    let mut all = All::new();
    for row in &rows {
        let (user, resource_type, resource, actions) = grant(row)?;
        let actions = Arc::clone(lists.entry(actions).or_insert_with_key(|actions| Arc::from(actions.as_str())));
        let grants = all.entry(user).or_default().entry(resource_type.into()).or_default();
        add(&mut grants.any, &actions);
        add(grants.by_resource.entry(resource.into()).or_default(), &actions);
    }
    Ok(all)
}

fn grant(row: &Row) -> Result<(u32, String, String, String), SqlError> {
    Ok((row.uint(0)?, row.text(1)?, row.text(2)?, row.text(3)?))
}

fn add(lists: &mut Actions, list: &Arc<str>) {
    if !lists.contains(list) {
        lists.push(Arc::clone(list));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::database;

    async fn grants(rows: &'static str) -> (tempfile::TempDir, Database, Grants, Health, Shutdown) {
        let (dir, database) = database().await;
        database.write("INSERT INTO bcs_roles (id, name, actions) VALUES (9, 'odd', '')", &[]).await.unwrap();
        database.write(rows, &[]).await.unwrap();
        let (health, shutdown) = (Health::new(), Shutdown::new());
        let grants = Grants::start(database.clone(), health.clone(), &shutdown).await.unwrap();
        (dir, database, grants, health, shutdown)
    }

    const ROWS: &str = "INSERT INTO bcs_user_resource_roles (user_id, resource_type, resource, role_id) VALUES \
        (1, 'cluster', 'c1', 2), (1, 'cluster', 'c2', 1), (1, 'meshmanager', 'm', 2), (2, 'cluster', '*', 2), \
        (3, 'cluster', '', 1), (4, 'cluster', 'c1', 77), (5, 'storage', NULL, 9), (6, 'cluster', 'c1', 1), \
        (6, 'cluster', 'c1', 2)";

    #[tokio::test]
    async fn who_may_do_what() {
        let (_dir, _database, grants, _health, _shutdown) = grants(ROWS).await;
        for (user, resource_type, resource, action, want) in [
            (1, "cluster", "c1", "GET", true),
            (1, "cluster", "c1", "POST", false),
            (1, "cluster", "c1", "get", false),
            (1, "cluster", "c2", "DELETE", true),
            (1, "cluster", "C1", "GET", false),
            (1, "cluster", "c3", "GET", false),
            (1, "cluster", "*", "GET", false),
            // Without a resource every grant of the type counts.
            (1, "cluster", "", "PATCH", true),
            (1, "cluster", "c1", "HEAD", false),
            (1, "cluster", "c1", "GET,POST", false),
            (1, "cluster", "c1", "", false),
            // Of other types only the type counts.
            (1, "meshmanager", "other", "GET", true),
            (1, "meshmanager", "", "PUT", false),
            (1, "storage", "", "GET", false),
            (2, "cluster", "any", "GET", true),
            (2, "cluster", "*", "GET", true),
            (2, "cluster", "any", "PUT", false),
            (3, "cluster", "c1", "GET", false),
            (3, "cluster", "", "GET", true),
            // The role is gone, or has no actions.
            (4, "cluster", "c1", "GET", false),
            (5, "storage", "", "GET", false),
            (6, "cluster", "c1", "POST", true),
            (7, "cluster", "c1", "GET", false),
        ] {
            let allowed = grants.allow(user, resource_type, resource, action);
            assert_eq!(allowed, want, "{user} {resource_type} {resource} {action}");
        }
    }

    #[tokio::test]
    async fn a_change_counts_at_once() {
        let (_dir, database, grants, _health, shutdown) = grants(ROWS).await;
        database.write("DELETE FROM bcs_user_resource_roles WHERE user_id = 1", &[]).await.unwrap();
        database.write("UPDATE bcs_user_resource_roles SET resource = 'c9' WHERE user_id = 2", &[]).await.unwrap();
        assert!(grants.allow(1, "cluster", "c1", "GET"));
        grants.changed(vec![1, 2]).await;
        assert!(!grants.allow(1, "cluster", "c1", "GET") && !grants.allow(2, "cluster", "c1", "GET"));
        assert!(grants.allow(2, "cluster", "c9", "GET") && grants.allow(3, "cluster", "", "GET"));
        assert!(shutdown.drain(Duration::from_secs(60)).await);
    }

    #[tokio::test]
    async fn an_outage_keeps_the_last_state_and_says_so() {
        let (_dir, database, grants, health, _shutdown) = grants(ROWS).await;
        database.write("ALTER TABLE bcs_roles RENAME TO away", &[]).await.unwrap();
        grants.changed(vec![1]).await;
        assert!(grants.allow(1, "cluster", "c1", "GET"));
        assert!(!health.is_ready());
        database.write("ALTER TABLE away RENAME TO bcs_roles", &[]).await.unwrap();
        database.write("DELETE FROM bcs_user_resource_roles WHERE user_id = 1", &[]).await.unwrap();
        let recovered = async {
            while !health.is_ready() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), recovered).await.unwrap();
        assert!(!grants.allow(1, "cluster", "c1", "GET"));
    }
}

//! Who holds a token. The database is asked for every request, so that a refresh or an expiry counts at once on every
//! instance; requests that arrive while a query is under way share the next one.

use std::collections::HashMap;
use std::fmt::Write;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, LazyLock};

use bcs_common::shutdown::Shutdown;
use bcs_common::token;
use bcs_sql::{Database, Param, SqlError, fits};
use chrono::{DateTime, FixedOffset, Utc};
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for their turn; more wait for a place here.
const QUEUE: usize = 1024;
/// Requests that share one query.
const SHARED: usize = 64;
/// Length of the column.
const TOKEN_COLUMN: usize = 64;

/// The user behind a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holder {
    /// `id` of the user.
    pub id: u32,
    /// `user_type` of the user.
    pub user_type: u32,
    /// `expires_at`; none has expired.
    pub expires_at: Option<DateTime<FixedOffset>>,
}

impl Holder {
    /// Whether the token is past its time.
    pub fn is_expired(&self) -> bool {
        self.expires_at.is_none_or(|end| Utc::now() > end)
    }
}

/// The holders of the tokens that were asked for, in that order.
type Found<const N: usize> = Result<[Option<Holder>; N], Arc<SqlError>>;

/// Finds holders. Clones share the queue.
#[derive(Clone)]
pub(crate) struct TokenLookup(mpsc::Sender<Wanted>);

struct Wanted {
    tokens: Vec<String>,
    reply: oneshot::Sender<Shared>,
}

type Shared = Result<Arc<HashMap<Token, Holder>>, Arc<SqlError>>;

impl TokenLookup {
    /// Starts the task that asks the database. It ends when the last clone is gone.
    pub fn start(database: Database, shutdown: &Shutdown) -> Self {
        let (queue, wanted) = mpsc::channel(QUEUE);
        shutdown.spawn("token lookup", answer(database, wanted));
        Self(queue)
    }

    /// The holders of some tokens, by one query that starts after this call.
    ///
    /// # Errors
    /// The query failed.
    pub async fn find<const N: usize>(&self, tokens: [&str; N]) -> Found<N> {
        let plausible = tokens.iter().filter(|token| !token.is_empty() && fits(token, TOKEN_COLUMN));
        let wanted: Vec<String> = plausible.map(|token| (*token).to_owned()).collect();
        if wanted.is_empty() {
            return Ok([None; N]);
        }
        let (reply, found) = oneshot::channel();
        let gone = |what: &str| Arc::new(SqlError::Broken(format!("the lookup has ended ({what})")));
        self.0.send(Wanted { tokens: wanted, reply }).await.map_err(|_| gone("queue"))?;
        let holders = found.await.map_err(|_| gone("reply"))??;
        Ok(tokens.map(|token| holders.get(&Token(token.to_owned())).copied()))
    }
}

async fn answer(database: Database, mut queue: mpsc::Receiver<Wanted>) {
    let mut wanted = Vec::with_capacity(SHARED);
    while queue.recv_many(&mut wanted, SHARED).await > 0 {
        let mut tokens: Vec<&str> = wanted.iter().flat_map(|wanted| &wanted.tokens).map(String::as_str).collect();
        tokens.sort_unstable();
        tokens.dedup();
        let found = holders(&database, &tokens).await.map(Arc::new).map_err(Arc::new);
        for wanted in wanted.drain(..) {
            // Nobody waits if the client has gone away.
            let _ = wanted.reply.send(found.clone());
        }
    }
}

async fn holders(database: &Database, tokens: &[&str]) -> Result<HashMap<Token, Holder>, SqlError> {
    let mut params: Vec<Param<'_>> = tokens.iter().map(|token| Param::Text(token)).collect();
    let (places, sql) = statement(tokens.len());
    if let Some(last) = params.last().copied() {
        params.resize(places, last);
    }
    let rows = database.read(sql, &params).await?;
    let holder = |row: &bcs_sql::Row| {
        let holder = Holder { id: row.uint(0)?, user_type: row.uint(1)?, expires_at: row.time(3)? };
        Ok((Token(row.text(2)?), holder))
    };
    rows.iter().map(holder).collect()
}

/// Statements for 1, 2, 4, ... tokens: few enough to stay prepared on every connection.
static STATEMENTS: LazyLock<Vec<(usize, String)>> = LazyLock::new(|| {
    let sizes = std::iter::successors(Some(1), |size| Some(size * 2)).take_while(|size| *size <= 2 * SHARED);
    sizes.map(|size| (size, select(size))).collect()
});

fn select(places: usize) -> String {
    let mut sql = "SELECT id, user_type, user_token, expires_at FROM bcs_users WHERE user_token IN (?".to_owned();
    for _ in 1..places {
        sql.push_str(", ?");
    }
    // Writing to a text cannot fail.
    let _ = sql.write_char(')');
    sql
}

/// The smallest statement for so many tokens, and its number of places.
fn statement(tokens: usize) -> (usize, &'static str) {
    let fitting = STATEMENTS.iter().find(|(places, _)| *places >= tokens);
    fitting.or(STATEMENTS.last()).map_or((0, ""), |(places, sql)| (*places, sql.as_str()))
}

/// A token as a key: MySQL compares without case and trailing blanks, this exactly, and in constant time.
struct Token(String);

impl PartialEq for Token {
    fn eq(&self, other: &Self) -> bool {
        token::same(&self.0, &other.0)
    }
}

impl Eq for Token {}

impl Hash for Token {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

#[cfg(test)]
mod tests {
    use futures::future::join_all;

    use super::*;
    use crate::tests::database;

    #[test]
    fn statements_have_places_enough() {
        for (tokens, places) in [(1, 1), (2, 2), (3, 4), (65, 128), (128, 128)] {
            let (found, sql) = statement(tokens);
            assert_eq!((found, sql.matches('?').count()), (places, places), "{tokens}");
        }
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn many_at_once_each_find_their_own() {
        let (_dir, database) = database().await;
        for number in 0..100_u32 {
            let (name, token) = (format!("user{number}"), format!("token{number}"));
            let insert = "INSERT INTO bcs_users (name, user_type, user_token, expires_at) VALUES (?, 3, ?, ?)";
            let expiry = Utc::now() + chrono::Duration::hours(if number == 7 { -1 } else { 1 });
            database.write(insert, &[(&name).into(), (&token).into(), expiry.into()]).await.unwrap();
        }
        let shutdown = Shutdown::new();
        let lookup = TokenLookup::start(database, &shutdown);
        let found = join_all((0..500_u32).map(|number| {
            let lookup = lookup.clone();
            async move {
                let token = format!("token{}", number % 100);
                lookup.find([&token, "TOKEN1", "token1 ", "", &"x".repeat(65)]).await.unwrap()
            }
        }))
        .await;
        for (number, [own, rest @ ..]) in (0..500_u32).zip(found) {
            let own = own.unwrap();
            assert_eq!((own.id, own.is_expired()), (number % 100 + 1, number % 100 == 7));
            assert_eq!(rest, [None; 4]);
        }
        drop(lookup);
        assert!(shutdown.drain(std::time::Duration::from_secs(60)).await);
    }
}

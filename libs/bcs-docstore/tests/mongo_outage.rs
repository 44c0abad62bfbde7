//! What the MongoDB backend does while its server cannot be reached, and after.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs,
    reason = "all of this is test code: a panic is a failed test"
)]

mod proxy;
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bcs_docstore::mongo::{MongoDatabase, MongoOptions, SELECTION_LIMIT};
use bcs_docstore::{
    ChangeKind, DocumentDatabase, Error, FeedError, Filter, Index, Layout, Order, Subscription, Upsert, doc,
};
use parking_lot::Mutex;
use proxy::{Network, Proxy};
use support::mongo_server::hosts;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

const LAYOUT: Layout = Layout { name: "x", keys: &[], times: &[], indexes: &[], deletion_flag: Some("_deleted") };

/// Far more than anything waited for takes.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a machine with other work may add to a time that is measured here.
const LOAD: Duration = Duration::from_secs(10);

struct Store {
    database: MongoDatabase,
    shutdown: CancellationToken,
    tasks: TaskTracker,
}

fn open(options: MongoOptions) -> Store {
    let shutdown = CancellationToken::new();
    let tasks = TaskTracker::new();
    let database = MongoDatabase::new(options, LAYOUT, shutdown.clone(), tasks.clone()).unwrap();
    Store { database, shutdown, tasks }
}

async fn insert(database: &MongoDatabase, id: i32) {
    let start = Instant::now();
    while let Err(error) = database.insert("Pod", doc! { "_id": id }).await {
        // One that was cut off may have arrived all the same.
        match error {
            Error::Duplicate { .. } => return,
            Error::Unavailable(_) => assert!(start.elapsed() < PATIENCE, "{error:?}"),
            other => panic!("{other:?}"),
        }
    }
}

async fn next_id(subscription: &mut Subscription) -> i32 {
    let change = tokio::time::timeout(PATIENCE, subscription.next()).await.expect("no change in time").unwrap();
    assert_eq!(change.kind, ChangeKind::Insert);
    change.fields.get_i32("_id").unwrap()
}

async fn end_of(subscription: &mut Subscription) -> FeedError {
    let end = async {
        loop {
            if let Err(end) = subscription.next().await {
                return end;
            }
        }
    };
    tokio::time::timeout(PATIENCE, end).await.expect("the feed did not end in time")
}

#[tokio::test]
async fn a_server_that_is_down_gives_errors_soon_and_is_found_when_it_is_back() {
    let proxy = Proxy::start(&hosts(), Network::Refuses).await;
    let store = open(support::options(&proxy.address()));
    let asked = Instant::now();
    let error = store.database.ping().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert!(asked.elapsed() < SELECTION_LIMIT + LOAD, "{:?}", asked.elapsed());

    for outage in [Network::Refuses, Network::Swallows] {
        proxy.set(Network::Works);
        let back = Instant::now();
        insert(&store.database, 1).await;
        assert!(back.elapsed() < LOAD, "{outage:?} {:?}", back.elapsed());
        assert_eq!(store.database.count("Pod", &Filter::all()).await.unwrap(), 1);
        proxy.set(outage);
        let options = MongoOptions { operation_timeout: Duration::from_secs(3), ..support::options(&proxy.address()) };
        let impatient = open(options);
        let asked = Instant::now();
        let error = impatient.database.ping().await.unwrap_err();
        assert!(matches!(error, Error::Unavailable(_)), "{outage:?} {error:?}");
        assert!(asked.elapsed() < Duration::from_secs(3) + LOAD, "{outage:?} {:?}", asked.elapsed());
    }
}

#[tokio::test]
async fn a_server_that_falls_silent_does_not_hold_an_operation() {
    let proxy = Proxy::start(&hosts(), Network::Works).await;
    let options = MongoOptions { operation_timeout: Duration::from_secs(2), ..support::options(&proxy.address()) };
    let store = open(options);
    store.database.ping().await.unwrap();
    proxy.set(Network::Swallows);
    let asked = Instant::now();
    let error = store.database.ping().await.unwrap_err();
    assert!(matches!(error, Error::Unavailable(_)), "{error:?}");
    assert!(asked.elapsed() < Duration::from_secs(2) + LOAD, "{:?}", asked.elapsed());
}

#[tokio::test]
async fn no_change_is_lost_doubled_or_out_of_order_over_outages() {
    let proxy = Proxy::start(&hosts(), Network::Works).await;
    let options = support::options(&proxy.address());
    let direct = open(MongoOptions { hosts: vec![hosts()], ..options.clone() });
    let store = open(options);
    let mut early = store.database.watch("Pod").await.unwrap();
    let mut late = store.database.watch("Pod").await.unwrap();
    // A stream can only be resumed behind something it has seen; MongoDB gives a token at once, the stand-in does not.
    insert(&direct.database, 0).await;
    assert_eq!(next_id(&mut early).await, 0);

    let mut id = 0;
    for outage in [Network::Refuses, Network::Works, Network::Refuses] {
        for network in [outage, Network::Works] {
            proxy.set(network);
            for _ in 0..50 {
                id += 1;
                insert(&direct.database, id).await;
            }
        }
        // The last ones are also seen before the next outage.
        while next_id(&mut early).await != id {}
    }
    for expected in 0..=id {
        assert_eq!(next_id(&mut late).await, expected);
    }
}

#[tokio::test]
async fn cuts_that_are_over_at_once_lose_and_double_nothing() {
    let proxy = Proxy::start(&hosts(), Network::Works).await;
    let options = support::options(&proxy.address());
    let direct = open(MongoOptions { hosts: vec![hosts()], ..options.clone() });
    let store = open(options);
    let mut early = store.database.watch("Pod").await.unwrap();
    insert(&direct.database, 0).await;
    assert_eq!(next_id(&mut early).await, 0);
    let mut id = 0;
    for _ in 0..4 {
        proxy.set(Network::Refuses);
        id += 1;
        insert(&direct.database, id).await;
        proxy.set(Network::Works);
        // Whoever comes before the stream is mended, and what is written then, must not fall into the gap.
        let mut late = store.database.watch("Pod").await.unwrap();
        id += 1;
        insert(&direct.database, id).await;
        assert_eq!(next_id(&mut early).await, id - 1);
        assert_eq!(next_id(&mut early).await, id);
        while next_id(&mut late).await != id {}
    }
}

#[tokio::test]
async fn a_stream_without_a_place_to_go_on_ends_instead_of_losing_changes() {
    let proxy = Proxy::start(&hosts(), Network::Works).await;
    let options = support::options(&proxy.address());
    let direct = open(MongoOptions { hosts: vec![hosts()], ..options.clone() });
    let store = open(options);
    let mut watch = store.database.watch("Pod").await.unwrap();
    proxy.set(Network::Refuses);
    insert(&direct.database, 1).await;
    proxy.set(Network::Works);
    insert(&direct.database, 2).await;
    // MongoDB gives a token at once, and nothing is lost. The stand-in does not, and the stream says so.
    match tokio::time::timeout(PATIENCE, watch.next()).await.expect("it is blind") {
        Ok(change) => assert_eq!(change.fields.get_i32("_id").unwrap(), 1),
        Err(end) => assert_eq!(end, FeedError::Ended),
    }
    let mut again = store.database.watch("Pod").await.unwrap();
    insert(&direct.database, 3).await;
    while next_id(&mut again).await != 3 {}
}

#[tokio::test]
async fn a_feed_ends_with_its_collection_and_the_next_follower_gets_a_new_one() {
    let options = support::options(&hosts());
    let client = mongodb::Client::with_uri_str(format!("mongodb://{}", hosts())).await.unwrap();
    let collection = client.database(&options.database).collection::<bson::Document>("Pod");
    let store = open(options);
    insert(&store.database, 1).await;
    let mut first = store.database.watch("Pod").await.unwrap();
    insert(&store.database, 2).await;
    assert_eq!(next_id(&mut first).await, 2);
    collection.drop().await.unwrap();
    assert_eq!(end_of(&mut first).await, FeedError::Ended);

    let mut second = store.database.watch("Pod").await.unwrap();
    insert(&store.database, 3).await;
    assert_eq!(next_id(&mut second).await, 3);
}

#[tokio::test]
async fn streams_end_with_their_last_follower_and_on_shutdown() {
    let store = open(support::options(&hosts()));
    let one = store.database.watch("Pod").await.unwrap();
    let other = store.database.watch("Pod").await.unwrap();
    assert_eq!(store.tasks.len(), 1, "all followers share a stream");
    drop((one, other));
    store.tasks.close();
    tokio::time::timeout(PATIENCE, store.tasks.wait()).await.expect("the stream goes on without followers");

    let mut again = store.database.watch("Pod").await.unwrap();
    store.shutdown.cancel();
    assert_eq!(end_of(&mut again).await, FeedError::Ended);
    tokio::time::timeout(PATIENCE, store.tasks.wait()).await.expect("the stream outlives the shutdown");
}

#[tokio::test]
async fn deletions_are_left_out_where_the_configuration_says_so() {
    let options = support::options(&hosts());
    let all = open(options.clone());
    let some = open(MongoOptions { ignore_delete_events: true, ..options });
    let mut with = all.database.watch("Pod").await.unwrap();
    let mut without = some.database.watch("Pod").await.unwrap();
    insert(&all.database, 1).await;
    all.database.delete_many("Pod", &Filter::all()).await.unwrap();
    insert(&all.database, 2).await;
    assert_eq!([next_id(&mut without).await, next_id(&mut without).await], [1, 2]);
    assert_eq!(next_id(&mut with).await, 1);
    assert_eq!(with.next().await.unwrap().kind, ChangeKind::Delete);
}

#[tokio::test]
async fn every_operation_is_observed() {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let observed = Arc::clone(&seen);
    let observer: bcs_docstore::mongo::Observer = Arc::new(move |method, succeeded, _| {
        observed.lock().insert((method, succeeded));
    });
    let store = open(MongoOptions { observer: Some(observer), ..support::options(&hosts()) });
    let database = &store.database;
    let index = Index { name: "i".to_owned(), keys: vec![("a".to_owned(), Order::Ascending)], unique: true };
    database.ping().await.unwrap();
    database.ensure_index("Pod", &index).await.unwrap();
    database.insert("Pod", doc! { "a": 1 }).await.unwrap();
    database.insert("Pod", doc! { "a": 1 }).await.unwrap_err();
    let upsert = Upsert { key: doc! { "a": 1 }, set: doc! { "b": 1 }, data: None, set_when_new: doc! {} };
    database.upsert("Pod", upsert).await.unwrap();
    let expected = [
        ("createIndex", true),
        ("createTable", true),
        ("insert", false),
        ("insert", true),
        ("ping", true),
        ("upsert", true),
    ];
    assert_eq!(*seen.lock(), BTreeSet::from(expected));
}

#[tokio::test]
async fn options_that_can_never_work_are_refused() {
    for options in [
        MongoOptions { hosts: vec!["host:port".to_owned()], ..support::options(&hosts()) },
        MongoOptions { hosts: vec![], ..support::options(&hosts()) },
        MongoOptions { min_pool: 5, max_pool: 2, ..support::options(&hosts()) },
    ] {
        let refused = MongoDatabase::new(options, LAYOUT, CancellationToken::new(), TaskTracker::new());
        assert!(matches!(refused.err(), Some(Error::Invalid(_))));
    }
}

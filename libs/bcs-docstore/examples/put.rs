//! scratch
use bcs_docstore::{doc, sqlite::SqliteStore, *};
use bson::DateTime;
use std::sync::Arc;
const LAYOUT: Layout = Layout {
    name: "dynamic",
    keys: &["clusterId", "namespace", "resourceType", "resourceName"],
    times: &["createTime", "updateTime"],
    indexes: &[&["clusterId", "resourceName", "namespace"], &["clusterId", "namespace"]],
    deletion_flag: Some("gone"),
};
#[tokio::main(worker_threads = 2)]
async fn main() {
    let dir = std::path::PathBuf::from("/tmp/inst/putbench");
    let _ = std::fs::remove_dir_all(&dir);
    let store = SqliteStore::open(&dir.join("s.db")).unwrap();
    let db = Arc::new(store.database(LAYOUT).unwrap());
    let keys = LAYOUT.keys.iter().map(|k| ((*k).to_owned(), Order::Ascending)).collect();
    db.ensure_index("Pod", &Index { name: "Pod_idx".into(), keys, unique: true }).await.unwrap();
    let pod: String = {
        let mut s = String::from("{\"data\":{\"kind\":\"Pod\",\"spec\":[");
        for i in 0..40 {
            s.push_str(&format!("{{\"name\":\"container-{i}\",\"image\":\"nginx:1.{i}\",\"n\":{i},\"ok\":true}},"));
        }
        s.pop();
        s.push_str("]}}");
        s
    };
    println!("pod {}", pod.len());
    let t = std::time::Instant::now();
    for _ in 0..20000 {
        std::hint::black_box(json::decode(pod.as_bytes(), json::Dollar::Rewrite).unwrap());
    }
    println!("decode us {}", t.elapsed().as_micros() as f64 / 20000.0);
    let body: bytes::Bytes = pod.clone().into();
    let t = std::time::Instant::now();
    for _ in 0..20000 {
        std::hint::black_box(JsonText::member(&body, "data").unwrap().normalised().unwrap());
    }
    println!("normalise us {}", t.elapsed().as_micros() as f64 / 20000.0);
    let v = json::decode(pod.as_bytes(), json::Dollar::Rewrite).unwrap();
    let t = std::time::Instant::now();
    for _ in 0..20000 {
        let mut o = Vec::new();
        json::write_bson(&v, &mut o);
        std::hint::black_box(o);
    }
    println!("encode us {}", t.elapsed().as_micros() as f64 / 20000.0);
    for round in ["insert", "update", "update"] {
        let t = std::time::Instant::now();
        let tasks: Vec<_> = (0..64).map(|c| { let db = db.clone(); let pod = pod.clone(); tokio::task::spawn(async move {
            for n in 0..800 {
                let body: bytes::Bytes = pod.clone().into(); let data = Some(JsonText::member(&body, "data").unwrap());
                let key = doc! { "clusterId": "BCS-K8S-00000", "namespace": "ns", "resourceType": "Pod", "resourceName": format!("pod-{c}-{n}") };
                let mut set = doc! {}; set.insert("updateTime", DateTime::now()); set.insert("gone", false);
                db.upsert("Pod", Upsert { key, set, data, set_when_new: doc! { "createTime": DateTime::now() } }).await.unwrap();
            } }) }).collect();
        for t in tasks {
            t.await.unwrap();
        }
        println!("{round} {}/s", 64.0 * 800.0 / t.elapsed().as_secs_f64());
    }
    let t = std::time::Instant::now();
    let hide = Render { hide: &["gone"], restore_dollar: true };
    let f = Find::one(
        Filter::equal_to(
            &doc! { "clusterId": "BCS-K8S-00000", "namespace": "ns", "resourceType": "Pod", "resourceName": "pod-3-5" },
        )
        .and(Filter::Ne(Path::dotted("gone"), Bson::Boolean(true))),
    );
    for _ in 0..20000 {
        std::hint::black_box(db.find_json("Pod", &f, hide).await.unwrap());
    }
    println!("get us {}", t.elapsed().as_micros() as f64 / 20000.0);
    let f = Find {
        limit: Some(100),
        ..Find::all(
            Filter::equal_to(&doc! { "clusterId": "BCS-K8S-00000", "resourceType": "Pod" })
                .and(Filter::Ne(Path::dotted("gone"), Bson::Boolean(true))),
        )
    };
    let t = std::time::Instant::now();
    for _ in 0..2000 {
        std::hint::black_box(db.find_json("Pod", &f, hide).await.unwrap());
    }
    println!("list100 us {}", t.elapsed().as_micros() as f64 / 2000.0);
    // floor
    let c = rusqlite::Connection::open(dir.join("floor.db")).unwrap();
    c.pragma_update(None, "journal_mode", "wal").unwrap();
    c.pragma_update(None, "synchronous", "full").unwrap();
    c.execute_batch("create table t(k text primary key, v text) without rowid").unwrap();
    for round in ["floor insert", "floor update"] {
        let t = std::time::Instant::now();
        for b in 0..800 {
            c.execute_batch("begin immediate").unwrap();
            for n in 0..64 {
                c.prepare_cached("insert or replace into t values(?,?)")
                    .unwrap()
                    .execute((format!("BCS-K8S-00000/ns/pod-{n}-{b}"), &pod))
                    .unwrap();
            }
            c.execute_batch("commit").unwrap();
        }
        println!("{round} {}/s", 64.0 * 800.0 / t.elapsed().as_secs_f64());
    }
}

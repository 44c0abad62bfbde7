//! Figures of bcs-check against the bars of docs/PERFORMANCE.md: `make bench BENCHES=check`.
//!
//! Targets, ZooKeeper and a scheduler that speaks https share the machine's cores with the program. Nothing here fails
//! for being slow.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::panic,
    missing_docs,
    reason = "a benchmark: a panic is a failed run, and it prints its table"
)]

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bcs_integration_tests::certs::Certs;
use bcs_integration_tests::mesos::{MesosTree, Pages, Scheduler, Task};
use bcs_integration_tests::servers::zookeeper::ZooKeeper;
use bcs_integration_tests::service::{Service, ServiceSpec};
use bcs_integration_tests::wait::eventually;
use futures::stream::{self, StreamExt};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// Tasks, and seconds between two probes of each.
const LOADS: [(usize, u64); 3] = [(2_000, 10), (10_000, 10), (100_000, 60)];
/// Targets have this many addresses: one address has too few ports for all the connections that are closing.
const ADDRESSES: u8 = 16;
/// Tasks whose page breaks at a time, to see how fast that is reported.
const FLIPS: usize = 100;
/// Above this, no second look at the flips while everything is refreshed.
const MANY: usize = 10_000;
/// What loading and settling may take at most.
const LONG: Duration = Duration::from_secs(600);

#[tokio::main]
async fn main() {
    let only: Option<usize> = std::env::var("CHECK_BENCH_TASKS").ok().map(|tasks| tasks.parse().unwrap());
    println!("| tasks | interval | what | measured | bar |\n|---|---|---|---|---|");
    for (tasks, interval) in LOADS.into_iter().filter(|(tasks, _)| only.is_none_or(|only| only == *tasks)) {
        measure(tasks, interval).await;
    }
}

async fn measure(tasks: usize, interval: u64) {
    let row =
        |what: &str, measured: String, bar: &str| println!("| {tasks} | {interval} s | {what} | {measured} | {bar} |");
    let zookeeper = ZooKeeper::start_with_heap("2g").await;
    let tree = MesosTree::connect(zookeeper.address()).await;
    let certs = Certs::generate();
    let (scheduler, pages, targets) =
        (Scheduler::start_tls(&certs).await, Pages::start().await, Targets::start().await);
    tree.register_scheduler(&scheduler, 1).await;
    let all: Vec<Task> = (0..tasks)
        .map(|number| match number {
            number if number < 2 * FLIPS => {
                Task { interval, ..Task::http(number, pages.address(), &format!("/{number}")) }
            }
            number => Task { interval, ..Task::tcp(number, targets.of(number)) },
        })
        .collect();
    stream::iter(&all).for_each_concurrent(256, |task| tree.put(task)).await;

    let servers = zookeeper.address().to_string();
    let config = json!({
        "cluster": "BCS-MESOS-10001", "bcs_zookeeper": servers, "mesos_zookeeper": servers, "alsologtostderr": false,
    });
    let begin = Instant::now();
    let mut check = ServiceSpec::new("bcs-check").config(&config).ports(&["metric_port"]).start().await;
    // One for each task and one for each group.
    let watches = 2.0 * tasks as f64;
    eventually("the tree is loaded", LONG, async || value(&check, "bcs_check_zk_watches").await >= watches).await;
    row("load", format!("{:.1} s", begin.elapsed().as_secs_f64()), if tasks == 100_000 { "< 30 s" } else { "–" });
    eventually("every task is reported", LONG, async || scheduler.reports().len() >= tasks).await;

    let process = check.daemon().process().id();
    let window = Duration::from_secs(interval * 3);
    let (probes, packets, cpu_before) = (probes(&check).await, received(zookeeper.address()).await, cpu(process));
    let lag_before = lags(&check).await;
    let start = break_pages(&pages, 0);
    tokio::time::sleep(window).await;
    let seconds = start.elapsed().as_secs_f64();
    let lag = late(&lag_before, &lags(&check).await);
    row("lateness p99", format!("≤ {lag} s"), "≤ 0.1 s");
    let rate = (self::probes(&check).await - probes) / seconds;
    row("probes", format!("{rate:.0}/s"), "5 % of the targets refuse: three attempts each");
    let used = (cpu(process).saturating_sub(cpu_before)).as_secs_f64() / seconds;
    row("CPU", format!("{used:.2} cores"), if tasks == 100_000 { "< 1 core" } else { "≤ 0.2 core" });
    let memory = check.daemon().process().resident_bytes() as f64 / 1e6;
    row("RSS", format!("{memory:.0} MB"), if tasks == 100_000 { "< 300 MB" } else { "≤ 60 MB" });
    let requests = (received(zookeeper.address()).await - packets) / seconds;
    row("ZooKeeper packets, heartbeats of all sessions included", format!("{requests:.1}/s"), "≤ 2 requests/s idle");
    row("last failed probe → report over https, p99", flips(&scheduler, &pages, 0, start), "≤ 1500 ms");
    if tasks <= MANY {
        let known = scheduler.reports().len();
        eventually("everything is refreshed", LONG, async || scheduler.reports().len() >= known + tasks / 10).await;
        let start = break_pages(&pages, FLIPS);
        tokio::time::sleep(window).await;
        row("the same during the refresh", flips(&scheduler, &pages, FLIPS, start), "≤ 1500 ms");
    }
    check.stop().await;
}

/// Breaks the pages from this number on.
fn break_pages(pages: &Pages, first: usize) -> Instant {
    for number in first..first + FLIPS {
        pages.set(&format!("/{number}"), false);
    }
    Instant::now()
}

/// Milliseconds from the last probe of a broken page to its report, worst of 99 %, and how many were reported.
fn flips(scheduler: &Scheduler, pages: &Pages, first: usize, since: Instant) -> String {
    let reports = scheduler.reports();
    let mut delays: Vec<f64> = Vec::new();
    for number in first..first + FLIPS {
        let id = Task::http(number, pages.address(), "").id();
        let report = reports.iter().find(|report| report.at > since && report.id == id && !report.healthy);
        let Some(report) = report else { continue };
        // Later rounds ask again.
        let asked = pages.asked(&format!("/{number}")).into_iter().filter(|asked| *asked < report.at).max();
        delays.push((report.at - asked.unwrap()).as_secs_f64() * 1e3);
    }
    delays.sort_by(f64::total_cmp);
    let worst = delays.get(delays.len() * 99 / 100).or(delays.last()).copied().unwrap_or(f64::NAN);
    format!("{worst:.0} ms, {} of {FLIPS} reported", delays.len())
}

/// TCP targets at many addresses; one in twenty tasks has a port where nobody listens.
struct Targets {
    port: u16,
    refusing: u16,
    _servers: JoinSet<()>,
}

impl Targets {
    async fn start() -> Self {
        let mut servers = JoinSet::new();
        let closed = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let refusing = closed.local_addr().unwrap().port();
        let mut port = 0;
        for last in 1..=ADDRESSES {
            let listener = TcpListener::bind((format!("127.0.1.{last}"), port)).await.unwrap();
            port = listener.local_addr().unwrap().port();
            servers.spawn(async move {
                loop {
                    drop(listener.accept().await);
                }
            });
        }
        Self { port, refusing, _servers: servers }
    }

    fn of(&self, number: usize) -> SocketAddr {
        let last = number % usize::from(ADDRESSES) + 1;
        let port = if number.is_multiple_of(20) { self.refusing } else { self.port };
        format!("127.0.1.{last}:{port}").parse().unwrap()
    }
}

async fn metrics(check: &Service) -> String {
    check.client().get("/metrics").await.unwrap().text()
}

async fn value(check: &Service, name: &str) -> f64 {
    sum(&metrics(check).await, name)
}

async fn probes(check: &Service) -> f64 {
    value(check, "bcs_check_probe_total").await
}

/// The sum of all metrics of that name.
fn sum(metrics: &str, name: &str) -> f64 {
    let lines = metrics.lines().filter(|line| line.starts_with(name) && line[name.len()..].starts_with([' ', '{']));
    lines.map(|line| line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()).sum()
}

/// The lateness histogram: upper bounds and counts.
async fn lags(check: &Service) -> Vec<(String, f64)> {
    let metrics = metrics(check).await;
    let buckets = metrics.lines().filter_map(|line| line.strip_prefix("bcs_check_lag_seconds_bucket{le=\""));
    buckets
        .map(|line| line.split_once("\"} ").unwrap())
        .map(|(le, count)| (le.to_owned(), count.parse().unwrap()))
        .collect()
}

/// The upper bound of the bucket that holds the 99th percentile of what came in between.
fn late(before: &[(String, f64)], after: &[(String, f64)]) -> String {
    let counts: Vec<_> = before.iter().zip(after).map(|((le, before), (_, after))| (le, after - before)).collect();
    let total = counts.last().unwrap().1;
    counts.iter().find(|(_, count)| *count >= total * 0.99).unwrap().0.clone()
}

/// Packets that ZooKeeper has received.
async fn received(zookeeper: SocketAddr) -> f64 {
    let mut stream = TcpStream::connect(zookeeper).await.unwrap();
    stream.write_all(b"srvr").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let line = answer.lines().find_map(|line| line.strip_prefix("Received: "));
    line.unwrap().trim().parse().unwrap()
}

/// CPU time a process has used.
fn cpu(process: u32) -> Duration {
    const TICKS_PER_SECOND: u64 = 100; // of /proc on Linux, on every architecture we build for
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks: u64 = fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum();
    Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND)
}

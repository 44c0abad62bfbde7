//! The engine under a virtual clock, with targets and a scheduler that are plain values.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::definition::{Inert, Timing};

fn s(seconds: f64) -> Duration {
    Duration::from_secs_f64(seconds)
}

fn definition(task: u64, grace: u64, interval: u64) -> Definition {
    Definition {
        index: 0,
        task: task.to_string().into(),
        kind: Kind::Tcp,
        ip: "127.0.0.1".into(),
        port: 1,
        timing: Timing {
            grace: Duration::from_secs(grace),
            interval: Duration::from_secs(interval),
            timeout: Duration::from_secs(1),
        },
        inert: Inert::default(),
        readiness: Readiness::Ready("127.0.0.1:1".parse().unwrap()),
    }
}

fn held(task: u64) -> Definition {
    Definition { readiness: Readiness::Held(Held::NotRunning), ..definition(task, 1, 5) }
}

/// How the scheduler of the world behaves.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Scheduler {
    Good,
    Unreachable,
    /// It takes the report and breaks the connection.
    Failing,
    /// Its answers take this many seconds.
    Slow(u64),
}

#[derive(Debug)]
enum Ending {
    Attempt(RunId, State),
    Report(Report, Delivery),
}

/// Everything around the engine.
struct World {
    engine: Engine,
    now: Duration,
    /// Tasks whose target is down.
    down: Vec<String>,
    /// How long an attempt takes.
    latency: Duration,
    scheduler: Scheduler,
    /// What is under way, and when it ends.
    under_way: Vec<(Duration, Ending)>,
    attempts: Vec<(Duration, String)>,
    /// Reports as the scheduler sees them: when, about whom, what.
    reports: Vec<(Duration, String, bool)>,
}

impl World {
    fn new() -> Self {
        let mut engine = Engine::default();
        engine.scheduler_changed(true, Duration::ZERO);
        Self {
            engine,
            now: Duration::ZERO,
            down: Vec::new(),
            latency: s(0.01),
            scheduler: Scheduler::Good,
            under_way: Vec::new(),
            attempts: Vec::new(),
            reports: Vec::new(),
        }
    }

    fn apply(&mut self, task: u64, definition: Definition) {
        self.engine.apply(TaskKey(task), vec![definition], self.now);
    }

    /// Lets time pass.
    fn run(&mut self, seconds: f64) {
        let end = self.now + s(seconds);
        loop {
            self.engine.advance(self.now);
            while let Some(attempt) = self.engine.next_attempt(self.now) {
                let task = attempt.definition.task.to_string();
                let healthy = !self.down.contains(&task);
                self.attempts.push((self.now, task));
                let state = State { healthy, message: healthy.to_string() };
                self.under_way.push((self.now + self.latency, Ending::Attempt(attempt.id, state)));
            }
            while let Some(report) = self.engine.next_report(self.now) {
                let (delivery, takes) = match self.scheduler {
                    Scheduler::Good => (Delivery::Done, Duration::ZERO),
                    Scheduler::Unreachable => (Delivery::Unreachable, Duration::ZERO),
                    Scheduler::Failing => (Delivery::Failed, Duration::ZERO),
                    Scheduler::Slow(seconds) => (Delivery::Done, Duration::from_secs(seconds)),
                };
                if delivery != Delivery::Unreachable {
                    self.reports.push((self.now, report.definition.task.to_string(), report.state.healthy));
                }
                self.under_way.push((self.now + takes, Ending::Report(report, delivery)));
            }
            let ending = (0..self.under_way.len()).min_by_key(|place| self.under_way[*place].0);
            let next = ending.map(|place| self.under_way[place].0).into_iter().chain(self.engine.wake_at()).min();
            match next {
                Some(at) if at <= end => self.now = self.now.max(at),
                _ => break,
            }
            if let Some(place) = ending.filter(|place| self.under_way[*place].0 <= self.now) {
                match self.under_way.swap_remove(place).1 {
                    Ending::Attempt(id, state) => self.engine.attempted(id, state, self.now),
                    Ending::Report(report, delivery) => {
                        self.engine.reported(report.id, &report.state, delivery, self.now);
                    }
                }
            }
        }
        self.now = end;
    }

    fn statuses(&self) -> Vec<bool> {
        self.reports.iter().map(|(_, _, healthy)| *healthy).collect()
    }

    fn attempts_after(&self, seconds: f64) -> usize {
        self.attempts.iter().filter(|(at, _)| *at >= s(seconds)).count()
    }
}

#[test]
fn the_first_probe_comes_after_grace_and_within_one_interval() {
    let mut world = World::new();
    for task in 0..50 {
        world.apply(task, definition(task, 300, 60));
    }
    world.run(300.0);
    assert_eq!((world.attempts.len(), world.reports.len()), (0, 0));
    world.run(60.1);
    assert_eq!((world.attempts.len(), world.reports.len()), (50, 50));
}

#[test]
fn a_failed_round_has_three_attempts_and_one_report() {
    let mut world = World::new();
    world.down.push("1".into());
    world.apply(1, definition(1, 0, 10));
    world.run(29.0);
    let (rounds, gaps): (Vec<_>, Vec<_>) = (
        world.attempts.chunks(3).map(<[_]>::len).collect(),
        world.attempts.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs_f64()).collect(),
    );
    assert!(rounds.len() >= 2 && rounds[0] == 3, "{rounds:?}");
    assert!(gaps[0] > 1.0 && gaps[0] < 1.1 && gaps[1] > 1.0 && gaps[1] < 1.1, "{gaps:?}");
    assert_eq!(world.statuses(), [false]);
}

#[test]
fn one_good_attempt_is_enough() {
    let mut world = World::new();
    world.apply(1, definition(1, 0, 10));
    world.run(10.5);
    world.down.push("1".into());
    let before = world.attempts.len();
    while world.attempts.len() < before + 2 {
        world.run(0.1);
    }
    world.down.clear();
    world.run(30.0);
    assert_eq!(world.statuses(), [true]);
}

#[test]
fn changes_are_reported_and_nothing_else() {
    let mut world = World::new();
    world.apply(1, definition(1, 1, 2));
    world.run(20.0);
    world.down.push("1".into());
    world.run(20.0);
    world.down.clear();
    world.run(20.0);
    assert_eq!(world.statuses(), [true, false, true]);
}

#[test]
fn an_equal_definition_disturbs_nothing() {
    let mut world = World::new();
    world.apply(1, definition(1, 1, 5));
    for _ in 0..60 {
        world.run(0.5);
        world.apply(1, definition(1, 1, 5));
    }
    assert!((5..=6).contains(&world.attempts.len()), "{}", world.attempts.len());
    assert_eq!(world.statuses(), [true]);
}

#[test]
fn a_stop_and_a_start_begin_anew_and_report_the_first_result() {
    let mut world = World::new();
    world.apply(1, definition(1, 3, 5));
    world.run(10.0);
    world.apply(1, held(1));
    world.run(20.0);
    assert_eq!(world.attempts_after(10.1), 0);
    world.apply(1, definition(1, 3, 5));
    world.run(3.0);
    assert_eq!(world.attempts_after(10.1), 0);
    world.run(5.1);
    assert_eq!(world.statuses(), [true, true]);
}

#[test]
fn results_of_what_is_gone_are_dropped() {
    let mut world = World::new();
    world.latency = s(4.0);
    world.apply(1, definition(1, 0, 1));
    world.apply(2, definition(2, 0, 1));
    world.run(1.5);
    assert_eq!(world.attempts.len(), 2);
    world.engine.remove(TaskKey(1), world.now);
    world.engine.remove(TaskKey(1), world.now);
    world.apply(2, held(2));
    world.run(20.0);
    assert_eq!((world.attempts.len(), world.reports.len()), (2, 0));
    // The number of the removed check is used again; the old result must not count for it.
    world.latency = s(0.01);
    world.apply(3, definition(3, 100, 5));
    world.run(50.0);
    assert_eq!(world.reports.len(), 0);
}

#[test]
fn rounds_of_one_check_never_overlap() {
    let mut world = World::new();
    world.latency = s(3.0);
    world.down.push("1".into());
    world.apply(1, definition(1, 0, 4));
    world.run(60.0);
    let gaps = world.attempts.windows(2).map(|pair| pair[1].0 - pair[0].0);
    assert!(gaps.min().unwrap() >= s(4.0));
    assert!(world.attempts.len() >= 12);
}

#[test]
fn what_is_known_is_refreshed_in_time() {
    let mut world = World::new();
    for task in 0..200 {
        world.apply(task, definition(task, 0, 5));
    }
    world.run(400.0);
    let mut last: BTreeMap<&str, Duration> = BTreeMap::new();
    for (at, task, _) in &world.reports {
        if let Some(before) = last.insert(task, *at) {
            let gap = (*at - before).as_secs_f64();
            assert!((150.0..=182.0).contains(&gap), "{gap}");
        }
    }
    assert!(world.reports.len() >= 600);
    let second_minute = world.reports.iter().filter(|(at, _, _)| *at > s(150.0) && *at < s(200.0));
    let mut busiest: BTreeMap<u64, u32> = BTreeMap::new();
    for (at, _, _) in second_minute {
        *busiest.entry(at.as_secs()).or_default() += 1;
    }
    assert!(busiest.values().all(|count| *count <= 20), "{busiest:?}");
}

#[test]
fn invalid_definitions_are_reported_at_once_and_never_probed() {
    let mut world = World::new();
    let invalid = Definition { readiness: Readiness::Invalid("port 0 is invalid".into()), ..definition(1, 300, 5) };
    world.apply(1, invalid);
    world.run(0.1);
    assert_eq!(world.statuses(), [false]);
    world.run(182.0);
    assert_eq!((world.statuses(), world.attempts.len()), (vec![false, false], 0));
    assert_eq!(world.engine.totals().unhealthy.tcp, 1);
    world.apply(1, definition(1, 0, 5));
    world.run(6.0);
    assert_eq!(world.statuses(), [false, false, true]);
}

#[test]
fn a_task_that_is_gone_and_back_at_once_is_not_reported_twice_within_a_second() {
    let invalid = || Definition { readiness: Readiness::Invalid("port 0 is invalid".into()), ..definition(1, 0, 5) };
    for scheduler in [Scheduler::Good, Scheduler::Slow(3)] {
        let mut world = World::new();
        world.scheduler = scheduler;
        world.apply(1, invalid());
        world.run(0.5);
        world.engine.remove(TaskKey(1), world.now);
        world.run(0.1);
        world.apply(2, invalid());
        world.run(0.2);
        assert_eq!(world.reports.len(), 1, "{scheduler:?}");
        world.run(1.0);
        assert_eq!(world.reports.len(), 2, "{scheduler:?}");
        assert!(world.reports[1].0 >= world.reports[0].0 + s(1.0), "{:?}", world.reports);
    }
}

#[test]
fn without_a_scheduler_the_latest_state_waits() {
    let mut world = World::new();
    world.engine.scheduler_changed(false, world.now);
    world.apply(1, definition(1, 0, 2));
    world.run(10.0);
    world.down.push("1".into());
    world.run(20.0);
    assert_eq!((world.reports.len(), world.engine.totals().pending), (0, 1));
    world.engine.scheduler_changed(true, world.now);
    world.run(0.1);
    assert_eq!(world.statuses(), [false]);
    world.run(100.0);
    assert_eq!(world.statuses(), [false]);
}

#[test]
fn an_unreachable_scheduler_is_asked_again_every_second() {
    let mut world = World::new();
    world.scheduler = Scheduler::Unreachable;
    for task in 0..20 {
        world.apply(task, definition(task, 0, 2));
    }
    world.run(60.0);
    assert_eq!(world.engine.totals().pending, 20);
    world.scheduler = Scheduler::Good;
    world.run(2.1);
    assert_eq!((world.reports.len(), world.engine.totals().pending), (20, 0));
}

#[test]
fn a_failing_scheduler_is_tried_less_and_less_and_a_new_one_at_once() {
    let mut world = World::new();
    world.scheduler = Scheduler::Failing;
    world.apply(1, definition(1, 0, 2));
    world.run(60.0);
    let gaps: Vec<u64> = world.reports.windows(2).map(|pair| (pair[1].0 - pair[0].0).as_secs()).collect();
    assert!(gaps.starts_with(&[1, 2, 4, 8, 10, 10]), "{gaps:?}");
    let before = world.reports.len();
    world.scheduler = Scheduler::Good;
    world.engine.scheduler_changed(true, world.now);
    world.run(1.1);
    assert_eq!((world.reports.len(), world.engine.totals().pending), (before + 1, 0));
}

#[test]
fn a_slow_scheduler_gets_one_report_of_a_check_at_a_time() {
    let mut world = World::new();
    world.scheduler = Scheduler::Slow(20);
    world.apply(1, definition(1, 0, 2));
    world.run(5.0);
    world.down.push("1".into());
    world.run(10.0);
    assert_eq!(world.statuses(), [true]);
    world.scheduler = Scheduler::Good;
    world.run(15.0);
    assert_eq!(world.statuses(), [true, false]);
}

#[test]
fn changes_go_before_refreshes() {
    let mut engine = Engine::default();
    let ids: Vec<_> = (0..3).map(|task| (TaskKey(task), definition(task, 0, 1000))).collect();
    for (key, definition) in ids {
        engine.apply(key, vec![definition], Duration::ZERO);
    }
    engine.advance(s(2000.0));
    engine.scheduler_changed(true, s(2000.0));
    let good = |healthy| State { healthy, message: String::new() };
    let mut attempts: Vec<_> = std::iter::from_fn(|| engine.next_attempt(s(2000.0))).collect();
    attempts.sort_by_key(|attempt| attempt.definition.task.clone());
    for attempt in &attempts {
        engine.attempted(attempt.id, good(true), s(2000.0));
    }
    while let Some(report) = engine.next_report(s(2000.0)) {
        engine.reported(report.id, &report.state, Delivery::Done, s(2000.0));
    }
    // All refreshes are due; then the last task fails its round.
    engine.advance(s(2200.0));
    assert_eq!(engine.totals().pending, 3);
    engine.advance(s(4000.0));
    let last = std::iter::from_fn(|| engine.next_attempt(s(4000.0))).find(|attempt| &*attempt.definition.task == "2");
    let mut last = last.unwrap();
    for second in 0..3 {
        let now = s(4000.0 + f64::from(second) * 1.5);
        engine.attempted(last.id, good(false), now);
        engine.advance(now + s(1.5));
        if let Some(next) = engine.next_attempt(now + s(1.5)) {
            last = next;
        }
    }
    let first = engine.next_report(s(4010.0)).unwrap();
    assert_eq!((&*first.definition.task, first.state.healthy), ("2", false));
}

/// What a random step does to the world.
#[derive(Clone, Debug)]
enum Step {
    Put { task: u64, interval: u64, port: i32 },
    Stop(u64),
    Remove(u64),
    Flip(u64),
    Scheduler(Scheduler),
    NewScheduler,
    Wait(f64),
}

const TASKS: u64 = 500;

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..TASKS, 1u64..6, 1i32..3).prop_map(|(task, interval, port)| Step::Put { task, interval, port }),
        1 => (0..TASKS).prop_map(Step::Stop),
        1 => (0..TASKS).prop_map(Step::Remove),
        3 => (0..TASKS).prop_map(Step::Flip),
        1 => prop::sample::select(vec![Scheduler::Good, Scheduler::Unreachable, Scheduler::Failing, Scheduler::Slow(3)])
            .prop_map(Step::Scheduler),
        1 => Just(Step::NewScheduler),
        2 => (0.0f64..3.0).prop_map(Step::Wait),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever happens to 500 tasks: in the end the scheduler knows the state of every task that runs, nothing else is
    /// probed, no check is reported twice within a second, and none before its grace is over.
    #[test]
    fn the_scheduler_ends_up_with_the_truth(steps in prop::collection::vec(step(), 200..1200)) {
        let mut world = World::new();
        let mut model: BTreeMap<u64, Option<Definition>> = BTreeMap::new();
        let mut started: BTreeMap<u64, Duration> = BTreeMap::new();
        for task in 0..TASKS {
            let definition = definition(task, 1, 3);
            world.apply(task, definition.clone());
            model.insert(task, Some(definition));
            started.insert(task, world.now);
        }
        for step in steps {
            match step {
                Step::Put { task, interval, port } => {
                    let definition = Definition { port, ..definition(task, 1, interval) };
                    world.apply(task, definition.clone());
                    if model.get(&task) != Some(&Some(definition.clone())) {
                        started.insert(task, world.now);
                    }
                    model.insert(task, Some(definition));
                }
                Step::Stop(task) => {
                    world.apply(task, held(task));
                    model.insert(task, None);
                }
                Step::Remove(task) => {
                    world.engine.remove(TaskKey(task), world.now);
                    model.remove(&task);
                }
                Step::Flip(task) => {
                    let task = task.to_string();
                    match world.down.iter().position(|down| *down == task) {
                        Some(place) => drop(world.down.swap_remove(place)),
                        None => world.down.push(task),
                    }
                }
                Step::Scheduler(scheduler) => world.scheduler = scheduler,
                Step::NewScheduler => world.engine.scheduler_changed(true, world.now),
                Step::Wait(seconds) => {
                    let before = world.attempts.len();
                    world.run(seconds);
                    for (at, task) in &world.attempts[before..] {
                        let task: u64 = task.parse().unwrap();
                        prop_assert!(matches!(model.get(&task), Some(Some(_))), "{task} is probed but does not run");
                        prop_assert!(*at > started[&task] + s(1.0), "{task} is probed within its grace");
                    }
                }
            }
        }
        world.scheduler = Scheduler::Good;
        world.run(40.0);
        let mut known: BTreeMap<u64, (Duration, bool)> = BTreeMap::new();
        for (at, task, healthy) in &world.reports {
            let task: u64 = task.parse().unwrap();
            if let Some((before, _)) = known.insert(task, (*at, *healthy)) {
                prop_assert!(*at >= before + s(1.0), "{task} reported at {before:?} and {at:?}");
            }
        }
        for (task, definition) in &model {
            if definition.is_some() {
                let truth = !world.down.contains(&task.to_string());
                prop_assert_eq!(known.get(task).map(|(_, healthy)| *healthy), Some(truth), "task {}", task);
            }
        }
        prop_assert_eq!(world.engine.totals().pending, 0);
        let running = model.values().filter(|definition| definition.is_some()).count();
        prop_assert_eq!(world.engine.totals().running.tcp, i64::try_from(running).unwrap());
    }
}

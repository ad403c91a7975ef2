//! A machine with a server on it: the engine on any disk, a manual clock, and helpers that take
//! their turns in an order drawn from a seed.
//!
//! A job and the report about it are two turns, so that anything may come between them; within a
//! lane of one worker both keep their order. The same seed on the same disk gives the same calls
//! of the disk. The wall clock stands still but for [`Machine::advance`]; the other one runs with
//! the turns. Knows no scripts and no crashes: when the disk is down, the engine finds out by
//! itself.

use super::words;
use dredis::base::rng::Rng;
use dredis::command::client::ClientId;
use dredis::config::{self, Config, Fsync};
use dredis::disk::Disk;
use dredis::engine::{self, Engine, Peer, Settings, StartError};
use dredis::journal;
use dredis::lanes::{Job, LANES, Lane, Report, Workers};
use std::collections::VecDeque;
use std::sync::{Arc, OnceLock};

/// More turns than any wait of a test takes; a server that is stuck is a failure.
const TURNS_MAX: usize = 200_000;
/// Most microseconds that go by in one turn.
const TURN_US: u64 = 400;

/// What every job is said to take.
const TOOK_US: u64 = 100;

/// How a server is set up. Everything is small, so that bounds are met.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// When replies may leave.
    pub fsync: Fsync,
    /// Size of a segment of the journal.
    pub segment_bytes: u64,
    /// Bound of the backlog.
    pub backlog_bytes: u64,
    /// Budget of the cache.
    pub cache_bytes: u64,
    /// Bound of a reply.
    pub reply_bytes: u64,
    /// Bound of a batch.
    pub batch_bytes: u64,
    /// Chance, for the order of turns among others.
    pub seed: u64,
    /// The wall clock at the start.
    pub now_ms: u64,
    /// Collections of so many elements are renamed by a move.
    pub moved_min: usize,
}

impl Default for Setup {
    fn default() -> Setup {
        Setup {
            fsync: Fsync::Always,
            segment_bytes: 4096,
            backlog_bytes: 16 << 10,
            cache_bytes: 1 << 20,
            reply_bytes: 1 << 30,
            batch_bytes: 1 << 30,
            seed: 1,
            now_ms: 1_700_000_000_000,
            moved_min: 5,
        }
    }
}

impl Setup {
    fn config(&self) -> Config {
        static DEFAULTS: OnceLock<Config> = OnceLock::new();
        let load = || config::load(["dredis".into()]).expect("the defaults are understood").config;
        let mut config = DEFAULTS.get_or_init(load).clone(); // Thousands start in a second.
        config.fsync = self.fsync;
        config.backlog_bytes = self.backlog_bytes;
        config.cache_bytes = self.cache_bytes;
        config.reply_bytes = self.reply_bytes;
        config.batch_bytes = self.batch_bytes;
        config
    }

    fn settings(&self) -> Settings {
        Settings {
            config: self.config(),
            root: "/simulated".into(),
            journal: Some(journal::Settings {
                segment_bytes: self.segment_bytes,
                segments_max: 128,
                segments_keep: 6,
                spares: 2,
                copy_on_write: false,
                chance: self.seed,
            }),
            now_ms: self.now_ms,
            seed: self.seed,
            moved_min: self.moved_min,
        }
    }
}

/// A running server.
pub struct Machine {
    /// The server.
    pub engine: Engine,
    /// A lane that does nothing while it is held up.
    pub held: Option<Lane>,
    workers: Workers,
    jobs: [VecDeque<Job>; LANES.len()],
    reports: [VecDeque<Report>; LANES.len()],
    rng: Rng,
    now_ms: u64,
    now_us: u64,
}

impl Machine {
    /// Starts a server on a disk.
    pub fn start(disk: Arc<dyn Disk>, setup: &Setup) -> Result<Machine, StartError> {
        let opened = engine::open(disk, setup.settings())?;
        let mut machine = Machine {
            engine: opened.engine,
            held: None,
            workers: opened.workers,
            jobs: std::array::from_fn(|_| VecDeque::new()),
            reports: std::array::from_fn(|_| VecDeque::new()),
            rng: Rng::new(setup.seed),
            now_ms: setup.now_ms,
            now_us: 1_000_000,
        };
        machine.tick(0);
        Ok(machine)
    }

    /// A new client.
    pub fn connect(&mut self) -> ClientId {
        self.engine.connect(Peer::default()).expect("room for a client")
    }

    /// A client sends a request; it runs at once, unless an earlier one waits.
    pub fn send<W: AsRef<[u8]>>(&mut self, client: ClientId, request: &[W]) {
        self.send_bytes(client, &words::request(request));
    }

    /// A client sends bytes.
    pub fn send_bytes(&mut self, client: ClientId, bytes: &[u8]) {
        self.engine.input(client).expect("a client that is there").extend_from_slice(bytes);
        if !self.engine.is_waiting(client) {
            self.engine.run(client);
        }
        self.go_on();
    }

    /// What may be sent to a client now.
    pub fn receive(&mut self, client: ClientId) -> Vec<u8> {
        let bytes = self.engine.output(client).to_vec();
        self.engine.sent(client, bytes.len());
        bytes
    }

    /// Sends a request and waits for the whole reply. Stops early where the server has to.
    pub fn call<W: AsRef<[u8]>>(&mut self, client: ClientId, request: &[W]) -> Vec<u8> {
        self.send(client, request);
        let mut reply = Vec::new();
        for _ in 0..TURNS_MAX {
            reply.append(&mut self.receive(client));
            if words::reply_len(&reply) == Some(reply.len()) || self.engine.fatal().is_some() {
                return reply;
            }
            self.turn();
        }
        let request: Vec<String> = request.iter().map(|word| words::show(word.as_ref())).collect();
        panic!("no reply to {}", request.join(" "));
    }

    /// A helper takes its turn, or nothing but time goes by.
    pub fn turn(&mut self) {
        let after_us = 1 + self.rng.below(TURN_US);
        self.tick(after_us);
        let ready: Vec<usize> = (0..LANES.len())
            .filter(|lane| self.held != Some(LANES[*lane]))
            .filter(|lane| !self.jobs[*lane].is_empty() || !self.reports[*lane].is_empty())
            .collect();
        if ready.is_empty() {
            // Nobody has anything to do: the loop sleeps.
            let sleep_us = self.engine.sleep_us();
            return self.tick(sleep_us.max(1));
        }
        let lane = ready[self.rng.index(ready.len())];
        let report_first = self.jobs[lane].is_empty() || self.rng.below(2) == 0;
        if report_first && let Some(report) = self.reports[lane].pop_front() {
            self.engine.take_report(LANES[lane], report);
        } else {
            self.work(lane);
        }
        self.go_on();
    }

    /// One of the jobs that the workers of a lane have begun is done, if there is one.
    fn work(&mut self, lane: usize) {
        let begun = self.jobs[lane].len().min(self.workers[lane].len());
        let worker = if begun > 1 { self.rng.index(begun) } else { 0 };
        if let Some(job) = self.jobs[lane].remove(worker) {
            let report = self.workers[lane][worker].run(job);
            self.reports[lane].push_back(timeless(report));
        }
    }

    fn tick(&mut self, after_us: u64) {
        self.now_us += after_us;
        self.engine.tick(self.now_ms, self.now_us);
        self.go_on();
    }

    /// What the event loop does in each turn.
    fn go_on(&mut self) {
        self.engine.run_granted();
        self.engine.go_on();
        self.engine.commit(true);
        while let Some(job) = self.engine.next_job() {
            self.jobs[position(job.lane())].push_back(job);
        }
        self.engine.take_ready();
    }

    /// Lets time go by, on both clocks.
    pub fn advance(&mut self, ms: u64) {
        self.now_ms += ms;
        self.tick(ms * 1000);
    }

    /// Lets others take their turns until the held lane has something to do.
    pub fn until_held(&mut self) {
        assert!(self.until(Machine::holds_up), "it gets nothing to do");
    }

    /// Whether the held lane has something to do.
    pub fn holds_up(&self) -> bool {
        self.held_jobs() > 0
    }

    /// How many jobs the held lane has.
    pub fn held_jobs(&self) -> usize {
        self.jobs[position(self.held.expect("a lane is held up"))].len()
    }

    /// A number below `bound`, of the same chance that orders the turns.
    pub fn chance(&mut self, bound: u64) -> u64 {
        self.rng.below(bound)
    }

    /// The wall clock.
    pub fn now_ms(&self) -> u64 {
        self.now_ms
    }

    /// The clock that only goes forward, in microseconds.
    pub fn now_us(&self) -> u64 {
        self.now_us
    }

    /// Waits until all is in the tree and synced. False where that does not come about.
    pub fn settle(&mut self) -> bool {
        self.until(Machine::is_settled)
    }

    /// Does what a clean stop does last. False where that does not come about.
    pub fn stop(&mut self) -> bool {
        self.engine.record_sizes();
        self.go_on();
        self.settle()
    }

    fn until(&mut self, done: impl Fn(&Machine) -> bool) -> bool {
        for _ in 0..TURNS_MAX {
            if done(self) {
                return true;
            }
            if self.engine.fatal().is_some() {
                return false;
            }
            self.turn();
        }
        false
    }

    fn is_settled(&self) -> bool {
        let idle = |lane: usize| self.jobs[lane].is_empty() && self.reports[lane].is_empty();
        self.engine.is_drained() && (0..LANES.len()).all(idle)
    }
}

/// A report without the time that its job took: one seed is always the same run.
fn timeless(mut report: Report) -> Report {
    if let Report::Committed { took_us, .. } | Report::Applied(_, took_us) = &mut report {
        *took_us = TOOK_US;
    }
    report
}

fn position(lane: Lane) -> usize {
    LANES.iter().position(|other| *other == lane).expect("a lane is one of all")
}

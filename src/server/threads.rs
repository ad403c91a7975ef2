//! A thread for each worker, with a queue of jobs for each lane; reports out by one queue for all,
//! and the loop woken.

use crate::base::{clock, sys};
use crate::lanes::{Job, LANES, Lane, Report, Worker, Workers};
use mio::Waker;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A thread that works gives back what memory it has free so often, and once more when it rests.
pub const COLLECT_EVERY: Duration = Duration::from_millis(100);

/// The helper threads.
pub struct Threads {
    lanes: Vec<Crew>,
    reports: Receiver<Done>,
}

/// The threads of a lane. Who was done last gets the next job: a few that are at it have what they
/// need at hand, where many in turns would each begin anew.
#[derive(Default)]
struct Crew {
    threads: Vec<(Sender<Job>, JoinHandle<()>)>,
    idle: Vec<usize>,
    queue: VecDeque<Job>,
}

/// What a thread has to tell.
struct Done {
    lane: usize,
    thread: usize,
    report: Report,
}

impl Threads {
    /// Starts a thread for each worker. Fails where the system has no more threads to give.
    pub fn start(workers: Workers, waker: Arc<Waker>) -> io::Result<Threads> {
        let (done, reports) = channel();
        let mut lanes = Vec::new();
        for (lane, workers) in workers.into_iter().enumerate() {
            let mut crew = Crew::default();
            for (thread, worker) in workers.into_iter().enumerate() {
                let (jobs, queue) = channel();
                let (done, waker) = (done.clone(), waker.clone());
                let tell = move |report| {
                    let told = done.send(Done { lane, thread, report }).is_ok();
                    if let Err(error) = waker.wake() {
                        log::error!("cannot wake the loop: {error}");
                    }
                    told
                };
                let handle = std::thread::Builder::new()
                    .name(format!("{:?}", LANES[lane]).to_lowercase())
                    .spawn(move || work(LANES[lane], worker, &queue, &tell))?;
                crew.threads.push((jobs, handle));
                crew.idle.push(thread);
            }
            lanes.push(crew);
        }
        Ok(Threads { lanes, reports })
    }

    /// Gives a job to its lane.
    pub fn post(&mut self, job: Job) {
        let lane = LANES.iter().position(|lane| *lane == job.lane()).expect("every lane is listed");
        let crew = &mut self.lanes[lane];
        match crew.idle.pop() {
            Some(thread) => crew.give(thread, job),
            None => crew.queue.push_back(job),
        }
    }

    /// The next report, if there is one.
    pub fn next_report(&mut self) -> Option<(Lane, Report)> {
        let Done { lane, thread, report } = self.reports.try_recv().ok()?;
        let crew = &mut self.lanes[lane];
        match crew.queue.pop_front() {
            Some(job) => crew.give(thread, job),
            None => crew.idle.push(thread),
        }
        Some((LANES[lane], report))
    }

    /// Waits until every job that was posted is done, and ends the threads.
    pub fn finish(&mut self) {
        for mut crew in self.lanes.drain(..) {
            while let Some(job) = crew.queue.pop_front() {
                crew.give(0, job);
            }
            for (jobs, thread) in crew.threads {
                drop(jobs);
                if thread.join().is_err() {
                    log::error!("a helper thread has panicked");
                }
            }
        }
    }
}

impl Crew {
    fn give(&self, thread: usize, job: Job) {
        let sent = self.threads[thread].0.send(job);
        assert!(sent.is_ok(), "a helper thread ended before the server did");
    }
}

/// Does the jobs of a queue and tells what came of them, until there is nobody to give or to be
/// told any more.
fn work(
    lane: Lane,
    mut worker: Box<dyn Worker>,
    jobs: &Receiver<Job>,
    tell: &dyn Fn(Report) -> bool,
) {
    if matches!(lane, Lane::Writer | Lane::Sweeper | Lane::Lister)
        && let Err(error) = sys::yield_to_all()
    {
        log::debug!("the {lane:?} thread runs at normal priority: {error}");
    }
    let mut collected = Instant::now();
    let mut worked = false;
    loop {
        let job = if worked {
            jobs.recv_timeout(COLLECT_EVERY)
        } else {
            jobs.recv().map_err(RecvTimeoutError::from)
        };
        worked = job.is_ok();
        if !worked || collected.elapsed() >= COLLECT_EVERY {
            sys::collect_memory();
            collected = Instant::now();
        }
        let report = match job {
            Ok(job) => {
                if lane == Lane::Lister {
                    clock::begin_to_rest();
                }
                worker.run(job)
            }
            Err(RecvTimeoutError::Timeout) => continue,
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if !tell(report) {
            return; // The server has stopped.
        }
    }
}

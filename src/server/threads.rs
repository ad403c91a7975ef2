//! A thread for each worker: jobs in by a queue for each lane, reports out by one queue for all,
//! and the loop woken.

use crate::base::{clock, sys};
use crate::lanes::{Job, LANES, Lane, Report, Worker, Workers};
use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, unbounded};
use mio::Waker;
use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A thread that works gives back what memory it has free so often, and once more when it rests.
pub const COLLECT_EVERY: Duration = Duration::from_millis(100);

/// The helper threads.
pub struct Threads {
    lanes: Vec<(Sender<Job>, Vec<JoinHandle<()>>)>,
    reports: Receiver<(Lane, Report)>,
}

impl Threads {
    /// Starts a thread for each worker. Fails where the system has no more threads to give.
    pub fn start(workers: Workers, waker: Arc<Waker>) -> io::Result<Threads> {
        let (report, reports) = unbounded();
        let mut lanes = Vec::new();
        for (lane, workers) in LANES.into_iter().zip(workers) {
            let (jobs, queue) = unbounded();
            let mut threads = Vec::new();
            for worker in workers {
                let (queue, report, waker) = (queue.clone(), report.clone(), waker.clone());
                let thread = std::thread::Builder::new()
                    .name(format!("{lane:?}").to_lowercase())
                    .spawn(move || work(lane, worker, &queue, &report, &waker))?;
                threads.push(thread);
            }
            lanes.push((jobs, threads));
        }
        Ok(Threads { lanes, reports })
    }

    /// Gives a job to its lane.
    pub fn post(&self, job: Job) {
        let lane = LANES.iter().position(|lane| *lane == job.lane()).expect("every lane is listed");
        if self.lanes[lane].0.send(job).is_err() {
            panic!("the {:?} thread ended before the server did", LANES[lane]);
        }
    }

    /// The next report, if there is one.
    pub fn next_report(&self) -> Option<(Lane, Report)> {
        self.reports.try_recv().ok()
    }

    /// Waits until every job that was posted is done, and ends the threads.
    pub fn finish(&mut self) {
        for (jobs, threads) in self.lanes.drain(..) {
            drop(jobs);
            for thread in threads {
                if thread.join().is_err() {
                    log::error!("a helper thread has panicked");
                }
            }
        }
    }
}

fn work(
    lane: Lane,
    mut worker: Box<dyn Worker>,
    jobs: &Receiver<Job>,
    reports: &Sender<(Lane, Report)>,
    waker: &Waker,
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
        if reports.send((lane, report)).is_err() {
            return; // The server has stopped.
        }
        if let Err(error) = waker.wake() {
            log::error!("cannot wake the loop: {error}");
        }
    }
}

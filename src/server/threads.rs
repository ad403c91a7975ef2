//! One thread a lane: jobs in by a queue, reports out by one queue for all, and the loop woken.

use crate::base::sys;
use crate::lanes::{Job, LANES, Lane, Report, Worker};
use mio::Waker;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

/// The helper threads.
pub struct Threads {
    lanes: Vec<(Sender<Job>, Vec<JoinHandle<()>>)>,
    writer: Arc<Desk>,
    reports: Receiver<(Lane, Report)>,
}

/// Where the jobs of one lane are done, by one thread at a time.
struct Desk {
    lane: Lane,
    work: Mutex<Work>,
    waker: Arc<Waker>,
    /// Another thread takes over.
    relieved: AtomicBool,
}

struct Work {
    worker: Box<dyn Worker>,
    jobs: Receiver<Job>,
    reports: Sender<(Lane, Report)>,
}

impl Threads {
    /// Starts a thread for each worker, in the order of [`LANES`].
    pub fn start(
        workers: [Box<dyn Worker>; LANES.len()],
        waker: Arc<Waker>,
    ) -> io::Result<Threads> {
        let (report, reports) = channel();
        let mut lanes = Vec::new();
        let mut desks = Vec::new();
        for (lane, worker) in LANES.into_iter().zip(workers) {
            let (sender, jobs) = channel();
            let work = Mutex::new(Work { worker, jobs, reports: report.clone() });
            let (waker, relieved) = (waker.clone(), AtomicBool::new(false));
            let desk = Arc::new(Desk { lane, work, waker, relieved });
            let at_desk = desk.clone();
            let thread = spawn(lane, move || {
                desk.yield_to_all();
                desk.work_until(|desk| desk.relieved.load(Ordering::Acquire));
            })?;
            lanes.push((sender, vec![thread]));
            desks.push(at_desk);
        }
        let writer = desks.swap_remove(position(Lane::Writer));
        Ok(Threads { lanes, writer, reports })
    }

    /// Has a thread of normal priority take over from the writer, which yields to everyone: a stop
    /// is not to wait until the machine is idle.
    pub fn hurry(&mut self) {
        if self.writer.relieved.swap(true, Ordering::AcqRel) {
            return;
        }
        let desk = self.writer.clone();
        match spawn(Lane::Writer, move || desk.work_until(|_| false)) {
            Ok(thread) => self.lanes[position(Lane::Writer)].1.push(thread),
            Err(error) => {
                log::warn!("the writer goes on at low priority: {error}");
                self.writer.relieved.store(false, Ordering::Release);
            }
        }
    }

    /// Gives a job to its lane.
    pub fn post(&self, job: Job) {
        let lane = position(job.lane());
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

/// The place of a lane among all.
fn position(lane: Lane) -> usize {
    LANES.iter().position(|listed| *listed == lane).expect("every lane is listed")
}

fn spawn(lane: Lane, run: impl FnOnce() + Send + 'static) -> io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(format!("{lane:?}").to_lowercase()).spawn(run)
}

impl Desk {
    fn yield_to_all(&self) {
        if matches!(self.lane, Lane::Writer | Lane::Sweeper | Lane::Lister)
            && let Err(error) = sys::yield_to_all()
        {
            log::debug!("the {:?} thread runs at normal priority: {error}", self.lane);
        }
    }

    /// Does jobs until there are no more to come, or until `over` says so between two of them.
    fn work_until(&self, over: impl Fn(&Desk) -> bool) {
        while !over(self) {
            // Whoever panicked here left a job half done: nothing may follow it.
            let Ok(mut work) = self.work.lock() else { return };
            let Ok(job) = work.jobs.recv() else { return };
            let report = work.worker.run(job);
            if work.reports.send((self.lane, report)).is_err() {
                return; // The server has stopped.
            }
            drop(work);
            if let Err(error) = self.waker.wake() {
                log::error!("cannot wake the loop: {error}");
            }
        }
    }
}

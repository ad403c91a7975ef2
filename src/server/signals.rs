//! SIGTERM and SIGINT: counted, and the loop is woken.

use mio::Waker;
use signal_hook::consts::{SIGINT, SIGTERM};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// How often the server was told to stop.
pub struct Signals {
    count: Arc<AtomicUsize>,
}

impl Signals {
    /// Counts signals from here on.
    pub fn install(waker: Arc<Waker>) -> io::Result<Signals> {
        let count = Arc::new(AtomicUsize::new(0));
        let mut signals = signal_hook::iterator::Signals::new([SIGTERM, SIGINT])?;
        let counted = count.clone();
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            for _ in signals.forever() {
                counted.fetch_add(1, Ordering::Relaxed);
                if let Err(error) = waker.wake() {
                    log::error!("cannot wake the loop: {error}");
                }
            }
        })?;
        Ok(Signals { count })
    }

    /// What counts them, for those that run while the loop does not.
    pub fn counter(&self) -> Arc<AtomicUsize> {
        self.count.clone()
    }

    /// How many came.
    pub fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }
}

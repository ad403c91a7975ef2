//! The one place that reads clocks. Everything else is handed a [`Clock`].

use std::cell::Cell;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A thread that rests works so long,
const WORK: Duration = Duration::from_millis(8);
/// and then sleeps so long.
const REST: Duration = Duration::from_millis(2);
/// It looks at the clock at one of so many calls of [`rest`].
const CALLS: u32 = 64;

thread_local! {
    /// Since when the thread works without a rest; `None` for one that takes none.
    static WORKS_SINCE: Cell<Option<Instant>> = const { Cell::new(None) };
    static CALLED: Cell<u32> = const { Cell::new(0) };
}

/// The thread begins something that may take long, and rests while it does.
pub fn begin_to_rest() {
    WORKS_SINCE.set(Some(Instant::now()));
}

/// Sleeps a little now and then, on a thread that rests; call it in long loops.
///
/// A process that takes all of its processors is stopped as a whole where it has a quota of them:
/// cgroups (cpu.max) and virtual machines stop it for up to 100 ms, with all its threads.
pub fn rest() {
    let called = CALLED.get().wrapping_add(1);
    CALLED.set(called);
    if called.is_multiple_of(CALLS)
        && let Some(since) = WORKS_SINCE.get()
        && since.elapsed() >= WORK
    {
        std::thread::sleep(REST);
        WORKS_SINCE.set(Some(Instant::now()));
    }
}

/// A source of time.
pub trait Clock: Send + Sync {
    /// Unix time in milliseconds. May jump in either direction.
    fn now_ms(&self) -> i64;
    /// Unix time in microseconds. May jump in either direction.
    fn now_us(&self) -> i64;
    /// Microseconds since some moment before the first call. Never goes back.
    fn monotonic_us(&self) -> u64;
}

/// The machine's clocks.
#[derive(Clone, Copy, Debug)]
pub struct RealClock {
    origin: Instant,
}

impl RealClock {
    /// Monotonic time counts from here on.
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for RealClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for RealClock {
    fn now_ms(&self) -> i64 {
        self.now_us().div_euclid(1_000)
    }

    fn now_us(&self) -> i64 {
        let us = match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => i128::try_from(since.as_micros()).unwrap_or(i128::MAX),
            Err(before) => -i128::try_from(before.duration().as_micros()).unwrap_or(i128::MAX),
        };
        us.clamp(i64::MIN.into(), i64::MAX.into()) as i64
    }

    fn monotonic_us(&self) -> u64 {
        u64::try_from(self.origin.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// A clock that tests move by hand. Shared by reference or `Arc`.
#[derive(Debug)]
pub struct ManualClock {
    now_us: AtomicI64,
    monotonic_us: AtomicU64,
}

impl ManualClock {
    /// A clock that shows this Unix time, with monotonic time 0.
    pub fn at_ms(now_ms: i64) -> Self {
        Self { now_us: AtomicI64::new(now_ms * 1_000), monotonic_us: AtomicU64::new(0) }
    }

    /// Lets time pass on both clocks.
    pub fn advance_ms(&self, ms: u64) {
        self.monotonic_us.fetch_add(ms * 1_000, Ordering::SeqCst);
        self.now_us.fetch_add(ms as i64 * 1_000, Ordering::SeqCst);
    }

    /// Sets the Unix time only, as an administrator or NTP would.
    pub fn jump_to_ms(&self, now_ms: i64) {
        self.now_us.store(now_ms * 1_000, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.now_us().div_euclid(1_000)
    }

    fn now_us(&self) -> i64 {
        self.now_us.load(Ordering::SeqCst)
    }

    fn monotonic_us(&self) -> u64 {
        self.monotonic_us.load(Ordering::SeqCst)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_clock_runs() {
        let clock = RealClock::new();
        let before = clock.monotonic_us();
        assert!(clock.now_ms() > 1_600_000_000_000);
        assert!(clock.monotonic_us() >= before);
    }

    #[test]
    fn the_manual_clock_moves_only_by_hand() {
        let clock = ManualClock::at_ms(5);
        clock.advance_ms(2);
        assert_eq!((clock.now_ms(), clock.monotonic_us()), (7, 2_000));
        clock.jump_to_ms(-1);
        assert_eq!((clock.now_ms(), clock.monotonic_us()), (-1, 2_000));
    }
}

//! How long commands take and how they end: for SLOWLOG, LATENCY and INFO.
//!
//! What is measured is the time in which a command runs and others wait, as in Redis: not the time
//! that it is parked or waits for the journal.

use super::{Command, Error};
use crate::resp::{Args, OwnedArgs};
use hashbrown::HashMap;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// Most arguments that an entry of the slow log keeps, as in Redis,
const SLOW_ARGS_MAX: usize = 32;
/// and most bytes of each.
const SLOW_ARG_BYTES_MAX: usize = 128;
/// Samples that are kept of an event of LATENCY, as in Redis.
const SAMPLES_MAX: usize = 160;
/// Different codes of errors that are counted.
const CODES_MAX: usize = 128;

/// What is known of one command.
#[derive(Clone, Debug, Default)]
pub struct Calls {
    /// How often it ran to its end, with an error or without.
    pub count: u64,
    /// Microseconds that this took.
    pub us: u64,
    /// How often it was refused before it ran.
    pub rejected: u64,
    /// How often it ended with an error.
    pub failed: u64,
    /// How often it took up to 2^index microseconds, and more than half of that.
    pub by_log: [u64; 32],
}

impl Calls {
    /// The microseconds in which this share of the calls had ended, as far as the histogram tells.
    pub fn percentile(&self, percent: f64) -> u64 {
        let wanted = (self.count as f64 * percent / 100.0).ceil() as u64;
        let mut sum = 0;
        let found = self.by_log.iter().position(|count| {
            sum += count;
            sum >= wanted
        });
        1 << found.unwrap_or(0)
    }
}

/// A command that was slow.
#[derive(Clone, Debug)]
pub struct Slow {
    /// Its number.
    pub id: u64,
    /// When it ran, in Unix seconds.
    pub time_s: u64,
    /// Microseconds that it took.
    pub us: u64,
    /// Its arguments, shortened.
    pub args: OwnedArgs,
    /// Who ran it.
    pub addr: String,
    /// What that client is called.
    pub name: Vec<u8>,
}

/// What took long, of one kind.
#[derive(Clone, Debug, Default)]
pub struct Event {
    /// Unix seconds and milliseconds of each, the oldest first; one for each second.
    pub samples: VecDeque<(u64, u64)>,
    /// The most milliseconds since the last reset.
    pub max_ms: u64,
}

/// What is measured.
#[derive(Debug)]
pub struct Profile {
    began: Instant,
    commands: HashMap<usize, (&'static Command, Calls)>,
    errors: BTreeMap<Vec<u8>, u64>,
    /// Slow commands, the newest first.
    pub slow: VecDeque<Slow>,
    next_slow: u64,
    /// Events of LATENCY by name.
    pub events: BTreeMap<&'static str, Event>,
}

impl Default for Profile {
    fn default() -> Profile {
        Profile {
            began: Instant::now(),
            commands: HashMap::new(),
            errors: BTreeMap::new(),
            slow: VecDeque::new(),
            next_slow: 0,
            events: BTreeMap::new(),
        }
    }
}

impl Profile {
    /// A command begins, or another one right behind the last.
    pub fn begin(&mut self) {
        self.began = Instant::now();
    }

    /// When the command began that runs.
    pub fn began(&self) -> Instant {
        self.began
    }

    /// The command that ends next began then: others ran inside it.
    pub fn began_at(&mut self, began: Instant) {
        self.began = began;
    }

    /// A command that began at [`Profile::begin`], or when the one before it ended, has ended.
    /// Answers the microseconds that it took.
    pub fn end(&mut self, command: &'static Command, failed: bool) -> u64 {
        let now = Instant::now();
        let us = u64::try_from((now - self.began).as_micros()).unwrap_or(u64::MAX);
        self.began = now;
        let calls = self.calls_mut(command);
        calls.count += 1;
        calls.us += us;
        calls.failed += u64::from(failed);
        let log = us.max(1).next_power_of_two().trailing_zeros() as usize;
        calls.by_log[log.min(calls.by_log.len() - 1)] += 1;
        us
    }

    /// A command was refused before it ran.
    pub fn reject(&mut self, command: &'static Command) {
        self.calls_mut(command).rejected += 1;
    }

    fn calls_mut(&mut self, command: &'static Command) -> &mut Calls {
        let address = std::ptr::from_ref(command) as usize;
        &mut self.commands.entry(address).or_insert_with(|| (command, Calls::default())).1
    }

    /// An error was replied.
    pub fn note_error(&mut self, error: &Error) {
        let code = error.0.split(|byte| *byte == b' ').next().unwrap_or_default();
        if let Some(count) = self.errors.get_mut(code) {
            *count += 1;
        } else if self.errors.len() < CODES_MAX {
            self.errors.insert(code.to_vec(), 1);
        }
    }

    /// Commands that were called or refused, in no order.
    pub fn commands(&self) -> impl Iterator<Item = (&'static Command, &Calls)> {
        self.commands.values().map(|(command, calls)| (*command, calls))
    }

    /// How often each code of an error was replied.
    pub fn errors(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.errors.iter().map(|(code, count)| (&code[..], *count))
    }

    /// Keeps a slow command; the log has at most `len_max` of them.
    pub fn note_slow(&mut self, slow: Slow, len_max: usize) {
        self.slow.push_front(Slow { id: self.next_slow, ..slow });
        self.next_slow += 1;
        self.slow.truncate(len_max);
    }

    /// Notes that something took long.
    pub fn note_event(&mut self, name: &'static str, time_s: u64, ms: u64) {
        let event = self.events.entry(name).or_default();
        event.max_ms = event.max_ms.max(ms);
        match event.samples.back_mut() {
            Some((last_s, last_ms)) if *last_s == time_s => *last_ms = (*last_ms).max(ms),
            _ => event.samples.push_back((time_s, ms)),
        }
        if event.samples.len() > SAMPLES_MAX {
            event.samples.pop_front();
        }
    }

    /// Forgets the figures of commands and errors: CONFIG RESETSTAT.
    pub fn reset(&mut self) {
        self.commands.clear();
        self.errors.clear();
    }
}

/// The arguments of a command as the slow log shows them: a few of them, shortened, and nothing of
/// what may be secret.
pub fn shortened(command: &Command, args: Args<'_>) -> OwnedArgs {
    let secret = ["auth", "hello"].contains(&command.name)
        || (command.name == "set" && command.group == "server");
    let shown = if args.len() > SLOW_ARGS_MAX { SLOW_ARGS_MAX - 1 } else { args.len() };
    let mut short = OwnedArgs::default();
    for (at, arg) in args.take(shown).iter().enumerate() {
        if secret && at > 0 {
            short.push(b"(redacted)");
        } else if arg.len() > SLOW_ARG_BYTES_MAX {
            let rest = format!("... ({} more bytes)", arg.len() - SLOW_ARG_BYTES_MAX);
            short.push(&[&arg[..SLOW_ARG_BYTES_MAX], rest.as_bytes()].concat());
        } else {
            short.push(arg);
        }
    }
    if shown < args.len() {
        short.push(format!("... ({} more arguments)", args.len() - shown).as_bytes());
    }
    short
}

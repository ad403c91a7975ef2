//! A script understood: its steps, and how the machine it runs on is set up.
//!
//! Knows the lines that `scripts.rs` describes, and no server.

use super::scripts::SCRIPTS;
use crate::support::machine::Setup;
use crate::support::words::split;
use dredis::base::rng::Rng;
use dredis::config::Fsync;
use dredis::disk::sim::{SimDisk, SimSettings};

/// Bytes of the simulated disk.
const DISK_BYTES: u64 = 8 << 20;

/// One step of a script.
#[derive(Clone, Debug)]
pub enum Step {
    /// The writer sends this.
    Send(Vec<Vec<u8>>),
    /// The reader looks at this key as one of a type.
    Read(&'static str, Vec<u8>),
    /// So many milliseconds go by.
    Wait(u64),
    /// Until all is in the tree and synced.
    Settle,
    /// The program ends and starts again, on the same disk.
    Restart,
    /// The same, but it is stopped as SHUTDOWN does it.
    Stop,
    /// The power goes and returns; what it takes is lost to the requests that follow, too.
    Cut(u64),
    /// The disk is full.
    Full,
    /// The disk has room again.
    Room,
}

/// A script.
#[derive(Clone, Debug, Default)]
pub struct Script {
    /// What it is called.
    pub name: &'static str,
    /// What happens, in order.
    pub steps: Vec<Step>,
    everysec: bool,
    cold: u64,
    cache_bytes: Option<u64>,
    backlog_bytes: Option<u64>,
    links_max: Option<u64>,
    refused: Vec<&'static str>,
}

impl Script {
    /// All scripts.
    pub fn all() -> Vec<Script> {
        SCRIPTS.iter().map(|(name, text)| Script::parse(name, text)).collect()
    }

    fn parse(name: &'static str, text: &'static str) -> Script {
        let mut script = Script { name, ..Script::default() };
        for line in text.lines().map(str::trim) {
            if let Some(option) = line.strip_prefix("! ") {
                script.set(option);
                continue;
            }
            let line = &*unfolded(line);
            if let Some((count, request)) = repeated(line) {
                for number in 0..count {
                    let request = request.replace('$', &number.to_string());
                    script.push(&request);
                }
            } else {
                script.push(line);
            }
        }
        script
    }

    fn set(&mut self, option: &'static str) {
        let (what, value) = option.split_once(' ').unwrap_or((option, ""));
        let number = || value.parse().expect("a number");
        match what {
            "everysec" => self.everysec = true,
            "cold" => self.cold = number(),
            "cache" => self.cache_bytes = Some(number()),
            "backlog" => self.backlog_bytes = Some(number()),
            "links" => self.links_max = Some(number()),
            "refuse" => self.refused.push(value),
            "full" => self.steps.push(Step::Full),
            "room" => self.steps.push(Step::Room),
            _ => panic!("{}: no option {option}", self.name),
        }
    }

    fn push(&mut self, line: &str) {
        let step = match line.split_once(' ').unwrap_or((line, "")) {
            ("=", _) => Step::Settle,
            ("restart", _) => Step::Restart,
            ("stop", _) => Step::Stop,
            ("cut", seed) => Step::Cut(number(seed)),
            ("+", ms) => Step::Wait(ms.parse().expect("milliseconds")),
            ("?", key) => Step::Read("string", word(split(key).remove(0), 0)),
            ("?h", key) => Step::Read("hash", word(split(key).remove(0), 0)),
            ("?s", key) => Step::Read("set", word(split(key).remove(0), 0)),
            ("?z", key) => Step::Read("zset", word(split(key).remove(0), 0)),
            _ => {
                let nonce = self.steps.len() as u64 * 256;
                let words = split(line).into_iter().zip(nonce..);
                Step::Send(words.map(|(text, nonce)| word(text, nonce)).collect())
            }
        };
        self.steps.push(step);
    }

    /// Whether a reply means that a write is durable.
    pub fn syncs_always(&self) -> bool {
        !self.everysec
    }

    /// Whether requests may be refused that a disk with room would not refuse.
    pub fn fills_disk(&self) -> bool {
        self.steps.iter().any(|step| matches!(step, Step::Full))
    }

    /// Whether keys get deadlines.
    pub fn expires(&self) -> bool {
        self.has("PX") || self.has("PEXPIRE")
    }

    /// Whether some request has a word that begins like this.
    pub fn has(&self, start: &str) -> bool {
        let words = self.steps.iter().flat_map(|step| match step {
            Step::Send(request) => &request[..],
            _ => &[],
        });
        words.into_iter().any(|word| word.starts_with(start.as_bytes()))
    }

    /// A disk as the script wants it.
    pub fn disk(&self, seed: u64) -> SimDisk {
        let disk = SimDisk::new(SimSettings { bytes_total: DISK_BYTES, ..SimSettings::default() });
        disk.set_time_ms(Setup::default().now_ms);
        self.prepare(&disk, seed);
        disk
    }

    /// Makes a disk behave as the script wants it.
    pub fn prepare(&self, disk: &SimDisk, seed: u64) {
        disk.cold(seed, self.cold);
        if let Some(links) = self.links_max {
            disk.set_links_max(links);
        }
        for name in &self.refused {
            disk.refuse_name(name);
        }
    }

    /// Gives a full disk its size back.
    pub fn give_room(&self, disk: &SimDisk) {
        disk.set_bytes_total(DISK_BYTES);
        disk.set_inodes_total(SimSettings::default().inodes_total);
    }

    /// How its server is set up.
    pub fn setup(&self, seed: u64) -> Setup {
        let mut setup = Setup { seed, ..Setup::default() };
        if self.everysec {
            setup.fsync = Fsync::Everysec;
        }
        setup.cache_bytes = self.cache_bytes.unwrap_or(setup.cache_bytes);
        setup.backlog_bytes = self.backlog_bytes.unwrap_or(setup.backlog_bytes);
        setup
    }
}

/// `5x SET k$ v`: the count and the request.
fn repeated(line: &str) -> Option<(u64, &str)> {
    let (count, request) = line.split_once("x ")?;
    Some((count.parse().ok()?, request))
}

/// `ZADD z 3[1 m&]` with what is in the brackets so many times, or once for each of `2-4[`.
fn unfolded(line: &str) -> String {
    let Some((before, rest)) = line.split_once('[') else { return line.to_owned() };
    let (body, after) = rest.split_once(']').expect("a closing bracket");
    let (kept, count) = before.rsplit_once(' ').expect("a count in front of the bracket");
    let (first, end) = match count.split_once('-') {
        Some((first, last)) => (number(first), number(last) + 1),
        None => (0, number(count)),
    };
    let words: Vec<String> = (first..end).map(|n| body.replace('&', &n.to_string())).collect();
    unfolded(&format!("{kept} {}{after}", words.join(" ")))
}

fn number(text: &str) -> u64 {
    text.parse().expect("a number")
}

/// A word of a request: itself, or the bytes that `*len`, `@len` and `#number` stand for.
fn word(text: Vec<u8>, nonce: u64) -> Vec<u8> {
    let len = || std::str::from_utf8(text.get(1..)?).ok()?.parse::<usize>().ok();
    match (text.first(), len()) {
        (Some(b'*'), Some(len)) => {
            let mut rng = Rng::new(nonce);
            (0..len).map(|_| b'a' + rng.below(26) as u8).collect()
        }
        (Some(b'@'), Some(len)) => vec![b'n'; len],
        (Some(b'#'), Some(number)) => format!("{number:m<200}").into_bytes(),
        _ => text,
    }
}

//! The server as commands see it: configuration, figures, and what they ask of the event loop.

use super::profile::Profile;
use super::scripts::Scripts;
use super::{Error, Result};
use crate::backlog::Weight;
use crate::base::rng::Rng;
use crate::config::Config;
use crate::disk::Space;
use crate::journal;
use crate::layout::op::Seq;

/// What a command asks of the event loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shutdown {
    /// Drain, checkpoint, exit.
    Save,
    /// Exit with what is acknowledged in the journal.
    NoSave,
}

/// A backup under way.
#[derive(Clone, Debug)]
pub struct Backup {
    /// Its name, made at START.
    pub id: String,
    /// The first batch that its journal has.
    pub first: Seq,
    /// When it began, in Unix milliseconds.
    pub since_ms: u64,
    /// Whether the journal behind it was given up, because it grew too long.
    pub lost: bool,
}

/// Counters and gauges for INFO.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    /// Connections accepted since the start.
    pub connections: u64,
    /// Connections refused because of DREDIS_MAXCLIENTS.
    pub rejected: u64,
    /// Commands run since the start.
    pub commands: u64,
    /// Commands a second, lately.
    pub commands_per_s: u64,
    /// Bytes read from clients.
    pub bytes_in: u64,
    /// Bytes written to clients.
    pub bytes_out: u64,
    /// Bytes a second read from clients and written to them, lately.
    pub bytes_per_s: [u64; 2],
    /// Calls that read from clients and brought something.
    pub reads: u64,
    /// Calls that wrote to clients.
    pub writes: u64,
    /// Error replies.
    pub errors: u64,
    /// Groups that the journal has synced.
    pub groups: u64,
    /// Time of the last sync of the journal, in microseconds.
    pub sync_us: u64,
    /// Checkpoints since the start.
    pub checkpoints: u64,
    /// Bytes a second that the writer brought into the tree, lately.
    pub apply_bytes_per_s: u64,
    /// Records that recovery replayed at the start.
    pub replayed: u64,
    /// Writes refused because of a full disk.
    pub refused: u64,
}

/// For how long commands wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// Its end, in Unix milliseconds.
    pub until_ms: u64,
    /// Not only those that may write.
    pub all: bool,
}

/// Everything that is neither keys nor clients.
pub struct Server {
    /// The configuration, changed by CONFIG SET where that is allowed.
    pub config: Config,
    /// ROOT_DIR as an absolute path.
    pub root: String,
    /// When the server started, in Unix milliseconds.
    pub started_ms: u64,
    /// The clock of this tick, in Unix milliseconds.
    pub now_ms: u64,
    /// The clock of this tick, in Unix microseconds: only for TIME.
    pub now_us: u64,
    /// 40 hexadecimal digits, new at every start.
    pub run_id: String,
    /// Chance.
    pub rng: Rng,
    /// Counters.
    pub stats: Stats,
    /// The journal, as its thread last said.
    pub journal: journal::Status,
    /// Room on the file system, as last asked.
    pub space: Space,
    /// Up to this batch the tree has everything and is synced.
    pub checkpoint: Seq,
    /// The newest batch that recovery found in the journal; 0 where there was none.
    pub replayed: Seq,
    /// When the last checkpoint was, in Unix milliseconds.
    pub checkpoint_ms: u64,
    /// The backup under way.
    pub backup: Option<Backup>,
    /// A backup runs or is about to begin.
    pub backing_up: bool,
    /// Why writes are refused, where they are.
    pub refusing: Option<String>,
    /// Somebody asked to stop.
    pub shutdown: Option<Shutdown>,
    /// CLIENT PAUSE.
    pub pause: Option<Pause>,
    /// Scripts.
    pub scripts: Scripts,
    /// Somebody asked for a checkpoint of everything up to here.
    pub save_wanted: Seq,
    /// How long commands take.
    pub profile: Profile,
}

impl Server {
    /// Refuses changes of about so many bytes where that is too much for a batch.
    pub fn admit_batch(&self, bytes: usize) -> Result<()> {
        let bytes_max = self.config.batch_bytes;
        if bytes as u64 <= bytes_max {
            return Ok(());
        }
        let text = format!(
            "ERR the command has {bytes} bytes and a batch at most {bytes_max}; split it, or \
             raise DREDIS_BATCH_BYTES"
        );
        Err(Error::new(text).into())
    }

    /// Whether `bytes` more may be taken beside what is unwritten. Writers wait while the backlog
    /// is full, or may need more files than the disk has room for, or the journal is long. What
    /// frees room may go a quarter beyond the bound.
    pub fn has_room(&self, unwritten: Weight, bytes: usize, frees: bool) -> bool {
        let bound = self.config.backlog_bytes as usize;
        let bound = if frees { bound + bound / 4 } else { bound };
        unwritten.bytes + bytes <= bound
            && (frees || self.space.has_files(unwritten.new_files))
            && self.journal_has_room(frees)
    }

    /// Whether the journal may grow. Writers wait where it is half as long again as it should be:
    /// the checkpoint that shortens it waits for something. What frees room may go further.
    fn journal_has_room(&self, frees: bool) -> bool {
        let bound = self.config.journal_bytes();
        let beyond = if frees { bound / 4 * 3 } else { bound / 2 };
        self.journal.bytes_live <= bound.saturating_add(beyond)
    }

    /// The pause, while it lasts.
    pub fn pause_now(&self) -> Option<Pause> {
        self.pause.filter(|pause| self.now_ms < pause.until_ms)
    }

    /// An error was replied.
    pub fn count_error(&mut self, error: &Error) {
        self.stats.errors += 1;
        self.profile.note_error(error);
    }
}

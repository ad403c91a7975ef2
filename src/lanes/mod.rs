//! The helpers that do what blocks, as workers with queues: seven lanes, each one job at a time but
//! for the readers.
//!
//! | lane | does |
//! |---|---|
//! | journal | writes and syncs groups, records checkpoints, backups |
//! | writer | brings layers of the backlog into the tree, and moves |
//! | syncer | syncs the tree, whatever the writer does meanwhile |
//! | reader | cold reads, steps of SCAN: [`READERS`] at a time |
//! | loader | large collections and values as a whole |
//! | lister | listings, counts, walks: what may take long |
//! | sweeper | removes trash, reads and removes hints, frees memory |
//!
//! The engine makes [`Job`]s and takes [`Report`]s; nothing else is shared. The server runs each
//! lane on a thread, tests run them inline and in any order. A worker knows no clients.

mod ordering;
mod reading;

use crate::backlog::Layer;
use crate::command::client::ClientId;
use crate::disk::{Disk, is_full};
use crate::journal::{self, Group, Journal};
use crate::keyspace::{Error, Found, Grant, Miss, Overlay};
use crate::layout::hints;
use crate::layout::op::{Db, Key, Move, Seq, Type};
use crate::layout::sizes;
use crate::layout::writer::{Applied, Sweeper, TreeWriter, sync};
use crate::value::{Histogram, ZsetValue};
use reading::ReaderWorker;
pub use reading::{Ask, Question};
use std::io;
use std::sync::Arc;
use std::time::Instant;

/// So many read at a time what is cold: a device answers several together, and finding a file takes
/// reads of its own, one after the other.
pub const READERS: usize = 8;
/// How many directory entries one job of a walk looks at.
const WALK_NAMES: usize = 1024;
/// How many things one job takes out of the trash.
const SWEEP_FILES: usize = 512;
/// How many names one job reads from a file of hints.
const HINT_NAMES: usize = 1024;
/// How many names a sample has.
const SAMPLE_NAMES: usize = 64;

/// Which helper does a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Writes and syncs the journal.
    Journal,
    /// Writes the tree.
    Writer,
    /// Syncs the tree.
    Syncer,
    /// Reads the tree, a key or a few at a time.
    Reader,
    /// Reads large collections and values as a whole, which takes long and much memory.
    Loader,
    /// Lists the tree, all names of it.
    Lister,
    /// Cleans up.
    Sweeper,
}

/// All lanes.
pub const LANES: [Lane; 7] = [
    Lane::Journal,
    Lane::Writer,
    Lane::Syncer,
    Lane::Reader,
    Lane::Loader,
    Lane::Lister,
    Lane::Sweeper,
];

/// What a helper is to do.
pub enum Job {
    /// Append a group, and with `sync` make everything appended durable.
    Commit {
        /// The group; comes back to be used again.
        group: Group,
        /// Whether to sync.
        sync: bool,
    },
    /// Record that the tree has all up to here and is synced.
    Trim(Seq),
    /// Make spare segments.
    Prepare,
    /// A backup begins.
    BeginBackup(String),
    /// A backup ends.
    EndBackup(String),
    /// The journal behind a backup is given up.
    DropPin,
    /// Bring a layer into the tree.
    Apply(Arc<Layer>),
    /// Sync the tree, which has all up to here, and perhaps more by now.
    SyncTree(Seq),
    /// Bring about the moves of a batch; the tree has all that is older, synced and on record.
    Move(Seq, Vec<Move>),
    /// Note the sizes of databases, and of collections.
    RecordSizes(Vec<(Db, u64)>, Vec<(Db, Key, Type, u64)>),
    /// Load a key; what is large as a whole is left to the loader.
    Load(Miss),
    /// Load a large collection or value.
    LoadLarge(Miss),
    /// List names that match.
    Names {
        /// Who asks.
        id: ClientId,
        /// The database.
        db: Db,
        /// The pattern.
        pattern: Key,
        /// What memory knows and the tree does not.
        overlay: Overlay,
        /// Bound of the encoded names.
        bytes_max: u64,
    },
    /// One step of SCAN.
    Step(ClientId, Db, u64, usize),
    /// Names from a random place.
    Sample(ClientId, Db, u64),
    /// Answer a question about the elements of a collection.
    Ask(ClientId, Question),
    /// Count the names of a database that the overlay does not speak of.
    Count(Db, Overlay),
    /// List names from a position on, for the filter; with their deadlines if `deadlines`.
    Walk {
        /// The database.
        db: Db,
        /// Where to go on.
        position: u64,
        /// Whether deadlines are wanted too.
        deadlines: bool,
    },
    /// Remove some of the trash.
    Sweep,
    /// Read the hints of a minute from an offset on.
    ReadHints(u64, u64),
    /// File hints of deadlines that the tree has.
    FileHints(Vec<(u64, Db, Key)>),
    /// The hints of a minute are dealt with.
    RemoveHints(u64),
    /// All deadlines in the tree have hints, or not.
    MarkHints(bool),
    /// Free memory.
    Free(Vec<Box<dyn Send>>),
}

/// What came of a job.
pub enum Report {
    /// A group was appended, and synced up to `durable`.
    Committed {
        /// The group, with its memory.
        group: Group,
        /// The newest durable batch, where it was synced.
        durable: Option<Seq>,
        /// Microseconds that write and sync took.
        took_us: u64,
        /// Where the journal stands.
        status: journal::Status,
    },
    /// There was no room for the group; it is to be tried again.
    JournalFull(Group, bool),
    /// A checkpoint was recorded, or a pin dropped.
    Journal(journal::Status),
    /// A step of making spare segments was taken, or (false) there was no room for it.
    Prepared(bool, journal::Status),
    /// A backup began: its first batch.
    BackupBegan(String, Seq, journal::Status),
    /// A backup could not begin: the disk is full.
    BackupRefused(Error),
    /// A backup ended; whether it was whole.
    BackupEnded(bool, journal::Status),
    /// A layer is in the tree but for what failed on a full disk.
    Applied(Applied, u64),
    /// The tree is synced up to here.
    TreeSynced(Seq),
    /// The tree has the moves of this batch, synced.
    Moved(Seq),
    /// The disk is full: the moves are to be tried again.
    MovesRefused,
    /// A key is too large for a reader: others wait behind it.
    Large(Miss),
    /// A key was read.
    Loaded(Miss, io::Result<Option<Found>>),
    /// What a parked command asked for, and whether that was a listing.
    Answer(ClientId, Result<Grant, Error>, bool),
    /// All of a sorted set, as the tree and the overlay have it.
    Whole(ClientId, Db, Key, Box<ZsetValue>),
    /// How many members of a sorted set have each score.
    Histogram(ClientId, Db, Key, Histogram),
    /// The number of elements of a collection.
    ElementsCounted(ClientId, Db, Key, Result<u64, Error>),
    /// The number of names that the overlay does not speak of.
    Counted(Db, io::Result<u64>),
    /// Names of the tree, and where to go on.
    Walked {
        /// The database.
        db: Db,
        /// Its names.
        names: Vec<Key>,
        /// Deadlines among them.
        deadlines: Vec<(Key, u64)>,
        /// Where to go on; `None` at the end.
        next: Option<u64>,
    },
    /// Of how many things there is more trash.
    Swept(usize),
    /// Hints of a minute.
    Hints(hints::Hints),
    /// Nothing to tell.
    Idle(Lane),
    /// The disk or the journal failed: the server stops, and says this.
    Fatal(String),
}

impl Job {
    /// The lane that does it.
    pub fn lane(&self) -> Lane {
        match self {
            Job::Commit { .. }
            | Job::Trim(_)
            | Job::Prepare
            | Job::BeginBackup(_)
            | Job::EndBackup(_)
            | Job::DropPin => Lane::Journal,
            Job::Apply(_) | Job::Move(..) | Job::RecordSizes(..) => Lane::Writer,
            Job::SyncTree(_) => Lane::Syncer,
            Job::Load(_) | Job::Step(..) | Job::Sample(..) => Lane::Reader,
            Job::LoadLarge(_) => Lane::Loader,
            Job::Names { .. } | Job::Count(..) | Job::Walk { .. } => Lane::Lister,
            Job::Ask(_, question) => question.lane(),
            Job::Sweep
            | Job::ReadHints(..)
            | Job::FileHints(_)
            | Job::RemoveHints(_)
            | Job::MarkHints(_)
            | Job::Free(_) => Lane::Sweeper,
        }
    }
}

/// What does the jobs of one lane.
pub trait Worker: Send {
    /// Does one job of this lane.
    fn run(&mut self, job: Job) -> Report;
}

/// The workers of each lane, in the order of [`LANES`]: who is free takes the lane's next job.
pub type Workers = [Vec<Box<dyn Worker>>; LANES.len()];

/// The workers over a tree and its journal.
pub fn workers(disk: &Arc<dyn Disk>, journal: Box<dyn Journal>, writer: TreeWriter) -> Workers {
    let reader = writer.reader();
    let read = || Box::new(ReaderWorker { reader: reader.clone() }) as Box<dyn Worker>;
    [
        vec![Box::new(JournalWorker { journal })],
        vec![Box::new(WriterWorker { disk: disk.clone(), writer })],
        vec![Box::new(SyncWorker { disk: disk.clone() })],
        (0..READERS).map(|_| read()).collect(),
        vec![read()],
        vec![read()],
        vec![Box::new(SweepWorker { disk: disk.clone(), sweeper: Sweeper::new(disk.clone()) })],
    ]
}

struct JournalWorker {
    journal: Box<dyn Journal>,
}

impl JournalWorker {
    fn commit(&mut self, mut group: Group, sync: bool) -> Result<Report, journal::Error> {
        let start = Instant::now();
        if !group.is_empty() {
            match self.journal.append(&group) {
                Ok(()) => {}
                Err(journal::Error::Full { .. }) => return Ok(Report::JournalFull(group, sync)),
                Err(error) => return Err(error),
            }
        }
        let durable = if sync { Some(self.journal.sync()?) } else { None };
        group.clear(1 << 20);
        let took_us = start.elapsed().as_micros() as u64;
        Ok(Report::Committed { group, durable, took_us, status: self.journal.status() })
    }

    fn run_job(&mut self, job: Job) -> Result<Report, journal::Error> {
        match job {
            Job::Commit { group, sync } => return self.commit(group, sync),
            Job::Trim(seq) => self.journal.trim(seq)?,
            Job::Prepare => match self.journal.prepare() {
                Ok(_) => return Ok(Report::Prepared(true, self.journal.status())),
                Err(journal::Error::Full { .. }) => {
                    return Ok(Report::Prepared(false, self.journal.status()));
                }
                Err(error) => return Err(error),
            },
            Job::BeginBackup(id) => {
                return match self.journal.begin_backup(&id) {
                    Ok(first) => Ok(Report::BackupBegan(id, first, self.journal.status())),
                    Err(journal::Error::Full { .. }) => Ok(Report::BackupRefused(Error::fixed(
                        "ERR the disk below ROOT_DIR is full: a backup cannot begin",
                    ))),
                    Err(error) => Err(error),
                };
            }
            Job::EndBackup(id) => {
                let whole = self.journal.end_backup(&id)?;
                return Ok(Report::BackupEnded(whole, self.journal.status()));
            }
            Job::DropPin => self.journal.drop_pin()?,
            _ => unreachable!("a job goes to its lane"),
        }
        Ok(Report::Journal(self.journal.status()))
    }
}

impl Worker for JournalWorker {
    fn run(&mut self, job: Job) -> Report {
        self.run_job(job).unwrap_or_else(|error| Report::Fatal(error.to_string()))
    }
}

struct WriterWorker {
    disk: Arc<dyn Disk>,
    writer: TreeWriter,
}

impl WriterWorker {
    fn apply(&mut self, layer: &Layer) -> io::Result<Report> {
        let start = Instant::now();
        let filed: Vec<_> = layer.hints.iter().map(|(m, db, key)| (*m, *db, &**key)).collect();
        // A hint is derived: where it cannot be written the tree still has the deadline.
        if !filed.is_empty() && hints::append(&*self.disk, &filed).is_err() {
            hints::set_complete(&*self.disk, false)?;
        }
        let applied = self.writer.apply(&layer.cleared_dbs(), &mut layer.changes())?;
        Ok(Report::Applied(applied, start.elapsed().as_micros() as u64))
    }

    fn run_job(&mut self, job: Job) -> io::Result<Report> {
        match job {
            Job::Apply(layer) => return self.apply(&layer),
            Job::Move(seq, moves) => {
                return match self.writer.apply_moves(seq, &moves) {
                    Err(error) if is_full(&error) => Ok(Report::MovesRefused),
                    done => done.map(|()| Report::Moved(seq)),
                };
            }
            Job::RecordSizes(counts, elements) => {
                for (db, count) in counts {
                    // Sizes are derived: without a record they are counted.
                    if let Err(error) = sizes::record(&*self.disk, db, count) {
                        log::debug!("the size of database {db} was not recorded: {error}");
                    }
                }
                let reader = self.writer.reader();
                for (db, key, kind, count) in elements {
                    if let Err(error) = reader.record_elements(db, &key, kind, count) {
                        log::debug!("the size of a {} was not recorded: {error}", kind.name());
                    }
                }
            }
            _ => unreachable!("a job goes to its lane"),
        }
        Ok(Report::Idle(Lane::Writer))
    }
}

impl Worker for WriterWorker {
    fn run(&mut self, job: Job) -> Report {
        self.run_job(job).unwrap_or_else(|error| Report::Fatal(format!("tree: {error}")))
    }
}

struct SyncWorker {
    disk: Arc<dyn Disk>,
}

impl Worker for SyncWorker {
    fn run(&mut self, job: Job) -> Report {
        let Job::SyncTree(seq) = job else { unreachable!("a job goes to its lane") };
        match sync(&*self.disk) {
            Ok(()) => Report::TreeSynced(seq),
            Err(error) => Report::Fatal(format!("tree: {error}")),
        }
    }
}

struct SweepWorker {
    disk: Arc<dyn Disk>,
    sweeper: Sweeper,
}

impl SweepWorker {
    fn run_job(&mut self, job: Job) -> io::Result<Report> {
        match job {
            Job::Sweep => return Ok(Report::Swept(self.sweeper.sweep(SWEEP_FILES)?)),
            Job::ReadHints(minute, offset) => {
                let hints = hints::read(&*self.disk, minute, offset, HINT_NAMES)?;
                return Ok(Report::Hints(hints));
            }
            Job::FileHints(found) => {
                let found: Vec<_> = found.iter().map(|(m, db, key)| (*m, *db, &**key)).collect();
                hints::append(&*self.disk, &found)?;
            }
            Job::RemoveHints(minute) => hints::remove(&*self.disk, minute)?,
            Job::MarkHints(complete) => hints::set_complete(&*self.disk, complete)?,
            Job::Free(garbage) => drop(garbage),
            _ => unreachable!("a job goes to its lane"),
        }
        Ok(Report::Idle(Lane::Sweeper))
    }
}

impl Worker for SweepWorker {
    /// What is swept is derived or rubbish: an error is told and the server goes on.
    fn run(&mut self, job: Job) -> Report {
        self.run_job(job).unwrap_or_else(|error| {
            log::warn!("cleaning up: {error}");
            Report::Idle(Lane::Sweeper)
        })
    }
}

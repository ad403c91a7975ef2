//! From a directory to a running engine: the tree is opened, the journal replayed, nothing walked.

use super::pipeline::Pipeline;
use super::upkeep::{Upkeep, Walk};
use super::{Engine, Waiting};
use crate::backlog::Backlog;
use crate::base::rng::Rng;
use crate::command::client::Clients;
use crate::command::profile::Profile;
use crate::command::scripts::Scripts;
use crate::command::server::{Server, Stats};
use crate::config::Config;
use crate::disk::Disk;
use crate::dispatch::Paused;
use crate::journal::{self, Group, Journal};
use crate::keyspace::{Keyspace, expiry};
use crate::lanes;
use crate::layout::hints;
use crate::layout::op::DATABASES;
use crate::layout::reader::TreeReader;
use crate::layout::sizes;
use crate::layout::writer::TreeWriter;
use hashbrown::HashMap;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::sync::Arc;

/// The largest segment of the journal: recycling one at a time keeps the disk's use even.
const SEGMENT_BYTES_MAX: u64 = 8 << 20;
/// A journal has at least so many segments' room on its disk.
const SEGMENTS_A_DISK: u64 = 128;
/// The smallest segment on a real disk.
const SEGMENT_BYTES_MIN: u64 = 128 << 10;
/// Spare segments kept ahead of the writing.
const SPARES_MAX: usize = 8;

/// What an engine is opened with, beside the disk.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The configuration.
    pub config: Config,
    /// ROOT_DIR as an absolute path, for people.
    pub root: String,
    /// Sizes of the journal; `None` fits them to the disk.
    pub journal: Option<journal::Settings>,
    /// Unix time in milliseconds.
    pub now_ms: u64,
    /// Chance.
    pub seed: u64,
    /// Collections of so many elements are renamed by a move:
    /// [`crate::keyspace::moves::MOVED_MIN`], but in tests.
    pub moved_min: usize,
}

/// An engine, and the workers of its lanes.
pub struct Opened {
    /// The engine.
    pub engine: Engine,
    /// Its workers.
    pub workers: lanes::Workers,
    /// Records of the journal that were replayed.
    pub replayed: u64,
    /// Bytes of them.
    pub replayed_bytes: u64,
}

/// Why a directory cannot be served.
#[derive(Debug)]
pub enum StartError {
    /// The disk failed, or is not fit.
    Disk(io::Error),
    /// The journal cannot be read.
    Journal(journal::Error),
    /// The directory is the target of a backup that was interrupted.
    Incomplete,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            StartError::Disk(error) => write!(f, "cannot open ROOT_DIR: {error}"),
            StartError::Journal(error) => write!(f, "cannot open ROOT_DIR: {error}"),
            StartError::Incomplete => write!(
                f,
                "cannot open ROOT_DIR: it has a file 'incomplete', so the backup that was being \
                 copied here was interrupted; run scripts/backup again, or use another copy"
            ),
        }
    }
}

impl std::error::Error for StartError {}

impl From<io::Error> for StartError {
    fn from(error: io::Error) -> StartError {
        StartError::Disk(error)
    }
}

impl From<journal::Error> for StartError {
    fn from(error: journal::Error) -> StartError {
        StartError::Journal(error)
    }
}

/// Opens a disk: makes what is missing, replays the journal into the backlog.
///
/// # Errors
/// Nothing was changed that a second try, once the cause is gone, would not do again.
pub fn open(disk: Arc<dyn Disk>, settings: Settings) -> Result<Opened, StartError> {
    if disk.stat("incomplete", crate::disk::Wait::Yes).is_ok() {
        return Err(StartError::Incomplete);
    }
    let writer = TreeWriter::open(disk.clone())?;
    let reader = writer.reader();
    let budget = settings.config.cache_bytes as usize;
    let mut keys = Keyspace::new(reader.clone(), Backlog::default(), budget);
    keys.now_ms = settings.now_ms;
    keys.moved_min = settings.moved_min;
    let sizing = match settings.journal {
        Some(sizing) => sizing,
        None => journal_settings(&*disk, &settings)?,
    };
    let recovered = journal::recover(disk.clone(), sizing, &mut |record| {
        keys.replay(record.seq, record.ops);
    })?;
    keys.backlog.start_at(recovered.last);
    let status = recovered.journal.status();
    let upkeep = survey(&*disk, &reader, &mut keys, recovered.records == 0)?;
    let workers = lanes::workers(&disk, Box::new(recovered.journal), writer);
    let mut engine = build(disk, keys, settings, status, upkeep);
    engine.pipeline.segment_bytes = sizing.segment_bytes;
    engine.pipeline.spares_wanted = sizing.spares;
    engine.pipeline.visible = recovered.last;
    engine.pipeline.submitted = recovered.last;
    engine.server.stats.replayed = recovered.records;
    if engine.server.config.flushall_on_startup {
        (0..DATABASES).for_each(|db| engine.keys.flush(db));
        engine.settle_own();
    }
    Ok(Opened { engine, workers, replayed: recovered.records, replayed_bytes: recovered.bytes })
}

fn journal_settings(disk: &dyn Disk, settings: &Settings) -> io::Result<journal::Settings> {
    let space = disk.space()?;
    let segment_bytes = (space.bytes_total / SEGMENTS_A_DISK / 4096 * 4096)
        .clamp(SEGMENT_BYTES_MIN, SEGMENT_BYTES_MAX);
    let segments = (settings.config.journal_bytes() / segment_bytes).max(4) as usize;
    Ok(journal::Settings {
        segment_bytes,
        // A batch may be as large as DREDIS_BATCH_BYTES beyond what the journal holds.
        segments_max: segments * 2 + (settings.config.batch_bytes / segment_bytes) as usize,
        segments_keep: segments.min(32),
        spares: (segments / 4).clamp(2, SPARES_MAX),
        copy_on_write: disk.copy_on_write(),
        chance: settings.seed,
    })
}

/// Finds out what can be known without a walk: empty databases, recorded sizes, files of hints.
fn survey(
    disk: &dyn Disk,
    reader: &TreeReader,
    keys: &mut Keyspace,
    clean: bool,
) -> io::Result<Upkeep> {
    let mut empty = true;
    for db in 0..DATABASES {
        // Only a listing that came to its end says so: the first entry may be no name.
        let is_empty = reader.keys(db, 0, Some(1), &mut |_, _| false)?.is_none();
        empty &= is_empty;
        let trusted = if is_empty { Some(0) } else { sizes::trusted(disk, db)? };
        if let Some(count) = trusted.filter(|_| clean) {
            keys.sizes.set(db, count);
        }
    }
    let mut upkeep = Upkeep::default();
    upkeep.trash_since_us = Some(0);
    upkeep.minutes.extend(hints::minutes(disk)?);
    let near = expiry::near_minutes(keys.now_ms);
    upkeep.ahead = upkeep.minutes.range(near).copied().collect();
    let complete = hints::is_complete(disk)?;
    if empty && !complete {
        hints::set_complete(disk, true)?;
    }
    keys.set_filter_complete(empty);
    if !empty {
        upkeep.walk = Some(Walk { db: 0, position: 0, deadlines: !complete });
    }
    Ok(upkeep)
}

fn build(
    disk: Arc<dyn Disk>,
    keys: Keyspace,
    settings: Settings,
    status: journal::Status,
    upkeep: Upkeep,
) -> Engine {
    let mut rng = Rng::new(settings.seed);
    let run_id = (0..40).map(|_| char::from(b"0123456789abcdef"[rng.index(16)])).collect();
    let server = Server {
        config: settings.config,
        root: settings.root,
        started_ms: settings.now_ms,
        now_ms: settings.now_ms,
        now_us: settings.now_ms * 1000,
        run_id,
        rng,
        stats: Stats::default(),
        journal: status,
        space: crate::disk::Space::default(),
        checkpoint: status.checkpoint,
        replayed: status.durable,
        checkpoint_ms: settings.now_ms,
        backup: None,
        backing_up: false,
        refusing: None,
        shutdown: None,
        pause: None,
        scripts: Scripts::default(),
        save_wanted: 0,
        profile: Profile::default(),
    };
    Engine {
        disk,
        keys,
        clients: Clients::default(),
        server,
        sessions: HashMap::new(),
        group: Group::new(),
        jobs: VecDeque::new(),
        busy: HashMap::new(),
        runnable: VecDeque::new(),
        ready: Vec::new(),
        gated: Vec::new(),
        loading: HashMap::new(),
        waiting: Waiting::default(),
        pipeline: Pipeline::default(),
        upkeep,
        fatal: None,
        paused: Paused::default(),
        stashed: Vec::new(),
        leaving: Vec::new(),
    }
}

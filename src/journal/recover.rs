//! Recovery: from the folder as a crash left it to a journal that can be appended to.
//!
//! It reads first and changes nothing; damage ends it there. Then what it keeps is written anew:
//! what the kernel's cache shows after a failed sync need not be on the disk. Each kept segment is
//! copied into `journal/recovering`, synced, and exchanged with it; the old one takes the next.
//! This needs no new space, and a crash at any point leaves the same records. What it does not
//! keep gets a void header, so that its frames never come back behind new ones. `docs/JOURNAL.md`
//! has the table of states. Here is also the read-only look of `dredis check` ([`inspect`]).
//!
//! It does not know the tree: what the records mean is up to the visitor.

use super::checkpoint::{self, Checkpoint, Found as FoundCheckpoint, Writer};
use super::header::{self, Header, Parsed};
use super::replay::{self, Live, Outcome, Walked};
use super::segments::{Segment, State, make_zeroed, sync_folder};
use super::{Error, FOLDER, MAKING, RECOVERING, Record, SEGMENT_BYTES_MIN, SEGMENT_PREFIX};
use super::{Segments, Settings, backup, segment_path};
use crate::base::variant::{Step, step};
use crate::disk::{Disk, Kind, Wait};
use crate::layout::op::Seq;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Spare segments that a start makes.
const SPARES_AT_START: usize = 2;

/// A journal that is ready, and what was in it.
pub struct Recovered {
    /// The journal; appends go on behind `last`.
    pub journal: Segments,
    /// The newest sequence number.
    pub last: Seq,
    /// How many records were visited.
    pub records: u64,
    /// How many bytes of journal they take.
    pub bytes: u64,
    /// The folder is a copy that a backup made.
    pub from_backup: bool,
}

/// What [`inspect`] found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Segment files, free ones included.
    pub segments: usize,
    /// Records that the tree may not have.
    pub records: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// The tree has everything up to here.
    pub checkpoint: Seq,
    /// The newest sequence number.
    pub last: Seq,
    /// The folder is a copy that a backup made.
    pub from_backup: bool,
    /// One line for each thing that is wrong.
    pub problems: Vec<String>,
}

/// Opens the journal, or makes it where there is none, and visits the records that the tree may
/// not have. `Corrupt` changes nothing on the disk; records may have been visited by then.
pub fn recover(
    disk: Arc<dyn Disk>,
    settings: Settings,
    visit: &mut dyn FnMut(Record),
) -> Result<Recovered, Error> {
    let sound = settings.segment_bytes >= SEGMENT_BYTES_MIN
        && settings.segment_bytes.is_multiple_of(header::HEADER_BYTES as u64);
    assert!(sound, "segments are whole sectors and not tiny");
    let folder = Folder::scan(&*disk)?;
    let outcome = folder.replay(&*disk, visit)?;
    let recovery = Recovery { disk: &*disk, settings, folder: &folder, outcome: &outcome };
    let (writer, state) = recovery.carry_out()?;
    let mut journal = Segments::new(disk.clone(), settings, writer, state);
    make_spares(&mut journal)?;
    Ok(Recovered {
        journal,
        last: outcome.last,
        records: outcome.records,
        bytes: outcome.bytes,
        from_backup: folder.copy_of.is_some(),
    })
}

/// Looks at the journal without changing anything and visits the records that the tree may not
/// have. What recovery would refuse is among the problems.
pub fn inspect(disk: &dyn Disk, visit: &mut dyn FnMut(Record)) -> Report {
    let mut report = Report::default();
    let folder = match Folder::scan(disk) {
        Ok(folder) => folder,
        Err(error) => {
            report.problems.push(error.to_string());
            return report;
        }
    };
    report.segments = folder.row.len() + folder.free.len() + folder.damaged.len();
    report.checkpoint = folder.checkpoint.map_or(0, |checkpoint| checkpoint.seq);
    report.from_backup = folder.copy_of.is_some();
    report.last = report.checkpoint;
    let mut count = |record: Record| {
        report.records += 1;
        report.last = record.seq;
        visit(record);
    };
    match folder.replay(disk, &mut count) {
        Ok(outcome) => report.bytes = outcome.bytes,
        Err(error) => {
            report.problems.push(error.to_string());
            // A torn header alone is what a power cut leaves; here it may be the cause.
            let damaged = folder.damaged.iter().map(|id| segment_path(*id));
            report.problems.extend(damaged.map(|path| format!("journal: {path}: damaged header")));
        }
    }
    report
}

/// Makes the spare segments that a start waits for; the others are made when nobody waits.
fn make_spares(journal: &mut Segments) -> Result<(), Error> {
    use super::Journal;
    let wanted = SPARES_AT_START.min(journal.settings().spares);
    while journal.status().spares < wanted {
        match journal.make_spare() {
            Ok(()) => {}
            // A server starts on a full disk.
            Err(Error::Full { .. }) => break,
            Err(error) => return Err(error),
        }
    }
    journal.sync_names() // Or the first group would wait for that.
}

/// What lies in `journal/`.
#[derive(Default)]
struct Folder {
    exists: bool,
    /// Segments with a valid header, in order of generation.
    row: Vec<Live>,
    /// Segments of which nothing counts.
    free: Vec<u64>,
    damaged: Vec<u64>,
    checkpoint: Option<Checkpoint>,
    /// First sequence number that counts, if the folder is a copy made by a backup.
    copy_of: Option<Seq>,
    /// Sizes of the segment files.
    lens: Vec<(u64, u64)>,
    next_id: u64,
    generation: u64,
    start: u64,
}

impl Folder {
    /// Reads names, headers, checkpoint and the mark of a backup.
    fn scan(disk: &dyn Disk) -> Result<Folder, Error> {
        let mut folder = Folder { next_id: 1, ..Folder::default() };
        let mut ids = Vec::new();
        let listed = disk.list(FOLDER, 0, &mut |entry| {
            if entry.kind == Kind::File {
                ids.extend(segment_id(entry.name));
            }
            true
        });
        match listed {
            Ok(_) => folder.exists = true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(folder),
            Err(error) => return Err(Error::disk(FOLDER, error)),
        }
        for id in ids {
            folder.add(disk, id)?;
        }
        folder.row.sort_by_key(|live| live.header.generation);
        folder.copy_of =
            backup::read(disk)?.filter(|(_, copy)| *copy).map(|(backup, _)| backup.first);
        match checkpoint::read(disk)? {
            FoundCheckpoint::Checkpoint(found) => {
                folder.start = folder.start.max(found.start);
                folder.checkpoint = Some(found);
            }
            FoundCheckpoint::Missing if folder.row.is_empty() => {}
            FoundCheckpoint::Missing | FoundCheckpoint::Damaged if folder.copy_of.is_some() => {}
            FoundCheckpoint::Missing | FoundCheckpoint::Damaged => {
                return Err(Error::Corrupt {
                    file: checkpoint::PATH.to_string(),
                    offset: 0,
                    what: "expected one intact checkpoint of two, came none".to_string(),
                    durable_claim: None,
                });
            }
        }
        Ok(folder)
    }

    fn add(&mut self, disk: &dyn Disk, id: u64) -> Result<(), Error> {
        let path = segment_path(id);
        let stat = disk.stat(&path, Wait::Yes).map_err(|error| Error::disk(&path, error))?;
        let sector = first_sector(disk, &path).map_err(|error| Error::disk(&path, error))?;
        self.next_id = self.next_id.max(id + 1);
        self.lens.push((id, stat.len));
        match header::parse(&sector) {
            Parsed::Header(header) => {
                self.generation = self.generation.max(header.generation);
                self.start = self.start.max(header.start);
                match header.first {
                    0 => self.free.push(id),
                    _ => self.row.push(Live { id, header }),
                }
            }
            Parsed::New => self.free.push(id),
            Parsed::Damaged => self.damaged.push(id),
            Parsed::Unknown(format) => {
                let what = format!("expected format 1, came {format}: start a newer version");
                return Err(replay::corrupt(id, 0, what));
            }
        }
        Ok(())
    }

    /// The tree has everything up to here.
    fn base(&self) -> Seq {
        match (self.copy_of, self.checkpoint) {
            (Some(first), _) => first - 1,
            (None, Some(checkpoint)) => checkpoint.seq,
            (None, None) => 0,
        }
    }

    fn len(&self, id: u64) -> u64 {
        self.lens.iter().find(|(known, _)| *known == id).map_or(0, |(_, len)| *len)
    }

    /// Visits the records; tells an ordinary end from damage.
    fn replay(&self, disk: &dyn Disk, visit: &mut dyn FnMut(Record)) -> Result<Outcome, Error> {
        let outcome = replay::replay(disk, &self.row, self.base(), visit)?;
        if let Some(first) = self.copy_of {
            return self.admit_copy(first, outcome);
        }
        let claim = replay::find_claim(disk, &self.row, &self.damaged, &outcome)?;
        let Some((id, at, durable)) = claim else { return Ok(outcome) };
        let (file, offset, came) = outcome.came();
        let missing = outcome.last + 1;
        let path = segment_path(id);
        let what = format!("expected record {missing}, came {came}, before {path} at offset {at}");
        Err(Error::Corrupt { file, offset, what, durable_claim: Some(durable) })
    }

    /// A copy may end anywhere behind the record that it needs first, but must have all before it.
    fn admit_copy(&self, first: Seq, outcome: Outcome) -> Result<Outcome, Error> {
        if outcome.reaches_base {
            return Ok(outcome);
        }
        let (file, offset, came) = outcome.came();
        let what = format!(
            "expected the copy of a backup to go on at record {first}, came {came}: an older copy \
             of a file was kept; run scripts/backup again"
        );
        Err(Error::Corrupt { file, offset, what, durable_claim: None })
    }
}

/// The number in a segment's name, if it is one.
fn segment_id(name: &[u8]) -> Option<u64> {
    let digits = name.strip_prefix(SEGMENT_PREFIX)?;
    let id: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    (id.to_string().as_bytes() == digits && id < u64::MAX).then_some(id)
}

/// The first sector of a file, or less where the file is shorter.
fn first_sector(disk: &dyn Disk, path: &str) -> io::Result<Vec<u8>> {
    let Ok(file) = disk.open(path) else {
        // On a read-only file system nothing opens for writing.
        return disk.read(path, Wait::Yes);
    };
    let mut sector = vec![0; header::HEADER_BYTES];
    let mut filled = 0;
    while filled < sector.len() {
        match file.read_at(filled as u64, &mut sector[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    sector.truncate(filled);
    Ok(sector)
}

/// The changing half of recovery.
struct Recovery<'a> {
    disk: &'a dyn Disk,
    settings: Settings,
    folder: &'a Folder,
    outcome: &'a Outcome,
}

impl Recovery<'_> {
    fn carry_out(&self) -> Result<(Writer, State), Error> {
        let base = self.folder.base();
        if !self.folder.exists {
            let made = self.disk.create_dir(FOLDER).and_then(|()| self.disk.sync_dir(""));
            made.map_err(|error| Error::disk(FOLDER, error))?;
        }
        remove_if_there(self.disk, MAKING)?;
        let kept: Vec<Walked> =
            self.outcome.walked.iter().filter(|walked| walked.last > base).copied().collect();
        let recovering_len = self.rewrite(&kept)?;
        let free = self.retire(&kept)?;
        let start = self.folder.start + 1;
        let writer = self.write_checkpoint(start, base)?;
        if backup::read(self.disk)?.is_some() {
            backup::remove(self.disk)?;
        }
        if recovering_len != Some(self.settings.segment_bytes) {
            match self.make_recovering(self.settings.segment_bytes) {
                Ok(()) | Err(Error::Full { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        sync_folder(self.disk)?;
        let state = State {
            live: kept.iter().map(|walked| self.segment(walked)).collect(),
            free,
            next_id: self.folder.next_id,
            generation: self.folder.generation,
            start,
            epoch: self.outcome.epoch.max(1),
            last: self.outcome.last,
            bytes: self.outcome.bytes,
        };
        Ok((writer, state))
    }

    fn segment(&self, walked: &Walked) -> Segment {
        Segment {
            live: walked.live,
            len: self.folder.len(walked.live.id),
            end: walked.end as u64,
            last: walked.last,
            file: None,
            dirty: false,
        }
    }

    /// Writes the kept segments anew, each synced and named before the next. Answers the size of
    /// the file for the next recovery.
    fn rewrite(&self, kept: &[Walked]) -> Result<Option<u64>, Error> {
        let mut recovering_len = match self.disk.stat(RECOVERING, Wait::Yes) {
            Ok(stat) => Some(stat.len),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Error::disk(RECOVERING, error)),
        };
        if !step(Step::RecoveryRewrites) {
            return Ok(recovering_len);
        }
        for walked in kept {
            let len = self.folder.len(walked.live.id);
            if recovering_len != Some(len) {
                self.make_recovering(len)?;
            }
            self.rewrite_one(walked, len)?;
            recovering_len = Some(len);
        }
        Ok(recovering_len)
    }

    fn rewrite_one(&self, walked: &Walked, len: u64) -> Result<(), Error> {
        let mut bytes = replay::load(self.disk, walked.live.id)?;
        bytes.truncate(walked.end);
        bytes.resize(len as usize, 0);
        self.disk
            .open(RECOVERING)
            .and_then(|file| file.write_at(0, &bytes).and_then(|()| file.sync_data()))
            .map_err(|error| Error::disk(RECOVERING, error))?;
        let path = segment_path(walked.live.id);
        self.disk.exchange(RECOVERING, &path).map_err(|error| Error::disk(&path, error))?;
        // Only now may the old file be overwritten: until here it may still bear the name.
        sync_folder(self.disk)
    }

    fn make_recovering(&self, len: u64) -> Result<(), Error> {
        remove_if_there(self.disk, RECOVERING)?;
        make_zeroed(self.disk, RECOVERING, len)?;
        sync_folder(self.disk)
    }

    /// Gives void headers to the segments whose frames must not come back, and sorts out which
    /// files can be used again.
    fn retire(&self, kept: &[Walked]) -> Result<VecDeque<u64>, Error> {
        let folder = self.folder;
        let is_kept = |live: &&Live| kept.iter().any(|walked| walked.live.id == live.id);
        let rest = folder.row.iter().enumerate().filter(|(_, live)| !is_kept(live));
        // What lies before the first segment read is behind the checkpoint for good.
        let row = rest.map(|(i, live)| (live.id, live.header.generation, i >= self.outcome.start));
        let damaged = folder.damaged.iter().map(|id| (*id, 0, true));
        let unused = folder.free.iter().map(|id| (*id, 0, false));
        let mut free = VecDeque::new();
        for (id, generation, dangerous) in row.chain(damaged).chain(unused) {
            let fits = folder.len(id) == self.settings.segment_bytes;
            if !fits || self.settings.copy_on_write {
                remove_if_there(self.disk, &segment_path(id))?;
                continue;
            }
            if dangerous {
                self.make_void(id, generation)?;
            }
            free.push_back(id);
        }
        Ok(free)
    }

    fn make_void(&self, id: u64, generation: u64) -> Result<(), Error> {
        let start = self.folder.start;
        let void = Header { generation, start, salt: 0, first: 0, continues: false };
        let path = segment_path(id);
        self.disk
            .open(&path)
            .and_then(|file| {
                file.write_at(0, &header::write(&void)).and_then(|()| file.sync_data())
            })
            .map_err(|error| Error::disk(&path, error))
    }

    /// Counts this start: from now on the salts are new.
    fn write_checkpoint(&self, start: u64, base: Seq) -> Result<Writer, Error> {
        let Some(newest) = self.folder.checkpoint else {
            let first = Checkpoint { counter: 0, start, seq: base };
            remove_if_there(self.disk, MAKING)?;
            checkpoint::create(self.disk, &first)?;
            sync_folder(self.disk)?;
            return Writer::open(self.disk, first);
        };
        let mut writer = Writer::open(self.disk, newest)?;
        writer.write(start, base)?;
        Ok(writer)
    }
}

fn remove_if_there(disk: &dyn Disk, path: &str) -> Result<(), Error> {
    match disk.remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::disk(path, error)),
        _ => Ok(()),
    }
}

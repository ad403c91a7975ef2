//! Segments: the journal as a row of preallocated files that are used again and again.
//!
//! Live segments hold records in order of generation; the last one is written to. Free ones are
//! zero-filled or hold what the tree has, and become live by a new header, which is written with
//! the first frames and synced with them. [`Segments`] knows files and frames; it does not know
//! how a journal is read back after a crash (recover.rs).

use super::checkpoint::Writer;
use super::frame::{self, Frame, Kind};
use super::header::{self, Header};
use super::replay::{self, Live};
use super::{Error, FOLDER, Group, Head, Journal, MAKING, Record, Settings, Status};
use super::{backup, segment_path};
use crate::base::variant::{Step, step};
use crate::disk::{Disk, File};
use crate::layout::op::Seq;
use std::collections::VecDeque;
use std::io;
use std::sync::Arc;

/// Frames are collected up to this many bytes before they are written.
const WRITE_BYTES: usize = 1 << 20;
/// While others may want the journal, a spare segment is made in so many steps,
const STEPS: u64 = 16;
/// none of them smaller than this.
const STEP_BYTES_MIN: u64 = 4096;

/// A segment in use.
pub(super) struct Segment {
    pub live: Live,
    /// Size of the file.
    pub len: u64,
    /// Behind its last frame.
    pub end: u64,
    /// Newest sequence number with a frame in it.
    pub last: Seq,
    pub file: Option<Box<dyn File>>,
    /// Written since the last sync.
    pub dirty: bool,
}

/// Up to `last`, the journal's life had seen `bytes` appended.
struct Mark {
    last: Seq,
    bytes: u64,
    begin: u64,
}

/// What recovery hands over.
pub(super) struct State {
    pub live: VecDeque<Segment>,
    /// Ids of free segments, all of the size of the settings.
    pub free: VecDeque<u64>,
    pub next_id: u64,
    pub generation: u64,
    pub start: u64,
    pub epoch: u64,
    pub last: Seq,
    pub bytes: u64,
}

/// The journal in segments below `journal/`.
pub struct Segments {
    disk: Arc<dyn Disk>,
    settings: Settings,
    checkpoint: Writer,
    state: State,
    durable: Seq,
    backup: Option<(String, Seq)>,
    poisoned: bool,
    /// Bytes of the spare segment that is being made, in `journal/making`.
    filled: u64,
    /// A file was made whose name is not yet durable.
    folder_dirty: bool,
    buffer: Vec<u8>,
    marks: VecDeque<Mark>,
    /// Bytes appended, and those of them that the tree has.
    appended_bytes: u64,
    trimmed_bytes: u64,
}

impl Segments {
    pub(super) fn new(
        disk: Arc<dyn Disk>,
        settings: Settings,
        checkpoint: Writer,
        state: State,
    ) -> Segments {
        let mut segments = Segments {
            disk,
            settings,
            checkpoint,
            durable: state.last,
            backup: None,
            poisoned: false,
            filled: 0,
            folder_dirty: false,
            buffer: Vec::new(),
            marks: VecDeque::new(),
            appended_bytes: 0,
            trimmed_bytes: 0,
            state,
        };
        segments.mark(segments.state.last, segments.state.bytes);
        segments
    }

    /// Runs a call; any error but a full disk is the journal's last one.
    fn run<T>(&mut self, call: impl FnOnce(&mut Segments) -> Result<T, Error>) -> Result<T, Error> {
        if self.poisoned {
            return Err(Error::Poisoned);
        }
        let result = call(self);
        self.poisoned = matches!(&result, Err(error) if !matches!(error, Error::Full { .. }));
        result
    }

    /// How many new segments the group runs into.
    fn segments_needed(&self, group: &Group) -> usize {
        let whole = self.settings.segment_bytes as usize - header::HEADER_BYTES;
        let mut left =
            self.state.live.back().map_or(0, |current| (current.len - current.end) as usize);
        let mut needed = 0;
        for head in &group.records {
            let mut rest = head.len;
            loop {
                if body_room(left) == 0 {
                    left = whole;
                    needed += 1;
                }
                let piece = rest.min(body_room(left));
                left -= frame::framed_bytes(piece);
                rest -= piece;
                if rest == 0 {
                    break;
                }
            }
        }
        needed
    }

    fn write_group(&mut self, group: &Group) -> Result<(), Error> {
        let mut bodies = &group.body[..];
        for head in &group.records {
            let (body, behind) = bodies.split_at(head.len);
            bodies = behind;
            self.write_record(head, body)?;
        }
        self.flush()?;
        self.buffer.shrink_to(WRITE_BYTES);
        self.mark(group.last().unwrap_or(self.state.last), 0);
        Ok(())
    }

    fn write_record(&mut self, head: &Head, body: &[u8]) -> Result<(), Error> {
        let mut at = 0;
        loop {
            let current = self.state.live.back();
            let mut room = current.map_or(0, |c| body_room((c.len - c.end) as usize));
            if room == 0 {
                self.flush()?;
                self.begin_segment(head.seq, at > 0)?;
                room = body_room(self.settings.segment_bytes as usize - header::HEADER_BYTES);
            }
            let piece = &body[at..body.len().min(at + room)];
            let behind = at + piece.len();
            let kind = match (at == 0, behind == body.len()) {
                (true, true) => Kind::Full,
                (true, false) => Kind::First,
                (false, false) => Kind::Middle,
                (false, true) => Kind::Last,
            };
            let current = self.state.live.back_mut().expect("a segment was begun");
            let frame = Frame {
                kind,
                seq: head.seq,
                epoch: self.state.epoch,
                durable: self.durable,
                time_ms: head.time_ms,
                salt: current.live.header.salt,
                offset: at as u64,
            };
            frame::write(&frame, piece, &mut self.buffer);
            let bytes = frame::framed_bytes(piece.len()) as u64;
            current.end += bytes;
            current.last = head.seq;
            self.appended_bytes += bytes;
            if self.buffer.len() >= WRITE_BYTES {
                self.flush()?;
            }
            at = behind;
            if at == body.len() {
                self.state.last = head.seq;
                return Ok(());
            }
        }
    }

    /// Makes a free segment the one that is written to.
    fn begin_segment(&mut self, first: Seq, continues: bool) -> Result<(), Error> {
        let id = self.state.free.pop_front().expect("append made what it needs");
        let path = segment_path(id);
        let file = self.disk.open(&path).map_err(|error| Error::disk(&path, error))?;
        self.state.generation += 1;
        let generation = self.state.generation;
        let start = self.state.start;
        let salt = header::salt(start, generation, self.settings.chance);
        let header = Header { generation, start, salt, first, continues };
        self.buffer.extend_from_slice(&header::write(&header));
        self.state.live.push_back(Segment {
            live: Live { id, header },
            len: self.settings.segment_bytes,
            end: header::HEADER_BYTES as u64,
            last: first,
            file: Some(file),
            dirty: true,
        });
        Ok(())
    }

    /// Writes what is collected, all of it for the last segment.
    fn flush(&mut self) -> Result<(), Error> {
        let Some(current) = self.state.live.back_mut().filter(|_| !self.buffer.is_empty()) else {
            return Ok(());
        };
        let path = segment_path(current.live.id);
        let at = current.end - self.buffer.len() as u64;
        let file = match current.file.take() {
            Some(file) => Ok(file),
            None => self.disk.open(&path),
        };
        let file = file.map_err(|error| Error::disk(&path, error))?;
        file.write_at(at, &self.buffer).map_err(|error| Error::disk(&path, error))?;
        current.file = Some(file);
        current.dirty = true;
        self.buffer.clear();
        Ok(())
    }

    fn sync_segments(&mut self) -> Result<Seq, Error> {
        let count = self.state.live.len();
        for (i, segment) in self.state.live.iter_mut().enumerate().filter(|(_, s)| s.dirty) {
            let path = segment_path(segment.live.id);
            if step(Step::SyncGroup)
                && let Some(file) = &segment.file
            {
                file.sync_data().map_err(|error| Error::disk(&path, error))?;
            }
            segment.dirty = false;
            if i + 1 < count {
                segment.file = None;
            }
        }
        self.sync_names()?;
        self.durable = self.state.last;
        Ok(self.durable)
    }

    /// Makes the names of new segments durable.
    pub(super) fn sync_names(&mut self) -> Result<(), Error> {
        if self.folder_dirty {
            sync_folder(&*self.disk)?;
            self.folder_dirty = false;
        }
        Ok(())
    }

    /// Notes that `bytes` more were appended up to `last`. Marks are a sixteenth of a segment
    /// apart, so that there are few.
    fn mark(&mut self, last: Seq, bytes: u64) {
        self.appended_bytes += bytes;
        let bytes = self.appended_bytes;
        match self.marks.back_mut() {
            Some(mark) if bytes - mark.begin < self.settings.segment_bytes / 16 => {
                mark.last = last;
                mark.bytes = bytes;
            }
            newest => {
                let begin = newest.map_or(self.trimmed_bytes, |mark| mark.bytes);
                self.marks.push_back(Mark { last, bytes, begin });
            }
        }
    }

    fn trim_to(&mut self, applied: Seq) -> Result<(), Error> {
        assert!(applied <= self.durable, "the tree has only what is durable");
        if applied > self.checkpoint.newest().seq {
            self.checkpoint.write(self.state.start, applied)?;
        }
        while self.marks.front().is_some_and(|mark| mark.last <= applied) {
            self.trimmed_bytes = self.marks.pop_front().map_or(0, |mark| mark.bytes);
        }
        self.release()
    }

    /// The newest sequence number that nobody needs in the journal.
    fn unneeded(&self) -> Seq {
        let checkpoint = self.checkpoint.newest().seq;
        self.backup.as_ref().map_or(checkpoint, |(_, first)| checkpoint.min(first - 1))
    }

    /// Frees the segments that nobody needs.
    fn release(&mut self) -> Result<(), Error> {
        let unneeded = self.unneeded();
        while self.state.live.len() > 1 && self.state.live[0].last <= unneeded {
            let Some(segment) = self.state.live.pop_front() else { break };
            let id = segment.live.id;
            let others = self.state.live.len() + self.state.free.len();
            let spares = self.settings.spares;
            let keep = others < self.settings.segments_keep || self.state.free.len() < spares;
            let fits = segment.len == self.settings.segment_bytes;
            if keep && fits && !self.settings.copy_on_write {
                self.state.free.push_back(id);
            } else {
                let path = segment_path(id);
                self.disk.remove_file(&path).map_err(|error| Error::disk(&path, error))?;
            }
        }
        Ok(())
    }

    /// Segments held only by the backup: their number and bytes.
    fn pinned(&self) -> (usize, u64) {
        let checkpoint = self.checkpoint.newest().seq;
        let newest = self.state.live.len().saturating_sub(1);
        let pinned = self.state.live.iter().take(newest).filter(|s| s.last <= checkpoint);
        pinned.fold((0, 0), |(count, bytes), segment| (count + 1, bytes + segment.len))
    }

    /// Makes a spare segment, or what is left of the one that was begun. The next sync makes its
    /// name durable.
    pub(super) fn make_spare(&mut self) -> Result<(), Error> {
        self.go_on_with_spare(self.settings.segment_bytes)
    }

    /// Makes up to `bytes` more of a spare segment, which is used once it is complete.
    fn go_on_with_spare(&mut self, bytes: u64) -> Result<(), Error> {
        let len = self.settings.segment_bytes;
        if self.filled == 0 {
            let segments = self.state.live.len() + self.state.free.len() - self.pinned().0;
            if segments >= self.settings.segments_max {
                return Err(Error::Full { bytes: len });
            }
        }
        let (disk, begin) = (&*self.disk, self.filled);
        let end = (begin + bytes).min(len);
        let path = segment_path(self.state.next_id);
        let step = making(disk, &path, len, || {
            if begin == 0 {
                disk.create_zeroed(MAKING, end)?;
            } else {
                disk.append(MAKING, &vec![0; (end - begin) as usize])?;
                disk.sync_file(MAKING)?;
            }
            if end == len { disk.rename(MAKING, &path) } else { Ok(()) }
        });
        self.filled = if step.is_ok() && end < len { end } else { 0 };
        step?;
        if end == len {
            self.state.free.push_back(self.state.next_id);
            self.state.next_id += 1;
            self.folder_dirty = true;
        }
        Ok(())
    }

    fn end_pin(&mut self) -> Result<(), Error> {
        backup::remove(&*self.disk)?;
        sync_folder(&*self.disk)?;
        self.backup = None;
        self.release()
    }

    /// Settings it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }
}

impl Journal for Segments {
    fn append(&mut self, group: &Group) -> Result<(), Error> {
        let Some(first) = group.first() else { return Ok(()) };
        self.run(|journal| {
            assert_eq!(first, journal.state.last + 1, "groups are consecutive");
            while journal.state.free.len() < journal.segments_needed(group) {
                journal.make_spare()?;
            }
            journal.write_group(group)
        })
    }

    fn sync(&mut self) -> Result<Seq, Error> {
        self.run(Segments::sync_segments)
    }

    fn durable(&self) -> Seq {
        self.durable
    }

    fn read(&mut self, from: Seq, visit: &mut dyn FnMut(Record)) -> Result<(), Error> {
        self.run(|journal| {
            let base = (from.max(1) - 1).max(journal.unneeded());
            let row: Vec<Live> = journal.state.live.iter().map(|segment| segment.live).collect();
            let durable = journal.durable;
            let outcome = replay::replay(&*journal.disk, &row, base, &mut |record| {
                if record.seq <= durable {
                    visit(record);
                }
            })?;
            match outcome.end {
                Some((id, at, what)) if outcome.last < durable => {
                    let expected = outcome.last + 1;
                    let what = format!("expected record {expected}, came {what}");
                    Err(replay::corrupt(id, at, what))
                }
                _ => Ok(()),
            }
        })
    }

    fn trim(&mut self, applied: Seq) -> Result<(), Error> {
        self.run(|journal| journal.trim_to(applied))
    }

    fn prepare(&mut self) -> Result<bool, Error> {
        self.run(|journal| {
            if journal.state.free.len() >= journal.settings.spares {
                return Ok(false);
            }
            let len = journal.settings.segment_bytes;
            // Where it is allocated and not written, all of it takes no time.
            let steps = if journal.settings.copy_on_write { 1 } else { STEPS };
            journal.go_on_with_spare((len / steps).max(STEP_BYTES_MIN))?;
            journal.sync_names()?;
            Ok(journal.state.free.len() < journal.settings.spares)
        })
    }

    fn begin_backup(&mut self, id: &str) -> Result<Seq, Error> {
        self.run(|journal| {
            assert!(journal.backup.is_none(), "one backup at a time");
            if journal.filled > 0 {
                journal.make_spare()?; // Its file, too, is made as `journal/making`.
            }
            let first = journal.checkpoint.newest().seq + 1;
            backup::write(&*journal.disk, id, first)?;
            sync_folder(&*journal.disk)?;
            journal.backup = Some((id.to_string(), first));
            Ok(first)
        })
    }

    fn end_backup(&mut self, id: &str) -> Result<bool, Error> {
        self.run(|journal| {
            let under_way = journal.backup.as_ref().is_some_and(|(known, _)| known == id);
            if under_way {
                journal.end_pin()?;
            }
            Ok(under_way)
        })
    }

    fn drop_pin(&mut self) -> Result<(), Error> {
        self.run(|journal| if journal.backup.is_some() { journal.end_pin() } else { Ok(()) })
    }

    fn status(&self) -> Status {
        let whole = self.settings.segment_bytes - header::HEADER_BYTES as u64;
        let current = self.state.live.back().map_or(0, |segment| segment.len - segment.end);
        Status {
            durable: self.durable,
            appended: self.state.last,
            checkpoint: self.checkpoint.newest().seq,
            bytes_live: self.appended_bytes - self.trimmed_bytes,
            bytes_pinned: self.pinned().1,
            bytes_room: current + whole * self.state.free.len() as u64,
            segments: self.state.live.len() + self.state.free.len(),
            spares: self.state.free.len(),
            pinned: self.backup.as_ref().map(|(_, first)| *first),
        }
    }
}

/// Bytes of body that a frame can have where `left` bytes of segment are left; 0 where it is not
/// worth a frame.
fn body_room(left: usize) -> usize {
    let room = left.saturating_sub(frame::HEADER_BYTES);
    room - room % frame::ALIGN
}

/// Makes a file whose name, once there, means that it is complete: `fill` makes `journal/making`
/// and syncs it. The name is durable after the next sync of the folder. `Full` leaves nothing.
pub(super) fn make(
    disk: &dyn Disk,
    path: &str,
    bytes: u64,
    fill: impl FnOnce() -> io::Result<()>,
) -> Result<(), Error> {
    making(disk, path, bytes, || fill().and_then(|()| disk.rename(MAKING, path)))
}

/// Takes a step of making the file; `Full` leaves nothing of `journal/making`.
fn making(
    disk: &dyn Disk,
    path: &str,
    bytes: u64,
    step: impl FnOnce() -> io::Result<()>,
) -> Result<(), Error> {
    let Err(error) = step() else { return Ok(()) };
    if error.kind() != io::ErrorKind::StorageFull {
        return Err(Error::disk(path, error));
    }
    match disk.remove_file(MAKING) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::disk(MAKING, error)),
        _ => Err(Error::Full { bytes }),
    }
}

/// The same for a file of zeros.
pub(super) fn make_zeroed(disk: &dyn Disk, path: &str, bytes: u64) -> Result<(), Error> {
    make(disk, path, bytes, || disk.create_zeroed(MAKING, bytes))
}

/// Makes the names in the folder durable.
pub(super) fn sync_folder(disk: &dyn Disk) -> Result<(), Error> {
    if step(Step::SyncJournalDir) {
        disk.sync_dir(FOLDER).map_err(|error| Error::disk(FOLDER, error))?;
    }
    Ok(())
}

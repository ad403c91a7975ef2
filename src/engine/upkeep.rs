//! What goes on beside commands: expiry, walks over the tree, trash, figures, memory.

use super::Engine;
use crate::command::client::{Client, Closing};
use crate::keyspace::Want;
use crate::keyspace::{Miss, Need, Stop, expiry};
use crate::lanes::{Job, Lane};
use crate::layout::hints::Hints;
use crate::layout::op::{DATABASES, Db, Key};
use crate::layout::writer::Applied;
use hashbrown::HashSet;
use std::collections::BTreeSet;

/// How many due keys one tick looks at.
const EXPIRE_A_TICK: usize = 64;
/// Expiry pauses while more than this share of the backlog's bound is full.
const EXPIRE_BACKLOG_SHARE: usize = 2;
/// Spare segments of the journal that are made even while the server is busy.
const SPARES_MIN: usize = 1;
/// Between looks at trash, hints and figures.
const ROUND_US: u64 = 100_000;
/// Trash lies for so long before it is removed.
const TRASH_REST_US: u64 = 1_000_000;
/// More things than this in the trash are too many to take time with.
const TRASH_MANY: usize = 4;

/// The state of what goes on beside commands.
#[derive(Default)]
pub(super) struct Upkeep {
    /// There may be something in the trash since then.
    pub trash_since_us: Option<u64>,
    /// Where the walk over the tree is; `None` when it is done.
    pub walk: Option<Walk>,
    /// Minutes that have a file of hints.
    pub minutes: BTreeSet<u64>,
    /// Minutes of which the hints are read ahead, for the deadlines in memory: at the start.
    pub ahead: BTreeSet<u64>,
    /// Hints that were read and not looked at.
    names: Vec<(Db, Key)>,
    /// Where they come from.
    reading: Option<Reading>,
    /// Keys that are loaded only to see whether they have expired.
    looked_for: HashSet<(Db, Key)>,
    next_round_us: u64,
    /// Commands, and bytes in and out, as they were counted in the last round.
    counted: [u64; 3],
    active: bool,
}

/// A file of hints that is being read.
struct Reading {
    minute: u64,
    /// Where it goes on; `None` behind its end.
    next: Option<u64>,
    /// It stays: its minute is not over.
    ahead: bool,
}

/// A walk over the tree: for the filter of names, and for hints where those are not complete.
pub(super) struct Walk {
    /// The database it is in.
    pub db: Db,
    /// The position in its directory.
    pub position: u64,
    /// Whether deadlines are wanted.
    pub deadlines: bool,
}

impl Upkeep {
    /// A command came.
    pub fn note_activity(&mut self) {
        self.active = true;
    }
}

impl Engine {
    /// Tells the engine what time it is and lets everything go on that waits for time.
    pub fn tick(&mut self, now_ms: u64, now_us: u64) {
        if self.paused.client().is_some() {
            return; // For its script time stands still.
        }
        self.server.now_ms = now_ms;
        self.keys.now_ms = now_ms;
        self.pipeline.now_us = now_us;
        if std::mem::take(&mut self.upkeep.active) {
            self.pipeline.last_command_us = now_us;
        }
        if self.hold_end_us().is_some_and(|until| now_us >= until) {
            self.end_hold();
        }
        self.check_room();
        // Before those who wait for room are woken to try again: their waiting drives the writer.
        self.feed_writer();
        self.wake();
        self.expire();
        self.feed_writer();
        let garbage = self.keys.evict();
        if !garbage.is_empty() {
            self.post(Job::Free(garbage));
        }
        if now_us >= self.upkeep.next_round_us {
            self.upkeep.next_round_us = now_us + ROUND_US;
            self.round();
        }
    }

    /// How long the event loop may sleep, in microseconds.
    pub fn sleep_us(&self) -> u64 {
        if self.has_ready() || self.paused.client().is_some() {
            return 0;
        }
        let pipeline = &self.pipeline;
        let mut until = self.upkeep.next_round_us;
        if let Some(hold) = self.hold_end_us() {
            until = until.min(hold);
        }
        if let Some(pause) = self.server.pause_now() {
            let wait_us = (pause.until_ms - self.server.now_ms).saturating_mul(1000);
            return until.saturating_sub(pipeline.now_us).min(wait_us);
        }
        until = until.min(self.writer_due_us().unwrap_or(until));
        if !self.upkeep.names.is_empty() && self.has_room_to_expire() {
            return 0;
        }
        if let Some(next_ms) = self.keys.expiry.next_ms() {
            let wait_ms = next_ms.saturating_sub(self.server.now_ms);
            until = until.min(pipeline.now_us + (wait_ms + 1) * 1000);
        }
        until.saturating_sub(pipeline.now_us)
    }

    /// When the writer is to be fed though nothing happens; `None` where a report of a lane, or the
    /// next round, will do.
    fn writer_due_us(&self) -> Option<u64> {
        let (pipeline, backlog) = (&self.pipeline, &self.keys.backlog);
        if backlog.is_written() || pipeline.writing || pipeline.listed.is_some() {
            return None;
        }
        match (pipeline.full, backlog.moves_due()) {
            (true, _) => Some(pipeline.retry_us),
            (false, Some(_)) => None,
            (false, None) => Some(pipeline.last_command_us + super::pipeline::IDLE_US),
        }
    }

    /// Removes keys whose time has come.
    fn expire(&mut self) {
        for _ in 0..EXPIRE_A_TICK {
            if !self.has_room_to_expire() || self.server.pause_now().is_some() {
                return;
            }
            let due = self.keys.expiry.pop_due(self.server.now_ms);
            let Some((db, key)) = due.or_else(|| self.upkeep.names.pop()) else { return };
            self.look_at(db, &key);
        }
    }

    fn has_room_to_expire(&self) -> bool {
        let bound = self.server.config.backlog_bytes as usize / EXPIRE_BACKLOG_SHARE;
        self.keys.backlog.bytes() <= bound && self.upkeep.looked_for.len() < EXPIRE_A_TICK
    }

    /// Opens a key only to see whether it has expired; notes its deadline if it has not.
    fn look_at(&mut self, db: Db, key: &Key) {
        // What the last command was allowed says nothing of now.
        self.keys.may_expire = true;
        match self.keys.open(db, key, Want::Meta) {
            Ok(id) => self.keys.note_deadline(id),
            Err(Stop::Park(Need::Loads)) => {
                for miss in self.keys.take_misses() {
                    self.upkeep.looked_for.insert((miss.db, miss.key.clone()));
                    if self.keys.begin_load(&miss) {
                        self.post(Job::Load(miss));
                    }
                }
            }
            Err(_) => log::warn!("a key in database {db} could not be read to expire it"),
        }
        self.settle_own();
    }

    /// A key was loaded: if only to see whether it has expired, now is the time.
    /// A key that could not be read is let alone: whoever asks for it is told why.
    pub(super) fn look_at_loaded(&mut self, miss: &Miss, was_read: bool) {
        let wanted = self.upkeep.looked_for.remove(&(miss.db, miss.key.clone()));
        if wanted && was_read {
            self.look_at(miss.db, &miss.key);
        }
    }

    /// Makes a batch of what the engine itself changed.
    pub(super) fn settle_own(&mut self) {
        let now_ms = self.server.now_ms;
        let (group, clients) = (&mut self.group, &mut self.clients);
        self.keys.settle(|seq, ops| {
            clients.note_changes(ops);
            group.push(seq, now_ms, ops);
        });
        self.keys.take_shown();
    }

    fn round(&mut self) {
        let stats = &mut self.server.stats;
        let now = [stats.commands, stats.bytes_in, stats.bytes_out];
        let before = std::mem::replace(&mut self.upkeep.counted, now);
        let rate = |at: usize| now[at].saturating_sub(before[at]) * 1_000_000 / ROUND_US;
        (stats.commands_per_s, stats.bytes_per_s) = (rate(0), [rate(1), rate(2)]);
        self.mind_trash();
        self.go_on_walking();
        self.go_on_with_hints();
        self.mind_timeouts();
        self.mind_spares();
        self.mind_pin();
    }

    /// Has some of the trash removed, once it has lain there for a while: whoever has removed
    /// something large is likely to ask for more, and reading and freeing thousands of inodes takes
    /// the disk from the journal. On a full disk there is no time to lose.
    fn mind_trash(&mut self) {
        let rests = |since_us| self.pipeline.now_us < since_us + TRASH_REST_US;
        let due = self
            .upkeep
            .trash_since_us
            .is_some_and(|since_us| self.server.refusing.is_some() || !rests(since_us));
        if due && self.is_free(Lane::Sweeper) {
            self.upkeep.trash_since_us = None; // Unless something comes meanwhile, or is left.
            self.post(Job::Sweep);
        }
    }

    /// Some of the trash was removed, and of so many things there is more. It comes with the next
    /// rounds; at once on a full disk, and where more is removed than freed at that pace.
    pub(super) fn swept(&mut self, things: usize) {
        if things > 0 {
            self.upkeep.trash_since_us = Some(0);
        }
        if things > TRASH_MANY || self.server.refusing.is_some() {
            self.mind_trash();
        }
    }

    /// Something may have come into the trash.
    pub(super) fn note_trash(&mut self) {
        self.upkeep.trash_since_us.get_or_insert(self.pipeline.now_us);
    }

    fn is_free(&self, lane: Lane) -> bool {
        self.busy.get(&lane).is_none_or(|busy| *busy == 0)
    }

    fn go_on_walking(&mut self) {
        if self.is_free(Lane::Lister) && self.keys.take_walk_wanted() {
            self.post(Job::MarkHints(false));
            self.upkeep.walk = Some(Walk { db: 0, position: 0, deadlines: true });
        }
        if let Some(Walk { db, position, deadlines }) = self.upkeep.walk
            && self.is_free(Lane::Lister)
        {
            self.post(Job::Walk { db, position, deadlines });
        }
    }

    /// A walk brought names: they enter the filter, their deadlines are filed.
    pub(super) fn walked(
        &mut self,
        db: Db,
        names: &[Key],
        deadlines: Vec<(Key, u64)>,
        next: Option<u64>,
    ) {
        if self.keys.is_walk_wanted() {
            // Databases changed places meanwhile.
            self.upkeep.walk = None;
            return self.go_on_walking();
        }
        self.keys.add_names(db, names);
        if !deadlines.is_empty() {
            self.file_hints(db, deadlines);
        }
        let Some(walk) = &mut self.upkeep.walk else { return };
        match next {
            Some(position) => walk.position = position,
            None => {
                walk.db += 1;
                walk.position = 0;
            }
        }
        if walk.db == DATABASES {
            let deadlines = walk.deadlines;
            self.upkeep.walk = None;
            self.keys.set_filter_complete(true);
            if deadlines {
                self.post(Job::MarkHints(true));
            }
        }
        self.go_on_walking();
    }

    /// Files deadlines that the tree was found to have, in memory and as hints on disk.
    fn file_hints(&mut self, db: Db, deadlines: Vec<(Key, u64)>) {
        let now_ms = self.server.now_ms;
        let mut hints = Vec::with_capacity(deadlines.len());
        for (key, ms) in deadlines {
            self.keys.expiry.file(ms, db, key.clone(), now_ms);
            hints.push((expiry::minute(ms), db, key));
        }
        self.upkeep.minutes.extend(hints.iter().map(|(minute, ..)| *minute));
        self.post(Job::FileHints(hints));
    }

    fn go_on_with_hints(&mut self) {
        if !self.upkeep.names.is_empty() || !self.is_free(Lane::Sweeper) {
            return;
        }
        match &self.upkeep.reading {
            Some(Reading { minute, next: Some(offset), .. }) => {
                self.post(Job::ReadHints(*minute, *offset));
            }
            Some(Reading { minute, next: None, ahead }) => {
                let (minute, ahead) = (*minute, *ahead);
                self.upkeep.reading = None;
                if !ahead {
                    self.upkeep.minutes.remove(&minute);
                    self.post(Job::RemoveHints(minute));
                }
                self.begin_reading();
            }
            None => self.begin_reading(),
        }
    }

    /// Turns to the hints of the next minute that is over, or else of one to be read ahead.
    fn begin_reading(&mut self) {
        let now = expiry::minute(self.server.now_ms);
        let over = self.upkeep.minutes.first().copied().filter(|minute| *minute < now);
        let Some(minute) = over.or_else(|| self.upkeep.ahead.pop_first()) else { return };
        self.upkeep.reading = Some(Reading { minute, next: Some(0), ahead: over.is_none() });
        self.post(Job::ReadHints(minute, 0));
    }

    /// Hints were read: each key is looked at in the next ticks.
    pub(super) fn take_hints(&mut self, hints: Hints) {
        self.upkeep.names = hints.keys;
        if let Some(reading) = &mut self.upkeep.reading {
            reading.next = hints.next;
        }
    }

    /// Notes what the writer did: files of hints, trash, its speed.
    pub(super) fn note_applied(&mut self, _applied: &Applied, took_us: u64) {
        self.note_trash();
        if let Some(layer) = self.keys.backlog.applying() {
            self.upkeep.minutes.extend(layer.hints.iter().map(|(minute, ..)| *minute));
            let bytes_per_s = layer.weight().bytes as u64 * 1_000_000 / took_us.max(1);
            let before = self.server.stats.apply_bytes_per_s;
            self.server.stats.apply_bytes_per_s =
                if before == 0 { bytes_per_s } else { (before * 7 + bytes_per_s) / 8 };
        }
    }

    /// Asks for spare segments of the journal ahead of need.
    pub(super) fn mind_spares(&mut self) {
        let spares = self.server.journal.spares;
        // A step of making one keeps the journal from syncing: best done while nobody waits.
        let wanted = if self.is_idle() { self.pipeline.spares_wanted } else { SPARES_MIN };
        let has_room = self.server.space.bytes_free >= 2 * self.pipeline.segment_bytes;
        if spares < wanted.min(self.pipeline.spares_wanted)
            && has_room
            && !self.pipeline.committing
            && !self.pipeline.preparing
        {
            self.pipeline.preparing = true;
            self.post(Job::Prepare);
        }
    }

    /// Gives a backup up whose journal has grown too long.
    pub(super) fn mind_pin(&mut self) {
        let Some(backup) = self.server.backup.as_mut().filter(|backup| !backup.lost) else {
            return;
        };
        let limit = self.server.config.backup_journal_bytes;
        let tenth = self.server.space.bytes_free / 10;
        if self.server.journal.bytes_pinned > limit.min(tenth) {
            backup.lost = true;
            self.post(Job::DropPin);
        }
    }

    /// Disconnects clients that were idle for longer than the configured timeout.
    fn mind_timeouts(&mut self) {
        let timeout_ms = self.server.config.timeout * 1000;
        if timeout_ms == 0 {
            return;
        }
        let now_ms = self.server.now_ms;
        let idle = |client: &&Client| {
            !client.blocked && now_ms.saturating_sub(client.active_ms) > timeout_ms
        };
        let idle: Vec<_> = self.clients.iter().filter(idle).map(|client| client.id).collect();
        for id in idle {
            self.clients.close(id, Closing::AtOnce);
        }
    }
}

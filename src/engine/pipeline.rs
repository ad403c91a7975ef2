//! From batch to tree: groups to the journal, layers to the writer, checkpoints, room on the disk.
//!
//! Each step has one decision: [`Engine::commit`] when a group goes to the journal,
//! [`Engine::feed_writer`] what the writer does next, [`Engine::check_room`] whether writes are
//! refused. All of them are asked in every tick and answer from the state alone.

use super::Engine;
use crate::backlog::Layer;
use crate::command::server::Shutdown;
use crate::config::Fsync;
use crate::journal::Group;
use crate::keyspace::Need;
use crate::lanes::{Ask, Job, Question};
use crate::layout::op::{DATABASES, Db, Key, Seq, Type};
use std::collections::VecDeque;
use std::sync::Arc;

/// A layer for the writer has about this many bytes: some hundred keys.
const LAYER_BYTES: usize = 128 << 10;
/// While the loop is busy the writer waits until more than this of the backlog's bound is full.
const BUSY_PERCENT: usize = 75;
/// The loop is idle when no command came for so long.
pub const IDLE_US: u64 = 5_000;
/// A reply waits so long for the tree where the backlog was empty and others want to be served,
const HOLD_US: u64 = 3_000;
/// and so long where nobody else does.
const HOLD_ALONE_US: u64 = 5_000;
/// Together with what the journal took the wait is to stay below this,
const HOLD_WITH_JOURNAL_US: u64 = 12_000;
/// but is never shorter than what the writer needs for a key or two.
const HOLD_MIN_US: u64 = 1_500;
/// A group of more batches than this is not waited for: the server is not idle.
const HOLD_BATCHES_MAX: usize = 2;
/// A slower sync than this is an exception, and not waited for in proportion.
const COMPANY_US_MAX: u64 = 2_000;
/// Serving overlaps with syncing where it takes longer than so many syncs: for less the one more
/// sync costs what the overlap saves.
const OVERLAP_SYNCS: u64 = 2;
/// Between checkpoints while few commands come,
const CHECKPOINT_US: u64 = 300_000;
/// and so many batches of theirs: the next sync of the journal waits for what a checkpoint has to
/// write, and that is to be little.
const CHECKPOINT_BATCHES: Seq = 16;
/// Between checkpoints while many commands come: they take the disk from the journal, and from the
/// replies that wait for the tree.
const CHECKPOINT_BUSY_US: u64 = 2_000_000;
/// Between syncs of the journal with `everysec` and `no`.
const SYNC_US: u64 = 1_000_000;
/// Between looks at the free space.
const SPACE_US: u64 = 20_000;
/// Between tries of what a full disk refused.
const RETRY_US: u64 = 100_000;
/// Of the file system this share is never used by what is in the backlog.
const RESERVE_SHARE: u64 = 64;
/// Inodes of a new key: its directory and its value, and now and then a type file of its own.
const KEY_INODES: u64 = 3;

/// Where batches, groups and layers are.
#[derive(Default)]
pub(super) struct Pipeline {
    /// Replies that speak of batches up to here may leave.
    pub visible: Seq,
    /// The newest batch that was handed to the journal.
    pub submitted: Seq,
    /// A group is at the journal.
    pub committing: bool,
    /// How many batches it has.
    pub committing_batches: usize,
    /// When it was handed over.
    pub sent_us: u64,
    /// So long clients have been served since the group that is being filled got its first batch.
    pub served_us: u64,
    /// How many batches the last group had, and those that came meanwhile.
    pub company: usize,
    /// The next group waits for as many until then.
    pub company_until_us: u64,
    /// A group that found no room in the journal, to be tried again.
    pub refused_group: Option<(Group, bool)>,
    /// Memory of the last group.
    pub spare_group: Group,
    /// Replies have waited for the tree since then.
    pub held_since_us: Option<u64>,
    /// The writer has a job.
    pub writing: bool,
    /// The tree is being synced.
    pub syncing: bool,
    /// The writer has written since it was last to be synced.
    pub unsynced: bool,
    /// What the listing that runs looks at: that the writer leaves as it is.
    pub listed: Option<Scope>,
    /// The next listing waits until the writer has had its turn.
    pub writer_turn: bool,
    /// Listings that wait until the writer has no job.
    pub listings: VecDeque<Listing>,
    /// The disk refused something.
    pub full: bool,
    /// The clock of this tick.
    pub now_us: u64,
    /// When the last command came.
    pub last_command_us: u64,
    /// When the journal was last asked to sync.
    pub last_sync_us: u64,
    /// When the tree was last asked to sync, or later still had nothing to be synced.
    pub last_synced_us: u64,
    /// Up to where the journal was last told that the tree is synced.
    pub trimmed: Seq,
    /// When the free space was last asked for.
    pub last_space_us: u64,
    /// When what a full disk refused is tried again.
    pub retry_us: u64,
    /// Spare segments are being made.
    pub preparing: bool,
    /// How many spare segments the journal is asked to keep.
    pub spares_wanted: usize,
    /// Size of a segment of the journal.
    pub segment_bytes: u64,
}

/// A listing of all names of a database.
pub(super) enum Listing {
    /// For KEYS.
    Names(crate::command::client::ClientId, Db, Key),
    /// For a size.
    Count(Db),
    /// For a question about a collection.
    Elements(crate::command::client::ClientId, Need),
}

/// What a listing looks at.
pub(super) enum Scope {
    /// All names of a database.
    Tree,
    /// One key.
    Key(Db, Key),
}

impl Engine {
    /// Takes the time between two clients of a turn. Answers whether the group is to go to the
    /// journal although more clients wait to be served.
    pub fn outlasts_sync_at(&mut self, now_us: u64) -> bool {
        if self.paused.client().is_some() {
            return false;
        }
        let served_us = now_us.saturating_sub(self.pipeline.now_us);
        self.pipeline.now_us = now_us;
        if self.group.is_empty() {
            self.pipeline.served_us = 0;
            return false;
        }
        self.pipeline.served_us += served_us;
        self.outlasts_sync()
    }

    /// Whether serving the writers of a group takes so much longer than a sync that waiting for all
    /// of them would leave first the disk idle, and then the loop. Before the first sync that is
    /// not known.
    fn outlasts_sync(&self) -> bool {
        let sync_us = self.server.stats.sync_us;
        sync_us > 0 && self.pipeline.served_us >= OVERLAP_SYNCS * sync_us
    }

    /// Hands the group that was filled to the journal, if the journal is idle. `quiet` says that
    /// no more commands are waiting to be part of it.
    pub fn commit(&mut self, quiet: bool) {
        let waits = !quiet && !self.outlasts_sync();
        if self.pipeline.committing || waits || self.paused.client().is_some() {
            return;
        }
        let now_us = self.pipeline.now_us;
        let due = self.fsync() == Fsync::Always
            || now_us >= self.pipeline.last_sync_us + SYNC_US
            || self.waiting.presses()
            || self.server.shutdown.is_some();
        if let Some((group, sync)) =
            self.pipeline.refused_group.take_if(|_| now_us >= self.pipeline.retry_us)
        {
            return self.send_group(group, sync);
        }
        if self.pipeline.refused_group.is_some() {
            return;
        }
        if !self.group.is_empty() && !self.waits_for_company() {
            let spare = std::mem::take(&mut self.pipeline.spare_group);
            let group = std::mem::replace(&mut self.group, spare);
            self.keys.backlog.submit();
            self.pipeline.submitted = self.keys.backlog.issued();
            self.send_group(group, due);
            if self.fsync() == Fsync::No {
                self.show(self.pipeline.submitted);
            }
        } else if due && self.pipeline.submitted > self.keys.backlog.durable_seq() {
            self.send_group(Group::new(), true);
        }
    }

    /// Whether the group waits for the writers of the last one, who have just been answered: a
    /// quarter of a sync spent on that saves most of them one.
    fn waits_for_company(&self) -> bool {
        self.group.len() < self.pipeline.company
            && self.pipeline.now_us < self.pipeline.company_until_us
            && !self.outlasts_sync()
    }

    fn send_group(&mut self, group: Group, sync: bool) {
        self.pipeline.committing = true;
        self.pipeline.committing_batches = group.len();
        self.pipeline.sent_us = self.pipeline.now_us;
        self.pipeline.served_us = 0;
        if sync {
            self.pipeline.last_sync_us = self.pipeline.now_us;
        }
        self.post(Job::Commit { group, sync });
    }

    /// The group at the journal was written, and synced up to `durable` if it says so.
    pub(super) fn committed(&mut self, durable: Option<Seq>) {
        self.pipeline.committing = false;
        let Some(durable) = durable else {
            return self.show(self.pipeline.submitted);
        };
        self.server.stats.groups += 1;
        self.pipeline.company = self.pipeline.committing_batches + self.group.len();
        self.pipeline.company_until_us =
            self.pipeline.now_us + self.server.stats.sync_us.min(COMPANY_US_MAX) / 4;
        if self.pipeline.committing_batches > HOLD_BATCHES_MAX {
            // Those who are answered now have waited for this, and come again.
            self.pipeline.last_command_us = self.pipeline.now_us;
        }
        let was_written = self.keys.backlog.is_written();
        self.keys.backlog.synced(durable);
        let small = self.pipeline.committing_batches <= HOLD_BATCHES_MAX;
        // Moves take several syncs: nobody is to wait for those.
        let moves = self.keys.has_moves();
        let idle = was_written && small && !moves && !self.pipeline.full;
        if idle && self.fsync() == Fsync::Always && !self.keys.backlog.is_written() {
            self.pipeline.held_since_us = Some(self.pipeline.now_us);
        } else {
            self.show(self.pipeline.submitted.min(durable));
        }
        self.feed_writer();
    }

    /// Lets replies leave that speak of batches up to `seq`.
    pub(super) fn show(&mut self, seq: Seq) {
        self.pipeline.visible = self.pipeline.visible.max(seq);
        let visible = self.pipeline.visible;
        let (sessions, ready) = (&mut self.sessions, &mut self.ready);
        self.gated.retain(|id| {
            let Some(session) = sessions.get_mut(id) else { return false };
            session.release(visible);
            ready.push(*id);
            session.is_gated()
        });
    }

    /// When replies have waited long enough for the tree: a server that is idle waits longer.
    pub(super) fn hold_end_us(&self) -> Option<u64> {
        let since_us = self.pipeline.held_since_us?;
        let alone = self.pipeline.last_command_us <= since_us;
        let most_us = if alone { HOLD_ALONE_US } else { HOLD_US };
        let journal_us = since_us.saturating_sub(self.pipeline.sent_us);
        let left_us = HOLD_WITH_JOURNAL_US.saturating_sub(journal_us);
        Some(since_us + left_us.clamp(HOLD_MIN_US, most_us))
    }

    /// Ends the wait of replies for the tree, if there is one.
    pub(super) fn end_hold(&mut self) {
        if self.pipeline.held_since_us.take().is_some() {
            self.show(self.keys.backlog.durable_seq());
        }
    }

    /// Gives the writer its next job, if it has none and there is one worth it.
    pub(super) fn feed_writer(&mut self) {
        self.start_listing();
        self.feed_syncer();
        if self.pipeline.writing {
            return;
        }
        let layer = self.next_layer();
        if self.pipeline.listed.is_none() && self.feed_move() {
            return;
        }
        if let Some(layer) = layer {
            self.pipeline.writing = true;
            self.pipeline.unsynced = true;
            self.pipeline.writer_turn = false;
            self.post(Job::Apply(layer));
        } else if self.keys.backlog.is_written() {
            self.pipeline.writer_turn = false;
            self.start_listing();
        }
    }

    /// Has the tree synced, if that is due.
    fn feed_syncer(&mut self) {
        // What is left out for a listing holds the number back, and is no reason to sync nothing.
        let nothing_new = self.keys.backlog.applied_seq() <= self.server.checkpoint;
        let synced = nothing_new && !self.pipeline.unsynced;
        let due = !synced && !self.pipeline.syncing && self.checkpoint_due();
        if synced || due {
            self.pipeline.last_synced_us = self.pipeline.now_us;
        }
        if due {
            self.pipeline.syncing = true;
            self.pipeline.unsynced = false;
            self.post(Job::SyncTree(self.keys.backlog.applied_seq()));
        }
        let synced = self.server.checkpoint;
        if synced > self.pipeline.trimmed.max(self.server.journal.checkpoint) && self.trim_due() {
            self.pipeline.trimmed = synced;
            self.post(Job::Trim(synced));
        }
    }

    /// Whether the journal is to know how far the tree is synced. Noting it durably holds the next
    /// group up, so it is done where something depends on it, a segment may become free, or nobody
    /// is waiting.
    fn trim_due(&self) -> bool {
        self.is_idle()
            || self.server.journal.bytes_live >= self.pipeline.segment_bytes
            || self.keys.backlog.moves_due().is_some()
            || self.waiting.backup_asked
            || self.server.shutdown.is_some()
    }

    /// Has the moves that come next brought about, once a checkpoint has all that is older. Answers
    /// whether the writer is busy with that.
    fn feed_move(&mut self) -> bool {
        let Some((seq, moves)) = self.keys.backlog.moves_due() else { return false };
        if self.pipeline.full && self.pipeline.now_us < self.pipeline.retry_us {
            // It was refused for want of room, and is tried again later.
        } else if self.server.journal.checkpoint + 1 >= seq {
            let job = Job::Move(seq, moves.to_vec());
            self.pipeline.writing = true;
            self.post(job);
        }
        true
    }

    /// What the writer is to apply next, if it is to work.
    fn next_layer(&mut self) -> Option<Arc<Layer>> {
        let without = match &self.pipeline.listed {
            None => None,
            Some(Scope::Tree) => return None,
            Some(Scope::Key(db, key)) => Some((*db, key.clone())),
        };
        let without = without.as_ref().map(|(db, key)| (*db, key));
        if self.pipeline.full {
            self.layer_for_full_disk(without)
        } else if self.writer_goes() {
            self.keys.backlog.take(LAYER_BYTES, without)
        } else {
            None
        }
    }

    fn layer_for_full_disk(&mut self, without: Option<(Db, &Key)>) -> Option<Arc<Layer>> {
        let removals = self.keys.backlog.take_removals(without);
        let early = self.pipeline.now_us < self.pipeline.retry_us;
        if removals.is_some() || early || self.keys.backlog.moves_due().is_some() {
            return removals; // Moves that are due are what is tried again.
        }
        self.pipeline.retry_us = self.pipeline.now_us + RETRY_US;
        self.keys.backlog.take(LAYER_BYTES, without)
    }

    /// Whether the writer works now or yields to the loop.
    fn writer_goes(&self) -> bool {
        let bound = self.server.config.backlog_bytes as usize;
        self.pipeline.held_since_us.is_some()
            || self.is_idle()
            || self.waiting.presses()
            || self.server.save_wanted > self.server.checkpoint
            || self.server.shutdown.is_some()
            || self.pipeline.writer_turn
            || self.keys.has_moves()
            || self.keys.backlog.durable_bytes() > bound / 100 * BUSY_PERCENT
            || self.journal_is_long()
    }

    /// Whether nobody asks for anything, and nobody waits for the journal.
    pub(super) fn is_idle(&self) -> bool {
        let busy = self.pipeline.committing && self.pipeline.committing_batches > HOLD_BATCHES_MAX;
        !busy && self.pipeline.now_us >= self.pipeline.last_command_us + IDLE_US
    }

    fn journal_is_long(&self) -> bool {
        self.server.journal.bytes_live > self.server.config.journal_bytes()
    }

    fn checkpoint_due(&self) -> bool {
        let applied = self.keys.backlog.applied_seq();
        let waiting = &self.waiting;
        let synced = waiting.synced.iter().map(|(seq, _)| *seq);
        let backups = waiting.backup_start.iter().map(|(seq, ..)| *seq);
        let waited =
            synced.chain(backups).any(|seq| seq > self.server.checkpoint && seq <= applied)
                || self.keys.backlog.moves_due().is_some()
                || (self.server.checkpoint + 1..=applied).contains(&self.server.save_wanted);
        let few = self.is_idle() || self.pipeline.committing_batches <= HOLD_BATCHES_MAX;
        let pause_us = match applied - self.server.checkpoint {
            _ if !few => CHECKPOINT_BUSY_US,
            batches if batches >= CHECKPOINT_BATCHES => 0,
            _ => CHECKPOINT_US,
        };
        self.pipeline.now_us >= self.pipeline.last_synced_us + pause_us
            || self.server.shutdown.is_some()
            || self.journal_is_long()
            || waited
    }

    /// Starts the next listing once the writer has no job: the names it does not know of stay.
    fn start_listing(&mut self) {
        let pipeline = &self.pipeline;
        let busy = pipeline.writing || pipeline.listed.is_some() || pipeline.writer_turn;
        if busy || self.keys.has_moves() {
            return;
        }
        let Some(listing) = self.pipeline.listings.pop_front() else { return };
        self.pipeline.listed = Some(Scope::Tree);
        match listing {
            Listing::Names(id, db, pattern) => {
                let overlay = self.keys.overlay(db);
                let bytes_max = self.server.config.reply_bytes;
                self.post(Job::Names { id, db, pattern, overlay, bytes_max });
            }
            Listing::Elements(id, need) => {
                let question = self.question(need);
                self.pipeline.listed = Some(Scope::Key(question.db, question.key.clone()));
                self.post(Job::Ask(id, question));
            }
            Listing::Count(db) => {
                let overlay = self.keys.overlay(db);
                let present = overlay.names.values().filter(|present| **present).count();
                self.keys.sizes.begin_count(db, present);
                self.post(Job::Count(db, overlay));
            }
        }
    }

    /// A question about all elements of a collection, with what memory knows better.
    fn question(&mut self, need: Need) -> Question {
        match need {
            Need::Elements { db, key, kind, what } => {
                let overlay = self.keys.element_overlay(db, &key, kind);
                let ask = Ask::Elements(what, overlay, self.server.config.reply_bytes);
                Question { db, key, kind, ask }
            }
            Need::Ranks { db, key, count_all } => {
                let kind = Type::Zset;
                let overlay = self.keys.score_overlay(db, &key);
                let count = self.keys.known_count(db, &key);
                self.keys.begin_ask(db, &key);
                let ask = Ask::Ranks { overlay, count, kept_max: self.keys.kept_max(), count_all };
                Question { db, key, kind, ask }
            }
            Need::Range { db, key, asked } => {
                let kind = Type::Zset;
                let overlay = self.keys.score_overlay(db, &key);
                let count = self.keys.known_count(db, &key);
                let ask = Ask::Range(overlay, count, asked, self.server.config.reply_bytes);
                Question { db, key, kind, ask }
            }
            Need::ElementCount { db, key, kind } => {
                let overlay = self.keys.element_overlay(db, &key, kind);
                self.keys.begin_ask(db, &key);
                Question { db, key, kind, ask: Ask::Count(overlay) }
            }
            _ => unreachable!("other needs have no listing"),
        }
    }

    /// A listing is done: the writer goes on before the next one.
    pub(super) fn end_listing(&mut self) {
        self.keys.end_ask();
        self.pipeline.listed = None;
        self.pipeline.writer_turn = true;
        self.feed_writer();
    }

    /// The writer did what it could; `failed` found no room on the disk.
    pub(super) fn applied(&mut self, failed: &[(Db, Key)], was_full: bool) {
        self.pipeline.writing = false;
        self.keys.applied(failed);
        self.pipeline.full = was_full || (self.pipeline.full && !self.keys.backlog.is_written());
        if was_full {
            self.note_full();
        } else {
            self.pipeline.retry_us = 0; // There was room, perhaps there is more.
        }
        self.pipeline.last_space_us = 0;
        self.check_room();
        self.end_hold();
        self.wake();
        self.feed_writer();
    }

    /// The disk has refused something: it is tried again after a pause.
    pub(super) fn note_full(&mut self) {
        self.pipeline.full = true;
        self.pipeline.retry_us = self.pipeline.now_us + RETRY_US;
    }

    /// Refuses writes where what is in the backlog might find no room, and admits them again.
    pub(super) fn check_room(&mut self) {
        let now_us = self.pipeline.now_us;
        if now_us < self.pipeline.last_space_us + SPACE_US {
            return;
        }
        self.pipeline.last_space_us = now_us;
        match self.disk.space() {
            Ok(space) => self.server.space = space,
            Err(error) => return log::warn!("cannot ask for the free space: {error}"),
        }
        self.server.refusing = self.lacking_room().map(|lack| {
            format!(
                "MISCONF The disk below ROOT_DIR is full: {lack}. Writes are refused; reads and \
                 deletions go on. Free some space."
            )
        });
    }

    fn lacking_room(&self) -> Option<String> {
        let space = &self.server.space;
        let weight = self.keys.backlog.weight();
        let new_keys = weight.new_keys as u64;
        let reserve = (space.bytes_total / RESERVE_SHARE).clamp(64 << 10, 256 << 20);
        let blocks = new_keys * 2 * space.block_bytes;
        let bytes = reserve + blocks + weight.bytes as u64;
        let inodes = 64 + new_keys * KEY_INODES;
        let journal = &self.server.journal;
        if self.pipeline.full || self.pipeline.refused_group.is_some() {
            return Some("it has refused a write".into());
        }
        if space.bytes_free < bytes {
            let free = space.bytes_free;
            return Some(format!("{free} bytes are free and {bytes} may be needed"));
        }
        if space.inodes_free < inodes {
            let free = space.inodes_free;
            return Some(format!("{free} inodes are free and {inodes} may be needed"));
        }
        let segment = self.pipeline.segment_bytes;
        if journal.bytes_room < segment && space.bytes_free < bytes + 2 * segment {
            let room = journal.bytes_room;
            return Some(format!("the journal has room for {room} bytes and cannot grow"));
        }
        None
    }

    /// Lets parked commands go on whose need is met.
    pub(super) fn wake(&mut self) {
        use crate::keyspace::Grant;
        let applied = self.keys.backlog.applied_seq();
        let done = self.waiting.moved.extract_if(.., |(seq, _)| *seq <= applied);
        self.runnable.extend(done.map(|(_, id)| id));
        let done = self.waiting.applied.extract_if(.., |(seq, _)| *seq <= applied);
        let mut granted: Vec<_> = done.map(|(_, id)| id).collect();
        let checkpoint = self.server.checkpoint;
        let done = self.waiting.synced.extract_if(.., |(seq, _)| *seq <= checkpoint);
        granted.extend(done.map(|(_, id)| id));
        for id in granted {
            self.grant(id, Grant::Done);
        }
        let done = self.waiting.backup_start.extract_if(.., |(seq, ..)| *seq <= checkpoint);
        let begun: Vec<_> = done.collect();
        for (_, name, id) in begun {
            self.waiting.backup_began.push(id);
            self.waiting.backup_asked = true;
            self.feed_syncer(); // The backup begins at the checkpoint.
            self.post(Job::BeginBackup(name));
        }
        let has_room = self.server.has_room(self.keys.backlog.weight(), 1, false);
        // On a full disk those who wait are told so.
        if has_room || self.keys.backlog.is_empty() || self.server.refusing.is_some() {
            for id in std::mem::take(&mut self.waiting.room) {
                if self.sessions.contains_key(&id) {
                    self.runnable.push_back(id);
                }
            }
        }
    }

    /// Whether a group waits to be handed to the journal.
    pub fn wants_commit(&self) -> bool {
        !self.pipeline.committing && !self.group.is_empty() && self.pipeline.refused_group.is_none()
    }

    /// Has the sizes noted that are known: the last thing of a clean stop.
    pub fn record_sizes(&mut self) {
        let sizes = (0..DATABASES).filter_map(|db| Some((db, self.keys.sizes.known(db)?)));
        let job = Job::RecordSizes(sizes.collect(), self.keys.large_collections());
        self.post(job);
    }

    /// Whether a stop that drains has nothing left to do.
    pub fn is_drained(&self) -> bool {
        let backlog = &self.keys.backlog;
        let journal_done = !self.pipeline.committing && self.group.is_empty();
        journal_done
            && backlog.is_empty()
            && !self.pipeline.writing
            && self.server.checkpoint >= backlog.issued()
            && self.server.journal.checkpoint >= backlog.issued()
    }

    /// Whether what was issued is durable: what SHUTDOWN NOSAVE waits for.
    pub fn is_durable(&self) -> bool {
        !self.pipeline.committing && self.keys.backlog.durable_seq() >= self.keys.backlog.issued()
    }

    /// Whether a stop was asked for, and which.
    pub fn shutdown(&self) -> Option<Shutdown> {
        self.server.shutdown
    }
}

//! What helpers answer: each report changes the engine's state and wakes who waited for it.

use super::Engine;
use crate::command::server::Backup;
use crate::keyspace::{Error, Found, Grant, Miss, Stop};
use crate::lanes::{Job, Lane, Report};
use std::io;

impl Engine {
    /// Takes in what a helper answered.
    pub fn take_report(&mut self, lane: Lane, report: Report) {
        if self.paused.client().is_some() {
            return self.stashed.push((lane, report));
        }
        if let Some(busy) = self.busy.get_mut(&lane) {
            *busy -= 1;
        }
        match report {
            Report::Committed { .. }
            | Report::JournalFull(..)
            | Report::Journal(_)
            | Report::Prepared(..) => {
                self.take_journal_report(report);
            }
            Report::BackupBegan(name, first, status) => {
                self.server.journal = status;
                let since_ms = self.server.now_ms;
                self.server.backup = Some(Backup { id: name, first, since_ms, lost: false });
                self.backup_began(None);
            }
            Report::BackupRefused(error) => self.backup_began(Some(error)),
            Report::BackupEnded(whole, status) => {
                self.server.journal = status;
                self.backup_ended(whole);
            }
            Report::Applied(applied, took_us) => {
                self.note_applied(&applied, took_us);
                self.applied(&applied.failed, applied.full.is_some());
            }
            Report::Moved(seq) => self.moved(seq),
            Report::MovesRefused => {
                self.pipeline.writing = false;
                self.note_full();
            }
            Report::TreeSynced(seq) => self.tree_synced(seq),
            Report::Large(miss) => self.post(Job::LoadLarge(miss)),
            Report::Loaded(miss, loaded) => self.loaded(&miss, loaded),
            Report::Answer(..)
            | Report::Whole(..)
            | Report::Histogram(..)
            | Report::ElementsCounted(..) => self.take_answer(report),
            Report::Counted(db, count) => {
                self.counted(db, count);
                self.end_listing();
            }
            Report::Walked { db, names, deadlines, next } => {
                self.walked(db, &names, deadlines, next);
            }
            Report::Swept(things) => self.swept(things),
            Report::Hints(hints) => self.take_hints(hints),
            Report::Idle(lane) => {
                if lane == Lane::Writer {
                    self.pipeline.writing = false;
                }
            }
            Report::Fatal(text) => self.fatal = Some(text),
        }
    }

    /// Takes in what a parked command asked for.
    fn take_answer(&mut self, report: Report) {
        let (id, grant, listing) = match report {
            Report::Answer(id, grant, listing) => {
                (id, grant.unwrap_or_else(Grant::Failed), listing)
            }
            Report::Whole(id, db, key, zset) => {
                self.keys.keep(db, &key, zset);
                (id, Grant::Ranked { counted: true }, true)
            }
            Report::Histogram(id, db, key, histogram) => {
                let counted = histogram.is_counted();
                self.keys.end_histogram(db, &key, histogram);
                (id, Grant::Ranked { counted }, true)
            }
            Report::ElementsCounted(id, db, key, count) => {
                let grant = count.map(|count| {
                    self.keys.end_count(db, &key, count);
                    Grant::Done
                });
                (id, grant.unwrap_or_else(Grant::Failed), true)
            }
            _ => unreachable!("the caller passes answers"),
        };
        self.grant(id, grant);
        if listing {
            self.end_listing();
        }
    }

    fn take_journal_report(&mut self, report: Report) {
        match report {
            Report::Committed { group, durable, took_us, status } => {
                self.pipeline.spare_group = group;
                self.server.journal = status;
                if durable.is_some() {
                    self.server.stats.sync_us = took_us;
                    self.note_sync(took_us / 1000);
                }
                self.committed(durable);
                self.mind_spares();
                self.mind_pin();
            }
            Report::JournalFull(group, sync) => {
                self.pipeline.committing = false;
                self.pipeline.refused_group = Some((group, sync));
                self.pipeline.retry_us = self.pipeline.now_us + 20_000;
                self.pipeline.last_space_us = 0;
                self.check_room();
            }
            Report::Journal(status) => self.server.journal = status,
            Report::Prepared(had_room, status) => {
                self.pipeline.preparing = false;
                self.server.journal = status;
                if had_room {
                    self.mind_spares();
                } // Else it is tried again in the next round.
            }
            _ => unreachable!("the caller passes reports of the journal"),
        }
    }

    /// Notes a slow sync of the journal for LATENCY, under Redis' name.
    fn note_sync(&mut self, ms: u64) {
        let threshold = self.server.config.latency_monitor_threshold;
        if threshold > 0 && ms >= threshold {
            self.server.profile.note_event("aof-fsync-always", self.server.now_ms / 1000, ms);
        }
    }

    fn moved(&mut self, seq: u64) {
        self.pipeline.writing = false;
        self.pipeline.full = false;
        self.keys.backlog.moved();
        self.keys.moves_done(seq);
        self.note_trash();
        self.wake();
        self.feed_writer();
    }

    fn tree_synced(&mut self, seq: u64) {
        self.pipeline.syncing = false;
        self.server.checkpoint = seq;
        self.server.checkpoint_ms = self.server.now_ms;
        self.server.stats.checkpoints += 1;
        self.wake();
        self.feed_writer();
    }

    fn backup_began(&mut self, refused: Option<Error>) {
        self.waiting.backup_asked = false;
        self.mind_backup();
        for id in std::mem::take(&mut self.waiting.backup_began) {
            self.grant(id, refused.clone().map_or(Grant::Done, Grant::Failed));
        }
    }

    /// Notes whether a backup runs, and lets those go on who waited until none does.
    fn mind_backup(&mut self) {
        self.server.backing_up = self.server.backup.is_some() || self.waiting.backup_begins();
        if !self.server.backing_up {
            for id in std::mem::take(&mut self.waiting.no_backup) {
                self.grant(id, Grant::Done);
            }
        }
    }

    fn backup_ended(&mut self, whole: bool) {
        self.server.backup = None;
        self.mind_backup();
        for id in std::mem::take(&mut self.waiting.backup_stop) {
            let lost = "ERR the backup was lost: the server was restarted, or the journal grew \
                        beyond DREDIS_BACKUP_JOURNAL_BYTES or a tenth of the free space; start \
                        a new one";
            let grant = if whole { Grant::Done } else { Grant::Failed(Error::fixed(lost)) };
            self.grant(id, grant);
        }
    }

    fn loaded(&mut self, miss: &Miss, loaded: io::Result<Option<Found>>) {
        let result = self.keys.end_load(miss, loaded);
        let waiters = self.loading.remove(miss).unwrap_or_default();
        for id in waiters {
            let Some(session) = self.sessions.get_mut(&id) else { continue };
            let Some(parked) = &mut session.parked else { continue };
            if let Err(Stop::Error(error)) = &result {
                parked.failed = Some(error.clone());
            } else {
                self.keys.pin(id, miss.db, &miss.key);
            }
            parked.loads = parked.loads.saturating_sub(1);
            if parked.loads == 0 {
                self.runnable.push_back(id);
            }
        }
        self.look_at_loaded(miss, result.is_ok());
    }

    fn counted(&mut self, db: u16, count: io::Result<u64>) {
        let grant = match count {
            Ok(count) => {
                self.keys.sizes.end_count(db, count);
                None
            }
            Err(error) => Some(Error::new(format!("ERR cannot read {error}"))),
        };
        let done = self.waiting.counts.extract_if(.., |(of, _)| *of == db);
        let waiters: Vec<_> = done.map(|(_, id)| id).collect();
        for id in waiters {
            self.grant(id, grant.clone().map_or(Grant::Done, Grant::Failed));
        }
    }
}

//! What a script makes of a database: its state after each request, on a machine without faults
//! that does one thing at a time.
//!
//! A request may be left out, where another machine has refused it. Knows no crashes.

use super::script::{Script, Step};
use super::state::{self, State, Value};
use crate::support::machine::{Machine, Setup};
use crate::support::words;
use std::sync::Arc;

/// The states of a script.
pub struct Model {
    /// `states[n]` is the one after `n` requests of the writer.
    pub states: Vec<State>,
    /// What they replied.
    pub replies: Vec<Vec<u8>>,
}

impl Model {
    /// Runs a script; `refused` says which of its requests change nothing.
    pub fn of(script: &Script, refused: impl Fn(usize) -> bool) -> Model {
        let disk = script.disk(0);
        let usual = Setup::default();
        let (cache_bytes, backlog_bytes) = (usual.cache_bytes, 1 << 20);
        let setup = Setup { cache_bytes, backlog_bytes, ..script.setup(0) };
        let setup = Setup { fsync: usual.fsync, ..setup };
        disk.cold(0, 0);
        let start = |now_ms| {
            let setup = Setup { now_ms, ..setup };
            Machine::start(Arc::new(disk.clone()), &setup).expect("a disk without faults")
        };
        let mut machine = start(setup.now_ms);
        let mut writer = machine.connect();
        let mut model = Model { states: vec![State::new()], replies: Vec::new() };
        let mut backup = Vec::new();
        let mut db: Vec<u8> = b"0".to_vec();
        for step in &script.steps {
            match step {
                Step::Send(request) if !refused(model.replies.len()) => {
                    let request = with_backup(request, &backup);
                    let reply = machine.call(writer, &request);
                    note(&request, &reply, &mut backup, &mut db);
                    model.replies.push(reply);
                    assert!(machine.settle(), "{}: the tree comes to rest", script.name);
                    model.states.push(state::read(&disk.dump("")).expect("whole keys"));
                }
                Step::Send(request) => {
                    if request[0] == b"EXEC" {
                        machine.call(writer, &[b"DISCARD".to_vec()]); // As a refused EXEC does.
                    }
                    model.replies.push(Vec::new());
                    model.states.push(model.states.last().expect("the first one").clone());
                }
                Step::Wait(ms) => machine.advance(*ms),
                Step::Restart | Step::Stop => {
                    let now_ms = machine.now_ms();
                    drop(machine);
                    machine = start(now_ms);
                    writer = machine.connect();
                    machine.call(writer, &[b"SELECT".to_vec(), db.clone()]);
                }
                Step::Read(..) | Step::Settle | Step::Cut(_) | Step::Full | Step::Room => {}
            }
        }
        model
    }

    /// The first state from which on `key` of the first database had the value it had after `n`
    /// requests, as seen at this time.
    pub fn since(&self, key: &[u8], n: usize, now_ms: u64) -> usize {
        let shown = self.value(key, n, now_ms);
        (0..n).rev().take_while(|m| self.value(key, *m, now_ms) == shown).last().unwrap_or(n)
    }

    /// The value of a key of the first database after `n` requests, if it has not expired.
    pub fn value(&self, key: &[u8], n: usize, now_ms: u64) -> Option<&Value> {
        let content = self.states[n].get(&(0, key.to_vec()));
        let live = content.filter(|(_, deadline)| deadline.is_none_or(|ms| ms > now_ms));
        live.map(|(value, _)| value)
    }
}

/// A request with the id of the last backup put in.
pub fn with_backup(request: &[Vec<u8>], backup: &[u8]) -> Vec<Vec<u8>> {
    let put = |word: &Vec<u8>| if word == b"ID" { backup.to_vec() } else { word.clone() };
    request.iter().map(put).collect()
}

/// Remembers the id that BACKUP START replied, and the database chosen.
pub fn note(request: &[Vec<u8>], reply: &[u8], backup: &mut Vec<u8>, db: &mut Vec<u8>) {
    if request[0] == b"BACKUP" && request[1] == b"START" && reply.starts_with(b"$") {
        let line = words::reply_len(reply).expect("a whole reply");
        *backup = reply[5..line - 2].to_vec();
    }
    if request[0] == b"SELECT" {
        db.clone_from(&request[1]);
    }
}

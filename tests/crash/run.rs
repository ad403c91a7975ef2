//! One run of a script on one disk, up to its end or to the end of the disk.
//!
//! A writer sends the requests, a reader looks on. Between two requests the helpers take a few
//! turns, in an order drawn from a seed: the same seed makes the same calls of the disk, so that a
//! crash can be put at each of them. What came back to the clients is what must not be lost.

use super::model::{self, Model};
use super::script::{Script, Step};
use super::state::{self, Value};
use crate::support::machine::{Machine, Setup};
use crate::support::words::{reply_len, show};
use dredis::command::client::ClientId;
use dredis::disk::sim::{Cut, SimDisk};
use std::sync::Arc;

/// More turns than any wait takes.
const TURNS_MAX: usize = 50_000;
/// Most turns between two requests.
const BETWEEN_MAX: u64 = 8;

/// How far a run came.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// Requests that were sent.
    pub sent: usize,
    /// The state after so many of them was promised to survive the end of the program.
    pub told: usize,
    /// And so many the end of the power.
    pub safe: usize,
    /// What the writer was told.
    pub replies: Vec<Vec<u8>>,
    /// The wall clock at the end.
    pub now_ms: u64,
    /// Why the server stopped by itself, if it did.
    pub fatal: Option<String>,
    /// What the server got wrong.
    pub wrong: Option<String>,
}

/// A read under way: what was sent, and the requests that had run for sure by then.
struct Look {
    command: &'static str,
    key: Vec<u8>,
    from: usize,
}

struct Run<'a> {
    script: &'a Script,
    model: &'a Model,
    disk: &'a SimDisk,
    refuses: bool,
    setup: Setup,
    machine: Machine,
    writer: ClientId,
    reader: ClientId,
    progress: Progress,
    unread: [Vec<u8>; 2],
    look: Option<Look>,
    backup: Vec<u8>,
    db: Vec<u8>,
    /// Requests sent since the last restart begin here.
    pending: Vec<Vec<Vec<u8>>>,
}

/// Runs a script. `model` is of the same requests; with `refuses` the machine may refuse some of
/// them, and what it replies is not compared.
pub fn run(script: &Script, model: &Model, disk: &SimDisk, seed: u64, refuses: bool) -> Progress {
    let setup = script.setup(seed);
    let now_ms = setup.now_ms;
    let mut progress = Progress { now_ms, ..Progress::default() };
    let mut machine = match Machine::start(Arc::new(disk.clone()), &setup) {
        Ok(machine) => machine,
        Err(error) => {
            progress.fatal = Some(error.to_string());
            return progress;
        }
    };
    let (writer, reader) = (machine.connect(), machine.connect());
    let mut run = Run {
        script,
        model,
        disk,
        refuses,
        setup,
        machine,
        writer,
        reader,
        progress,
        unread: Default::default(),
        look: None,
        backup: Vec::new(),
        db: b"0".to_vec(),
        pending: Vec::new(),
    };
    for step in &script.steps {
        if !run.step(step) {
            return run.end();
        }
    }
    run.settle();
    if !run.is_over()
        && let Err(error) = run.machine.engine.keys.check()
    {
        run.progress.wrong.get_or_insert(error);
    }
    run.end()
}

impl Run<'_> {
    /// Does one step; answers whether the machine still runs.
    fn step(&mut self, step: &Step) -> bool {
        match step {
            Step::Send(request) => self.send(request),
            Step::Read(kind, key) => self.read(kind, key),
            Step::Wait(ms) => {
                self.wait_for_replies();
                self.machine.advance(*ms);
                self.disk.set_time_ms(self.machine.now_ms());
            }
            Step::Settle => self.settle(),
            Step::Restart => return self.restart(),
            Step::Stop => {
                self.settle();
                return !self.is_over() && self.machine.stop() && self.restart();
            }
            Step::Cut(seed) => {
                self.wait_for_replies();
                if self.is_over() {
                    return false;
                }
                self.progress.told = self.progress.safe;
                self.setup.now_ms = self.machine.now_ms();
                // The old program's files are closed first: it makes way for one on another disk.
                let spare = Arc::new(self.script.disk(0));
                self.machine = Machine::start(spare, &self.setup).expect("a new disk");
                self.disk.cut_here(Cut::Seed(*seed));
                return self.start();
            }
            Step::Full => self.disk.set_full(),
            Step::Room => self.script.give_room(self.disk),
        }
        !self.is_over()
    }

    fn send(&mut self, request: &[Vec<u8>]) {
        // A request that waits has not run: the next one comes behind it.
        self.turns(|run| !run.machine.engine.is_waiting(run.writer));
        if request.iter().any(|word| word == b"ID") {
            self.wait_for_replies();
        }
        if self.is_over() {
            return;
        }
        let request = model::with_backup(request, &self.backup);
        self.progress.sent += 1;
        self.machine.send(self.writer, &request);
        self.pending.push(request);
        let between = self.machine.chance(BETWEEN_MAX);
        self.receive();
        for _ in 0..between {
            self.turn();
        }
    }

    /// Requests that have run for sure.
    fn done(&self) -> usize {
        self.progress.sent - usize::from(self.machine.engine.is_waiting(self.writer))
    }

    fn read(&mut self, kind: &str, key: &[u8]) {
        self.turns(|run| run.look.is_none());
        let words = state::request_for(kind.as_bytes());
        self.look = Some(Look { command: words[0], key: key.to_vec(), from: self.done() });
        let mut request = vec![words[0].as_bytes(), key];
        request.extend(words[1..].iter().map(|word| word.as_bytes()));
        self.machine.send(self.reader, &request);
        self.receive();
        let between = self.machine.chance(BETWEEN_MAX);
        for _ in 0..between {
            self.turn();
        }
    }

    fn turn(&mut self) {
        if !self.is_over() {
            self.machine.turn();
            self.receive();
        }
    }

    fn turns(&mut self, until: impl Fn(&Self) -> bool) {
        for _ in 0..TURNS_MAX {
            if until(self) || self.is_over() {
                return;
            }
            self.turn();
        }
        let request = self.pending.last().map(|request| show(&request.join(&b' ')));
        let stuck = format!("the server is stuck at {}", request.unwrap_or_default());
        self.progress.wrong.get_or_insert(stuck);
    }

    fn wait_for_replies(&mut self) {
        self.turns(|run| run.progress.replies.len() == run.progress.sent && run.look.is_none());
    }

    fn settle(&mut self) {
        self.wait_for_replies();
        if !self.is_over() && self.machine.settle() {
            self.progress.told = self.progress.sent;
            self.progress.safe = self.progress.sent;
        } else if !self.is_over() {
            self.progress.wrong.get_or_insert("the tree does not come to rest".into());
        }
    }

    /// The program ends without a word and starts again: only what was told is sure to be there.
    fn restart(&mut self) -> bool {
        self.wait_for_replies();
        self.setup.now_ms = self.machine.now_ms();
        !self.is_over() && self.start()
    }

    fn start(&mut self) -> bool {
        match Machine::start(Arc::new(self.disk.clone()), &self.setup) {
            Ok(machine) => self.machine = machine,
            Err(error) => {
                self.progress.fatal = Some(error.to_string());
                return false;
            }
        }
        // What recovery found it has made durable before it served.
        self.progress.safe = self.progress.told;
        (self.writer, self.reader) = (self.machine.connect(), self.machine.connect());
        self.machine.call(self.writer, &[b"SELECT".to_vec(), self.db.clone()]);
        !self.is_over()
    }

    fn is_over(&self) -> bool {
        self.disk.is_down()
            || self.machine.engine.fatal().is_some()
            || self.progress.wrong.is_some()
    }

    /// Takes in what came to the clients.
    fn receive(&mut self) {
        let always = self.script.syncs_always();
        self.unread[0].append(&mut self.machine.receive(self.writer));
        while let Some(len) = whole(&self.unread[0]) {
            let reply: Vec<u8> = self.unread[0].drain(..len).collect();
            let request = self.pending.remove(0);
            model::note(&request, &reply, &mut self.backup, &mut self.db);
            let wanted = &self.model.replies[self.progress.replies.len()];
            let chance = request[0] == b"BACKUP" && reply.starts_with(b"$");
            let refused = self.refuses || reply.starts_with(b"-MISCONF");
            if reply != *wanted && !refused && !chance {
                let (got, wanted) = (show(&reply), show(wanted));
                let request = show(&request.join(&b' '));
                self.progress.wrong = Some(format!("{request} replied {got}, not {wanted}"));
            }
            self.progress.replies.push(reply);
            self.tell(self.progress.replies.len(), always);
        }
        self.unread[1].append(&mut self.machine.receive(self.reader));
        if let Some(len) = whole(&self.unread[1]) {
            let reply: Vec<u8> = self.unread[1].drain(..len).collect();
            self.seen(&reply, always);
        }
    }

    fn tell(&mut self, n: usize, always: bool) {
        self.progress.told = self.progress.told.max(n);
        if always {
            self.progress.safe = self.progress.safe.max(n);
        }
    }

    /// The reader was shown a value: the state it is of must not be lost any more.
    fn seen(&mut self, reply: &[u8], always: bool) {
        let Some(look) = self.look.take() else { return };
        if self.refuses {
            return; // Which writes were refused is not known yet.
        }
        let (model, now_ms) = (self.model, self.machine.now_ms());
        let wrong_type = reply.starts_with(b"-WRONGTYPE");
        let shown = if wrong_type { Ok(None) } else { state::shown(look.command, reply) };
        let matching = (look.from..=self.progress.sent).filter(|n| {
            let value = model.value(&look.key, *n, now_ms);
            match &shown {
                Ok(_) if wrong_type => value.is_some_and(|value| command_of(value) != look.command),
                Ok(shown) => value == shown.as_ref(),
                Err(_) => false,
            }
        });
        let since = matching.map(|n| model.since(&look.key, n, now_ms)).min();
        match since {
            Some(n) => self.tell(n, always),
            None => {
                let (key, command) = (show(&look.key), look.command);
                let told =
                    |value: Option<&Value>| value.map_or("nothing".into(), state::tell_value);
                let shown = shown.map_or_else(|error| error, |shown| told(shown.as_ref()));
                let is = told(model.value(&look.key, look.from, now_ms));
                self.progress.wrong =
                    Some(format!("{command} {key} showed {shown}, and there was {is}"));
            }
        }
    }

    fn end(mut self) -> Progress {
        if !self.disk.is_down() {
            self.receive();
        }
        self.progress.now_ms = self.machine.now_ms();
        if self.progress.fatal.is_none() {
            self.progress.fatal = self.machine.engine.fatal().map(str::to_string);
        }
        self.progress
    }
}

fn whole(bytes: &[u8]) -> Option<usize> {
    if bytes.is_empty() { None } else { reply_len(bytes) }
}

/// The command that shows such a value.
fn command_of(value: &Value) -> &'static str {
    let kind: &[u8] = match value {
        Value::String(_) => b"string",
        Value::Hash(_) => b"hash",
        Value::Set(_) => b"set",
        Value::Zset(_) => b"zset",
    };
    state::request_for(kind)[0]
}

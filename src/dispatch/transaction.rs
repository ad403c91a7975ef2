//! Transactions: what is queued between MULTI and EXEC, and how queues and scripts run as one
//! batch.
//!
//! Queued commands run one after the other, and nobody sees a part of what they do. Where one lacks
//! something of the tree, the others still run, to find out what they lack; then all is taken back,
//! a helper loads it, and the transaction runs again from its start. A script alone is a
//! transaction of one.

use super::script::{self, Came, Script};
use super::{Caller, Ground, admit_bytes, admit_disk, measure, note, run};
use crate::command::client::Queue;
use crate::command::table::{FREES, NO_MULTI, WRITE};
use crate::command::{Command, Error, Need, Program, Stop};
use crate::commands::transactions::runs_at_once;
use crate::keyspace::reply_too_long;
use crate::layout::op::Db;
use crate::resp::{Args, Protocol, Reply, Span};
use std::time::Instant;

/// A transaction is parked so often; then it reads what it lacks while everybody waits.
const PARKS_MAX: u32 = 16;

/// A transaction that is running.
pub(super) struct Transaction {
    caller: Caller,
    began: Instant,
    work: Work,
    /// The script of it that has begun.
    script: Option<Script>,
    /// The database and the protocol that the client had before.
    before: (Db, Protocol),
}

/// What a transaction does.
enum Work {
    /// A script alone.
    Script,
    /// A queue.
    Queue(Running),
}

/// A queue that is running.
struct Running {
    queue: Box<Queue>,
    /// The command that runs next.
    at: usize,
    /// The replies so far.
    replies: Vec<u8>,
    /// What it lacks.
    lacks: Option<Need>,
}

/// Whether this command is queued in place of being run.
pub(super) fn queues(ground: &Ground<'_>, caller: Caller, command: &Command) -> bool {
    let client = ground.clients.get(caller.id);
    client.is_some_and(|client| client.queue.is_some()) && !runs_at_once(command)
}

/// Queues a command. What is queued has the bound of a batch.
pub(super) fn queue(
    ground: &mut Ground<'_>,
    caller: Caller,
    command: &'static Command,
    args: Args<'_>,
    mut reply: Reply<'_>,
) -> Result<(), Stop> {
    let queue = ground.clients.get(caller.id).and_then(|client| client.queue.as_ref());
    let bytes = queue.map_or(0, |queue| queue.bytes) + weight(args);
    let admitted = match command.flags.has(NO_MULTI) {
        true => Err(Error::fixed("ERR Command not allowed inside a transaction").into()),
        false => ground.server.admit_batch(bytes),
    };
    note(ground, caller, |client| {
        let Some(queue) = &mut client.queue else { return };
        if admitted.is_ok() {
            queue.bytes = bytes;
            queue.commands.push((command, args.to_owned_args()));
        } else {
            **queue = Queue { refused: true, ..Queue::default() };
        }
    });
    admitted?;
    reply.simple("QUEUED");
    Ok(())
}

/// Bytes that a queued command takes in memory, about.
fn weight(args: Args<'_>) -> usize {
    args.total_bytes() + (args.len() + 4) * size_of::<Span>()
}

/// A command was refused: between MULTI and EXEC the transaction is, too. If it is EXEC itself,
/// this ends the transaction and says so.
pub(super) fn refuse(
    ground: &mut Ground<'_>,
    caller: Caller,
    args: Args<'_>,
    error: Error,
) -> Error {
    let queue = ground.clients.get_mut(caller.id).and_then(|client| client.queue.as_mut());
    let Some(queue) = queue else { return error };
    queue.refused = true;
    if !args.get(0).eq_ignore_ascii_case(b"exec") {
        return error;
    }
    ground.clients.end_transaction(caller.id);
    aborted(&error)
}

/// The error of an EXEC that is refused for this reason, as Redis words it.
fn aborted(why: &Error) -> Error {
    let why = why.0.strip_prefix(b"ERR ").unwrap_or(&why.0);
    Error::new([b"EXECABORT Transaction discarded because of: ", why].concat())
}

/// Runs what the client has queued: one batch, and a reply with the reply of each command.
pub(super) fn exec(ground: &mut Ground<'_>, caller: Caller, reply: Reply<'_>) -> Result<(), Stop> {
    let Some(client) = ground.clients.get_mut(caller.id) else { return Ok(()) };
    let Some(queue) = client.queue.take() else { return Ok(()) };
    let before = (client.db, client.protocol);
    let admitted = admit(ground, &queue);
    let running = Running { queue, at: 0, replies: Vec::new(), lacks: None };
    let work = Work::Queue(running);
    let began = ground.server.profile.began();
    let transaction = Transaction { caller, began, work, script: None, before };
    match admitted {
        Ok(()) => transaction.begin(ground).go_on(ground, reply),
        Err(stop) => transaction.end(ground, Err(stop)),
    }
}

/// Runs a script, whose arguments follow at 3, and writes its reply.
pub(super) fn eval(
    ground: &mut Ground<'_>,
    caller: Caller,
    program: Program,
    args: Args<'_>,
    reply: Reply<'_>,
) -> Result<(), Stop> {
    if !program.read_only {
        admit_bytes(ground, false, args.total_bytes())?;
    }
    let before = (caller.db, caller.protocol);
    let began = ground.server.profile.began();
    let transaction = Transaction { caller, began, work: Work::Script, script: None, before };
    let mut transaction = transaction.begin(ground);
    transaction.script = Some(script::begin(ground, caller, program, args));
    transaction.go_on(ground, reply)
}

/// Whether the queue may run now. As in Redis, a full disk aborts it.
fn admit(ground: &Ground<'_>, queue: &Queue) -> Result<(), Stop> {
    let mut writes = queue.commands.iter().filter(|(command, _)| command.flags.has(WRITE));
    let Some((first, _)) = writes.next() else { return Ok(()) };
    let frees = first.flags.has(FREES) && writes.all(|(command, _)| command.flags.has(FREES));
    let admitted = admit_disk(ground, frees);
    admitted.and_then(|()| admit_bytes(ground, frees, queue.bytes)).map_err(|stop| match stop {
        Stop::Error(error) => aborted(&error).into(),
        stop => stop,
    })
}

impl Transaction {
    fn begin(self, ground: &mut Ground<'_>) -> Transaction {
        let parks = ground.clients.get(self.caller.id).map_or(0, |client| client.parks);
        ground.keys.waits = parks >= PARKS_MAX;
        ground.keys.begin();
        self
    }

    /// When its command began.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Who runs it.
    pub(super) fn caller(&self) -> Caller {
        self.caller
    }

    /// Runs it to its end and writes its reply, or until it has to let others be served.
    pub(super) fn go_on(
        mut self,
        ground: &mut Ground<'_>,
        mut reply: Reply<'_>,
    ) -> Result<(), Stop> {
        let result = loop {
            if let Some(script) = self.script.take() {
                let began = script.began();
                match script.go_on(ground) {
                    Came::Pauses(script) => {
                        self.script = Some(script);
                        ground.paused.0 = Some(Box::new(self));
                        return Err(Stop::Busy);
                    }
                    Came::Ended(result) => match &mut self.work {
                        Work::Script => {
                            break result.map(|bytes| reply.raw(bytes));
                        }
                        Work::Queue(running) => {
                            running.measure_script(ground, self.caller, began, &result);
                            let taken = match result {
                                // What it did is to be taken back, and with it all.
                                Err(stop @ Stop::Error(_)) => Err(stop),
                                result => running.take(ground, result),
                            };
                            if let Err(stop) = taken {
                                break Err(stop);
                            }
                        }
                    },
                }
            }
            let Work::Queue(running) = &mut self.work else { unreachable!("a script has begun") };
            match running.next(ground, self.caller) {
                Ok(Some(script)) => self.script = Some(script),
                Ok(None) => {
                    let Some(need) = running.lacks.take() else {
                        reply.array(running.queue.commands.len());
                        reply.raw(std::mem::take(&mut running.replies));
                        break Ok(());
                    };
                    break Err(Stop::Park(need));
                }
                Err(stop) => break Err(stop),
            }
        };
        self.end(ground, result)
    }

    /// Ends it: what it did stays, or is taken back where it has to run again or was stopped.
    fn end(self, ground: &mut Ground<'_>, result: Result<(), Stop>) -> Result<(), Stop> {
        ground.keys.waits = false;
        if result.is_err() {
            ground.keys.take_back();
        }
        let parked = matches!(result, Err(Stop::Park(_)));
        let Transaction { caller, work, before, .. } = self;
        note(ground, caller, |client| {
            client.parks = if parked { client.parks + 1 } else { 0 };
            if result.is_err() {
                (client.db, client.protocol) = before;
            }
        });
        match work {
            Work::Queue(running) if parked => note(ground, caller, |client| {
                client.queue = Some(running.queue);
                client.touched = false; // By itself, if at all.
            }),
            Work::Queue(_) => ground.clients.unwatch(caller.id),
            Work::Script => {}
        }
        result
    }
}

impl Running {
    /// Runs commands until a script begins, or to the end.
    fn next(&mut self, ground: &mut Ground<'_>, caller: Caller) -> Result<Option<Script>, Stop> {
        while let Some((command, args)) = self.queue.commands.get(self.at) {
            let Some(client) = ground.clients.get(caller.id) else { break };
            let caller = Caller { db: client.db, protocol: client.protocol, ..caller };
            let mark = self.replies.len();
            let reply = Reply::new(&mut self.replies, caller.protocol);
            let args = args.args();
            self.at += 1;
            let ordinal = self.at as u64;
            match run(ground, caller, ordinal, command, args, &mut None, reply) {
                Err(Stop::Script(program)) => {
                    return Ok(Some(script::begin(ground, caller, *program, args)));
                }
                result => {
                    ground.keys.end_command();
                    if result.is_err() {
                        self.replies.truncate(mark);
                    }
                    self.take(ground, result.map(|()| Vec::new()))?;
                }
            }
            if matches!(self.lacks, Some(ref need) if !matches!(need, Need::Loads)) {
                break;
            }
        }
        Ok(None)
    }

    /// Notes how long a script of the queue took, which has come to an end.
    fn measure_script(
        &self,
        ground: &mut Ground<'_>,
        caller: Caller,
        began: Instant,
        result: &Result<Vec<u8>, Stop>,
    ) {
        let failed = match result {
            Ok(reply) => reply.starts_with(b"-"),
            Err(Stop::Error(_)) => true,
            Err(_) => return,
        };
        let Some((command, args)) = self.queue.commands.get(self.at - 1) else { return };
        ground.server.profile.began_at(began);
        measure(ground, caller, command, args.args(), failed);
    }

    /// Takes in how a command ended, and what of its reply is not written. Stops where the whole
    /// transaction has to end.
    fn take(&mut self, ground: &mut Ground<'_>, result: Result<Vec<u8>, Stop>) -> Result<(), Stop> {
        match result {
            Ok(bytes) => self.replies.extend_from_slice(&bytes),
            Err(Stop::Park(need)) => {
                self.lacks.get_or_insert(need);
            }
            Err(Stop::Error(error)) => {
                Reply::new(&mut self.replies, Protocol::Resp2).error_bytes(&error.0);
                ground.server.count_error(&error);
            }
            Err(stop) => return Err(stop),
        }
        let reply_max = ground.server.config.reply_bytes;
        if self.replies.len() as u64 > reply_max {
            return Err(reply_too_long(reply_max).into());
        }
        ground.server.admit_batch(ground.keys.batch_bytes())
    }
}

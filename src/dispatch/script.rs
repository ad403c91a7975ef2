//! How a script runs: it asks for commands one by one.
//!
//! redis.call leaves the interpreter's stack, the command is run here as any other, and its reply
//! goes back in. A script that takes long leaves it, too, and stays suspended while the event loop
//! tells others that the server is busy. A script that lacks something of the tree ends, all that
//! it did is taken back, and it runs again from its start once that is loaded.

use super::{Caller, Ground, admit_disk, note, run};
use crate::command::scripts::{self, Answer, Ask, Order, Outcome, Routine, Run};
use crate::command::table::{FREES, NOSCRIPT, WRITE};
use crate::command::{Command, Error, Program, Stop};
use crate::commands;
use crate::layout::op::Db;
use crate::lua::Ended;
use crate::resp::{Args, Protocol, Reply};
use corosensei::CoroutineResult;
use std::time::{Duration, Instant};

/// A script that runs for long does so in pieces of this, between what others ask.
const PIECE: Duration = Duration::from_millis(10);

/// Room for a command's reply; longer ones grow.
const REPLY_BYTES: usize = 64;

/// A script that has begun.
pub(super) struct Script {
    began: Instant,
    routine: Option<Routine>,
    next: Option<Answer>,
    caller: Caller,
    read_only: bool,
    /// The number of its next command.
    ordinal: u64,
    /// The database of the client, which the script's own SELECT does not change.
    db: Db,
    /// Why it was ended.
    stopped: Option<Stop>,
}

/// How far a script came.
pub(super) enum Came {
    /// To its end: its reply, or why there is none.
    Ended(Result<Vec<u8>, Stop>),
    /// It runs for long, and goes on later.
    Pauses(Script),
}

/// Begins a script for a client; its arguments follow at 3.
pub(super) fn begin(
    ground: &mut Ground<'_>,
    caller: Caller,
    program: Program,
    args: Args<'_>,
) -> Script {
    let config = &ground.server.config;
    let threshold_ms = match config.busy_reply_threshold {
        0 => u64::from(u32::MAX),
        ms => ms,
    };
    let until = Instant::now() + Duration::from_millis(threshold_ms);
    let routine = ground.server.scripts.take(config.lua_bytes);
    let Program { sha, keys, read_only } = program;
    let args = args.skip(3).to_owned_args();
    let reply_max = config.reply_bytes as usize;
    let run = Run { sha, args, keys, protocol: caller.protocol, reply_max, until };
    Script {
        began: ground.server.profile.began(),
        routine: Some(routine),
        next: Some(Answer::Order(Order::Run(Box::new(run)))),
        caller,
        read_only,
        ordinal: 1,
        db: caller.db,
        stopped: None,
    }
}

impl Script {
    /// When its command began.
    pub(super) fn began(&self) -> Instant {
        self.began
    }

    /// Runs it until it ends or has to let others be served.
    pub(super) fn go_on(mut self, ground: &mut Ground<'_>) -> Came {
        let mut routine = self.routine.take().expect("a script goes on until it has ended");
        let mut answer = match self.next.take() {
            _ if ground.server.scripts.killed => {
                self.stopped = Some(Error::fixed(KILLED).into());
                Answer::Stop
            }
            Some(answer) => answer,
            None => Answer::Until(Instant::now() + PIECE),
        };
        loop {
            answer = match routine.resume(answer) {
                CoroutineResult::Yield(Ask::Pause) => {
                    self.routine = Some(routine);
                    return Came::Pauses(self);
                }
                CoroutineResult::Yield(Ask::Call(args, protocol)) => {
                    match self.call(ground, args.args(), protocol) {
                        _ if self.stopped.is_some() => Answer::Stop,
                        Ok(reply) => Answer::Reply(reply),
                        Err(stop) => {
                            self.stopped = Some(stop);
                            Answer::Stop
                        }
                    }
                }
                CoroutineResult::Yield(Ask::MayCall(args)) => {
                    let args = args.args(); // There is one user.
                    let command = commands::resolve(args.get(0), args.try_get(1));
                    Answer::May(command.map(|_| true))
                }
                CoroutineResult::Yield(Ask::Order(done)) => {
                    ground.server.scripts.give_back(routine, done.bytes);
                    return Came::Ended(self.end(ground, done.outcome));
                }
                CoroutineResult::Return(()) => unreachable!("it works for as long as it is there"),
            };
        }
    }

    /// What came of it. An error of its own is its reply, and what it did before stays.
    fn end(mut self, ground: &mut Ground<'_>, outcome: Outcome) -> Result<Vec<u8>, Stop> {
        let Outcome::Ran(ended, reply) = outcome else { unreachable!("it was to run") };
        note(ground, self.caller, |client| client.db = self.db);
        if let Some(stop) = self.stopped.take() {
            return Err(stop);
        }
        if ended == Ended::Stopped {
            return Err(Error::fixed(TOO_DEEP).into()); // Nobody here has stopped it.
        }
        if let Ended::Failed { counted: false } = ended {
            let text = reply.strip_prefix(b"-").unwrap_or(&reply).trim_ascii_end();
            ground.server.count_error(&Error::new(text));
        }
        Ok(reply)
    }

    /// Runs one of its commands; the reply may be an error. Stops where the script has to end.
    fn call(
        &mut self,
        ground: &mut Ground<'_>,
        args: Args<'_>,
        protocol: Protocol,
    ) -> Result<Vec<u8>, Stop> {
        let db = ground.clients.get(self.caller.id).map_or(self.db, |client| client.db);
        let caller = Caller { db, protocol, ..self.caller };
        let mut bytes = Vec::with_capacity(REPLY_BYTES);
        let mut reply = Reply::new(&mut bytes, protocol);
        let result = self.admit(ground, args).and_then(|command| {
            run(ground, caller, self.ordinal, command, args, &mut None, reply.reborrow())
        });
        self.ordinal += 1;
        ground.keys.end_command();
        match result {
            Ok(()) => {}
            Err(Stop::Error(error)) => {
                reply.rewind(0);
                reply.error_bytes(&error.0);
                ground.server.count_error(&error);
            }
            Err(stop) => return Err(stop),
        }
        ground.server.admit_batch(ground.keys.batch_bytes())?;
        Ok(bytes)
    }

    /// Finds a command that the script may run.
    fn admit(&self, ground: &mut Ground<'_>, args: Args<'_>) -> Result<&'static Command, Stop> {
        let Some(command) = commands::resolve(args.get(0), args.try_get(1)) else {
            return Err(Error::fixed("ERR Unknown Redis command called from script").into());
        };
        let admitted = self.admit_command(ground, command, args.len());
        if matches!(admitted, Err(Stop::Error(_))) {
            ground.server.profile.reject(command);
        }
        admitted.map(|()| command)
    }

    fn admit_command(
        &self,
        ground: &Ground<'_>,
        command: &Command,
        args: usize,
    ) -> Result<(), Stop> {
        let refused = |text| Err(Error::fixed(text).into());
        if !command.takes(args) {
            return refused("ERR Wrong number of args calling Redis command from script");
        }
        if command.flags.has(NOSCRIPT) || !command.subcommands.is_empty() {
            return refused("ERR This Redis command is not allowed from script");
        }
        if !command.flags.has(WRITE) {
            return Ok(());
        }
        if self.read_only {
            return refused("ERR Write commands are not allowed from read-only scripts.");
        }
        admit_disk(ground, command.flags.has(FREES))
    }
}

/// The reply to who runs a script that cannot be asked whether it may go on.
const TOO_DEEP: &str =
    "ERR the script ran for too long with calls nested as deep as they can be, and was ended";
/// The reply to who runs a script that was ended.
const KILLED: &str = "ERR Script killed by user with SCRIPT KILL...";

impl Drop for Script {
    fn drop(&mut self) {
        if let Some(routine) = &mut self.routine {
            scripts::end(routine);
        }
    }
}

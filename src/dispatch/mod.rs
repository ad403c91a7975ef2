//! One command from arguments to batch: find, check, run, settle.
//!
//! This is the one place that decides whether this client may run this command now. Every command
//! settles in the same way: what it recorded becomes one batch in the journal's next group and in
//! the backlog, and the newest batch it speaks of says when its reply may leave. Between MULTI and
//! EXEC commands are queued in place of being run: see [`transaction`].

mod script;
mod transaction;

use crate::command::client::{Client, ClientId, Clients, Closing};
use crate::command::profile::{Slow, shortened};
use crate::command::server::Server;
use crate::command::table::{
    ALLOW_BUSY, FAST, FREES, KeySpec, MAY_REPLICATE, NO_AUTH, SKIP_SLOWLOG, WRITE,
};
use crate::command::{BUSY, Command, Cx, Error, Grant, Need, Stop};
use crate::commands;
use crate::journal::Group;
use crate::keyspace::{Keyspace, reply_too_long};
use crate::layout::op::{Db, Seq};
use crate::resp::{Args, Protocol, Reply};
use std::time::Instant;
use transaction::Transaction;

/// A value as long as the bound of replies can be read: its length does not count.
const REPLY_HEAD_BYTES: u64 = 64;
/// How many bytes of an unknown command's name and arguments its error repeats, as in Redis.
const REPEATED_BYTES_MAX: usize = 128;

/// What commands run on.
pub struct Ground<'a> {
    /// All keys.
    pub keys: &'a mut Keyspace,
    /// All clients.
    pub clients: &'a mut Clients,
    /// The rest.
    pub server: &'a mut Server,
    /// The group of the journal that is being filled.
    pub group: &'a mut Group,
    /// The transaction whose script runs for long.
    pub paused: &'a mut Paused,
}

/// A transaction that goes on later, if there is one. Meanwhile nothing but what [`attend`] does
/// may be done with keys.
#[derive(Default)]
pub struct Paused(Option<Box<Transaction>>);

impl Paused {
    /// Whose it is.
    pub fn client(&self) -> Option<ClientId> {
        self.0.as_ref().map(|transaction| transaction.caller().id)
    }
}

/// Who runs a command, as far as dispatch has to know.
#[derive(Clone, Copy, Debug)]
pub struct Caller {
    /// The client.
    pub id: ClientId,
    /// Its database.
    pub db: Db,
    /// Its protocol.
    pub protocol: Protocol,
    /// Whether it may run everything.
    pub authenticated: bool,
    /// What it reads counts as not used.
    pub no_touch: bool,
}

/// How a command ended.
#[derive(Debug)]
pub enum Ran {
    /// Its reply is written and may leave once this batch is durable.
    Done(Seq),
    /// It runs again once the need is met; its reply was taken back.
    Parked(Need),
    /// Its script runs for long: it goes on with [`go_on`].
    Paused,
}

/// Runs one command and writes its reply to `output`. It takes the grant, and leaves it where it
/// lacks keys still and has not used it.
pub fn execute(
    ground: &mut Ground<'_>,
    caller: Caller,
    args: Args<'_>,
    grant: &mut Option<Grant>,
    output: &mut Vec<u8>,
) -> Ran {
    let mut reply = Reply::new(output, caller.protocol);
    let mark = reply.mark();
    let looked_up = (ground.keys.figures.hits, ground.keys.figures.misses);
    let result = match admit(ground, caller, args) {
        Ok(command) if is_paused(ground, caller, command) => Err(Stop::Park(Need::Unpaused)),
        Ok(command) if transaction::queues(ground, caller, command) => {
            transaction::queue(ground, caller, command, args, reply.reborrow())
        }
        Ok(command) => {
            note(ground, caller, |client| client.last_command = Some(command));
            run(ground, caller, 0, command, args, grant, reply.reborrow())
        }
        Err(stop) => {
            if is_http(args.get(0)) {
                log::warn!("a client was disconnected: it speaks HTTP");
                note(ground, caller, |client| client.closing = Some(Closing::AtOnce));
            }
            Err(match stop {
                Stop::Error(error) => transaction::refuse(ground, caller, args, error).into(),
                stop => stop,
            })
        }
    };
    let began = ground.server.profile.began();
    let whole = match result {
        Err(Stop::Transaction) => transaction::exec(ground, caller, reply.reborrow()),
        Err(Stop::Script(program)) => {
            transaction::eval(ground, caller, *program, args, reply.reborrow())
        }
        result => return finish(ground, caller, result, reply, mark, looked_up),
    };
    measure_whole(ground, caller, args, began, &whole, reply.is_error(mark));
    finish(ground, caller, whole, reply, mark, looked_up)
}

/// Goes on with the transaction that is paused, whose request this was, and writes its reply to
/// `output` if it comes to an end.
pub fn go_on(ground: &mut Ground<'_>, args: Args<'_>, output: &mut Vec<u8>) -> Ran {
    let transaction = ground.paused.0.take().expect("a transaction is paused");
    let (caller, began) = (transaction.caller(), transaction.began());
    let mut reply = Reply::new(output, caller.protocol);
    let mark = reply.mark();
    let looked_up = (ground.keys.figures.hits, ground.keys.figures.misses);
    let result = transaction.go_on(ground, reply.reborrow());
    measure_whole(ground, caller, args, began, &result, reply.is_error(mark));
    finish(ground, caller, result, reply, mark, looked_up)
}

/// Makes a batch of what a command did, and an error of why it did not.
fn finish(
    ground: &mut Ground<'_>,
    caller: Caller,
    result: Result<(), Stop>,
    mut reply: Reply<'_>,
    mark: usize,
    looked_up: (u64, u64),
) -> Ran {
    if matches!(result, Err(Stop::Busy)) {
        return Ran::Paused;
    }
    let shown = settle(ground);
    if !matches!(result, Err(Stop::Park(Need::Loads))) {
        ground.keys.take_misses(); // Nobody waits for what else the command lacked.
    }
    if !matches!(result, Err(Stop::Park(_))) {
        note(ground, caller, |client| client.commands += 1);
    }
    match result {
        Ok(()) => Ran::Done(shown),
        Err(Stop::Park(need)) => {
            reply.rewind(mark);
            // It will look its keys up again.
            (ground.keys.figures.hits, ground.keys.figures.misses) = looked_up;
            Ran::Parked(need)
        }
        Err(Stop::Error(error)) => {
            reply.rewind(mark);
            reply.error_bytes(&error.0);
            ground.server.count_error(&error);
            Ran::Done(shown)
        }
        Err(Stop::Transaction | Stop::Script(_) | Stop::Busy) => {
            unreachable!("a transaction has been run")
        }
    }
}

/// Runs a command while a transaction is paused, if it is one that may: it touches no key.
pub fn attend(ground: &mut Ground<'_>, caller: Caller, args: Args<'_>, output: &mut Vec<u8>) {
    let mut reply = Reply::new(output, caller.protocol);
    let mark = reply.mark();
    let result = admit(ground, caller, args).and_then(|command| {
        let queues = transaction::queues(ground, caller, command);
        if !command.flags.has(ALLOW_BUSY) || command.keys != KeySpec::None || queues {
            return Err(Error::fixed(BUSY).into());
        }
        run(ground, caller, 0, command, args, &mut None, reply.reborrow())
    });
    if let Err(stop) = result {
        let error = match stop {
            Stop::Error(error) => transaction::refuse(ground, caller, args, error),
            _ => Error::fixed(BUSY),
        };
        reply.rewind(mark);
        reply.error_bytes(&error.0);
        ground.server.count_error(&error);
    }
}

/// Whether CLIENT PAUSE makes this command wait.
fn is_paused(ground: &Ground<'_>, caller: Caller, command: &Command) -> bool {
    let Some(pause) = ground.server.pause_now() else { return false };
    let writes = |command: &Command| command.flags.has(WRITE) || command.flags.has(MAY_REPLICATE);
    let queue = ground.clients.get(caller.id).and_then(|client| client.queue.as_deref());
    let execs = command.name == "exec";
    let queued = queue.filter(|_| execs).into_iter().flat_map(|queue| &queue.commands);
    pause.all || writes(command) || queued.into_iter().any(|(command, _)| writes(command))
}

/// Whether this begins a line of HTTP: then a web page may have sent the rest.
fn is_http(name: &[u8]) -> bool {
    name.eq_ignore_ascii_case(b"post") || name.eq_ignore_ascii_case(b"host:")
}

/// Notes something on the client that asks.
fn note(ground: &mut Ground<'_>, caller: Caller, change: impl FnOnce(&mut Client)) {
    if let Some(client) = ground.clients.get_mut(caller.id) {
        change(client);
    }
}

/// Runs a command that was admitted; `ordinal` is its number in a transaction.
fn run(
    ground: &mut Ground<'_>,
    caller: Caller,
    ordinal: u64,
    command: &'static Command,
    args: Args<'_>,
    grant: &mut Option<Grant>,
    reply: Reply<'_>,
) -> Result<(), Stop> {
    // A write runs only within the bound and while no client is paused, or after CLIENT PAUSE in
    // its own transaction: an expired key in its way can be removed.
    let bound = ground.server.config.backlog_bytes as usize;
    let paused = !command.flags.has(WRITE) && ground.server.pause_now().is_some();
    ground.keys.may_expire = ground.keys.backlog.bytes() <= bound && !paused;
    ground.keys.no_touch = caller.no_touch && command.name != "touch";
    let mark = reply.mark();
    let mut cx = Cx {
        args,
        keys: ground.keys,
        reply,
        clients: ground.clients,
        id: caller.id,
        db: caller.db,
        server: ground.server,
        grant: grant.take(),
        ordinal,
    };
    let result = (command.run)(&mut cx);
    if matches!(result, Err(Stop::Park(Need::Loads))) && !matches!(cx.grant, Some(Grant::Done)) {
        *grant = cx.grant; // It finds it again when it has what it lacks.
    }
    let reply_max = cx.server.config.reply_bytes;
    let written = cx.reply.written_since(mark) as u64;
    let result = match result {
        Ok(_)
            if written > reply_max.saturating_add(REPLY_HEAD_BYTES)
                && !command.flags.has(WRITE) =>
        {
            Err(reply_too_long(reply_max).into())
        }
        result => result.map(drop),
    };
    measure_ended(ground, caller, command, args, &result);
    result
}

/// Notes how long a command took, if it has just ended.
fn measure_ended(
    ground: &mut Ground<'_>,
    caller: Caller,
    command: &'static Command,
    args: Args<'_>,
    result: &Result<(), Stop>,
) {
    match result {
        Ok(()) => measure(ground, caller, command, args, false),
        Err(Stop::Error(_)) => measure(ground, caller, command, args, true),
        Err(_) => {}
    }
}

/// Notes how long EXEC or a script took, if it has just ended: other commands ran inside it.
fn measure_whole(
    ground: &mut Ground<'_>,
    caller: Caller,
    args: Args<'_>,
    began: Instant,
    result: &Result<(), Stop>,
    is_error: bool,
) {
    let failed = match result {
        Ok(()) => is_error,
        Err(Stop::Error(_)) => true,
        Err(_) => return,
    };
    ground.server.profile.began_at(began);
    let client = ground.clients.get(caller.id);
    if let Some(command) = client.and_then(|client| client.last_command) {
        measure(ground, caller, command, args, failed);
    }
}

/// Notes how long a command took that has just ended.
fn measure(
    ground: &mut Ground<'_>,
    caller: Caller,
    command: &'static Command,
    args: Args<'_>,
    failed: bool,
) {
    ground.server.stats.commands += 1;
    let Server { profile, config, now_ms, .. } = &mut *ground.server;
    let (us, time_s) = (profile.end(command, failed), *now_ms / 1000);
    let is_slow = u64::try_from(config.slowlog_log_slower_than).is_ok_and(|most| us >= most);
    if is_slow && !command.flags.has(SKIP_SLOWLOG) {
        let client = ground.clients.get(caller.id);
        let (addr, name) =
            client.map(|client| (client.addr.clone(), client.name.clone())).unwrap_or_default();
        let slow = Slow { id: 0, time_s, us, args: shortened(command, args), addr, name };
        profile.note_slow(slow, config.slowlog_max_len as usize);
    }
    if config.latency_monitor_threshold > 0 && us / 1000 >= config.latency_monitor_threshold {
        let event = if command.flags.has(FAST) { "fast-command" } else { "command" };
        profile.note_event(event, time_s, us / 1000);
    }
}

/// Makes one batch of what the command recorded. Answers the newest batch that it speaks of.
fn settle(ground: &mut Ground<'_>) -> Seq {
    let now_ms = ground.server.now_ms;
    let (group, clients) = (&mut *ground.group, &mut *ground.clients);
    ground.keys.settle(|seq, ops| {
        clients.note_changes(ops);
        group.push(seq, now_ms, ops);
    });
    ground.keys.take_shown()
}

/// Finds the command and checks that this client may run it now.
fn admit(
    ground: &mut Ground<'_>,
    caller: Caller,
    args: Args<'_>,
) -> Result<&'static Command, Stop> {
    let (container, command) = look_up(args)?;
    let admitted = check_arity(container, command, args)
        .and_then(|()| admit_command(ground, caller, command, args));
    if matches!(admitted, Err(Stop::Error(_))) {
        ground.server.profile.reject(command);
    }
    admitted.map(|()| command)
}

fn admit_command(
    ground: &Ground<'_>,
    caller: Caller,
    command: &Command,
    args: Args<'_>,
) -> Result<(), Stop> {
    if !caller.authenticated && !command.flags.has(NO_AUTH) {
        return Err(Error::fixed("NOAUTH Authentication required.").into());
    }
    if command.flags.has(WRITE) {
        let frees = command.flags.has(FREES);
        admit_disk(ground, frees)?;
        if !transaction::queues(ground, caller, command) {
            admit_bytes(ground, frees, args.total_bytes())?;
        }
    }
    Ok(())
}

fn check_arity(container: &Command, command: &Command, args: Args<'_>) -> Result<(), Stop> {
    if command.takes(args.len()) {
        return Ok(());
    }
    let name = match std::ptr::eq(container, command) {
        true => command.name.to_string(),
        false => format!("{}|{}", container.name, command.name),
    };
    let text = format!("ERR wrong number of arguments for '{name}' command");
    Err(Error::new(text).into())
}

/// Finds the row of a command, and that of its subcommand, which may be the same.
fn look_up(args: Args<'_>) -> Result<(&'static Command, &'static Command), Stop> {
    let Some(command) = commands::find(args.get(0)) else { return Err(unknown(args).into()) };
    if command.subcommands.is_empty() || args.len() < 2 {
        return Ok((command, command));
    }
    match command.subcommand(args.get(1)) {
        Some(subcommand) => Ok((command, subcommand)),
        None => Err(commands::unknown_subcommand(args).into()),
    }
}

/// Refuses what changes something while the disk is full, unless it frees room.
fn admit_disk(ground: &Ground<'_>, frees: bool) -> Result<(), Stop> {
    match &ground.server.refusing {
        Some(why) if !frees => Err(Error::new(why.as_bytes()).into()),
        _ => Ok(()),
    }
}

/// Waits for room in the backlog and the journal for changes of about so many bytes. Refuses what
/// is too much for a batch.
fn admit_bytes(ground: &Ground<'_>, frees: bool, bytes: usize) -> Result<(), Stop> {
    ground.server.admit_batch(bytes)?;
    let backlog = &ground.keys.backlog;
    // A batch larger than the bound goes alone.
    if !ground.server.has_room(backlog.weight(), bytes, frees) && !backlog.is_empty() {
        return Err(Stop::Park(Need::Room));
    }
    Ok(())
}

fn unknown(args: Args<'_>) -> Error {
    let mut rest = Vec::new();
    for arg in args.skip(1).iter() {
        if rest.len() >= REPEATED_BYTES_MAX {
            break;
        }
        let shown = commands::quotable(arg, REPEATED_BYTES_MAX - rest.len());
        rest.push(b'\'');
        rest.extend_from_slice(shown);
        rest.extend_from_slice(b"' ");
    }
    let mut text = b"ERR unknown command '".to_vec();
    text.extend_from_slice(commands::quotable(args.get(0), REPEATED_BYTES_MAX));
    text.extend_from_slice(b"', with args beginning with: ");
    text.extend_from_slice(&rest);
    Error::new(text)
}

//! Between MULTI and EXEC: what is queued, and how the queue is run as one batch.
//!
//! Queued commands run one after the other in one turn, so nobody sees a part of what they do.
//! Where one lacks something of the tree, the others still run, to find out what they lack; then
//! all is taken back, a helper loads it, and EXEC runs again from its start.

use super::{Caller, Ground, admit_batch, admit_bytes, admit_disk, note, run};
use crate::command::client::Queue;
use crate::command::table::{FREES, NO_MULTI, WRITE};
use crate::command::{Command, Error, Need, Stop};
use crate::commands::transactions::runs_at_once;
use crate::keyspace::reply_too_long;
use crate::resp::{Args, Reply, Span};

/// EXEC is parked so often; then it reads what it lacks while everybody waits.
const PARKS_MAX: u32 = 16;

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
        false => admit_batch(ground, bytes),
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
    let Some(mut queue) = client.queue.take() else { return Ok(()) };
    let before = (client.db, client.protocol);
    let result = admit(ground, &queue).and_then(|()| {
        ground.keys.waits = queue.parks >= PARKS_MAX;
        let result = run_all(ground, caller, &queue, reply);
        ground.keys.waits = false;
        result
    });
    if let Err(Stop::Park(_)) = &result {
        queue.parks += 1;
        note(ground, caller, |client| {
            (client.db, client.protocol) = before;
            client.queue = Some(queue);
            client.touched = false; // By itself, if at all.
        });
    } else {
        ground.clients.unwatch(caller.id);
    }
    result
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

fn run_all(
    ground: &mut Ground<'_>,
    caller: Caller,
    queue: &Queue,
    mut reply: Reply<'_>,
) -> Result<(), Stop> {
    ground.keys.begin();
    let start = reply.mark();
    reply.array(queue.commands.len());
    let mut lacks = None;
    for (ordinal, (command, args)) in (1..).zip(&queue.commands) {
        let Some(client) = ground.clients.get(caller.id) else { break };
        let caller = Caller { db: client.db, protocol: client.protocol, ..caller };
        reply.set_protocol(caller.protocol);
        let mark = reply.mark();
        let result =
            run(ground, caller, ordinal, command, args.args(), &mut None, reply.reborrow());
        ground.keys.end_command();
        match result {
            Ok(()) => {}
            Err(Stop::Park(Need::Loads)) => lacks = Some(Need::Loads),
            Err(Stop::Park(need)) => {
                lacks.get_or_insert(need);
                break;
            }
            Err(Stop::Error(error)) => {
                reply.rewind(mark);
                reply.error_bytes(&error.0);
                ground.server.count_error(&error);
            }
            Err(Stop::Transaction) => unreachable!("EXEC is not queued"),
        }
        let reply_max = ground.server.config.reply_bytes;
        let admitted = match reply.written_since(start) as u64 > reply_max {
            true => Err(reply_too_long(reply_max).into()),
            false => admit_batch(ground, ground.keys.batch_bytes()),
        };
        if let Err(stop) = admitted {
            ground.keys.take_back();
            ground.keys.take_misses();
            return Err(stop);
        }
    }
    let Some(need) = lacks else { return Ok(()) };
    ground.keys.take_back();
    Err(Stop::Park(need))
}

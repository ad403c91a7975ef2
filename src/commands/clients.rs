//! CLIENT: who is connected, what they are called, and how to disconnect them.

use super::connection::{check_name, is_printable};
use super::{container, help, integer, is, quoting, unknown_subcommand_or_arguments};
use crate::base::number::parse_i64;
use crate::command::client::{Client, ClientId, Closing, Replies};
use crate::command::server::Pause;
use crate::command::table::{ADMIN, Flags, LOADING, NO_KEY, NOSCRIPT, STALE, row};
use crate::command::{Command, Cx, Done, Result, SYNTAX, fail};
use crate::resp::Protocol;

const OWN: Flags = NOSCRIPT.and(LOADING).and(STALE);
const OTHERS: Flags = OWN.and(ADMIN);
const EVERYWHERE: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[row("client", -2, NO_KEY, OWN, container, "")
    .doc("connection", "2.4.0", "Holds commands on connections.")
    .with(CLIENT)];

#[rustfmt::skip] // A row is a line, and its documentation the next.
const CLIENT: &[Command] = &[
    row("getredir", 2, NO_KEY, OWN, getredir, "")
        .doc("connection", "6.0.0", "Replies with -1: nothing is tracked for clients."),
    row("getname", 2, NO_KEY, OWN, getname, "")
        .doc("connection", "2.6.9", "Replies with the name of the connection."),
    row("help", 2, NO_KEY, LOADING.and(STALE), client_help, "")
        .doc("connection", "5.0.0", "Lists the subcommands."),
    row("id", 2, NO_KEY, OWN, id, "")
        .doc("connection", "5.0.0", "Replies with the number of the connection."),
    row("info", 2, NO_KEY, OWN, info, "")
        .doc("connection", "6.2.0", "Describes the connection.")
        .tips(&["nondeterministic_output"]),
    row("kill", -3, NO_KEY, OTHERS, kill, KILL)
        .doc("connection", "2.4.0", "Disconnects clients."),
    row("list", -2, NO_KEY, OTHERS, list, LIST)
        .doc("connection", "2.4.0", "Describes all connections, or some.")
        .tips(&["nondeterministic_output"]),
    row("no-evict", 3, NO_KEY, OTHERS, no_evict, "ON | OFF")
        .doc("connection", "7.0.0", "Has no effect: no client is evicted to save memory."),
    row("no-touch", 3, NO_KEY, OWN, no_touch, "ON | OFF")
        .doc("connection", "7.2.0", "Chooses whether keys that the client reads count as used."),
    row("pause", -3, NO_KEY, OTHERS, pause, "timeout [WRITE | ALL]")
        .doc("connection", "2.9.50", "Has commands wait for some milliseconds."),
    row("reply", 3, NO_KEY, OWN, reply, "ON | OFF | SKIP")
        .doc("connection", "3.2.0", "Chooses which replies the client gets."),
    row("setinfo", 4, NO_KEY, OWN, setinfo, "LIB-NAME libname | LIB-VER libver")
        .doc("connection", "7.2.0", "Says which library the client uses.")
        .tips(EVERYWHERE),
    row("setname", 3, NO_KEY, OWN, setname, "connection-name")
        .doc("connection", "2.6.9", "Names the connection.")
        .tips(EVERYWHERE),
    row("unblock", -3, NO_KEY, OTHERS, unblock, "client-id [TIMEOUT | ERROR]")
        .doc("connection", "5.0.0", "Ends what a client waits for: no command here waits."),
    row("unpause", 2, NO_KEY, OTHERS, unpause, "")
        .doc("connection", "6.2.0", "Ends a pause."),
];

const KILL: &str = "ip:port | <[ID client-id] | \
    [TYPE <NORMAL | MASTER | SLAVE | REPLICA | PUBSUB>] | [USER username] | [ADDR ip:port] | \
    [LADDR ip:port] | [SKIPME <YES | NO>]> ...";
const LIST: &str = "[TYPE <NORMAL | MASTER | REPLICA | PUBSUB>] [ID client-id [client-id ...]]";

/// Room of the reply buffer that Redis gives each client, for `rbs`.
const REPLY_BUFFER_BYTES: usize = 16 * 1024;

fn getname(cx: &mut Cx<'_, '_>) -> Result {
    let name = cx.client().name.clone();
    cx.reply.bulk_or_null(Some(&name[..]).filter(|name| !name.is_empty()));
    Ok(Done)
}

fn setname(cx: &mut Cx<'_, '_>) -> Result {
    cx.client().name = check_name(cx.args.get(2))?.to_vec();
    cx.reply.ok();
    Ok(Done)
}

fn setinfo(cx: &mut Cx<'_, '_>) -> Result {
    let args = cx.args;
    let (option, value) = (args.get(2), args.get(3));
    let index = match () {
        () if is(option, "lib-name") => 0,
        () if is(option, "lib-ver") => 1,
        () => return quoting("ERR Unrecognized option '", option, "'"),
    };
    if !is_printable(value) {
        let text = " cannot contain spaces, newlines or special characters.";
        return quoting("ERR ", option, text);
    }
    cx.client().library[index] = value.to_vec();
    cx.reply.ok();
    Ok(Done)
}

fn id(cx: &mut Cx<'_, '_>) -> Result {
    cx.reply.int(i64::try_from(cx.id).unwrap_or(i64::MAX));
    Ok(Done)
}

fn getredir(cx: &mut Cx<'_, '_>) -> Result {
    cx.reply.int(-1);
    Ok(Done)
}

fn no_evict(cx: &mut Cx<'_, '_>) -> Result {
    cx.client().no_evict = switch(cx.args.get(2))?;
    cx.reply.ok();
    Ok(Done)
}

fn no_touch(cx: &mut Cx<'_, '_>) -> Result {
    cx.client().no_touch = switch(cx.args.get(2))?;
    cx.reply.ok();
    Ok(Done)
}

fn switch(word: &[u8]) -> Result<bool> {
    match () {
        () if is(word, "on") => Ok(true),
        () if is(word, "off") => Ok(false),
        () => fail(SYNTAX),
    }
}

/// Replies to ON only; the engine keeps back what the client does not want.
fn reply(cx: &mut Cx<'_, '_>) -> Result {
    let word = cx.args.get(2);
    let before = cx.client().replies;
    cx.client().replies = match () {
        () if is(word, "on") => Replies::On,
        () if is(word, "off") => Replies::Off,
        () if is(word, "skip") && before == Replies::Off => Replies::Off,
        () if is(word, "skip") => Replies::Skip,
        () => return fail(SYNTAX),
    };
    if is(word, "on") {
        cx.reply.ok();
    }
    Ok(Done)
}

/// A pause that begins while another lasts can only make it longer and stricter.
fn pause(cx: &mut Cx<'_, '_>) -> Result {
    if cx.args.len() > 4 {
        return Err(unknown_subcommand_or_arguments(cx.args).into());
    }
    let all = match cx.args.try_get(3) {
        None => true,
        Some(word) if is(word, "all") => true,
        Some(word) if is(word, "write") => false,
        Some(_) => return fail("ERR CLIENT PAUSE mode must be WRITE or ALL"),
    };
    let timeout_ms = match parse_i64(cx.args.get(2)) {
        None => return fail("ERR timeout is not an integer or out of range"),
        Some(..0) => return fail("ERR timeout is negative"),
        Some(ms) => ms.unsigned_abs(),
    };
    let until_ms = cx.server.now_ms.saturating_add(timeout_ms);
    let before = cx.server.pause_now().unwrap_or(Pause { until_ms, all });
    cx.server.pause =
        Some(Pause { until_ms: until_ms.max(before.until_ms), all: all || before.all });
    cx.reply.ok();
    Ok(Done)
}

fn unpause(cx: &mut Cx<'_, '_>) -> Result {
    cx.server.pause = None;
    cx.reply.ok();
    Ok(Done)
}

/// Replies 0: who is parked waits for the tree, and no command waits for another client.
fn unblock(cx: &mut Cx<'_, '_>) -> Result {
    let args = cx.args;
    match args.try_get(3) {
        Some(_) if args.len() > 4 => return Err(unknown_subcommand_or_arguments(args).into()),
        Some(word) if !is(word, "timeout") && !is(word, "error") => {
            return fail("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
        }
        _ => {}
    }
    integer(args.get(2))?;
    cx.reply.int(0);
    Ok(Done)
}

fn info(cx: &mut Cx<'_, '_>) -> Result {
    let now_ms = cx.server.now_ms;
    let line = describe(cx.client(), now_ms);
    cx.reply.verbatim("txt", &line);
    Ok(Done)
}

fn list(cx: &mut Cx<'_, '_>) -> Result {
    let options = cx.args.skip(2);
    let wanted: Option<Vec<ClientId>> = match options.try_get(0) {
        None => None,
        Some(word) if is(word, "type") && options.len() == 2 => {
            let normal = Kind::parse(options.get(1))? == Kind::Normal;
            (!normal).then(Vec::new)
        }
        Some(word) if is(word, "id") && options.len() > 1 => {
            let numbers = options.skip(1).iter().map(|arg| match parse_i64(arg) {
                Some(id) => Ok(ClientId::try_from(id).unwrap_or(0)),
                None => fail("ERR Invalid client ID"),
            });
            Some(numbers.collect::<Result<_>>()?)
        }
        Some(_) => return fail(SYNTAX),
    };
    let mut lines = Vec::new();
    let mut add = |client| lines.extend(describe(client, cx.server.now_ms));
    match wanted {
        None => cx.clients.iter().for_each(&mut add),
        Some(ids) => ids.into_iter().filter_map(|id| cx.clients.get(id)).for_each(&mut add),
    }
    cx.reply.verbatim("txt", &lines);
    Ok(Done)
}

/// One line of CLIENT LIST, as Redis 7.2 writes it.
fn describe(client: &Client, now_ms: u64) -> Vec<u8> {
    let flags: String = [
        ('x', client.queue.is_some()),
        ('d', client.touched),
        ('c', client.closing == Some(Closing::AfterReplies)),
        ('A', client.closing == Some(Closing::AtOnce)),
        ('U', client.addr.starts_with('/')),
        ('e', client.no_evict),
        ('T', client.no_touch),
    ]
    .into_iter()
    .filter_map(|(flag, is)| is.then_some(flag))
    .collect();
    let flags = if flags.is_empty() { "N" } else { &flags };
    let queue = client.queue.as_deref();
    let queued = queue.map_or(-1, |queue| queue.commands.len() as i64);
    let queue_bytes = queue.map_or(0, |queue| queue.bytes);
    let age_s = now_ms.saturating_sub(client.since_ms) / 1000;
    let idle_s = now_ms.saturating_sub(client.active_ms) / 1000;
    let [used, free] = client.input_bytes;
    let buffers = used + free + client.output_bytes + queue_bytes;
    let total = size_of::<Client>() + buffers + REPLY_BUFFER_BYTES;
    let resp = if client.protocol == Protocol::Resp3 { 3 } else { 2 };
    let mut line = format!(
        "id={} addr={} laddr={} fd={} name=",
        client.id, client.addr, client.local_addr, client.fd
    )
    .into_bytes();
    line.extend_from_slice(&client.name);
    line.extend_from_slice(
        format!(
            " age={age_s} idle={idle_s} flags={flags} db={} sub=0 psub=0 ssub=0 \
             multi={queued} qbuf={used} qbuf-free={free} argv-mem=0 multi-mem={queue_bytes} \
             rbs={REPLY_BUFFER_BYTES} rbp=0 obl={} oll=0 omem=0 tot-mem={total} events=r cmd={} \
             user=default redir=-1 resp={resp} lib-name=",
            client.db,
            client.output_bytes,
            client.last_command.map_or_else(|| "NULL".into(), super::full_name),
        )
        .as_bytes(),
    );
    line.extend_from_slice(&client.library[0]);
    line.extend_from_slice(b" lib-ver=");
    line.extend_from_slice(&client.library[1]);
    line.push(b'\n');
    line
}

/// What a client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Normal,
    Master,
    Replica,
    Pubsub,
}

impl Kind {
    fn parse(word: &[u8]) -> Result<Kind> {
        match () {
            () if is(word, "normal") => Ok(Kind::Normal),
            () if is(word, "master") => Ok(Kind::Master),
            () if is(word, "slave") || is(word, "replica") => Ok(Kind::Replica),
            () if is(word, "pubsub") => Ok(Kind::Pubsub),
            () => quoting("ERR Unknown client type '", word, "'"),
        }
    }
}

/// Which clients CLIENT KILL means.
#[derive(Default)]
struct Filter<'a> {
    id: Option<ClientId>,
    kind: Option<Kind>,
    addr: Option<&'a [u8]>,
    local_addr: Option<&'a [u8]>,
    with_me: bool,
}

impl<'a> Filter<'a> {
    fn parse(mut args: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<Filter<'a>> {
        let mut filter = Filter::default();
        while let Some(option) = args.next() {
            let Some(value) = args.next() else { return fail(SYNTAX) };
            if is(option, "id") {
                let id = parse_i64(value).and_then(|id| ClientId::try_from(id).ok());
                let Some(id @ 1..) = id else {
                    return fail("ERR client-id should be greater than 0");
                };
                filter.id = Some(id);
            } else if is(option, "type") {
                filter.kind = Some(Kind::parse(value)?);
            } else if is(option, "addr") {
                filter.addr = Some(value);
            } else if is(option, "laddr") {
                filter.local_addr = Some(value);
            } else if is(option, "user") {
                if value != b"default" {
                    return quoting("ERR No such user '", value, "'");
                }
            } else if is(option, "skipme") && (is(value, "yes") || is(value, "no")) {
                filter.with_me = is(value, "no");
            } else {
                return fail(SYNTAX);
            }
        }
        Ok(filter)
    }

    fn admits(&self, client: &Client, me: ClientId) -> bool {
        self.id.is_none_or(|id| id == client.id)
            && self.kind.is_none_or(|kind| kind == Kind::Normal)
            && self.addr.is_none_or(|addr| addr == client.addr.as_bytes())
            && self.local_addr.is_none_or(|addr| addr == client.local_addr.as_bytes())
            && (self.with_me || client.id != me)
    }
}

/// With one argument, replies OK or that there is no such client; otherwise with the number of
/// those who were disconnected.
fn kill(cx: &mut Cx<'_, '_>) -> Result {
    let args = cx.args;
    let old_form = args.len() == 3;
    let filter = if old_form {
        Filter { addr: Some(args.get(2)), with_me: true, ..Filter::default() }
    } else {
        Filter::parse(args.skip(2).iter())?
    };
    let me = cx.id;
    let admitted = cx.clients.iter().filter(|client| filter.admits(client, me));
    let killed: Vec<ClientId> = admitted.map(|client| client.id).collect();
    for id in &killed {
        let how = if *id == me { Closing::AfterReplies } else { Closing::AtOnce };
        cx.clients.close(*id, how);
    }
    match (old_form, killed.len()) {
        (true, 0) => return fail("ERR No such client"),
        (true, _) => cx.reply.ok(),
        (false, count) => cx.reply.count(count),
    }
    Ok(Done)
}

fn client_help(cx: &mut Cx<'_, '_>) -> Result {
    let lines = [
        "GETNAME",
        "    Return the name of the current connection.",
        "GETREDIR",
        "    Return -1: nothing is tracked for clients.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Kill connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Kill connections. Options are:",
        "    * ADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made from the specified address",
        "    * LADDR (<ip:port>|<unixsocket>:0)",
        "      Kill connections made to specified local address",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Kill connections by type.",
        "    * USER <username>",
        "      Kill connections authenticated by <username>.",
        "    * SKIPME (YES|NO)",
        "      Skip killing current connection (default: yes).",
        "    * ID <client-id>",
        "      Kill connections by client id.",
        "LIST [options ...]",
        "    Return information about client connections. Options:",
        "    * TYPE (NORMAL|MASTER|REPLICA|PUBSUB)",
        "      Return clients of specified type.",
        "    * ID <client-id> [<client-id> ...]",
        "      Return the clients with these ids.",
        "NO-EVICT (ON|OFF)",
        "    Protect current client connection from eviction.",
        "NO-TOUCH (ON|OFF)",
        "    Choose whether keys that are read count as used.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETINFO (LIB-NAME|LIB-VER) <value>",
        "    Set client meta attr.",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    Unblock the specified blocked client.",
        "UNPAUSE",
        "    Stop the current client pause, resuming traffic.",
    ];
    help(cx, "CLIENT", &lines);
    Ok(Done)
}

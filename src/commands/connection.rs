//! Commands on the connection itself: who asks, in which protocol, on which database.
//!
//! There is one user, `default`, with the configured password or none.

use super::{database, quoting};
use crate::base::number::parse_i64;
use crate::command::client::Closing;
use crate::command::table::{
    ALLOW_BUSY, FAST, Flags, LOADING, NO_AUTH, NO_KEY, NOSCRIPT, STALE, row,
};
use crate::command::{Command, Cx, Done, Error, Result, SYNTAX, Stop, fail};
use crate::resp::Protocol;

/// Flags of what is answered at any time, before AUTH too.
const ALWAYS: Flags = NOSCRIPT.and(LOADING).and(STALE).and(FAST).and(NO_AUTH).and(ALLOW_BUSY);
const EARLY: Flags = LOADING.and(STALE).and(FAST);

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[
    row("ping", -1, NO_KEY, FAST, ping, "[message]")
        .doc("connection", "1.0.0", "Replies with PONG, or with the message.")
        .tips(&["request_policy:all_shards", "response_policy:all_succeeded"]),
    row("echo", 2, NO_KEY, EARLY, echo, "message")
        .doc("connection", "1.0.0", "Replies with the message."),
    row("select", 2, NO_KEY, EARLY, select, "index")
        .doc("connection", "1.0.0", "Chooses the database of the connection."),
    row("auth", -2, NO_KEY, ALWAYS, auth, "[username] password")
        .doc("connection", "1.0.0", "Says who the client is."),
    row("hello", -1, NO_KEY, ALWAYS, hello, HELLO)
        .doc("connection", "6.0.0", "Chooses the protocol and tells what server this is."),
    row("quit", -1, NO_KEY, ALWAYS, quit, "")
        .doc("connection", "1.0.0", "Closes the connection.")
        .deprecated("7.2.0", "just closing the connection"),
    row("reset", 1, NO_KEY, ALWAYS, reset, "")
        .doc("connection", "6.2.0", "Makes the connection what it was when it was new."),
];

const HELLO: &str = "[protover [AUTH username password] [SETNAME clientname]]";

/// The version of Redis that this server answers like.
pub const REDIS_VERSION: &str = "7.2.4";

const USER: &[u8] = b"default";
const WRONG_PASSWORD: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_PASSWORD: &str = "ERR AUTH <password> called without any password configured for the \
    default user. Are you sure your configuration is correct?";
const HELLO_WITHOUT_AUTH: &str = "NOAUTH HELLO must be called with the client already \
    authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used to \
    authenticate the client and select the RESP protocol version at the same time";
const BAD_NAME: &str = "ERR Client names cannot contain spaces, newlines or special characters.";

fn ping(cx: &mut Cx<'_, '_>) -> Result {
    match cx.args.len() {
        1 => cx.reply.simple("PONG"),
        2 => cx.reply.bulk(cx.args.get(1)),
        _ => return fail("ERR wrong number of arguments for 'ping' command"),
    }
    Ok(Done)
}

fn echo(cx: &mut Cx<'_, '_>) -> Result {
    cx.reply.bulk(cx.args.get(1));
    Ok(Done)
}

fn select(cx: &mut Cx<'_, '_>) -> Result {
    let db = database(cx.args.get(1))?;
    cx.db = db;
    cx.client().db = db;
    cx.reply.ok();
    Ok(Done)
}

fn auth(cx: &mut Cx<'_, '_>) -> Result {
    let args = cx.args;
    let (user, password) = match args.len() {
        2 if cx.server.config.password.is_empty() => return fail(NO_PASSWORD),
        2 => (USER, args.get(1)),
        3 => (args.get(1), args.get(2)),
        _ => return fail(SYNTAX),
    };
    authenticate(cx, user, password)?;
    cx.reply.ok();
    Ok(Done)
}

fn authenticate(cx: &mut Cx<'_, '_>, user: &[u8], password: &[u8]) -> Result<()> {
    let expected = cx.server.config.password.as_bytes();
    let right = expected.is_empty() || same(expected, password);
    if user != USER || !right {
        return fail(WRONG_PASSWORD);
    }
    cx.client().authenticated = true;
    Ok(())
}

/// Whether both are the same, in a time that does not tell where they differ.
fn same(a: &[u8], b: &[u8]) -> bool {
    let differences = a.iter().zip(b).fold(0, |differences, (a, b)| differences | (a ^ b));
    a.len() == b.len() && std::hint::black_box(differences) == 0
}

/// What HELLO was asked for.
#[derive(Default)]
struct Greeting<'a> {
    protocol: Option<Protocol>,
    user: Option<(&'a [u8], &'a [u8])>,
    name: Option<&'a [u8]>,
}

impl<'a> Greeting<'a> {
    fn parse(mut args: impl ExactSizeIterator<Item = &'a [u8]>) -> Result<Greeting<'a>> {
        let mut greeting = Greeting::default();
        if let Some(version) = args.next() {
            greeting.protocol = match parse_i64(version) {
                None => return fail("ERR Protocol version is not an integer or out of range"),
                Some(2) => Some(Protocol::Resp2),
                Some(3) => Some(Protocol::Resp3),
                Some(_) => return fail("NOPROTO unsupported protocol version"),
            };
        }
        while let Some(option) = args.next() {
            if super::is(option, "auth") && args.len() >= 2 {
                let mut value = || args.next().unwrap_or_default();
                greeting.user = Some((value(), value()));
            } else if super::is(option, "setname") && args.len() >= 1 {
                let name = args.next().unwrap_or_default();
                greeting.name = Some(check_name(name)?);
            } else {
                return quoting("ERR Syntax error in HELLO option '", option, "'");
            }
        }
        Ok(greeting)
    }
}

/// Whether a text may stand in CLIENT LIST: without spaces and control characters.
pub(super) fn is_printable(text: &[u8]) -> bool {
    text.iter().all(|byte| (b'!'..=b'~').contains(byte))
}

/// A client's name, if it is one.
pub(super) fn check_name(name: &[u8]) -> Result<&[u8]> {
    if is_printable(name) { Ok(name) } else { fail(BAD_NAME) }
}

fn hello(cx: &mut Cx<'_, '_>) -> Result {
    let args = cx.args;
    let greeting = Greeting::parse(args.skip(1).iter())?;
    if let Some((user, password)) = greeting.user {
        authenticate(cx, user, password)?;
    }
    if !cx.client().authenticated {
        return Err(Stop::Error(Error::fixed(HELLO_WITHOUT_AUTH)));
    }
    if let Some(name) = greeting.name {
        cx.client().name = name.to_vec();
    }
    if let Some(protocol) = greeting.protocol {
        cx.client().protocol = protocol;
        cx.reply.set_protocol(protocol);
    }
    let version = if cx.reply.protocol() == Protocol::Resp3 { 3 } else { 2 };
    let id = i64::try_from(cx.id).unwrap_or(i64::MAX);

    let reply = &mut cx.reply;
    reply.map(7);
    reply.bulk(b"server");
    reply.bulk(b"redis");
    reply.bulk(b"version");
    reply.bulk(REDIS_VERSION.as_bytes());
    reply.bulk(b"proto");
    reply.int(version);
    reply.bulk(b"id");
    reply.int(id);
    reply.bulk(b"mode");
    reply.bulk(b"standalone");
    reply.bulk(b"role");
    reply.bulk(b"master");
    reply.bulk(b"modules");
    reply.array(0);
    Ok(Done)
}

fn quit(cx: &mut Cx<'_, '_>) -> Result {
    cx.reply.ok();
    cx.client().closing = Some(Closing::AfterReplies);
    Ok(Done)
}

fn reset(cx: &mut Cx<'_, '_>) -> Result {
    let free = cx.server.config.password.is_empty();
    cx.clients.end_transaction(cx.id);
    let client = cx.client();
    client.db = 0;
    client.protocol = Protocol::Resp2;
    client.name.clear();
    client.authenticated = free;
    cx.db = 0;
    cx.reply.set_protocol(Protocol::Resp2);
    cx.reply.simple("RESET");
    Ok(Done)
}

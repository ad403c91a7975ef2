//! SLOWLOG and LATENCY: which commands took long, and what else did.

use super::{container, full_name, help, latency_report, quoting};
use crate::base::number::parse_i64;
use crate::command::profile::{Calls, Event, Profile};
use crate::command::table::{ADMIN, Flags, LOADING, NO_KEY, NOSCRIPT, STALE, row};
use crate::command::{Command, Cx, Done, Result, fail};

const SLOW: Flags = ADMIN.and(LOADING).and(STALE);
const LATENT: Flags = SLOW.and(NOSCRIPT);
const EACH_NODE: &[&str] =
    &["nondeterministic_output", "request_policy:all_nodes", "response_policy:special"];
const ON_ALL: &[&str] = &["request_policy:all_nodes", "response_policy:all_succeeded"];

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[
    row("latency", -2, NO_KEY, Flags(0), container, "")
        .doc("server", "2.8.13", "Holds commands on what took long.")
        .with(LATENCY),
    row("slowlog", -2, NO_KEY, Flags(0), container, "")
        .doc("server", "2.2.12", "Holds commands on the log of slow commands.")
        .with(SLOWLOG),
];

#[rustfmt::skip] // A row is a line, and its documentation the next.
const LATENCY: &[Command] = &[
    row("doctor", 2, NO_KEY, LATENT, doctor, "")
        .doc("server", "2.8.13", "Says what the samples tell, and what to do.")
        .tips(EACH_NODE),
    row("graph", 3, NO_KEY, LATENT, graph, "event")
        .doc("server", "2.8.13", "Draws the samples of an event.")
        .tips(EACH_NODE),
    row("help", 2, NO_KEY, LOADING.and(STALE), latency_help, "")
        .doc("server", "2.8.13", "Lists the subcommands."),
    row("histogram", -2, NO_KEY, LATENT, histogram, "[command [command ...]]")
        .doc("server", "7.0.0", "Replies with how long commands took.")
        .tips(EACH_NODE),
    row("history", 3, NO_KEY, LATENT, history, "event")
        .doc("server", "2.8.13", "Replies with the samples of an event.")
        .tips(EACH_NODE),
    row("latest", 2, NO_KEY, LATENT, latest, "")
        .doc("server", "2.8.13", "Replies with the newest sample of each event.")
        .tips(EACH_NODE),
    row("reset", -2, NO_KEY, LATENT, latency_reset, "[event [event ...]]")
        .doc("server", "2.8.13", "Forgets the samples of events.")
        .tips(ON_ALL),
];

#[rustfmt::skip] // A row is a line, and its documentation the next.
const SLOWLOG: &[Command] = &[
    row("get", -2, NO_KEY, SLOW, get, "[count]")
        .doc("server", "2.2.12", "Replies with the newest entries of the log.")
        .tips(&["request_policy:all_nodes", "nondeterministic_output"]),
    row("help", 2, NO_KEY, LOADING.and(STALE), slowlog_help, "")
        .doc("server", "6.2.0", "Lists the subcommands."),
    row("len", 2, NO_KEY, SLOW, len, "")
        .doc("server", "2.2.12", "Replies with the number of entries.")
        .tips(&["request_policy:all_nodes", "response_policy:agg_sum", "nondeterministic_output"]),
    row("reset", 2, NO_KEY, SLOW, reset, "")
        .doc("server", "2.2.12", "Forgets all entries.")
        .tips(ON_ALL),
];

/// Entries that SLOWLOG GET replies with when nobody says how many.
const ENTRIES: i64 = 10;

fn get(cx: &mut Cx<'_, '_>) -> Result {
    let count = match cx.args.try_get(2) {
        None => ENTRIES,
        Some(_) if cx.args.len() > 3 => {
            return fail("ERR wrong number of arguments for 'slowlog|get' command");
        }
        Some(text) => match parse_i64(text) {
            Some(count @ -1..) => count,
            _ => return fail("ERR count should be greater than or equal to -1"),
        },
    };
    let slow = &cx.server.profile.slow;
    let count = usize::try_from(count).map_or(slow.len(), |count| count.min(slow.len()));
    let reply = &mut cx.reply;
    reply.array(count);
    for entry in slow.iter().take(count) {
        reply.array(6);
        reply.int(entry.id as i64);
        reply.int(entry.time_s as i64);
        reply.int(entry.us as i64);
        let args = entry.args.args();
        reply.array(args.len());
        args.iter().for_each(|arg| reply.bulk(arg));
        reply.bulk(entry.addr.as_bytes());
        reply.bulk(&entry.name);
    }
    Ok(Done)
}

fn len(cx: &mut Cx<'_, '_>) -> Result {
    cx.reply.count(cx.server.profile.slow.len());
    Ok(Done)
}

fn reset(cx: &mut Cx<'_, '_>) -> Result {
    cx.server.profile.slow.clear();
    cx.reply.ok();
    Ok(Done)
}

fn latest(cx: &mut Cx<'_, '_>) -> Result {
    let events = &cx.server.profile.events;
    cx.reply.array(events.len());
    for (name, event) in events {
        let (time_s, ms) = event.samples.back().copied().unwrap_or_default();
        cx.reply.array(4);
        cx.reply.bulk(name.as_bytes());
        cx.reply.int(time_s as i64);
        cx.reply.int(ms as i64);
        cx.reply.int(event.max_ms as i64);
    }
    Ok(Done)
}

fn doctor(cx: &mut Cx<'_, '_>) -> Result {
    let (server, now_s) = (&cx.server, cx.server.now_ms / 1000);
    let events = server.profile.events.iter().map(|(name, event)| (*name, event));
    let threshold_ms = server.config.latency_monitor_threshold;
    let text = latency_report::doctor(events, threshold_ms, now_s);
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(Done)
}

fn graph(cx: &mut Cx<'_, '_>) -> Result {
    let (wanted, now_s) = (cx.args.get(2), cx.server.now_ms / 1000);
    let found = find_event(&cx.server.profile, wanted);
    let Some((name, event)) = found.filter(|(_, event)| !event.samples.is_empty()) else {
        return quoting("ERR No samples available for event '", wanted, "'");
    };
    let text = latency_report::graph(name, event, now_s);
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(Done)
}

fn find_event<'a>(profile: &'a Profile, wanted: &[u8]) -> Option<(&'static str, &'a Event)> {
    let mut events = profile.events.iter().map(|(name, event)| (*name, event));
    events.find(|(name, _)| name.as_bytes().eq_ignore_ascii_case(wanted))
}

fn history(cx: &mut Cx<'_, '_>) -> Result {
    let found = find_event(&cx.server.profile, cx.args.get(2));
    let samples = found.map(|(_, event)| &event.samples);
    cx.reply.array(samples.map_or(0, |samples| samples.len()));
    for (time_s, ms) in samples.into_iter().flatten() {
        cx.reply.array(2);
        cx.reply.int(*time_s as i64);
        cx.reply.int(*ms as i64);
    }
    Ok(Done)
}

fn latency_reset(cx: &mut Cx<'_, '_>) -> Result {
    let named = cx.args.skip(2);
    let events = &mut cx.server.profile.events;
    let before = events.len();
    events.retain(|name, _| {
        let is = |named: &[u8]| named.eq_ignore_ascii_case(name.as_bytes());
        !named.is_empty() && !named.iter().any(is)
    });
    let gone = before - events.len();
    cx.reply.count(gone);
    Ok(Done)
}

/// Replies with the histograms of commands that were called, by full name.
fn histogram(cx: &mut Cx<'_, '_>) -> Result {
    let named = cx.args.skip(2);
    let container_of = |name: &str| name.split('|').next().unwrap_or_default().to_owned();
    let wanted = |name: &String| {
        let is = |named: &[u8]| {
            named.eq_ignore_ascii_case(name.as_bytes())
                || named.eq_ignore_ascii_case(container_of(name).as_bytes())
        };
        named.is_empty() || named.iter().any(is)
    };
    let called = cx.server.profile.commands().filter(|(_, calls)| calls.count > 0);
    let mut called: Vec<_> =
        called.map(|(command, calls)| (full_name(command), calls.clone())).collect();
    called.retain(|(name, _)| wanted(name));
    called.sort_by(|a, b| a.0.cmp(&b.0));
    cx.reply.map(called.len());
    for (name, calls) in called {
        cx.reply.bulk(name.as_bytes());
        reply_histogram(cx, &calls);
    }
    Ok(Done)
}

fn reply_histogram(cx: &mut Cx<'_, '_>, calls: &Calls) {
    let reply = &mut cx.reply;
    reply.map(2);
    reply.bulk(b"calls");
    reply.int(calls.count as i64);
    reply.bulk(b"histogram_usec");
    let used: Vec<_> = (0..).zip(calls.by_log).filter(|(_, count)| *count > 0).collect();
    reply.map(used.len());
    let mut sum = 0;
    for (log, count) in used {
        sum += count;
        reply.int(1 << log);
        reply.int(sum as i64);
    }
}

fn slowlog_help(cx: &mut Cx<'_, '_>) -> Result {
    let lines = [
        "GET [<count>]",
        "    Reply with the newest entries: 10, or <count>; -1 means all.",
        "    An entry: id, time, microseconds, arguments, address and name of the client.",
        "LEN",
        "    Reply with the number of entries.",
        "RESET",
        "    Forget all entries.",
    ];
    help(cx, "SLOWLOG", &lines);
    Ok(Done)
}

fn latency_help(cx: &mut Cx<'_, '_>) -> Result {
    let lines = [
        "DOCTOR",
        "    Say what the samples tell, and what to do.",
        "GRAPH <event>",
        "    Draw the samples of an event.",
        "HISTOGRAM [COMMAND ...]",
        "    Reply with how often commands took how long.",
        "HISTORY <event>",
        "    Reply with the samples of an event: time and milliseconds.",
        "LATEST",
        "    Reply with the newest sample of each event.",
        "RESET [<event> ...]",
        "    Forget the samples of these events, or of all.",
    ];
    help(cx, "LATENCY", &lines);
    Ok(Done)
}

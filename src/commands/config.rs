//! CONFIG: what is configured, under Redis' names and our own (`dredis-...`).

use super::{container, help, quoting};
use crate::base::glob::{Case, matches};
use crate::base::number::parse_i64;
use crate::command::server::{Server, Stats};
use crate::command::table::{ADMIN, Flags, LOADING, NO_KEY, NOSCRIPT, STALE, row};
use crate::command::{Command, Cx, Done, Error, Result, SYNTAX, Stop, fail};
use crate::config::Fsync;
use crate::layout::op::DATABASES;

const RUNS_IT: Flags = ADMIN.and(NOSCRIPT).and(LOADING).and(STALE);

/// The rows.
#[rustfmt::skip] // A row is a line, and its documentation the next.
pub const COMMANDS: &[Command] = &[row("config", -2, NO_KEY, RUNS_IT, container, "")
    .doc("server", "2.0.0", "Holds commands on the configuration.")
    .with(CONFIG)];

#[rustfmt::skip] // A row is a line, and its documentation the next.
const CONFIG: &[Command] = &[
    row("get", -3, NO_KEY, RUNS_IT, get, "parameter [parameter ...]")
        .doc("server", "2.0.0", "Replies with the values of parameters, by patterns."),
    row("help", 2, NO_KEY, LOADING.and(STALE), config_help, "")
        .doc("server", "5.0.0", "Lists the subcommands."),
    row("resetstat", 2, NO_KEY, RUNS_IT, resetstat, "")
        .doc("server", "2.0.0", "Sets the counters of INFO to zero."),
    row("rewrite", 2, NO_KEY, RUNS_IT, rewrite, "")
        .doc("server", "2.8.0", "Fails: this server has no configuration file."),
    row("set", -4, NO_KEY, RUNS_IT, set, "parameter value [parameter value ...]")
        .doc("server", "2.0.0", "Changes parameters of the running server.")
        .tips(&["request_policy:all_nodes", "response_policy:all_succeeded"]),
];

/// One parameter.
struct Parameter {
    name: &'static str,
    show: fn(&Server) -> String,
    change: Change,
}

/// How a parameter can be changed while the server runs.
enum Change {
    /// Not at all, as in Redis.
    Never,
    /// Redis could; this server has one value only, and takes that.
    Same,
    /// By this function, which says what it expected where it refuses.
    By(fn(&mut Server, &str) -> std::result::Result<(), String>),
}

use Change::{By, Never, Same};

/// All parameters, by name.
const PARAMETERS: &[Parameter] = &[
    Parameter { name: "appendfsync", show: show_fsync, change: By(set_fsync) },
    Parameter { name: "appendonly", show: |_| "yes".into(), change: Same },
    Parameter { name: "bind", show: |server| server.config.host.clone(), change: Never },
    Parameter {
        name: "busy-reply-threshold",
        show: |server| server.config.busy_reply_threshold.to_string(),
        change: By(|server, text| set_number(&mut server.config.busy_reply_threshold, text, 0)),
    },
    Parameter { name: "databases", show: |_| DATABASES.to_string(), change: Never },
    Parameter { name: "dir", show: |server| server.root.clone(), change: Never },
    Parameter {
        name: "dredis-backlog-bytes",
        show: |server| server.config.backlog_bytes.to_string(),
        change: Never,
    },
    Parameter {
        name: "dredis-backup-journal-bytes",
        show: |server| server.config.backup_journal_bytes.to_string(),
        change: Never,
    },
    Parameter {
        name: "dredis-batch-bytes",
        show: |server| server.config.batch_bytes.to_string(),
        change: Never,
    },
    Parameter {
        name: "dredis-cache-bytes",
        show: |server| server.config.cache_bytes.to_string(),
        change: Never,
    },
    Parameter {
        name: "dredis-journal-bytes",
        show: |server| server.config.journal_bytes().to_string(),
        change: Never,
    },
    Parameter {
        name: "dredis-lua-bytes",
        show: |server| server.config.lua_bytes.to_string(),
        change: Never,
    },
    Parameter {
        name: "dredis-output-bytes",
        show: |server| server.config.output_bytes.to_string(),
        change: Never,
    },
    Parameter {
        name: "dredis-reply-bytes",
        show: |server| server.config.reply_bytes.to_string(),
        change: Never,
    },
    Parameter {
        name: "latency-monitor-threshold",
        show: |server| server.config.latency_monitor_threshold.to_string(),
        change: By(|server, text| {
            set_number(&mut server.config.latency_monitor_threshold, text, 0)
        }),
    },
    Parameter { name: "latency-tracking", show: |_| "yes".into(), change: Same },
    Parameter {
        name: "lua-time-limit",
        show: |server| server.config.busy_reply_threshold.to_string(),
        change: By(|server, text| set_number(&mut server.config.busy_reply_threshold, text, 0)),
    },
    Parameter {
        name: "maxclients",
        show: |server| server.config.maxclients.to_string(),
        change: By(|server, text| set_number(&mut server.config.maxclients, text, 1)),
    },
    Parameter { name: "maxmemory", show: |_| "0".into(), change: Same },
    Parameter { name: "maxmemory-policy", show: |_| "noeviction".into(), change: Same },
    Parameter { name: "port", show: |server| server.config.port.to_string(), change: Never },
    Parameter {
        name: "proto-max-bulk-len",
        show: |server| server.config.proto_max_bulk_len.to_string(),
        change: Same,
    },
    Parameter {
        name: "protected-mode",
        show: |server| if server.config.protected_mode { "yes" } else { "no" }.into(),
        change: Same,
    },
    Parameter {
        name: "requirepass",
        show: |server| server.config.password.clone(),
        change: By(|server, text| {
            text.clone_into(&mut server.config.password);
            Ok(())
        }),
    },
    Parameter { name: "save", show: |_| String::new(), change: Same },
    Parameter {
        name: "slowlog-log-slower-than",
        show: |server| server.config.slowlog_log_slower_than.to_string(),
        change: By(|server, text| {
            let number = text.parse().map_err(|_| "argument couldn't be parsed into an integer");
            server.config.slowlog_log_slower_than = number?;
            Ok(())
        }),
    },
    Parameter {
        name: "slowlog-max-len",
        show: |server| server.config.slowlog_max_len.to_string(),
        change: By(|server, text| set_number(&mut server.config.slowlog_max_len, text, 0)),
    },
    Parameter {
        name: "tcp-keepalive",
        show: |server| server.config.tcp_keepalive.to_string(),
        change: Same,
    },
    Parameter {
        name: "timeout",
        show: |server| server.config.timeout.to_string(),
        change: By(|server, text| set_number(&mut server.config.timeout, text, 0)),
    },
    Parameter {
        name: "unixsocket",
        show: |server| {
            let path = server.config.unix_socket.as_deref();
            path.map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
        },
        change: Never,
    },
];

/// How `always`, `everysec` and `no` are spelled.
pub(super) fn show_fsync(server: &Server) -> String {
    match server.config.fsync {
        Fsync::Always => "always",
        Fsync::Everysec => "everysec",
        Fsync::No => "no",
    }
    .into()
}

fn set_fsync(server: &mut Server, text: &str) -> std::result::Result<(), String> {
    server.config.fsync = match text.to_ascii_lowercase().as_str() {
        "always" => Fsync::Always,
        "everysec" => Fsync::Everysec,
        "no" => Fsync::No,
        _ => return Err("argument(s) must be one of the following: everysec, always, no".into()),
    };
    Ok(())
}

fn set_number(field: &mut u64, text: &str, min: u64) -> std::result::Result<(), String> {
    let Some(number) = parse_i64(text.as_bytes()) else {
        return Err("argument couldn't be parsed into an integer".into());
    };
    match u64::try_from(number) {
        Ok(number) if (min..=i32::MAX as u64).contains(&number) => *field = number,
        _ => return Err(format!("argument must be between {min} and {} inclusive", i32::MAX)),
    }
    Ok(())
}

/// Replies with each parameter that matches one of the patterns, once. One that is named without
/// a pattern is replied as it was spelled.
fn get(cx: &mut Cx<'_, '_>) -> Result {
    let mut chosen: Vec<(&[u8], &Parameter)> = Vec::new();
    for pattern in cx.args.skip(2).iter() {
        let plain = !pattern.iter().any(|byte| b"[*?".contains(byte));
        for parameter in PARAMETERS {
            let name = parameter.name.as_bytes();
            let there = chosen.iter().any(|(_, other)| other.name == parameter.name);
            if !there && matches(pattern, name, Case::Ignored) {
                chosen.push((if plain { pattern } else { name }, parameter));
            }
        }
    }
    cx.reply.map(chosen.len());
    for (name, parameter) in chosen {
        cx.reply.bulk(name);
        cx.reply.bulk((parameter.show)(cx.server).as_bytes());
    }
    Ok(Done)
}

/// Changes all of the parameters, or none.
fn set(cx: &mut Cx<'_, '_>) -> Result {
    let args = cx.args.skip(2);
    if !args.len().is_multiple_of(2) {
        return fail(SYNTAX);
    }
    let mut changes: Vec<(&Parameter, &[u8])> = Vec::new();
    let mut pairs = args.iter();
    while let (Some(name), Some(value)) = (pairs.next(), pairs.next()) {
        let found = PARAMETERS.iter().find(|parameter| super::is(name, parameter.name));
        let Some(parameter) = found else {
            let text = "ERR Unknown option or number of arguments for CONFIG SET - '";
            return quoting(text, name, "'");
        };
        if matches!(parameter.change, Never) {
            return refuse(parameter, "can't set immutable config");
        }
        if changes.iter().any(|(other, _)| other.name == parameter.name) {
            return refuse(parameter, "duplicate parameter");
        }
        changes.push((parameter, value));
    }
    let before = cx.server.config.clone();
    for (parameter, value) in changes {
        let outcome = match std::str::from_utf8(value) {
            Ok(text) => apply(cx.server, parameter, text),
            Err(_) => Err("argument must be UTF-8".into()),
        };
        if let Err(reason) = outcome {
            cx.server.config = before;
            return refuse(parameter, &reason);
        }
    }
    cx.reply.ok();
    Ok(Done)
}

fn apply(
    server: &mut Server,
    parameter: &Parameter,
    text: &str,
) -> std::result::Result<(), String> {
    match parameter.change {
        By(change) => change(server, text),
        Same | Never => {
            let only = (parameter.show)(server);
            if text.eq_ignore_ascii_case(&only) {
                Ok(())
            } else {
                Err(format!("this server has only the value '{only}'"))
            }
        }
    }
}

fn refuse<T>(parameter: &Parameter, reason: &str) -> Result<T> {
    let name = parameter.name;
    let text = format!("ERR CONFIG SET failed (possibly related to argument '{name}') - {reason}");
    Err(Stop::Error(Error::new(text)))
}

fn resetstat(cx: &mut Cx<'_, '_>) -> Result {
    cx.server.profile.reset();
    let stats = &mut cx.server.stats;
    *stats = Stats {
        connections: 0,
        rejected: 0,
        commands: 0,
        bytes_in: 0,
        bytes_out: 0,
        reads: 0,
        writes: 0,
        errors: 0,
        refused: 0,
        ..stats.clone()
    };
    let figures = &mut cx.keys.figures;
    (figures.hits, figures.misses, figures.expired) = (0, 0, 0);
    cx.reply.ok();
    Ok(Done)
}

fn rewrite(_: &mut Cx<'_, '_>) -> Result {
    fail("ERR The server is running without a config file")
}

fn config_help(cx: &mut Cx<'_, '_>) -> Result {
    let lines = [
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
    ];
    help(cx, "CONFIG", &lines);
    Ok(Done)
}

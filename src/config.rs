//! What can be configured: each field is an environment variable and a flag of the same name.
//!
//! The fields of [`Config`] are the whole list; `--help`, the names of the variables and the
//! warning about unknown ones derive from it. Values are checked for their form here; whether a
//! directory exists or a port is free is found out by those who use it.

use clap::builder::{OsStringValueParser, TypedValueParser};
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Args, Command, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum};
use std::ffi::OsString;
use std::path::PathBuf;

/// When a reply to a write may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Fsync {
    /// Once the write would survive a power cut.
    Always,
    /// Once the journal is written; it is synced about once a second.
    Everysec,
    /// At once, before the journal is written; it is synced about once a second all the same.
    No,
}

/// Settings of a server. Sizes are in bytes.
#[derive(Args, Clone, Debug)]
pub struct Config {
    /// Address to listen on; `::` is IPv4 and IPv6
    #[arg(long, env = "DREDIS_HOST", default_value = "127.0.0.1", value_name = "ADDRESS")]
    pub host: String,
    /// TCP port; 0 is no TCP
    #[arg(long, env = "DREDIS_PORT", default_value = "6377", value_parser = port)]
    pub port: u16,
    /// Unix socket to listen on as well
    #[arg(long = "unixsocket", env = "DREDIS_UNIXSOCKET", value_name = "PATH",
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub unix_socket: Option<PathBuf>,
    /// Directory of the database; none is a temporary one that is not kept
    #[arg(long, env = "ROOT_DIR", value_name = "PATH",
        value_parser = OsStringValueParser::new().map(PathBuf::from))]
    pub root_dir: Option<PathBuf>,
    /// Log in detail
    #[arg(long, env = "DEBUG", default_value = "false", value_name = "BOOL", num_args = 0..=1,
        require_equals = true, default_missing_value = "true", value_parser = boolean,
        action = clap::ArgAction::Set)]
    pub debug: bool,
    /// Start with an empty database
    #[arg(long, env = "FLUSHALL_ON_STARTUP", default_value = "false", value_name = "BOOL",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = boolean, action = clap::ArgAction::Set)]
    pub flushall_on_startup: bool,
    /// When a write is acknowledged: always, everysec or no
    #[arg(long, env = "DREDIS_FSYNC", default_value = "always", ignore_case = true)]
    pub fsync: Fsync,
    /// Memory for what is cached of the tree
    #[arg(long, env = "DREDIS_CACHE_BYTES", default_value = "256mb", value_parser = bytes)]
    pub cache_bytes: u64,
    /// Acknowledged writes that the tree may lag behind
    #[arg(long, env = "DREDIS_BACKLOG_BYTES", default_value = "64mb", value_parser = bytes)]
    pub backlog_bytes: u64,
    /// Size of the journal; 0 is four times the backlog
    #[arg(long = "journal-bytes", env = "DREDIS_JOURNAL_BYTES", default_value = "0",
        id = "journal_bytes", value_parser = bytes)]
    journal_bytes_or_0: u64,
    /// Largest batch (a command, transaction or script)
    #[arg(long, env = "DREDIS_BATCH_BYTES", default_value = "1gb", value_parser = bytes)]
    pub batch_bytes: u64,
    /// Journal kept for a backup under way, before the backup is given up
    #[arg(long, env = "DREDIS_BACKUP_JOURNAL_BYTES", default_value = "1gb", value_parser = bytes)]
    pub backup_journal_bytes: u64,
    /// Password of the default user; empty is none
    #[arg(long, env = "DREDIS_PASSWORD", default_value = "", hide_env_values = true)]
    pub password: String,
    /// Most clients at a time
    #[arg(long, env = "DREDIS_MAXCLIENTS", default_value = "10000", value_parser = count)]
    pub maxclients: u64,
    /// Replies a client may leave unread before its next commands wait
    #[arg(long, env = "DREDIS_OUTPUT_BYTES", default_value = "128mb", value_parser = bytes)]
    pub output_bytes: u64,
    /// Largest reply of one command
    #[arg(long, env = "DREDIS_REPLY_BYTES", default_value = "512mb", value_parser = bytes)]
    pub reply_bytes: u64,
    /// Milliseconds that a script may run before others get -BUSY; 0 is without end
    #[arg(long, env = "DREDIS_BUSY_REPLY_THRESHOLD", default_value = "5000", value_parser = count)]
    pub busy_reply_threshold: u64,
    /// Memory that scripts may take
    #[arg(long, env = "DREDIS_LUA_BYTES", default_value = "64mb", value_parser = lua_bytes)]
    pub lua_bytes: u64,
    /// Microseconds from which on a command is in SLOWLOG; below 0 none is
    #[arg(
        long,
        env = "DREDIS_SLOWLOG_LOG_SLOWER_THAN",
        default_value = "10000",
        allow_hyphen_values = true
    )]
    pub slowlog_log_slower_than: i64,
    /// Entries of SLOWLOG
    #[arg(long, env = "DREDIS_SLOWLOG_MAX_LEN", default_value = "128", value_parser = count)]
    pub slowlog_max_len: u64,
    /// Milliseconds from which on something is in LATENCY; 0 is never
    #[arg(long, env = "DREDIS_LATENCY_MONITOR_THRESHOLD", default_value = "0",
        value_parser = count)]
    pub latency_monitor_threshold: u64,
    /// Longest argument
    #[arg(long, env = "DREDIS_PROTO_MAX_BULK_LEN", default_value = "512mb", value_parser = bytes)]
    pub proto_max_bulk_len: u64,
    /// Seconds after which an idle client is disconnected; 0 is never
    #[arg(long, env = "DREDIS_TIMEOUT", default_value = "0", value_parser = count)]
    pub timeout: u64,
    /// Seconds between TCP keep-alive probes; 0 is none
    #[arg(long, env = "DREDIS_TCP_KEEPALIVE", default_value = "300", value_parser = count)]
    pub tcp_keepalive: u64,
    /// Without a password, refuse clients from other machines
    #[arg(long, env = "DREDIS_PROTECTED_MODE", default_value = "true", value_name = "BOOL",
        num_args = 0..=1, require_equals = true, default_missing_value = "true",
        value_parser = boolean, action = clap::ArgAction::Set)]
    pub protected_mode: bool,
}

impl Config {
    /// Size of the journal in bytes: as configured, or four times the backlog.
    pub fn journal_bytes(&self) -> u64 {
        match self.journal_bytes_or_0 {
            0 => self.backlog_bytes.saturating_mul(4),
            bytes => bytes,
        }
    }
}

/// What the program is asked to do.
#[derive(Clone, Debug, PartialEq, Eq, Subcommand)]
pub enum Task {
    /// Run the server (the default)
    Serve,
    /// Read the tree and the journal of a stopped server and report damage
    Check {
        /// Directory of the database
        #[arg(value_name = "ROOT_DIR")]
        dir: PathBuf,
        /// Report as JSON
        #[arg(long)]
        json: bool,
    },
    /// Mend what can be mended in the tree of a cleanly stopped server
    Repair {
        /// Directory of the database
        #[arg(value_name = "ROOT_DIR")]
        dir: PathBuf,
        /// Report as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Parser)]
#[command(name = "dredis", version, about, disable_help_flag = true)]
#[command(disable_help_subcommand = true)]
struct CommandLine {
    #[command(flatten)]
    config: Config,
    #[command(subcommand)]
    task: Option<Task>,
    /// Show this, with present values
    #[arg(short = 'h', long)]
    help: bool,
}

/// A command line and environment that were understood.
#[derive(Clone, Debug)]
pub struct Invocation {
    /// What to do.
    pub task: Task,
    /// The settings.
    pub config: Config,
    /// One line for each variable named `DREDIS_*` that means nothing: to be logged.
    pub warnings: Vec<String>,
}

/// Nothing to run: print `text` and exit with `code`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exit {
    /// What to print, to stdout where the code is 0 and to stderr otherwise.
    pub text: String,
    /// 0 for `--help` and `--version`, 2 for a bad value.
    pub code: u8,
}

/// Reads the settings from the command line (the program's name first) and the environment.
pub fn load(line: impl IntoIterator<Item = OsString>) -> Result<Invocation, Exit> {
    // In front of a subcommand or behind it, a setting is the same.
    let command = CommandLine::command().mut_args(|arg| arg.global(true));
    let matches = command.clone().try_get_matches_from(line).map_err(|error| refusal(&error))?;
    if matches.get_flag("help") {
        return Err(Exit { text: help(&command, &matches), code: 0 });
    }
    let parsed = CommandLine::from_arg_matches(&matches).map_err(|error| refusal(&error))?;
    let mut config = parsed.config;
    config.root_dir.take_if(|path| path.as_os_str().is_empty());
    config.unix_socket.take_if(|path| path.as_os_str().is_empty());
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let warnings = unknown_variables(&command, names);
    Ok(Invocation { task: parsed.task.unwrap_or(Task::Serve), config, warnings })
}

fn unknown_variables(command: &Command, names: impl Iterator<Item = String>) -> Vec<String> {
    let known =
        |name: &str| command.get_arguments().any(|arg| arg.get_env() == Some(name.as_ref()));
    names
        .filter(|name| name.starts_with("DREDIS_") && !known(name))
        .map(|name| format!("unknown variable {name} is ignored; dredis --help lists all"))
        .collect()
}

/// One line: which setting, what was expected, what came, what to do.
fn refusal(error: &clap::Error) -> Exit {
    if error.kind() == ErrorKind::DisplayVersion {
        return Exit { text: error.to_string(), code: 0 };
    }
    let context = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        _ => None,
    };
    let value = context(ContextKind::InvalidValue);
    let text = match (error.kind(), context(ContextKind::InvalidArg), value) {
        (ErrorKind::ValueValidation | ErrorKind::InvalidValue, Some(arg), Some(value)) => {
            let flag = arg.split([' ', '=', '[']).next().unwrap_or(arg);
            let expected = match std::error::Error::source(error) {
                Some(reason) => reason.to_string(),
                None => expected_values(error),
            };
            let variable = variable(flag);
            format!("dredis: {flag}{variable} expects {expected}, got '{value}'")
        }
        _ => {
            let text = error.to_string();
            let lines = text.lines().take_while(|line| !line.trim().is_empty());
            let line = lines.map(str::trim).collect::<Vec<_>>().join(" ");
            format!("dredis: {}", line.trim_start_matches("error: "))
        }
    };
    Exit { text: format!("{text}; see dredis --help\n"), code: 2 }
}

fn expected_values(error: &clap::Error) -> String {
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) => values.join(" or "),
        _ => "another value".into(),
    }
}

/// ` (variable NAME)`, where the flag has one.
fn variable(flag: &str) -> String {
    let command = CommandLine::command();
    let arg = command.get_arguments().find(|arg| arg.get_long() == flag.strip_prefix("--"));
    match arg.and_then(|arg| arg.get_env()) {
        Some(name) => format!(" (variable {})", name.to_string_lossy()),
        None => String::new(),
    }
}

/// All settings in columns: flag, variable, present value, meaning.
fn help(command: &Command, matches: &clap::ArgMatches) -> String {
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let mut rows = vec![["Flag", "Variable", "Present value", "Meaning"].map(String::from)];
    for arg in command.get_arguments() {
        let Some(name) = arg.get_env() else { continue };
        let raw = matches.get_raw(arg.get_id().as_str()).and_then(|mut values| values.next());
        let present = match raw.map(|value| value.to_string_lossy()) {
            None => "(none)".into(),
            Some(value) if value.is_empty() => "(none)".into(),
            Some(_) if arg.is_hide_env_values_set() => "(set)".into(),
            Some(value) => value.into_owned(),
        };
        let meaning = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let flag = format!("--{}", arg.get_long().unwrap_or_default());
        rows.push([flag, name.to_string_lossy().into_owned(), present, meaning]);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let [a, b, c] = [0, 1, 2].map(|column| width(column).unwrap_or(0));
    let lines = rows.iter().map(|[flag, name, present, meaning]| {
        format!("  {flag:<a$}  {name:<b$}  {present:<c$}  {meaning}\n")
    });
    format!(
        "{about}\n\nUsage: dredis [FLAGS] [serve]\n       dredis check ROOT_DIR [--json]\n       \
         dredis repair ROOT_DIR [--json]\n       dredis --help | --version\n\n\
         Sizes take k, kb, m, mb, g or gb (1k is 1000, 1kb is 1024).\n\n{}",
        lines.collect::<String>()
    )
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| "a port from 0 to 65535".into())
}

fn count(text: &str) -> Result<u64, String> {
    let value: Option<u64> = text.parse().ok().filter(|&value| value <= u64::from(u32::MAX));
    value.ok_or_else(|| format!("a number from 0 to {}", u32::MAX))
}

fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("true, false, yes, no, 1 or 0".into()),
    }
}

fn bytes(text: &str) -> Result<u64, String> {
    parse_bytes(text).ok_or_else(|| "a size such as 1048576, 64mb or 1gb".into())
}

/// With less than this no script could be kept: Lua's own library is in it, too.
fn lua_bytes(text: &str) -> Result<u64, String> {
    let enough = parse_bytes(text).filter(|bytes| *bytes >= 1 << 20);
    enough.ok_or_else(|| "a size of 1mb or more, such as 64mb".into())
}

/// A size as in redis.conf: digits and a unit, of which those with `b` are powers of 1024.
pub fn parse_bytes(text: &str) -> Option<u64> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1 << 10,
        "m" => 1_000_000,
        "mb" => 1 << 20,
        "g" => 1_000_000_000,
        "gb" => 1 << 30,
        _ => return None,
    };
    let value = number.parse::<u64>().ok()?.checked_mul(factor)?;
    // What is a size here must also be one in Redis' signed numbers.
    (value <= i64::MAX as u64).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(line: &[&str]) -> Result<Invocation, Exit> {
        load(["dredis"].iter().chain(line).map(OsString::from))
    }

    #[test]
    fn the_definition_is_sound() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn defaults_flags_and_tasks() {
        let plain = from(&[]).unwrap();
        assert_eq!(plain.task, Task::Serve);
        assert_eq!((plain.config.port, plain.config.cache_bytes), (6377, 256 << 20));
        assert_eq!(plain.config.journal_bytes(), 256 << 20);
        assert_eq!((plain.config.debug, plain.config.fsync), (false, Fsync::Always));

        let line = ["--port", "7000", "--debug", "serve", "--cache-bytes=64mb", "--fsync", "NO"];
        let given = from(&line).unwrap().config;
        assert_eq!((given.port, given.debug, given.cache_bytes), (7000, true, 64 << 20));
        assert_eq!(given.fsync, Fsync::No);

        let empty = from(&["--root-dir=", "--unixsocket", ""]).unwrap().config;
        assert_eq!((empty.root_dir, empty.unix_socket), (None, None));

        let check = from(&["check", "/data", "--json"]).unwrap();
        assert_eq!(check.task, Task::Check { dir: "/data".into(), json: true });
        let repair = from(&["repair", "/data"]).unwrap();
        assert_eq!(repair.task, Task::Repair { dir: "/data".into(), json: false });
    }

    #[test]
    fn a_bad_value_is_one_line_and_code_2() {
        for (line, expect) in [
            (
                &["--port", "x"][..],
                "dredis: --port (variable DREDIS_PORT) expects a port from 0 to 65535, got 'x'; \
                 see dredis --help\n",
            ),
            (
                &["--fsync", "x"],
                "dredis: --fsync (variable DREDIS_FSYNC) expects always or everysec or no, got \
                 'x'; see dredis --help\n",
            ),
            (
                &["--debug=maybe"],
                "dredis: --debug (variable DEBUG) expects true, false, yes, no, 1 or 0, got \
                 'maybe'; see dredis --help\n",
            ),
            (
                &["--lua-bytes", "1023kb"],
                "dredis: --lua-bytes (variable DREDIS_LUA_BYTES) expects a size of 1mb or more, \
                 such as 64mb, got '1023kb'; see dredis --help\n",
            ),
            (
                &["--nonsense"],
                "dredis: unexpected argument '--nonsense' found; see dredis --help\n",
            ),
        ] {
            let exit = from(line).unwrap_err();
            assert_eq!((exit.text.as_str(), exit.code), (expect, 2));
        }
    }

    #[test]
    fn help_shows_present_values_but_no_password() {
        let exit = from(&["--port", "7001", "--password", "secret", "--help"]).unwrap_err();
        assert_eq!(exit.code, 0);
        assert!(exit.text.contains("7001") && exit.text.contains("DREDIS_CACHE_BYTES"));
        assert!(exit.text.contains("(set)") && !exit.text.contains("secret"));
        assert!(from(&["--version"]).unwrap_err().text.starts_with("dredis "));
    }

    #[test]
    fn sizes_are_those_of_redis_conf() {
        for (text, expect) in [
            ("0", Some(0)),
            ("10k", Some(10_000)),
            ("10KB", Some(10_240)),
            ("64mb", Some(64 << 20)),
            ("2gb", Some(2 << 30)),
            ("mb", None),
            ("-1", None),
            ("1.5gb", None),
            ("1tb", None),
            ("99999999999gb", None),
        ] {
            assert_eq!(parse_bytes(text), expect, "{text}");
        }
    }

    #[test]
    fn unknown_variables_are_told() {
        let names = ["DREDIS_PORT", "DREDIS_PROT", "HOME"].map(String::from);
        let warnings = unknown_variables(&CommandLine::command(), names.into_iter());
        assert_eq!(warnings.len(), 1);
        assert!(warnings[0].contains("DREDIS_PROT "));
    }
}

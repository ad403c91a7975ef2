//! Scripts run with a host that knows a few commands.
//!
//! The `.txt` files are transcripts: what is expected there was asked of a real Redis.

mod limits;
mod protocols;

use super::*;
use crate::resp::{OwnedArgs, Protocol};

const REPLY_MAX: usize = 1 << 20;

/// A host that knows a few commands.
#[derive(Default)]
struct Fake {
    calls: Vec<Vec<Vec<u8>>>,
    logged: Vec<(LogLevel, Vec<u8>)>,
    questions: u32,
    /// With which question the script is to end; 0 is never.
    last_question: u32,
}

impl Host for Fake {
    fn call(&mut self, args: OwnedArgs, protocol: Protocol) -> Called {
        let args = args.args();
        self.calls.push(args.iter().map(<[u8]>::to_vec).collect());
        let mut out = Vec::new();
        let mut reply = Reply::new(&mut out, protocol);
        match &args[0] {
            b"get" => {
                reply.error("WRONGTYPE Operation against a key holding the wrong kind of value");
            }
            b"set" => reply.ok(),
            b"lpush" => reply.int(1),
            b"echo" => reply.bulk(&args[1]),
            b"raw" => reply.raw(args[1].to_vec()),
            b"stop" => return Called::Stop,
            _ => reply.error("ERR Unknown Redis command called from script"),
        }
        Called::Reply(out)
    }

    fn may_call(&mut self, args: OwnedArgs) -> Option<bool> {
        let args = args.args();
        match &args[0] {
            b"get" => Some(true),
            b"set" => Some(false),
            _ => None,
        }
    }

    fn proceed(&mut self) -> bool {
        self.questions += 1;
        self.questions != self.last_question
    }

    fn log(&mut self, level: LogLevel, text: &[u8]) {
        self.logged.push((level, text.to_vec()));
    }
}

/// Runs a script with a key and two arguments. The reply, or the error of compiling it; `<sha>`
/// stands for its name, and nothing for the reply of a script that was stopped.
fn eval(lua: &mut Interpreter, host: &mut Fake, protocol: Protocol, script: &[u8]) -> Vec<u8> {
    let sha = sha1hex(script);
    let mut out = Vec::new();
    let mut reply = Reply::new(&mut out, protocol);
    let keys: OwnedArgs = ["key1"].into_iter().collect();
    let args: OwnedArgs = ["arg1", "arg2"].into_iter().collect();
    let ended = lua.open(host, |lua| {
        lua.compile(&sha, script)?;
        Ok(lua.run(&sha, [keys.args(), args.args()], REPLY_MAX, &mut reply))
    });
    let ended = match ended {
        Ok(ended) => ended,
        Err(text) => {
            let text: Vec<u8> = text;
            reply.error_bytes(&text);
            return out;
        }
    };
    assert_eq!(ended == Ended::Stopped, out.is_empty());
    assert_eq!(matches!(ended, Ended::Failed { .. }), out.starts_with(b"-"));
    match position(&out, &sha) {
        Some(at) => [&out[..at], b"<sha>", &out[at + sha.len()..]].concat(),
        None => out,
    }
}

fn position(text: &[u8], part: &str) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part.as_bytes())
}

fn check(script: &str, expect: &str) {
    let mut lua = Interpreter::new(64 << 20);
    let reply = eval(&mut lua, &mut Fake::default(), Protocol::Resp2, script.as_bytes());
    assert_eq!(String::from_utf8_lossy(&reply), expect, "{script}");
}

/// The bytes of a line of a transcript: `\r`, `\n`, `\\` and `\x00` are escapes.
fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut letters = text.bytes();
    while let Some(letter) = letters.next() {
        out.push(match (letter, if letter == b'\\' { letters.next() } else { None }) {
            (_, Some(b'r')) => b'\r',
            (_, Some(b'n')) => b'\n',
            (_, Some(b'x')) => {
                let digits: Vec<u8> = letters.by_ref().take(2).collect();
                let digits = std::str::from_utf8(&digits).expect("two digits");
                u8::from_str_radix(digits, 16).expect("two digits")
            }
            (_, Some(escaped)) => escaped,
            (plain, None) => plain,
        });
    }
    out
}

/// Runs the scripts of a transcript and lists all that reply otherwise.
fn transcript(text: &str) {
    let mut lua = Interpreter::new(64 << 20);
    let mut host = Fake::default();
    let mut complaints = String::new();
    let mut script = "";
    for line in text.lines() {
        if let Some(next) = line.strip_prefix("> ") {
            script = next;
        } else if let Some(expect) = line.strip_prefix("< ") {
            // The first line of a script may be a shebang.
            let body =
                if script.starts_with("#!") { script.replace("\\n", "\n") } else { script.into() };
            let reply = eval(&mut lua, &mut host, Protocol::Resp2, body.as_bytes());
            if reply != unescape(expect) {
                let came = reply.escape_ascii();
                complaints += &format!("\n> {script}\n< {expect}\n  {came}\n");
            }
        }
    }
    assert!(complaints.is_empty(), "{complaints}");
}

#[test]
fn the_language_is_that_of_redis() {
    transcript(include_str!("language.txt"));
}

#[test]
fn the_redis_library_is_that_of_redis() {
    transcript(include_str!("redis.txt"));
}

#[test]
fn cjson_is_that_of_redis() {
    transcript(include_str!("cjson.txt"));
}

#[test]
fn cmsgpack_is_that_of_redis() {
    transcript(include_str!("cmsgpack.txt"));
}

#[test]
fn bit_and_struct_are_those_of_redis() {
    transcript(include_str!("bit_struct.txt"));
}

#[test]
fn patterns_are_those_of_redis() {
    transcript(include_str!("patterns.txt"));
}

#[test]
fn random_numbers_go_on_as_in_redis() {
    let mut lua = Interpreter::new(64 << 20);
    let mut random = || {
        let script = b"return tostring(math.random())";
        eval(&mut lua, &mut Fake::default(), Protocol::Resp2, script)
    };
    assert_eq!(random(), b"$16\r\n0.39646477363839\r\n");
    assert_eq!(random(), b"$16\r\n0.84048536971234\r\n");
}

#[test]
fn numbers_below_the_precision_survive_in_tables() {
    // As arguments of their own they are 0: see docs/COMPAT.md.
    check("return cjson.encode({1e-20, -0})", "$10\r\n[1e-20,-0]\r\n");
    check("return cmsgpack.pack({1e-20}):byte(2, 3)", ":203\r\n");
    check("return {double = 1e-20}", "$5\r\n1e-20\r\n");
    check("return redis.call('echo', 1e-20)", "$1\r\n0\r\n");
}

#[test]
fn scripts_are_kept() {
    Interpreter::new(64 << 20).open(&mut Fake::default(), |lua| {
        let flags = lua.compile("a", b"#!lua flags=no-writes\nreturn 1").expect("a script");
        assert!(flags.no_writes);
        assert!(lua.compile("b", b"return 1 +").is_err());
        assert!(!lua.compile("a", b"return 2").expect("a script").no_writes);
        let (mut out, none) = (Vec::new(), OwnedArgs::default());
        let mut reply = Reply::new(&mut out, Protocol::Resp2);
        assert_eq!(lua.run("a", [none.args(), none.args()], REPLY_MAX, &mut reply), Ended::Replied);
        assert_eq!(out, b":2\r\n");
        assert!((10_000..1_000_000).contains(&lua.memory_bytes()), "{}", lua.memory_bytes());
    });
}

#[test]
fn the_log_gets_what_scripts_write() {
    let mut lua = Interpreter::new(64 << 20);
    let mut host = Fake::default();
    let script = b"redis.log(redis.LOG_NOTICE, 'a', 1, {}, 'b\\0')";
    eval(&mut lua, &mut host, Protocol::Resp2, script);
    assert_eq!(host.logged, [(LogLevel::Notice, b"a 1 b\0".to_vec())]);
}

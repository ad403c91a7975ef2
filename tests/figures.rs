//! What INFO counts: commands that ran, were refused or failed, and errors. The numbers are those
//! of redis-server 7.0.

use crate::support::machine::{Machine, Setup};
use dredis::disk::sim::{SimDisk, SimSettings};
use std::sync::Arc;

/// What these requests count, `s` being a set: of each command calls, refusals and failures; of
/// each code of an error how often.
fn counted(requests: &[&str]) -> String {
    let disk = SimDisk::new(SimSettings::default());
    let mut machine = Machine::start(Arc::new(disk), &Setup::default()).expect("a start");
    let client = machine.connect();
    machine.call(client, &["SADD", "s", "x"]);
    machine.call(client, &["CONFIG", "RESETSTAT"]);
    for request in requests {
        machine.send_bytes(client, format!("{request}\r\n").as_bytes());
        assert!(machine.settle());
        machine.receive(client);
    }
    let info = machine.call(client, &["INFO", "commandstats", "errorstats", "stats"]);
    let info = String::from_utf8(info).expect("text");
    let rows = info.lines().filter_map(|line| {
        let number = |name: &str| {
            let behind = line.split_once(name)?.1;
            behind.split(',').next()?.parse::<u64>().ok()
        };
        if let Some(row) = line.strip_prefix("cmdstat_").filter(|row| !row.starts_with("config")) {
            let (name, _) = row.split_once(':')?;
            let numbers = [":calls=", "rejected_calls=", "failed_calls="].map(number);
            let [calls, rejected, failed] = numbers.map(|number| number.expect("a number"));
            return Some(format!("{name} {calls} {rejected} {failed}"));
        }
        let (code, _) = line.strip_prefix("errorstat_")?.split_once(':')?;
        Some(format!("{code} {}", number(":count=")?))
    });
    let mut rows: Vec<_> = rows.collect();
    rows.sort();
    rows.join(", ")
}

#[test]
fn commands_and_errors_are_counted_as_in_redis() {
    for (requests, expect) in [
        (&["SET a 1", "GET a", "GET s"][..], "WRONGTYPE 1, get 2 0 1, set 1 0 0"),
        (&["MULTI", "SET a 1", "EXEC"], "exec 1 0 0, multi 1 0 0, set 1 0 0"),
        (&["GET", "NOSUCH", "CONFIG NOSUCH"], "ERR 3, get 0 1 0"),
        (&["MULTI", "GET", "EXEC"], "ERR 1, EXECABORT 1, exec 1 0 1, get 0 1 0, multi 1 0 0"),
        (&["EVAL \"return redis.call('incr','s')\" 0"], "WRONGTYPE 1, eval 1 0 1, incr 1 0 1"),
        (&["EVAL \"return redis.pcall('incr','s')\" 0"], "WRONGTYPE 1, eval 1 0 1, incr 1 0 1"),
        (&["EVAL \"redis.pcall('incr','s')\" 0"], "WRONGTYPE 1, eval 1 0 0, incr 1 0 1"),
        (&["EVAL \"return nosuch\" 0"], "ERR 1, eval 1 0 1"),
        (&["EVAL \"return redis.call('get')\" 0"], "ERR 1, eval 1 0 1, get 0 1 0"),
        (&["EVAL \"return redis.call('nosuch')\" 0"], "ERR 1, eval 1 0 1"),
        (&["EVAL \"return redis.error_reply('ONE two')\" 0"], "ONE 1, eval 1 0 1"),
        (&["EVALSHA abc 0", "EVAL x 0"], "ERR 1, NOSCRIPT 1, eval 1 0 1, evalsha 1 0 1"),
        (
            &["MULTI", "INCR s", "EVAL \"return redis.call('incr','s')\" 0", "EXEC"],
            "WRONGTYPE 2, eval 1 0 1, exec 1 0 0, incr 2 0 2, multi 1 0 0",
        ),
        (
            &["EVAL \"redis.call('set','a',1) return redis.call('get','a')\" 0"],
            "eval 1 0 0, get 1 0 0, set 1 0 0",
        ),
        (&["EVAL_RO \"return redis.call('set','a',1)\" 0"], "ERR 1, eval_ro 1 0 1, set 0 1 0"),
    ] {
        assert_eq!(counted(requests), expect, "{requests:?}");
    }
}

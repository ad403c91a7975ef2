//! What CLIENT changes of how others are served: which replies a client gets, and pauses.

use crate::support::machine::{Machine, Setup};
use dredis::command::client::ClientId;
use dredis::disk::sim::{SimDisk, SimSettings};
use std::sync::Arc;

fn machine() -> Machine {
    let disk = SimDisk::new(SimSettings::default());
    Machine::start(Arc::new(disk), &Setup::default()).expect("a start")
}

/// What is replied to these requests until nothing is left to do.
fn replies(machine: &mut Machine, client: ClientId, requests: &str) -> String {
    machine.send_bytes(client, requests.replace('\n', "\r\n").as_bytes());
    assert!(machine.settle());
    String::from_utf8(machine.receive(client)).expect("text").replace("\r\n", " ")
}

#[test]
fn clients_choose_which_replies_they_get() {
    let machine = &mut machine();
    let client = machine.connect();
    for (requests, expect) in [
        ("CLIENT REPLY ON\n", "+OK "),
        ("CLIENT REPLY OFF\nSET a 1\nNOSUCH\nINCR a\n", ""),
        ("CLIENT REPLY SKIP\nGET a\n", ""),
        ("CLIENT REPLY ON\nGET a\n", "+OK $1 2 "),
        ("CLIENT REPLY SKIP\nINCR a\nINCR a\nINCR a\n", ":4 :5 "),
        ("CLIENT REPLY SKIP\nCLIENT REPLY SKIP\nINCR a\nINCR a\n", ":7 "),
        ("CLIENT REPLY SKIP\nNOSUCH\nPING\n", "+PONG "),
        ("CLIENT REPLY SKIP\nCLIENT REPLY ON\nPING\n", "+OK +PONG "),
        ("CLIENT REPLY SKIP\nCLIENT REPLY OFF\nPING\n", ""),
        ("CLIENT REPLY ON\n", "+OK "),
        ("CLIENT REPLY SKIP\nMULTI\nINCR a\nEXEC\n", "+QUEUED *1 :8 "),
        ("CLIENT REPLY SKIP\n", ""),
        ("GET a\nGET a\n", "$1 8 "),
        (
            "CLIENT REPLY\nCLIENT REPLY MAYBE\n",
            "-ERR wrong number of arguments for \
          'client|reply' command -ERR syntax error ",
        ),
    ] {
        assert_eq!(replies(machine, client, requests), expect, "{requests}");
    }
}

#[test]
fn a_write_without_a_reply_holds_nothing_back() {
    let machine = &mut machine();
    let client = machine.connect();
    machine.send_bytes(client, b"PING\r\nCLIENT REPLY OFF\r\nSET a 1\r\n");
    assert_eq!(machine.receive(client), b"+PONG\r\n");
    assert_eq!(machine.receive(client), b"");
    machine.send_bytes(client, b"CLIENT REPLY ON\r\n");
    assert_eq!(machine.receive(client), b"+OK\r\n");
    assert_eq!(replies(machine, client, "GET a\n"), "$1 1 ");
}

#[test]
fn commands_wait_while_clients_are_paused() {
    let machine = &mut machine();
    let (first, second) = (machine.connect(), machine.connect());
    assert_eq!(replies(machine, first, "SET a 1\nCLIENT PAUSE 1000\n"), "+OK +OK ");
    assert_eq!(replies(machine, second, "GET a\n"), "");
    assert_eq!(replies(machine, first, "PING\n"), "");
    machine.advance(999);
    assert_eq!(replies(machine, second, ""), "");
    machine.advance(1);
    assert_eq!(replies(machine, second, ""), "$1 1 ");
    assert_eq!(replies(machine, first, ""), "+PONG ");
}

#[test]
fn a_pause_of_writes_lets_others_read() {
    let machine = &mut machine();
    let (first, second) = (machine.connect(), machine.connect());
    let third = machine.connect();
    let begin = "SET a 1\nSET b 1 PX 5\nCLIENT PAUSE 60000 WRITE\nCLIENT PAUSE 1 WRITE\n";
    assert_eq!(replies(machine, first, begin), "+OK +OK +OK +OK ");
    machine.advance(100);
    // Nothing expires for good, and nobody sees what has expired.
    assert_eq!(
        replies(machine, first, "GET b\nDBSIZE\nGET a\nMULTI\nGET a\n"),
        "$-1 :2 $1 1 +OK +QUEUED "
    );
    assert_eq!(replies(machine, first, "EXEC\n"), "*1 $1 1 ");
    assert_eq!(replies(machine, second, "INCR a\nGET a\n"), "");
    assert_eq!(replies(machine, third, "EVAL 'return 1' 0\n"), "");
    assert_eq!(replies(machine, first, "MULTI\n"), "+OK ");
    assert_eq!(
        replies(machine, first, "CLIENT UNPAUSE\nGET a\nEXEC\n"),
        "+QUEUED +QUEUED *2 +OK $1 1 "
    );
    assert_eq!(replies(machine, second, ""), ":2 $1 2 ");
    assert_eq!(replies(machine, third, ""), ":1 ");
    assert_eq!(replies(machine, first, "DBSIZE\n"), ":1 ");
}

#[test]
fn reads_of_some_clients_do_not_count() {
    let machine = &mut machine();
    let client = machine.connect();
    replies(machine, client, "SET a 1\nSET b 1\nCLIENT NO-TOUCH ON\n");
    machine.advance(10_000);
    let look = "GET a\nTOUCH b\nOBJECT IDLETIME a\nOBJECT IDLETIME b\n";
    assert_eq!(replies(machine, client, look), "$1 1 :1 :10 :0 ");
    let again = "CLIENT NO-TOUCH OFF\nGET a\nOBJECT IDLETIME a\n";
    assert_eq!(replies(machine, client, again), "+OK $1 1 :0 ");
}

//! Transactions beside others: nobody sees a part of one, whatever has to be read for it, and one
//! that is too large leaves nothing behind.

use crate::support::machine::{Machine, Setup};
use crate::support::words::{bulks, reply_len};
use dredis::command::client::ClientId;
use dredis::disk::sim::{SimDisk, SimSettings};
use std::sync::Arc;

const SEEDS: u64 = 30;
const ROUNDS: usize = 12;
/// Reads of the disk that its caches answer, of 100.
const COLD: u64 = 60;
/// So small that hardly two of the keys are in it.
const CACHE_BYTES: u64 = 3000;
const CHANGE: &[u8] =
    b"MULTI\r\nINCR a\r\nHINCRBY h f 1\r\nZINCRBY z 1 m\r\nSADD s x\r\nINCR b\r\n\
    SREM s x\r\nEXEC\r\n";
const LOOK: &[u8] = b"MULTI\r\nGET a\r\nHGET h f\r\nZSCORE z m\r\nGET b\r\nEXEC\r\n";

fn machine(disk: &SimDisk, setup: Setup) -> Machine {
    Machine::start(Arc::new(disk.clone()), &setup).expect("a start")
}

/// Sends a pipeline of so many requests and answers all their replies. Others go on meanwhile.
fn pipeline(machine: &mut Machine, client: ClientId, bytes: &[u8]) -> Vec<u8> {
    let requests = bytes.iter().filter(|byte| **byte == b'\n').count();
    machine.send_bytes(client, bytes);
    take(machine, client, requests)
}

/// The next replies to a client.
fn take(machine: &mut Machine, client: ClientId, count: usize) -> Vec<u8> {
    let mut replies = Vec::new();
    loop {
        replies.append(&mut machine.receive(client));
        let (mut whole, mut at) = (0, 0);
        while let Some(len) = reply_len(&replies[at..]) {
            (whole, at) = (whole + 1, at + len);
        }
        if whole == count {
            return replies;
        }
        machine.turn();
    }
}

/// What EXEC replied, behind the replies to what was queued.
fn of_exec(replies: &[u8]) -> &[u8] {
    let start = replies.iter().position(|byte| *byte == b'*').expect("an array");
    &replies[start..]
}

#[test]
fn nobody_sees_a_part_of_a_transaction() {
    for seed in 0..SEEDS {
        let disk = SimDisk::new(SimSettings::default());
        disk.cold(seed, COLD);
        let setup = Setup { seed, cache_bytes: CACHE_BYTES, ..Setup::default() };
        let mut machine = machine(&disk, setup);
        let (writer, reader) = (machine.connect(), machine.connect());
        let begin = b"SET a 0\r\nHSET h f 0 g 1\r\nZADD z 0 m 5 n\r\nSADD s a b\r\nSET b 0\r\n";
        pipeline(&mut machine, writer, begin);
        for round in 1..=ROUNDS {
            for n in 0..8 {
                machine.call(reader, &["SET", &format!("other{n}"), &"v".repeat(300)]);
            }
            assert!(machine.settle());
            machine.send_bytes(writer, CHANGE);
            let mut looked = 0;
            while machine.engine.is_waiting(writer) || looked == 0 {
                let shown = pipeline(&mut machine, reader, LOOK);
                let shown = bulks(of_exec(&shown));
                let same = shown.iter().all(|one| *one == shown[0]);
                assert!(same, "seed {seed}, round {round}: {shown:?}");
                looked += 1;
                machine.turn();
            }
            let done = take(&mut machine, writer, 8);
            let wanted = format!(":{round}\r\n:{round}\r\n$1\r\n");
            assert!(of_exec(&done).starts_with(b"*6\r\n"), "seed {seed}, round {round}");
            if round < 10 {
                assert!(of_exec(&done)[4..].starts_with(wanted.as_bytes()), "seed {seed}");
            }
            machine.engine.keys.check().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        }
    }
}

#[test]
fn a_transaction_with_too_large_effects_changes_nothing() {
    let disk = SimDisk::new(SimSettings::default());
    let mut machine = machine(&disk, Setup { batch_bytes: 1500, ..Setup::default() });
    let client = machine.connect();
    let value = "v".repeat(400);
    machine.call(client, &["SET", "a", &value]);
    let copies = b"MULTI\r\nSET b 1\r\nCOPY a c\r\nCOPY a d\r\nCOPY a e\r\nCOPY a f\r\nEXEC\r\n";
    let replies = pipeline(&mut machine, client, copies);
    let last = replies.rsplit(|byte| *byte == b'-').next().expect("an error");
    assert!(last.starts_with(b"ERR the command has"), "{}", replies.escape_ascii());
    assert_eq!(machine.call(client, &["EXISTS", "b", "c", "d", "e", "f"]), b":0\r\n");
    assert_eq!(machine.call(client, &["EXEC"]), b"-ERR EXEC without MULTI\r\n");
    machine.engine.keys.check().expect("memory is what the ops made");
}

#[test]
fn a_value_that_is_too_large_for_a_batch_is_not_stored() {
    let disk = SimDisk::new(SimSettings::default());
    let mut first = machine(&disk, Setup::default());
    let client = first.connect();
    let name = "m".repeat(400);
    for number in 0..10 {
        let member = format!("{name}{number}");
        first.call(client, &["SADD", "set", &member]);
        first.call(client, &["ZADD", "zset", "1", &member]);
        first.call(client, &["HSET", "hash", &member, "1"]);
    }
    first.call(client, &["SET", "kept", "as it was"]);
    assert!(first.stop());
    let mut machine = machine(&disk, Setup { batch_bytes: 3000, ..Setup::default() });
    let client = machine.connect();
    for words in [
        &["COPY", "hash", "kept", "REPLACE"][..],
        &["SUNIONSTORE", "kept", "set"],
        &["ZUNIONSTORE", "kept", "1", "zset"],
        &["ZRANGESTORE", "kept", "zset", "0", "-1"],
    ] {
        let refused = machine.call(client, words);
        let text = refused.escape_ascii();
        assert!(refused.starts_with(b"-ERR the command has"), "{words:?}: {text}");
        assert_eq!(machine.call(client, &["GET", "kept"]), b"$9\r\nas it was\r\n", "{words:?}");
    }
    assert_eq!(machine.call(client, &["ZRANGESTORE", "kept", "zset", "0", "1"]), b":2\r\n");
    machine.engine.keys.check().expect("memory is what the ops made");
}

#[test]
fn a_queue_has_the_bound_of_a_batch() {
    let disk = SimDisk::new(SimSettings::default());
    let mut machine = machine(&disk, Setup { batch_bytes: 1500, ..Setup::default() });
    let client = machine.connect();
    let value = "v".repeat(1000);
    machine.call(client, &["MULTI"]);
    assert_eq!(machine.call(client, &["SET", "a", &value]), b"+QUEUED\r\n");
    let refused = machine.call(client, &["SET", "b", &value]);
    assert!(refused.starts_with(b"-ERR the command has"), "{}", refused.escape_ascii());
    assert!(machine.call(client, &["EXEC"]).starts_with(b"-EXECABORT"));
    assert_eq!(machine.call(client, &["EXISTS", "a", "b"]), b":0\r\n");
}

#[test]
fn a_transaction_with_too_long_a_reply_changes_nothing() {
    let disk = SimDisk::new(SimSettings::default());
    let mut machine = machine(&disk, Setup { reply_bytes: 1000, ..Setup::default() });
    let client = machine.connect();
    machine.call(client, &["SET", "a", &"v".repeat(400)]);
    let reads = b"MULTI\r\nSET b 1\r\nGET a\r\nGET a\r\nGET a\r\nEXEC\r\n";
    let replies = pipeline(&mut machine, client, reads);
    let last = replies.rsplit(|byte| *byte == b'-').next().expect("an error");
    assert!(last.starts_with(b"ERR the reply would be longer"), "{}", replies.escape_ascii());
    assert_eq!(machine.call(client, &["EXISTS", "b"]), b":0\r\n");
}

//! What a server knows after a start on a tree that it wrote before: nothing, until it asks.

use crate::support::machine::{Machine, Setup};
use dredis::disk::Disk;
use dredis::disk::sim::{SimDisk, SimSettings};
use std::sync::Arc;

/// Runs requests on a server, waits until the tree has everything, and forgets the server.
fn run(disk: &SimDisk, requests: &[(&str, &str)]) {
    let mut machine = Machine::start(Arc::new(disk.clone()), &Setup::default()).expect("a start");
    let client = machine.connect();
    for (request, expect) in requests {
        let words: Vec<&str> = request.split(' ').collect();
        let reply = machine.call(client, &words);
        assert_eq!(String::from_utf8_lossy(&reply), *expect, "{request}");
    }
    assert!(machine.settle());
}

#[test]
fn elements_are_found_after_a_start() {
    let disk = SimDisk::new(SimSettings::default());
    run(&disk, &[("ZADD z 1 a 2 b", ":2\r\n"), ("HSET h f v", ":1\r\n"), ("SADD s m", ":1\r\n")]);
    run(
        &disk,
        &[
            ("ZSCORE z b", "$1\r\n2\r\n"),
            ("ZADD z 5 a", ":0\r\n"),
            ("ZINCRBY z 1 a", "$1\r\n6\r\n"),
            ("ZREM z b", ":1\r\n"),
            ("HGET h f", "$1\r\nv\r\n"),
            ("SISMEMBER s m", ":1\r\n"),
            ("ZSCORE z nobody", "$-1\r\n"),
        ],
    );
    run(&disk, &[("ZRANGE z 0 -1 WITHSCORES", "*2\r\n$1\r\na\r\n$1\r\n6\r\n")]);
}

#[test]
fn a_database_of_directories_that_are_no_keys_has_no_random_one() {
    let disk = SimDisk::new(SimSettings::default());
    run(&disk, &[]);
    for number in 0..100 {
        disk.create_dir(&format!("0/{number}")).expect("made");
    }
    run(&disk, &[("RANDOMKEY", "$-1\r\n"), ("SET k v", "+OK\r\n"), ("RANDOMKEY", "$1\r\nk\r\n")]);
    run(&disk, &[("RANDOMKEY", "$1\r\nk\r\n"), ("DEL k", ":1\r\n"), ("RANDOMKEY", "$-1\r\n")]);
}

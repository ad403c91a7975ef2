//! SWAPDB beside what reads the directories of databases meanwhile: listings, and the walk that
//! gathers the names of a tree after a start.

use crate::support::machine::{Machine, Setup};
use dredis::disk::sim::{SimDisk, SimSettings};
use dredis::lanes::Lane;
use std::sync::Arc;

const SEEDS: u64 = 40;
const KEYS: usize = 30;

fn machine(disk: &SimDisk, seed: u64) -> Machine {
    let setup = Setup { seed, ..Setup::default() };
    Machine::start(Arc::new(disk.clone()), &setup).expect("a start")
}

#[test]
fn keys_right_behind_a_swap_are_those_of_the_other_database() {
    for seed in 0..SEEDS {
        let disk = SimDisk::new(SimSettings::default());
        let mut machine = machine(&disk, seed);
        let client = machine.connect();
        machine.call(client, &["SET", "a", "1"]);
        for _ in 0..machine.chance(30) {
            machine.turn();
        }
        machine.send_bytes(client, b"SWAPDB 0 1\r\nKEYS *\r\n");
        while machine.engine.is_waiting(client) {
            machine.turn();
        }
        assert!(machine.settle());
        assert_eq!(machine.receive(client), b"+OK\r\n*0\r\n", "seed {seed}");
    }
}

/// The names that a walk met before a swap are those of another database.
#[test]
fn keys_are_found_where_they_are_after_swaps_during_the_walk() {
    let disk = SimDisk::new(SimSettings::default());
    let mut first = machine(&disk, 1);
    let client = first.connect();
    for n in 0..KEYS {
        first.call(client, &["SET", &format!("key:{n}"), "1"]);
    }
    assert!(first.settle());
    assert!(first.stop());
    for seed in 0..SEEDS {
        let mut machine = machine(&disk.clone(), seed);
        let client = machine.connect();
        for swap in 0..3 {
            for _ in 0..machine.chance(40) {
                machine.turn();
            }
            assert_eq!(machine.call(client, &["SWAPDB", "0", "1"]), b"+OK\r\n");
            machine.call(client, &["SET", &format!("new:{swap}"), "1"]);
        }
        assert!(machine.settle());
        for _ in 0..200 {
            machine.turn();
        }
        // Three swaps: the keys are in the other database.
        let mut found = 0;
        for db in ["0", "1"] {
            machine.call(client, &["SELECT", db]);
            for n in 0..KEYS {
                let reply = machine.call(client, &["EXISTS", &format!("key:{n}")]);
                found += usize::from(reply == b":1\r\n");
            }
        }
        assert_eq!(found, KEYS, "seed {seed}");
        assert!(machine.stop());
    }
}

/// What a transaction made before its SWAPDB is not in the tree when the walk goes over that.
#[test]
fn a_key_made_before_a_swap_in_a_transaction_is_found_after_the_walk() {
    let setup = Setup { cache_bytes: 3000, ..Setup::default() };
    let disk = SimDisk::new(SimSettings::default());
    let mut machine = Machine::start(Arc::new(disk), &setup).expect("a start");
    let client = machine.connect();
    machine.call(client, &["SET", "other", "1"]);
    assert!(machine.settle());
    machine.send_bytes(client, b"MULTI\r\nSET key value\r\nSWAPDB 0 1\r\nEXEC\r\nSELECT 1\r\n");
    while !machine.engine.keys.has_moves() {
        machine.turn();
    }
    while machine.engine.keys.has_moves() {
        machine.turn();
    }
    machine.held = Some(Lane::Writer);
    while !machine.engine.keys.is_filter_complete() {
        machine.turn();
    }
    while machine.engine.is_waiting(client) {
        machine.turn();
    }
    machine.receive(client);
    for number in 0..100 {
        assert_eq!(machine.call(client, &["GET", &format!("absent:{number}")]), b"$-1\r\n");
        machine.turn();
    }
    assert_eq!(machine.call(client, &["GET", "key"]), b"$5\r\nvalue\r\n");
}

/// A parked command keeps what it asked for in the cache until it has run, wherever a swap has
/// brought that: one of somebody else's while it waits, or one of its own transaction.
#[test]
fn what_was_asked_for_before_a_swap_can_be_dropped_after_it() {
    const CACHE_BYTES: u64 = 64 << 10;
    const SETS: usize = 6;
    for own_swap in [false, true] {
        let setup = Setup { cache_bytes: CACHE_BYTES, backlog_bytes: 1 << 20, ..Setup::default() };
        let disk = SimDisk::new(SimSettings::default());
        let mut first = Machine::start(Arc::new(disk.clone()), &setup).expect("a start");
        let client = first.connect();
        let members: Vec<String> = (0..600).map(|number| format!("member:{number}")).collect();
        let request = |command: &str, set: usize, members: &[String]| {
            let mut words = vec![command.to_string(), format!("set:{set}")];
            words.extend_from_slice(members);
            words
        };
        for set in 0..SETS {
            first.call(client, &request("SADD", set, &members));
        }
        assert!(first.settle() && first.stop());
        let mut machine = Machine::start(Arc::new(disk), &setup).expect("a start");
        let (client, lister) = (machine.connect(), machine.connect());
        for set in 0..SETS {
            machine.call(client, &request("SMISMEMBER", set, &members[..400]));
            machine.held = Some(Lane::Lister);
            let listing = request("SMEMBERS", set, &[]);
            if own_swap {
                machine.call(lister, &["MULTI"]);
                machine.call(lister, &listing);
                machine.call(lister, &["SWAPDB", "0", "1"]);
                machine.send(lister, &["EXEC"]);
                machine.until_held();
            } else {
                machine.send(lister, &listing);
                machine.until_held();
                machine.call(client, &["SWAPDB", "0", "1"]);
            }
            machine.held = None;
            assert!(machine.settle());
            machine.receive(lister);
            machine.call(client, &["SWAPDB", "0", "1"]);
            assert!(machine.settle());
        }
        for number in 0..200 {
            machine.call(client, &["EXISTS", &number.to_string()]);
        }
        let bytes = machine.engine.keys.cache_bytes();
        assert!(bytes as u64 <= CACHE_BYTES, "{bytes} bytes in the cache, {own_swap}");
    }
}

//! What goes on while one lane is held up by its disk.

use crate::support::machine::{Machine, Setup};
use crate::support::words;
use dredis::command::client::ClientId;
use dredis::disk::sim::{SimDisk, SimSettings};
use dredis::disk::{DirEntry, Disk, Wait};
use dredis::lanes::{Job, Lane};
use std::sync::Arc;

/// More members than are read as a whole without being asked for.
const MEMBERS: usize = 10_050;

#[test]
fn a_write_is_in_the_tree_while_that_is_synced() {
    let disk = SimDisk::new(SimSettings::default());
    let mut machine = Machine::start(Arc::new(disk.clone()), &Setup::default()).expect("a start");
    let client = machine.connect();
    machine.held = Some(Lane::Syncer);
    machine.call(client, &["SET", "a", "1"]);
    machine.advance(3000);
    machine.until_held();
    assert_eq!(machine.call(client, &["SET", "b", "2"]), b"+OK\r\n");
    let is_there = |machine: &mut Machine| {
        machine.turn();
        disk.read("0/b/value", Wait::Yes).is_ok_and(|value| value == b"2")
    };
    assert!((0..100).any(|_| is_there(&mut machine)), "the writer waits for the sync");
    machine.held = None;
    assert!(machine.settle());
}

#[test]
fn the_tree_is_synced_after_a_few_batches_of_a_lone_writer() {
    let disk = SimDisk::new(SimSettings::default());
    let mut machine = Machine::start(Arc::new(disk), &Setup::default()).expect("a start");
    let client = machine.connect();
    machine.held = Some(Lane::Syncer);
    let mut batches = 0;
    while !machine.holds_up() {
        machine.call(client, &["SET", &format!("key:{batches}"), "v"]);
        batches += 1;
    }
    assert!((14..20).contains(&batches), "after {batches}");
}

#[test]
fn that_the_tree_is_synced_is_noted_once_nobody_writes() {
    let disk = SimDisk::new(SimSettings::default());
    let mut machine = Machine::start(Arc::new(disk), &Setup::default()).expect("a start");
    let client = machine.connect();
    let (mut synced, mut noted) = (Vec::new(), Vec::new());
    for n in 0..200 {
        machine.call(client, &["SET", &format!("key:{n}"), "v"]);
        synced.push(machine.engine.server.checkpoint);
        noted.push(machine.engine.server.journal.checkpoint);
    }
    synced.dedup();
    noted.dedup();
    let counts = (synced.len(), noted.len());
    // Now and then a simulated call takes so long that the server is idle.
    assert!(counts.0 > 8 && 2 * counts.1 <= counts.0, "{counts:?}");
    assert!(machine.settle());
    assert!(machine.engine.server.journal.checkpoint >= 200);
}

#[test]
fn a_group_is_synced_while_others_are_served_where_those_take_longer() {
    let disk = SimDisk::new(SimSettings::default());
    let mut machine = Machine::start(Arc::new(disk), &Setup::default()).expect("a start");
    let client = machine.connect();
    machine.call(client, &["SET", "a", "1"]);
    let begin_us = machine.now_us();
    let engine = &mut machine.engine;
    let sync_us = engine.server.stats.sync_us;
    assert!(sync_us > 0);
    let request = words::request(&["SET", "a", "2"]);
    engine.input(client).expect("a client that is there").extend_from_slice(&request);
    engine.run(client);
    for (after_us, goes) in [(0, false), (sync_us, false), (3 * sync_us, true)] {
        assert_eq!(engine.outlasts_sync_at(begin_us + after_us), goes, "after {after_us} us");
        engine.commit(false);
        let sent = matches!(engine.next_job(), Some(Job::Commit { .. }));
        assert_eq!(sent, goes, "after {after_us} us");
    }
}

#[test]
fn a_large_collection_is_renamed_by_moving_its_directory() {
    let disk = SimDisk::new(SimSettings::default());
    let setup = Setup { cache_bytes: 1 << 20, ..Setup::default() };
    let mut machine = Machine::start(Arc::new(disk.clone()), &setup).expect("a start");
    let client = machine.connect();
    let members = (0..500).map(|n| n.to_string());
    let words: Vec<String> = ["SADD".into(), "large".into()].into_iter().chain(members).collect();
    machine.call(client, &words);
    assert!(machine.settle());
    let before = disk.calls();
    machine.call(client, &["RENAME", "large", "renamed"]);
    assert!(machine.settle());
    let calls = disk.calls() - before;
    assert!(calls < 100, "{calls} calls, of 500 members");
    assert_eq!(machine.call(client, &["SCARD", "renamed"]), b":500\r\n");
}

/// Requests, and what others then reply.
type Beside = (&'static [&'static str], &'static [(&'static str, &'static str)]);

/// What others do while the order is read, and what then holds.
const BESIDE: &[Beside] = &[
    (
        &["ZADD z -5 new", "ZREM z m:0", "ZADD z 99999 m:1"],
        &[("ZRANGE z 0 1", "new m:2"), ("ZRANGE z -1 -1", "m:1"), ("ZRANK z m:3", "2")],
    ),
    (&["DEL z", "ZADD z 1 other"], &[("ZRANGE z 0 -1", "other")]),
    (&["SWAPDB 0 1"], &[("ZRANGE z 0 -1", "far")]),
    (&["RENAME small z"], &[("ZRANGE z 0 -1", "one")]),
    (&["RENAME large z"], &[("ZRANGE z 0 1", "l:0 l:1")]),
];

#[test]
fn what_changes_while_an_order_is_read_is_in_what_is_kept() {
    let disk = SimDisk::new(SimSettings::default());
    disk.set_bytes_total(4 << 30);
    disk.set_inodes_total(1 << 20);
    let setup = Setup {
        cache_bytes: 32 << 20,
        backlog_bytes: 8 << 20,
        segment_bytes: 256 << 10,
        ..Setup::default()
    };
    let mut first = Machine::start(Arc::new(disk.clone()), &setup).expect("a start");
    let client = first.connect();
    for (key, name) in [("z", "m"), ("large", "l")] {
        for begin in (0..MEMBERS).step_by(MEMBERS / 50) {
            let mut words = vec!["ZADD".to_string(), key.to_string()];
            let some = begin..begin + MEMBERS / 50;
            words.extend(some.flat_map(|n| [n.to_string(), format!("{name}:{n}")]));
            first.call(client, &words);
        }
    }
    first.call(client, &["ZADD", "small", "1", "one"]);
    first.call(client, &["SELECT", "1"]);
    first.call(client, &["ZADD", "z", "1", "far"]);
    assert!(first.settle() && first.stop());
    // All of it is kept where there is room, else how many members have each score.
    for (cache_bytes, (beside, then)) in
        [32 << 20, 2 << 20].into_iter().flat_map(|bytes| BESIDE.iter().map(move |one| (bytes, one)))
    {
        let disk = disk.kill();
        let setup = Setup { cache_bytes, ..setup };
        let mut machine = Machine::start(Arc::new(disk), &setup).expect("a start");
        let (reader, writer) = (machine.connect(), machine.connect());
        let words = |line: &str| line.split(' ').map(String::from).collect::<Vec<_>>();
        (0..200).for_each(|_| machine.turn()); // The walk that follows a start.
        machine.held = Some(Lane::Lister);
        machine.send(reader, &["ZRANGE", "z", "0", "0"]);
        machine.until_held();
        for line in *beside {
            machine.call(writer, &words(line));
        }
        machine.held = None;
        assert!(machine.settle());
        while machine.engine.is_waiting(reader) {
            machine.turn();
        }
        for (line, wanted) in *then {
            let reply = machine.call(writer, &words(line));
            let reply = String::from_utf8_lossy(&reply).into_owned();
            let parts = reply.split("\r\n").filter(|part| !part.starts_with(['*', '$']));
            let parts: Vec<_> = parts.map(|part| part.trim_start_matches(':')).collect();
            assert_eq!(parts.join(" ").trim(), *wanted, "{line} after {beside:?}, {cache_bytes}");
        }
    }
}

/// A server that lists a set of many members and has not begun with it, its disk, and two clients:
/// the one that asked, and another one.
fn listing() -> (SimDisk, Machine, ClientId, ClientId) {
    let setup = Setup { cache_bytes: 128 << 10, ..Setup::default() };
    let add = |begin: usize| {
        let members = (begin..begin + 150).map(|n| n.to_string());
        ["SADD", "s"].map(String::from).into_iter().chain(members).collect()
    };
    let requests: Vec<Vec<String>> = (0..MEMBERS).step_by(150).map(add).collect();
    let disk = filled(&setup, &requests);
    let mut machine = Machine::start(Arc::new(disk.clone()), &setup).expect("a start");
    let (reader, writer) = (machine.connect(), machine.connect());
    (0..200).for_each(|_| machine.turn()); // The walk that follows a start.
    machine.held = Some(Lane::Lister);
    machine.send(reader, &["SMEMBERS", "s"]);
    machine.until_held();
    (disk, machine, reader, writer)
}

/// The listing goes on, and is of what there was at its beginning.
fn end_listing(machine: &mut Machine, reader: ClientId) {
    machine.held = None;
    while machine.engine.is_waiting(reader) {
        machine.turn();
    }
    assert!(machine.receive(reader).starts_with(format!("*{MEMBERS}\r\n").as_bytes()));
    assert!(machine.settle());
}

/// Whether something is so within a second.
fn comes(machine: &mut Machine, mut is_so: impl FnMut(&Machine) -> bool) -> bool {
    (0..1000).any(|_| {
        machine.advance(1);
        machine.turn();
        is_so(machine)
    })
}

/// A listing may take minutes: it holds up what the tree gets of its own key only.
#[test]
fn others_are_written_while_a_collection_is_listed() {
    let (disk, mut machine, reader, writer) = listing();
    let is_there = |path: &str| disk.stat(path, Wait::Yes).is_ok();
    // What is older than the key's own changes, newer, and of another key in the same batch.
    machine.call(writer, &["SET", "older", "1"]);
    machine.call(writer, &["SADD", "s", "beside"]);
    machine.call(writer, &["MULTI"]);
    machine.call(writer, &["SREM", "s", "1"]);
    machine.call(writer, &["HSET", "newer", "f", "1"]);
    machine.call(writer, &["EXEC"]);
    assert!(comes(&mut machine, |_| is_there("0/older/value") && is_there("0/newer/fields/f")));
    assert!(!comes(&mut machine, |_| is_there("0/s/values/beside")));
    assert!(is_there("0/s/values/1"));
    // It is synced, though the number up to which the tree has everything stands still.
    let checkpoints = machine.engine.server.stats.checkpoints;
    machine.call(writer, &["SET", "older", "2"]);
    let synced = |machine: &Machine| machine.engine.server.stats.checkpoints > checkpoints;
    assert!(comes(&mut machine, synced));
    // The database is not emptied before, others are.
    machine.call(writer, &["FLUSHALL"]);
    machine.call(writer, &["SET", "again", "1"]);
    machine.call(writer, &["SELECT", "1"]);
    machine.call(writer, &["SET", "far", "1"]);
    assert!(comes(&mut machine, |_| is_there("1/far/value")));
    assert!(!is_there("0/again/value") && is_there("0/s/values/2"));
    end_listing(&mut machine, reader);
    assert!(!is_there("0/s") && is_there("0/again/value"));
    machine.call(writer, &["SELECT", "0"]);
    assert_eq!(machine.call(writer, &["KEYS", "*"]), b"*1\r\n$5\r\nagain\r\n");
}

#[test]
fn the_journal_does_not_fill_up_while_a_collection_is_listed() {
    const INCREMENTS: usize = 10_000;
    for changed in [false, true] {
        let (_, mut machine, reader, writer) = listing();
        if changed {
            machine.call(writer, &["SADD", "s", "beside"]);
        }
        let journal_max = 2 * machine.engine.server.config.journal_bytes();
        let mut done = 0;
        let mut waits = false;
        while done < INCREMENTS && !waits {
            machine.send(writer, &["INCR", &format!("counter:{}", done % 50)]);
            let replied = (0..5_000).any(|_| {
                machine.turn();
                !machine.engine.is_waiting(writer) && machine.receive(writer).starts_with(b":")
            });
            done += usize::from(replied);
            waits = !replied;
            assert!(machine.engine.server.journal.bytes_live <= journal_max, "after {done}");
            assert_eq!(machine.engine.server.refusing, None);
        }
        assert_eq!(waits, changed, "after {done}: it waits only where the listed key is changed");
        assert!(done > 500, "{done}");
        end_listing(&mut machine, reader);
        assert!(!machine.engine.is_waiting(writer));
    }
}

#[test]
fn a_disk_that_fills_up_while_a_collection_is_listed_is_written_again_with_room() {
    let (disk, mut machine, reader, writer) = listing();
    machine.call(writer, &["SELECT", "1"]);
    machine.call(writer, &["SET", "gone", "1"]);
    assert!(comes(&mut machine, |_| disk.stat("1/gone/value", Wait::Yes).is_ok()));
    disk.set_full();
    machine.call(writer, &["SET", "a", "1"]);
    assert!(comes(&mut machine, |machine| machine.engine.server.refusing.is_some()));
    machine.call(writer, &["DEL", "gone"]);
    assert!(comes(&mut machine, |_| disk.stat("1/gone/value", Wait::Yes).is_err()));
    disk.set_bytes_total(1 << 30);
    disk.set_inodes_total(1 << 18);
    assert!(comes(&mut machine, |machine| machine.engine.server.refusing.is_none()));
    assert!(comes(&mut machine, |_| disk.stat("1/a/value", Wait::Yes).is_ok()));
    end_listing(&mut machine, reader);
}

#[test]
fn what_the_kernel_does_not_have_is_asked_for_before_it_is_waited_for() {
    const FIELDS: usize = 200;
    let mut hset = vec!["HSET".to_string(), "h".to_string()];
    hset.extend((0..FIELDS).flat_map(|n| [format!("field:{n}"), n.to_string()]));
    let calls = [0, 100].map(|percent_cold| {
        let setup = Setup { cache_bytes: 128 << 10, backlog_bytes: 4 << 20, ..Setup::default() };
        let disk = filled(&setup, std::slice::from_ref(&hset));
        let mut machine = Machine::start(Arc::new(disk.clone()), &setup).expect("a start");
        (0..200).for_each(|_| machine.turn()); // The walk that follows a start.
        let client = machine.connect();
        disk.count_reads(true);
        disk.cold(1, percent_cold);
        let before = disk.calls();
        let reply = machine.call(client, &["HGETALL", "h"]);
        assert!(reply.starts_with(format!("*{}\r\n", 2 * FIELDS).as_bytes()));
        disk.calls() - before
    });
    let [cached, cold] = calls;
    let twice = cold.saturating_sub(cached);
    assert!(twice + 10 > FIELDS as u64, "{cold} calls, and {cached} of cached files");
}

#[test]
fn a_server_whose_disk_is_full_rests_between_its_tries() {
    const TURNS: u64 = 500;
    let disk = SimDisk::new(SimSettings::default());
    let mut machine = Machine::start(Arc::new(disk.clone()), &Setup::default()).expect("a start");
    let client = machine.connect();
    machine.call(client, &["SET", "a", "1"]);
    disk.set_full();
    machine.call(client, &["SET", "b", "1"]);
    assert!(comes(&mut machine, |machine| machine.engine.server.refusing.is_some()));
    let begin_us = machine.now_us();
    (0..TURNS).for_each(|_| machine.turn());
    let turn_us = (machine.now_us() - begin_us) / TURNS;
    assert!(turn_us > 4_000, "{turn_us} us a turn: it never sleeps");
}

#[test]
fn what_changes_while_a_score_is_read_is_in_what_is_known() {
    const SCORES: usize = 2_000;
    const SEEDS: u64 = 20;
    let disk = SimDisk::new(SimSettings::default());
    disk.set_bytes_total(1 << 30);
    disk.set_inodes_total(1 << 18);
    let setup = Setup { cache_bytes: 128 << 10, ..Setup::default() };
    let mut first = Machine::start(Arc::new(disk.clone()), &setup).expect("a start");
    let client = first.connect();
    for begin in (0..SCORES).step_by(100) {
        let mut words = vec!["ZADD".to_string(), "z".to_string()];
        words.extend((begin..begin + 100).flat_map(|n| {
            let score = (n / 2).to_string();
            [score, format!("m:{n}")]
        }));
        first.call(client, &words);
    }
    assert!(first.settle() && first.stop());
    for ((beside, wanted), seed) in [
        ("ZADD z 0 a", "a m:0 m:1"),
        ("ZREM z m:0", "m:1 m:2 m:3"),
        ("ZADD z 7 m:0", "m:1 m:2 m:3"),
        ("ZADD z 0 m:9", "m:0 m:1 m:9"),
        ("DEL z", ""),
    ]
    .into_iter()
    .flat_map(|one| (0..SEEDS).map(move |seed| (one, seed)))
    {
        let setup = Setup { seed, ..setup };
        let mut machine = Machine::start(Arc::new(disk.kill()), &setup).expect("a start");
        let (reader, writer) = (machine.connect(), machine.connect());
        assert_eq!(machine.call(reader, &["ZCOUNT", "z", "500", "501"]), b":4\r\n");
        machine.held = Some(Lane::Reader);
        machine.send(reader, &["ZRANGE", "z", "0", "2"]);
        machine.until_held();
        machine.held = None;
        let words: Vec<&str> = beside.split(' ').collect();
        machine.call(writer, &words);
        assert!(machine.settle());
        while machine.engine.is_waiting(reader) {
            machine.turn();
        }
        let reply = machine.call(writer, &["ZRANGE", "z", "0", "2"]);
        let reply = String::from_utf8_lossy(&reply).into_owned();
        let parts = reply.split("\r\n").filter(|part| !part.starts_with(['*', '$']));
        assert_eq!(
            parts.collect::<Vec<_>>().join(" ").trim(),
            wanted,
            "after {beside}, seed {seed}"
        );
    }
}

/// What was dropped from the cache, while the tree still has what it was before.
#[test]
fn an_order_that_only_the_backlog_has_is_read() {
    let setup = Setup {
        cache_bytes: 16 << 10,
        backlog_bytes: 16 << 20,
        segment_bytes: 1 << 20,
        ..Setup::default()
    };
    for others in 0..10 {
        let disk = SimDisk::new(SimSettings::default());
        let mut machine = Machine::start(Arc::new(disk), &setup).expect("a start");
        let client = machine.connect();
        machine.call(client, &["ZADD", "z", "1", "old"]);
        assert!(machine.settle());
        machine.held = Some(Lane::Writer);
        machine.call(client, &["SET", "a", "1"]);
        machine.until_held();
        machine.call(client, &["DEL", "z"]);
        for begin in (0..4_000).step_by(100) {
            let mut words = vec!["ZADD".to_string(), "z".to_string()];
            words.extend(
                (begin..begin + 100).flat_map(|n| [(n / 10).to_string(), format!("m:{n}")]),
            );
            machine.call(client, &words);
        }
        for n in 0..others {
            machine.call(client, &["SET", &format!("other:{n}"), "x"]);
        }
        machine.held = None;
        let reply = machine.call(client, &["ZPOPMAX", "z"]);
        assert_eq!(reply, b"*2\r\n$6\r\nm:3999\r\n$3\r\n399\r\n");
        assert_eq!(machine.call(client, &["ZREVRANK", "z", "m:3998"]), b":0\r\n");
    }
}

/// Two members have each score, which nobody has counted.
#[test]
fn ranges_of_scores_that_are_not_counted_are_those_of_a_list() {
    let setup = Setup { cache_bytes: 128 << 10, backlog_bytes: 4 << 20, ..Setup::default() };
    let requests = in_twos();
    for (request, expect) in [
        ("ZRANGE z 0 2", "m:0000 m:0001 m:0002"),
        ("ZRANGE z 0 2 REV", "m:1999 m:1998 m:1997"),
        ("ZRANGE z -2 -1", "m:1998 m:1999"),
        ("ZRANGE z 999 1001", "m:0999 m:1000 m:1001"),
        ("ZRANGE z 499 500 BYSCORE", "m:0998 m:0999 m:1000 m:1001"),
        ("ZRANGE z 500 -inf BYSCORE REV LIMIT 1 2", "m:1000 m:0999"),
        ("ZRANGE z 2 +inf BYSCORE LIMIT 1900 2", "m:1904 m:1905"),
        ("ZCOUNT z 10 (20", ":20"),
        ("ZCOUNT z -inf (900", ":1800"),
        ("ZRANK z m:0003", ":3"),
        ("ZRANK z m:1997", ":1997"),
        ("ZREVRANK z m:1000", ":999"),
        ("ZPOPMAX z", "m:1999 999"),
        ("ZPOPMIN z 3", "m:0000 0 m:0001 0 m:0002 1"),
        ("ZREMRANGEBYRANK z 0 9", ":10"),
        ("ZREMRANGEBYSCORE z 990 +inf", ":20"),
    ] {
        let mut machine = cold(&setup, &requests);
        let client = machine.connect();
        let words: Vec<&str> = request.split(' ').collect();
        let reply = String::from_utf8(machine.call(client, &words)).expect("text");
        let parts = reply.split("\r\n").filter(|part| !part.starts_with(['*', '$']));
        assert_eq!(parts.collect::<Vec<_>>().join(" ").trim(), expect, "{request}");
    }
}

#[test]
fn the_ends_of_a_sorted_set_are_read_without_its_middle() {
    let setup = Setup { cache_bytes: 128 << 10, backlog_bytes: 4 << 20, ..Setup::default() };
    let requests = in_twos();
    for request in ["ZRANGE z 0 2", "ZRANGE z -3 -1", "ZRANGE z 500 501 BYSCORE", "ZPOPMAX z"] {
        let disk = filled(&setup, &requests);
        let mut machine = Machine::start(Arc::new(disk.clone()), &setup).expect("a start");
        (0..200).for_each(|_| machine.turn()); // The walk that follows a start.
        let client = machine.connect();
        disk.count_reads(true);
        let before = disk.calls();
        machine.call(client, &request.split(' ').collect::<Vec<_>>());
        let calls = disk.calls() - before;
        assert!(calls < 100, "{request}: {calls} calls, of 1000 scores");
    }
}

/// A sorted set of which two members have each of 1000 scores.
fn in_twos() -> Vec<Vec<String>> {
    let add = |begin: usize| {
        let some = (begin..begin + 100).flat_map(|n| [(n / 2).to_string(), format!("m:{n:04}")]);
        ["ZADD".to_string(), "z".to_string()].into_iter().chain(some).collect()
    };
    (0..2_000).step_by(100).map(add).collect()
}

/// What is larger than memory keeps, right after a start.
fn cold(setup: &Setup, requests: &[Vec<String>]) -> Machine {
    Machine::start(Arc::new(filled(setup, requests)), setup).expect("a start")
}

/// A disk after these requests and a clean stop.
fn filled(setup: &Setup, requests: &[Vec<String>]) -> SimDisk {
    let disk = SimDisk::new(SimSettings::default());
    disk.set_bytes_total(1 << 30);
    disk.set_inodes_total(1 << 18);
    let mut first = Machine::start(Arc::new(disk.clone()), setup).expect("a start");
    let client = first.connect();
    for request in requests {
        first.call(client, request);
    }
    assert!(first.settle() && first.stop());
    disk.kill()
}

#[test]
fn a_range_that_is_too_long_is_refused_though_its_scores_are_known() {
    let setup = Setup { cache_bytes: 128 << 10, reply_bytes: 4096, ..Setup::default() };
    let add = |begin: usize| {
        let some = (begin..begin + 100).flat_map(|n| [n.to_string(), format!("member:{n}")]);
        ["ZADD".to_string(), "z".to_string()].into_iter().chain(some).collect()
    };
    let requests: Vec<_> = (0..2_000).step_by(100).map(add).collect();
    let mut machine = cold(&setup, &requests);
    let client = machine.connect();
    assert_eq!(machine.call(client, &["ZCOUNT", "z", "5", "9"]), b":5\r\n");
    let reply = machine.call(client, &["ZRANGE", "z", "0", "-1"]);
    assert!(reply.starts_with(b"-ERR the reply would be longer than 4096 bytes"), "{reply:?}");
    assert_eq!(machine.call(client, &["ZRANGE", "z", "7", "7"]), b"*1\r\n$8\r\nmember:7\r\n");
}

/// The full name of a long one lies beside its file: the directory has an entry more.
#[test]
fn a_collection_with_an_entry_more_than_elements_is_read() {
    let setup = Setup { cache_bytes: 16 << 10, ..Setup::default() };
    let fields = (0..519).map(|n| n.to_string()).chain(["x".repeat(300)]);
    let requests: Vec<Vec<String>> =
        fields.map(|field| ["HSET", "h", &field, "v"].map(String::from).to_vec()).collect();
    let mut machine = cold(&setup, &requests);
    let client = machine.connect();
    assert!(machine.call(client, &["HKEYS", "h"]).starts_with(b"*520\r\n"));
}

#[test]
fn others_read_while_something_large_is_loaded() {
    let setup = Setup {
        backlog_bytes: 16 << 20,
        cache_bytes: 64 << 20,
        segment_bytes: 1 << 20,
        ..Setup::default()
    };
    let mut sadd = vec!["SADD".to_string(), "large".to_string()];
    sadd.extend((0..10_001).map(|number| number.to_string()));
    let set = vec!["SET".to_string(), "value".to_string(), "x".repeat((1 << 20) + 1)];
    let small = ["SADD", "small", "a"].map(str::to_string).to_vec();
    let disk = filled(&setup, &[sadd, set, small]);
    for (request, reply) in [("COPY large copy", ":1"), ("STRLEN value", ":1048577")] {
        let disk = disk.kill();
        let mut machine = Machine::start(Arc::new(disk.clone()), &setup).expect("a start");
        disk.cold(1, 100);
        machine.held = Some(Lane::Loader);
        let (asker, reader) = (machine.connect(), machine.connect());
        machine.send(asker, &request.split(' ').collect::<Vec<_>>());
        machine.until_held();
        assert_eq!(machine.call(reader, &["SMEMBERS", "small"]), b"*1\r\n$1\r\na\r\n");
        assert!(machine.engine.is_waiting(asker));
        machine.held = None;
        assert!(machine.settle());
        assert_eq!(machine.receive(asker), format!("{reply}\r\n").as_bytes());
    }
}

#[test]
fn elements_of_one_key_are_read_at_the_same_time() {
    for seed in 0..20 {
        let setup = Setup { seed, ..Setup::default() };
        let hset = ["HSET", "h", "a", "1", "b", "2"].map(str::to_string).to_vec();
        let disk = filled(&setup, &[hset]);
        let mut machine = Machine::start(Arc::new(disk.clone()), &setup).expect("a start");
        assert!(machine.settle());
        disk.cold(seed, 100);
        machine.held = Some(Lane::Reader);
        let clients = ["a", "b", "a"].map(|field| {
            let client = machine.connect();
            machine.send(client, &["HGET", "h", field]);
            client
        });
        assert_eq!(machine.held_jobs(), 2, "a field that two ask for is read once");
        machine.held = None;
        assert!(machine.settle());
        let replies = clients.map(|client| machine.receive(client));
        assert_eq!(replies, [b"$1\r\n1\r\n", b"$1\r\n2\r\n", b"$1\r\n1\r\n"]);
    }
}

/// Trash is freed a little at a time, but not where more is removed than that.
#[test]
fn what_is_removed_again_and_again_is_freed_as_fast_as_it_goes() {
    const SETS: usize = 20;
    let disk = SimDisk::new(SimSettings::default());
    let mut machine = Machine::start(Arc::new(disk.clone()), &Setup::default()).expect("a start");
    let client = machine.connect();
    let members: Vec<String> = (0..1_200).map(|number| format!("member:{number}")).collect();
    for set in 0..SETS {
        let mut words = vec!["SADD".to_string(), format!("set:{set}")];
        words.extend_from_slice(&members);
        machine.call(client, &words);
    }
    assert!(machine.settle());
    for set in 0..SETS {
        machine.call(client, &["DEL".to_string(), format!("set:{set}")]);
    }
    assert!(machine.settle());
    let things = || {
        let mut things = 0;
        let count = &mut |_: DirEntry<'_>| {
            things += 1;
            true
        };
        disk.list(".dredis/trash", 0, count).expect("it can be listed");
        things
    };
    assert!(things() > SETS / 2, "{} things in the trash", things());
    let until_us = machine.now_us() + 3_000_000;
    while machine.now_us() < until_us {
        machine.turn();
    }
    assert_eq!(things(), 0, "things in the trash after 3 s");
}

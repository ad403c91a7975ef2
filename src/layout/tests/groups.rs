//! Score groups: files that become directories and back, torn lines, and reading meanwhile.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::support::*;
use crate::base::bytes::Bytes;
use crate::disk::Disk;
use crate::disk::sim::{Cut, SimDisk, SimSettings};
use crate::layout::collections::Group;
use crate::layout::groups::{DIR_BYTES_MIN, FILE_BYTES_MAX};
use crate::layout::op::Type;
use crate::layout::writer::TreeWriter;

const GROUP: &str = "0/z/scores/1";

/// A name whose line has 64 bytes.
fn name(index: usize) -> Vec<u8> {
    format!("{index:063}").into_bytes()
}

fn enter(tree: &mut Tree, members: impl Iterator<Item = usize>) {
    let bits = members.flat_map(|index| scored(&name(index), 1.0, None));
    tree.apply(vec![(b"z", change(bits.collect()))]);
}

fn leave(tree: &mut Tree, members: impl Iterator<Item = usize>) {
    let bits = members.flat_map(|index| unscored(&name(index), 1.0));
    tree.apply(vec![(b"z", change(bits.collect()))]);
}

fn members(tree: &Tree) -> Vec<Bytes> {
    let mut members = tree.reader.group(0, b"z", score(1.0)).expect("read");
    members.sort();
    members
}

fn expect(members: impl Iterator<Item = usize>) -> Vec<Bytes> {
    members.map(|index| key(&name(index))).collect()
}

/// A sorted set of so many members with one score.
fn with_members(count: usize) -> Tree {
    let mut tree = Tree::new();
    let bits = (0..count).flat_map(|index| scored(&name(index), 1.0, None));
    tree.apply(vec![(b"z", made(Type::Zset, bits.collect()))]);
    tree
}

#[test]
fn a_group_grows_into_a_directory_and_back() {
    let full = FILE_BYTES_MAX / 64;
    let small = DIR_BYTES_MIN / 64;
    let mut tree = with_members(full);
    assert!(tree.path(GROUP).is_file());
    assert_eq!(members(&tree), expect(0..full));
    enter(&mut tree, full..full + 1);
    assert!(tree.path(GROUP).is_dir());
    assert_eq!(members(&tree), expect(0..full + 1));
    let group = Group { score: score(1.0), is_dir: true };
    assert_eq!(tree.reader.scores(0, b"z").expect("read"), Some(vec![group]));
    let inode = fs::metadata(tree.path(&format!("{GROUP}/{:063}", 7))).expect("there");
    assert_eq!((inode.len(), inode.nlink() > 1), (0, true));

    // It stays one until it is small.
    leave(&mut tree, small..full);
    assert!(tree.path(GROUP).is_dir());
    leave(&mut tree, full..full + 1);
    assert!(tree.path(GROUP).is_dir());
    leave(&mut tree, small - 1..small);
    assert!(tree.path(GROUP).is_file());
    assert_eq!(members(&tree), expect(0..small - 1));
    enter(&mut tree, small - 1..full);
    assert!(tree.path(GROUP).is_file());

    // Growth and loss in one change, then all of it goes.
    let mut bits: Vec<Bit> = (full..300).flat_map(|n| scored(&name(n), 1.0, None)).collect();
    bits.extend((0..full).flat_map(|n| unscored(&name(n), 1.0)));
    tree.apply(vec![(b"z", change(bits))]);
    assert!(tree.path(GROUP).is_dir());
    assert_eq!(members(&tree), expect(full..300));
    leave(&mut tree, full..300);
    assert!(!tree.path(GROUP).exists());
    assert!(members(&tree).is_empty());
    tree.assert_tidy();
}

#[test]
fn a_large_group_is_made_a_directory_at_once() {
    let mut tree = with_members(500);
    assert!(tree.path(GROUP).is_dir());
    for index in 0..490 {
        leave(&mut tree, index..index + 1);
    }
    assert!(tree.path(GROUP).is_file());
    assert_eq!(members(&tree), expect(490..500));
    let lines = fs::read_to_string(tree.path(GROUP)).expect("lines");
    assert!(lines.lines().is_sorted() && lines.ends_with('\n'));
    tree.assert_tidy();
}

#[test]
fn what_is_known_of_a_group_goes_with_it() {
    let mut tree = with_members(500);
    leave(&mut tree, 0..10);
    tree.apply(vec![(b"z", zset(&[(b"a", 2.0)]))]);
    for _ in 0..2 {
        enter(&mut tree, 0..40);
        enter(&mut tree, 40..70);
        assert!(tree.path(GROUP).is_dir());
        leave(&mut tree, 0..70);
        assert!(!tree.path(GROUP).exists());
        tree.apply(vec![(b"z", removed())]);
        tree.apply(vec![(b"z", made(Type::Zset, Vec::new()))]);
        enter(&mut tree, 0..500);
        leave(&mut tree, 0..10);
        tree.apply(vec![(b"z", zset(&[(b"a", 2.0)]))]);
    }
}

#[test]
fn long_names_go_along() {
    let mut tree = Tree::new();
    let long: Vec<Vec<u8>> = (0..30).map(|n| [b"l".repeat(400), name(n)].concat()).collect();
    let of = |range: std::ops::Range<usize>| {
        long[range].iter().flat_map(|name| scored(name, 1.0, None)).collect::<Vec<Bit>>()
    };
    tree.apply(vec![(b"z", made(Type::Zset, of(0..10)))]);
    assert!(tree.path(GROUP).is_file());
    tree.apply(vec![(b"z", change(of(10..30)))]);
    assert!(tree.path(GROUP).is_dir());
    let sorted = |range: std::ops::Range<usize>| {
        let mut names: Vec<Bytes> = long[range].iter().map(|name| key(name)).collect();
        names.sort();
        names
    };
    assert_eq!(members(&tree), sorted(0..30));
    let gone = long[4..].iter().flat_map(|name| unscored(name, 1.0)).collect();
    tree.apply(vec![(b"z", change(gone))]);
    assert!(tree.path(GROUP).is_file());
    assert_eq!(members(&tree), sorted(0..4));
    assert_eq!(fs::read_dir(tree.path("0/z/values")).expect("there").count(), 8);
    tree.assert_tidy();
}

#[test]
fn lines_are_appended_in_place_where_the_file_has_one_name() {
    let mut tree = with_members(2);
    let inode = |tree: &Tree| fs::metadata(tree.path(GROUP)).expect("there").ino();
    let first = inode(&tree);
    enter(&mut tree, 2..4);
    enter(&mut tree, 3..4);
    assert_eq!(inode(&tree), first);
    fs::hard_link(tree.path(GROUP), tree.path("copy")).expect("linked");
    let copied = fs::read(tree.path("copy")).expect("there");
    enter(&mut tree, 4..5);
    assert_ne!(inode(&tree), first);
    assert_eq!(fs::read(tree.path("copy")).expect("there"), copied);
    assert_eq!(members(&tree), expect(0..5));
    tree.assert_tidy();
}

#[test]
fn what_a_cut_left_of_a_line_is_no_line() {
    let whole: Vec<u8> = (0..3).flat_map(|n| [name(n), vec![b'\n']].concat()).collect();
    for kept in [0, 1, 63, 64, 65, 100, 127, 128, 191] {
        for zeros in [0, 20, 80] {
            let torn = [&whole[..kept], &vec![0; zeros]].concat();
            let mut tree = with_members(2);
            fs::write(tree.path(GROUP), &torn).expect("written");
            assert_eq!(members(&tree), expect(0..kept / 64));
            // Replay brings the lines that are not synced, or takes them away.
            enter(&mut tree, kept / 64..3);
            assert_eq!(fs::read(tree.path(GROUP)).expect("there"), whole);
            fs::write(tree.path(GROUP), &torn).expect("written");
            leave(&mut tree, 2..3);
            assert_eq!(members(&tree), expect(0..kept / 64));
            let left = fs::read(tree.path(GROUP)).unwrap_or_default();
            assert_eq!(left, &whole[..kept / 64 * 64]);
        }
    }
}

#[test]
fn strangers_keep_a_directory_one() {
    let mut tree = with_members(100);
    fs::write(tree.path(&format!("{GROUP}/.hidden")), b"").expect("written");
    leave(&mut tree, 3..100);
    assert!(tree.path(GROUP).is_dir());
    assert_eq!(members(&tree), expect(0..3));
    leave(&mut tree, 0..3);
    assert!(tree.path(&format!("{GROUP}/.hidden")).exists());
    enter(&mut tree, 5..6);
    assert_eq!(members(&tree), expect(5..6));
}

#[test]
fn without_an_exchange_nothing_is_converted() {
    let disk = SimDisk::new(SimSettings::default());
    let mut writer = TreeWriter::open(Arc::new(disk.clone())).expect("a writer");
    let bits = |range: std::ops::Range<usize>| {
        range.flat_map(|index| scored(&name(index), 1.0, None)).collect::<Vec<Bit>>()
    };
    apply(&mut writer, &batch(vec![(b"z", made(Type::Zset, bits(0..60)))])).expect("applied");
    let mut call = disk.calls() + 1;
    let fail = |disk: &SimDisk, from: u64| {
        (from..from + 400).for_each(|call| disk.fail_at(call, libc::EINVAL));
    };
    // Every call but the exchange is one that must not fail here: find it.
    loop {
        let trial = disk.cut(Cut::Everything);
        let mut writer = TreeWriter::open(Arc::new(trial.clone())).expect("a writer");
        let first = trial.calls();
        trial.fail_at(first + (call - disk.calls()), libc::EINVAL);
        let applied = apply(&mut writer, &batch(vec![(b"z", change(bits(60..70)))]));
        if applied.is_ok() && !trial.dump("0/z/scores").contains_key("1/") {
            let reader = writer.reader();
            assert_eq!(reader.group(0, b"z", score(1.0)).expect("read").len(), 70);
            assert!(trial.dump(".dredis/tmp").is_empty());
            // It has learned that: no other try.
            fail(&trial, u64::MAX - 400);
            apply(&mut writer, &batch(vec![(b"z", change(bits(70..71)))])).expect("applied");
            assert_eq!(reader.group(0, b"z", score(1.0)).expect("read").len(), 71);
            break;
        }
        call += 1;
        assert!(call < disk.calls() + 200, "no call is the exchange");
    }
}

#[test]
fn an_index_whose_names_are_refused_is_given_up() {
    let disk = SimDisk::new(SimSettings::default());
    let mut writer = TreeWriter::open(Arc::new(disk.clone())).expect("a writer");
    apply(&mut writer, &batch(vec![(b"z", zset(&[(b"a", 1.0), (b"b", 1.0)]))])).expect("applied");
    disk.refuse_name("2");
    let mut bits = scored(b"a", 2.0, Some(1.0));
    bits.extend(scored(b"c", 3.0, None));
    apply(&mut writer, &batch(vec![(b"z", change(bits))])).expect("applied");
    let reader = writer.reader();
    assert_eq!(reader.scores(0, b"z").expect("read"), None);
    assert_eq!(reader.count_elements(0, b"z", Type::Zset).expect("counted"), 3);
}

/// The disk loses what it had taken, and the kernel goes on to show it (RELIABILITY, 1): replay
/// writes it anew.
#[test]
fn a_line_that_the_disk_lost_is_written_again() {
    let disk = SimDisk::new(SimSettings::default());
    let mut writer = TreeWriter::open(Arc::new(disk.clone())).expect("a writer");
    apply(&mut writer, &batch(vec![(b"z", zset(&[(b"a", 1.0)]))])).expect("applied");
    writer.sync().expect("synced");
    let journal = batch(vec![(b"z", change(scored(b"b", 1.0, None)))]);
    apply(&mut writer, &journal).expect("applied");
    disk.sync_fails_at(disk.calls() + 1);
    writer.sync().expect_err("lost");
    let disk = disk.kill();
    let mut writer = TreeWriter::open(Arc::new(disk.clone())).expect("a writer");
    apply(&mut writer, &journal).expect("applied again");
    writer.sync().expect("synced");
    assert_eq!(disk.cut(Cut::Nothing).dump("0/z/scores")["1"], b"a\nb\n");
}

#[test]
fn a_group_is_read_whole_while_it_is_converted() {
    let mut tree = with_members(10);
    let reader = tree.reader.clone();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = stop.clone();
    let reading = std::thread::spawn(move || {
        let mut rounds = 0;
        while !stopped.load(Ordering::Relaxed) {
            let members = reader.group(0, b"z", score(1.0)).expect("read");
            let stable = members.iter().filter(|member| **member < key(&name(10))).count();
            assert_eq!(stable, 10, "of {} members", members.len());
            rounds += 1;
        }
        rounds
    });
    let sweeper = crate::layout::writer::Sweeper::new(tree.disk.clone());
    for _ in 0..20 {
        enter(&mut tree, 10..80);
        assert!(tree.path(GROUP).is_dir());
        leave(&mut tree, 10..80);
        assert!(tree.path(GROUP).is_file());
        while sweeper.sweep(50).expect("swept") > 0 {}
    }
    stop.store(true, Ordering::Relaxed);
    assert!(reading.join().expect("no round failed") > 20);
}

#[test]
fn an_index_is_made_anew_from_the_members() {
    let disk = SimDisk::new(SimSettings::default());
    let mut writer = TreeWriter::open(Arc::new(disk.clone())).expect("a writer");
    let names: Vec<Vec<u8>> = (0..5000).map(|n| format!("m{n}").into_bytes()).collect();
    let of = |n: usize| if n < 2000 { 7.0 } else { (n / 3) as f64 };
    let bits = names.iter().enumerate().flat_map(|(n, name)| scored(name, of(n), None));
    let mut bits: Vec<Bit> = bits.collect();
    bits.extend(scored(&[b'l'; 300], 7.0, None));
    apply(&mut writer, &batch(vec![(b"z", made(Type::Zset, bits))])).expect("applied");
    let before = meaning(&disk.dump("0"));
    for damage in ["missing", "half", "a file", "nothing"] {
        if damage != "nothing" {
            writer.drop_scores(0, &key(b"z")).expect("dropped");
            writer.drop_scores(0, &key(b"none")).expect("nothing to drop");
            assert_eq!(writer.reader().scores(0, b"z").expect("read"), None);
        }
        if damage == "half" {
            disk.create_dir("0/z/scores").expect("made");
            disk.create("0/z/scores/7", b"m1\nm99\n").expect("written");
        } else if damage == "a file" {
            disk.create("0/z/scores", b"").expect("written");
        }
        let built = writer.build_scores(0, &key(b"z")).expect("built");
        assert_eq!((built.members, built.left_out), (5001, 0));
        assert!(meaning(&disk.dump("0")) == before, "{damage}");
        assert!(disk.dump(".dredis/tmp").is_empty());
    }
    disk.write_at("0/z/values/m1", 0, b"?").expect("written");
    let built = writer.build_scores(0, &key(b"z")).expect("built");
    assert_eq!((built.members, built.left_out), (5000, 1));
    assert!(writer.build_scores(0, &key(b"none")).is_err());
    assert!(disk.dump(".dredis/tmp").is_empty());
}

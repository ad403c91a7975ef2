//! Faults: a stop at every call, a full disk, refused names and refused links.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::support::*;
use crate::base::bytes::Bytes;
use crate::base::score::Score;
use crate::disk::Wait;
use crate::disk::sim::{SimDisk, SimSettings};
use crate::layout::op::{Content, Type};
use crate::layout::reader::{Loaded, TreeReader, What};
use crate::layout::writer::TreeWriter;

/// What happened before the journal that is replayed, and was synced.
pub fn before() -> Batch {
    let long = [b'n'; 300];
    batch(vec![
        (b"kept", string(b"as it was")),
        (b"gone", string(b"will go")),
        (b"short", string(b"a longer value")),
        (b"replaced", made(Type::String, vec![value(b"old"), expires(Some(99))])),
        (b"patched", string(b"0123456789")),
        (&long, string(b"long name")),
        (b"hash", made(Type::Hash, vec![field(b"a", b"1"), field(&long, b"2")])),
        (b"set", made(Type::Set, vec![member(b"a"), member(b"b")])),
        (b"small", zset(&[(b"a", 1.0), (b"b", 1.0), (b"c", 1.0), (b"d", 2.0)])),
        (b"grows", of_one_score(0..38)),
        (b"shrinks", of_one_score(0..45)),
    ])
}

/// Names whose lines have 100 bytes: 41 of them need a directory, 10 of one make it a file.
fn wide(index: usize) -> Vec<u8> {
    format!("{index:099}").into_bytes()
}

fn of_one_score(members: std::ops::Range<usize>) -> Wanted {
    made(Type::Zset, members.flat_map(|index| scored(&wide(index), 7.0, None)).collect())
}

/// A journal of all types.
pub fn collections() -> Vec<Batch> {
    let long = [b'n'; 300];
    let mut moved = scored(b"a", 2.0, Some(1.0));
    moved.extend(unscored(b"d", 2.0));
    let first = batch(vec![
        (b"new", made(Type::Set, vec![member(b"m"), member(b"x!refused"), member(&long)])),
        (b"gone", made(Type::Hash, vec![field(b"f", b"v")])),
        (b"hash", change(vec![field(b"a", b"longer"), no_field(&long), field(b"b", b"")])),
        (b"set", change(vec![no_member(b"a"), member(b"c")])),
        (b"small", change(moved)),
        (b"kept", zset(&[(&long, 1.0), (b"x", 1.0)])),
    ]);
    let second = batch(vec![
        (b"new", change(vec![no_member(b"x!refused"), member(b"n")])),
        (b"gone", removed()),
        (b"hash", change(vec![field(b"a", b"s"), field(&long, b"again")])),
        (b"set", made(Type::Zset, scored(b"a", 0.5, None))),
        (b"small", change(unscored(b"b", 1.0))),
    ]);
    let third = batch(vec![
        (b"new", removed()),
        (b"small", change(scored(b"b", 1.0, None))),
        (b"kept", change(unscored(&long, 1.0))),
    ]);
    vec![first, second, third]
}

/// A journal in which groups become directories and files again.
pub fn groups() -> Vec<Batch> {
    let enter = |range: std::ops::Range<usize>| {
        change(range.flat_map(|index| scored(&wide(index), 7.0, None)).collect())
    };
    let leave = |range: std::ops::Range<usize>| {
        change(range.flat_map(|index| unscored(&wide(index), 7.0)).collect())
    };
    vec![
        batch(vec![(b"grows", enter(38..40)), (b"shrinks", leave(2..5))]),
        batch(vec![(b"grows", leave(0..1)), (b"shrinks", leave(5..38))]),
        batch(vec![(b"grows", enter(40..44)), (b"shrinks", leave(38..40))]),
        batch(vec![(b"grows", enter(44..45)), (b"shrinks", enter(60..61))]),
        batch(vec![(b"grows", leave(3..44)), (b"shrinks", leave(40..45))]),
    ]
}

/// The journal.
pub fn batches() -> Vec<Batch> {
    let long = [b'n'; 300];
    let first = batch(vec![
        (b"new", string(b"v")),
        (b"x!refused", string(b"hashed")),
        (b"gone", removed()),
        (b"short", change(vec![value(b"s")])),
        (b"replaced", made(Type::String, vec![value(b"anew")])),
        (b"patched", change(vec![patch(4, b"XX"), expires(Some(7))])),
        (&long, removed()),
    ]);
    let second = batch(vec![
        (b"new", change(vec![value(b"longer now")])),
        (b"patched", change(vec![expires(None), patch(12, b"end")])),
        (&long, string(b"again")),
        (b"kept", string(b"as it was")),
    ]);
    vec![first, second]
}

pub fn cleared_database() -> Vec<Batch> {
    let (_, changes) = batch(vec![(b"after", string(b"v"))]);
    vec![(vec![0], changes)]
}

/// Applies `journal` on a real disk with a stop at some calls in turn (`cuts` has all of them, on
/// the simulated one), then again whole after a start.
fn stop_everywhere(journal: &[Batch], step: usize) {
    let start = || {
        let mut tree = Tree::new();
        apply(&mut tree.writer, &before()).expect("applied");
        tree
    };
    let mut whole = start();
    for batch in journal {
        apply(&mut whole.writer, batch).expect("applied");
    }
    let expected = meaning(&whole.dump());
    for left in (0..).step_by(step) {
        let mut tree = start();
        tree.disk.left.store(left, Ordering::Relaxed);
        let done = journal.iter().all(|batch| apply(&mut tree.writer, batch).is_ok());
        let mut tree = tree.reopen();
        for batch in journal {
            apply(&mut tree.writer, batch).expect("applied again");
        }
        assert_eq!(meaning(&tree.dump()), expected, "stopped after {left} calls");
        tree.assert_tidy();
        if done {
            return;
        }
    }
}

#[test]
fn a_stop_is_made_good() {
    stop_everywhere(&batches(), 5);
}

#[test]
fn a_stop_for_collections_is_made_good() {
    stop_everywhere(&collections(), 13);
}

#[test]
fn a_stop_while_groups_are_converted_is_made_good() {
    stop_everywhere(&groups(), 23);
}

#[test]
fn a_stop_while_a_database_is_cleared_is_made_good() {
    stop_everywhere(&cleared_database(), 3);
}

#[test]
fn a_full_disk_fails_some_keys_and_not_the_others() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"a", string(b"value")), (b"b", string(b"value"))]);
    tree.disk.full.store(true, Ordering::Relaxed);
    let changes = batch(vec![
        (b"new", string(b"v")),
        (b"a", removed()),
        (b"b", change(vec![value(b"VALUE")])),
        (b"long", change(vec![value(&[b'x'; 5000])])),
    ]);
    let applied = apply(&mut tree.writer, &changes).expect("applied");
    let failed: Vec<&[u8]> = applied.failed.iter().map(|(_, key)| &key[..]).collect();
    assert_eq!(failed, [&b"new"[..], b"long"]);
    assert_eq!(applied.keys, 2);
    assert!(crate::disk::is_full(&applied.full.expect("an error")));
    assert_eq!(tree.dump().keys().collect::<Vec<_>>(), ["0/b/", "0/b/type", "0/b/value"]);
    assert_eq!(tree.value(b"b").as_deref(), Some(&b"VALUE"[..]));
    tree.disk.full.store(false, Ordering::Relaxed);
    apply(&mut tree.writer, &changes).expect("applied");
    assert_eq!(tree.value(b"new").as_deref(), Some(&b"v"[..]));
}

#[test]
fn a_refused_name_lies_hashed_beside_a_marker() {
    let mut tree = Tree::new();
    tree.apply(vec![(b"k", string(b"plain")), (b"!refused", string(b"hashed"))]);
    assert!(tree.path("0/%!").exists());
    for _ in 0..2 {
        assert_eq!(tree.value(b"!refused").as_deref(), Some(&b"hashed"[..]));
        assert_eq!(tree.keys(), [&b"!refused"[..], b"k"]);
        assert_eq!(tree.reader.count(0).expect("counted"), 2);
        let dir = tree.reader.dir(0, b"!refused", Wait::Yes).expect("found");
        assert!(dir.starts_with("0/!refused%~"), "{dir}");
        tree = tree.reopen();
    }
    tree.apply(vec![(b"!refused", change(vec![value(b"other")]))]);
    assert_eq!(tree.value(b"!refused").as_deref(), Some(&b"other"[..]));
    tree.apply(vec![(b"!refused", removed()), (b"k", removed())]);
    assert_eq!(tree.dump().keys().collect::<Vec<_>>(), ["0/%!"]);
}

#[test]
fn a_file_in_the_place_of_a_key_is_left_alone() {
    let mut tree = Tree::new();
    fs::write(tree.path("0/k"), b"mine").expect("written");
    assert_eq!(tree.load(b"k"), None);
    tree.apply(vec![(b"k", removed())]);
    tree.apply(vec![(b"k", string(b"v"))]);
    assert_eq!(tree.value(b"k").as_deref(), Some(&b"v"[..]));
    assert_eq!(tree.keys(), [b"k"]);
    assert_eq!(fs::read(tree.path("0/k")).expect("there"), b"mine");
    let reader = TreeReader::open(tree.disk.clone()).expect("a reader");
    assert!(reader.is_key(0, b"k", Wait::Yes).expect("asked"));
}

#[test]
fn refused_links_become_plain_files() {
    let mut tree = Tree::new();
    tree.disk.links_refused.store(true, Ordering::Relaxed);
    tree.apply(vec![(b"a", string(b"1")), (b"b", string(b"2"))]);
    tree.apply(vec![(b"a", string(b"1"))]);
    assert_eq!(tree.keys(), [b"a", b"b"]);
    assert_eq!(fs::read(tree.path("0/b/type")).expect("there"), b"string");
    tree.assert_tidy();
}

/// ext4's "directory index full": no space in one directory, and plenty beside it.
#[test]
fn a_directory_that_takes_no_more_names_takes_hashed_ones() {
    let disk = SimDisk::new(SimSettings::default());
    let mut writer = TreeWriter::open(Arc::new(disk.clone())).expect("a writer");
    disk.fail_at(disk.calls() + 1, libc::ENOSPC);
    let applied = apply(&mut writer, &batch(vec![(b"k", string(b"v"))])).expect("applied");
    assert!(applied.failed.is_empty());
    assert!(disk.dump("0").contains_key("%!"));
    let loaded = writer.reader().load(0, b"k", What::Value, Wait::Yes).expect("loaded");
    assert_eq!(loaded.expect("there").len, 1);
    assert!(disk.dump(".dredis/tmp").is_empty());
}

#[test]
fn running_out_of_descriptors_is_waited_out() {
    let disk = SimDisk::new(SimSettings::default());
    let mut writer = TreeWriter::open(Arc::new(disk.clone())).expect("a writer");
    for call in [1, 2, 4, 6, 9] {
        disk.fail_at(disk.calls() + call, libc::EMFILE);
    }
    let changes = batch(vec![(b"k", string(b"v")), (b"l", string(b"w"))]);
    let applied = apply(&mut writer, &changes).expect("applied");
    assert_eq!((applied.keys, applied.failed.len()), (2, 0));
    let expected = ["k/", "k/type", "k/value", "l/", "l/type", "l/value"];
    assert_eq!(disk.dump("0").keys().collect::<Vec<_>>(), expected);
}

/// All keys with all that can be read of them.
type Contents = Vec<(Bytes, Loaded, Vec<(Bytes, Content)>, Vec<(Score, Bytes)>)>;

fn contents(reader: &TreeReader) -> Contents {
    let mut keys: Vec<Bytes> = Vec::new();
    let end = reader.keys(0, 0, None, &mut |name, _| {
        keys.push(key(name));
        true
    });
    assert_eq!(end.expect("listed"), None);
    keys.sort();
    let read = |key: Bytes| {
        let loaded = reader.load(0, &key, What::Value, Wait::Yes).expect("loaded")?;
        if loaded.kind == Type::String {
            return Some((key, loaded, Vec::new(), Vec::new()));
        }
        let whole = reader.whole(0, &key, loaded.kind, 1000).expect("read");
        let mut elements = whole.elements;
        elements.sort();
        let mut index: Vec<(Score, Bytes)> = Vec::new();
        if loaded.kind == Type::Zset {
            // An index may be given up.
            match reader.scores(0, &key).expect("listed") {
                Some(groups) => groups.iter().for_each(|group| {
                    let members = reader.group(0, &key, group.score).expect("read");
                    index.extend(members.into_iter().map(|member| (group.score, member)));
                }),
                None => index.extend(elements.iter().map(|(member, content)| {
                    (Score::from_content(content).expect("a score"), member.clone())
                })),
            }
        }
        index.sort();
        Some((key, loaded, elements, index))
    };
    keys.into_iter().filter_map(read).collect()
}

/// Any single error but a full disk either is reported or does no harm.
#[test]
fn no_single_error_is_passed_over_in_silence() {
    let run = |journal: &[Batch], call: Option<u64>, errno| {
        let disk = SimDisk::new(SimSettings::default());
        let mut writer = TreeWriter::open(Arc::new(disk.clone())).expect("a writer");
        apply(&mut writer, &before()).expect("applied");
        if let Some(call) = call {
            disk.fail_at(disk.calls() + call, errno);
        }
        let first = disk.calls();
        let done = journal.iter().try_for_each(|batch| {
            let applied = apply(&mut writer, batch)?;
            applied.full.map_or(Ok(()), Err)
        });
        let again = call.is_none() || done.is_err();
        for batch in journal.iter().filter(|_| again) {
            apply(&mut writer, batch).expect("applied again");
        }
        (contents(&writer.reader()), disk.calls() - first)
    };
    for journal in [batches(), collections(), groups()] {
        let (expected, calls) = run(&journal, None, 0);
        for errno in [libc::EIO, libc::ENOSPC] {
            for call in 1..=calls {
                let found = run(&journal, Some(call), errno).0;
                assert_eq!(found, expected, "errno {errno} at call {call}");
            }
        }
    }
}

//! Faults: a stop at every call, a full disk, refused names and refused links.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::support::*;
use crate::disk::Wait;
use crate::disk::sim::{SimDisk, SimSettings};
use crate::layout::op::Type;
use crate::layout::reader::{TreeReader, What};
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
    ])
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

/// Applies `journal` with a stop at each call in turn, then again whole after a start.
fn stop_everywhere(journal: &[Batch]) {
    let start = || {
        let mut tree = Tree::new();
        apply(&mut tree.writer, &before()).expect("applied");
        tree
    };
    let mut whole = start();
    for batch in journal {
        apply(&mut whole.writer, batch).expect("applied");
    }
    let expected = whole.dump();
    for left in 0.. {
        let mut tree = start();
        tree.disk.left.store(left, Ordering::Relaxed);
        let done = journal.iter().all(|batch| apply(&mut tree.writer, batch).is_ok());
        let mut tree = tree.reopen();
        for batch in journal {
            apply(&mut tree.writer, batch).expect("applied again");
        }
        assert_eq!(tree.dump(), expected, "stopped after {left} calls");
        tree.assert_tidy();
        if done {
            return;
        }
    }
}

#[test]
fn a_stop_at_any_call_is_made_good() {
    stop_everywhere(&batches());
}

#[test]
fn a_stop_while_a_database_is_cleared_is_made_good() {
    stop_everywhere(&cleared_database());
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

/// Any single error but a full disk either is reported or does no harm.
#[test]
fn no_single_error_is_passed_over_in_silence() {
    let run = |call: Option<u64>, errno| {
        let disk = SimDisk::new(SimSettings::default());
        let mut writer = TreeWriter::open(Arc::new(disk.clone())).expect("a writer");
        apply(&mut writer, &before()).expect("applied");
        if let Some(call) = call {
            disk.fail_at(disk.calls() + call, errno);
        }
        let first = disk.calls();
        let done = batches().iter().try_for_each(|batch| {
            let applied = apply(&mut writer, batch)?;
            applied.full.map_or(Ok(()), Err)
        });
        let again = call.is_none() || done.is_err();
        for batch in batches().iter().filter(|_| again) {
            apply(&mut writer, batch).expect("applied again");
        }
        let reader = writer.reader();
        let values = [&b"new"[..], b"gone", b"short", b"replaced", b"patched", b"kept"]
            .map(|name| reader.load(0, name, What::Value, Wait::Yes).expect("loaded"));
        (values, disk.calls() - first)
    };
    let (expected, calls) = run(None, 0);
    for errno in [libc::EIO, libc::ENOSPC] {
        for call in 1..=calls {
            assert_eq!(run(Some(call), errno).0, expected, "errno {errno} at call {call}");
        }
    }
}

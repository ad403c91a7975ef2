//! Moves: directories that change their places, on disks that make that hard.

use std::fs;
use std::io;
use std::sync::atomic::Ordering;

use super::support::*;
use crate::layout::hints;
use crate::layout::op::{Move, Type};

fn rename(from: &[u8], to: &[u8]) -> Move {
    Move::Key((0, key(from)), (0, key(to)))
}

/// A set, a string and another database.
fn before() -> Tree {
    let mut tree = Tree::new();
    tree.apply(vec![
        (b"set", made(Type::Set, vec![member(b"a"), member(b"b"), expires(Some(5))])),
        (b"in the way", string(b"old")),
    ]);
    fs::create_dir(tree.path("journal")).expect("made");
    fs::create_dir(tree.path("1/other")).expect("made");
    fs::write(tree.path("1/other/value"), "theirs").expect("written");
    fs::write(tree.path("1/other/type"), "string").expect("written");
    tree
}

/// Brings moves about where no directory of the tree can be renamed, with a stop at each call in
/// turn, and again after a start.
fn stop_everywhere(moves: &[Move]) {
    let whole = |mut tree: Tree| {
        tree.writer.apply_moves(9, moves).expect("moved");
        tree.dump()
    };
    let expected = whole(before());
    for left in 0.. {
        let mut tree = before();
        tree.disk.dirs_stay.store(true, Ordering::Relaxed);
        tree.disk.left.store(left, Ordering::Relaxed);
        let done: io::Result<()> = tree.writer.apply_moves(9, moves);
        let tree = tree.reopen();
        tree.disk.dirs_stay.store(true, Ordering::Relaxed);
        assert_eq!(whole(tree), expected, "stopped after {left} calls");
        if done.is_ok() {
            return;
        }
    }
}

#[test]
fn a_copy_in_place_of_a_rename_is_made_good_after_a_stop() {
    stop_everywhere(&[rename(b"set", b"in the way")]);
    stop_everywhere(&[Move::Swap(0, 1)]);
}

#[test]
fn a_file_in_the_place_of_a_moved_key_is_left_alone() {
    let mut tree = before();
    fs::write(tree.path("0/taken"), "mine").expect("written");
    tree.writer.apply_moves(9, &[rename(b"set", b"taken")]).expect("moved");
    assert_eq!(tree.keys(), [&b"in the way"[..], b"taken"]);
    assert_eq!(tree.load(b"taken").map(|loaded| loaded.kind), Some(Type::Set));
    assert_eq!(fs::read(tree.path("0/taken")).expect("there"), b"mine");
}

/// They speak of the databases as they were, and the walk that files them anew may not come.
#[test]
fn hints_are_not_complete_behind_a_swap() {
    let mut tree = before();
    hints::set_complete(&*tree.disk, true).expect("set");
    tree.writer.apply_moves(9, &[rename(b"set", b"b")]).expect("moved");
    assert!(hints::is_complete(&*tree.disk).expect("asked"));
    tree.writer.apply_moves(10, &[Move::Swap(0, 1)]).expect("moved");
    assert!(!hints::is_complete(&*tree.disk).expect("asked"));
}

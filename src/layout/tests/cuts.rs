//! Power cuts on the simulated disk: at every call, with much or little of what was not synced.

use std::sync::Arc;

use super::faults::{batches, before, cleared_database, collections, groups};
use super::support::*;
use crate::disk::Disk;
use crate::disk::sim::{Cut, SimDisk, SimSettings};
use crate::layout::op::Type;
use crate::layout::writer::TreeWriter;

const CUTS: [Cut; 7] = [
    Cut::Nothing,
    Cut::Everything,
    Cut::Seed(1),
    Cut::Seed(2),
    Cut::Seed(3),
    Cut::Seed(4),
    Cut::Seed(5),
];

fn open(disk: &SimDisk) -> TreeWriter {
    TreeWriter::open(Arc::new(disk.clone())).expect("a writer")
}

/// A synced tree, on a disk that refuses the name of the tests.
fn start() -> SimDisk {
    let disk = SimDisk::new(SimSettings::default());
    disk.refuse_name("x!refused");
    let mut writer = open(&disk);
    apply(&mut writer, &before()).expect("applied");
    writer.sync().expect("synced");
    disk
}

fn dump(disk: &SimDisk) -> Dump {
    (0..16)
        .flat_map(|db| {
            disk.dump(&db.to_string()).into_iter().map(move |(p, c)| (format!("{db}/{p}"), c))
        })
        .collect()
}

/// The tree after `journal` without any fault.
fn whole(journal: &[Batch]) -> Dump {
    let disk = start();
    let mut writer = open(&disk);
    for batch in journal {
        apply(&mut writer, batch).expect("applied");
    }
    meaning(&dump(&disk))
}

/// Applies `journal` and syncs, with a cut at each call in turn; replay has to bring the tree.
/// Answers how many states were looked at.
fn cut_everywhere(journal: &[Batch], expected: &Dump) -> usize {
    let whole = start();
    let mut writer = open(&whole);
    let calls = whole.calls();
    for batch in journal {
        apply(&mut writer, batch).expect("applied");
    }
    writer.sync().expect("synced");
    let mut states = 0;
    for call in calls + 1..=whole.calls() {
        let disk = start();
        let mut writer = open(&disk);
        assert_eq!(disk.calls(), calls);
        disk.crash_at(call);
        let _ = journal.iter().try_for_each(|batch| apply(&mut writer, batch).map(|_| ()));
        let _ = writer.sync();
        for cut in CUTS {
            let after = disk.cut(cut);
            after.refuse_name("x!refused");
            let mut writer = open(&after);
            for batch in journal {
                apply(&mut writer, batch).expect("replayed");
            }
            writer.sync().expect("synced");
            let kept = after.cut(Cut::Nothing);
            assert_eq!(&meaning(&dump(&kept)), expected, "cut at call {call}, {cut:?}");
            assert!(after.dump(".dredis/tmp").is_empty(), "cut at call {call}, {cut:?}");
            states += 1;
        }
    }
    states
}

#[test]
fn a_cut_at_any_call_is_made_good() {
    assert!(cut_everywhere(&batches(), &whole(&batches())) > 200);
}

#[test]
fn a_cut_at_any_call_for_collections_is_made_good() {
    assert!(cut_everywhere(&collections(), &whole(&collections())) > 200);
}

#[test]
fn a_cut_while_groups_are_converted_is_made_good() {
    assert!(cut_everywhere(&groups(), &whole(&groups())) > 500);
}

#[test]
fn a_cut_while_a_database_is_cleared_is_made_good() {
    assert!(cut_everywhere(&cleared_database(), &whole(&cleared_database())) > 20);
}

/// A patch of a file with two names is a copy: what is not in the patch is in no journal.
#[test]
fn a_patch_by_copy_keeps_the_rest_of_the_file() {
    let copied = || {
        let disk = start();
        disk.link("0/patched/value", "copy").expect("linked");
        disk.sync_all().expect("synced");
        disk
    };
    let journal = batch(vec![(b"patched", change(vec![patch(4, b"XX")]))]);
    let whole = copied();
    let mut writer = open(&whole);
    let calls = whole.calls();
    apply(&mut writer, &journal).expect("applied");
    for call in calls + 1..=whole.calls() + 1 {
        for cut in CUTS {
            let disk = copied();
            let mut writer = open(&disk);
            disk.crash_at(call);
            let _ = apply(&mut writer, &journal);
            let after = disk.cut(cut);
            apply(&mut open(&after), &journal).expect("replayed");
            let found = after.dump("0/patched");
            assert_eq!(found["value"], b"0123XX6789", "cut at call {call}, {cut:?}");
            assert_eq!(after.dump("")["copy"], b"0123456789");
        }
    }
}

#[test]
fn a_linked_type_is_never_torn() {
    for seed in 0..50 {
        let disk = start();
        let mut writer = open(&disk);
        let names: Vec<String> = (0..20).map(|index| index.to_string()).collect();
        let changes = names.iter().map(|name| (name.as_bytes(), string(b"value")));
        apply(&mut writer, &batch(changes.collect())).expect("applied");
        for (path, content) in disk.cut(Cut::Seed(seed)).dump("0") {
            let whole = Type::ALL.iter().any(|kind| kind.name().as_bytes() == content);
            assert!(!path.ends_with("/type") || whole, "{path}");
        }
    }
}

#[test]
fn the_largest_removal_and_a_deadline_survive_any_cut() {
    let parts = vec![value(&[b'x'; 9000]), expires(Some(1_763_720_000_000))];
    let journal = [
        batch(vec![(b"kept", change(parts))]),
        batch(vec![(b"kept", change(vec![patch(8999, b"yz"), expires(None)]))]),
        batch(vec![(b"kept", removed())]),
    ];
    for end in 1..=journal.len() {
        cut_everywhere(&journal[..end], &whole(&journal[..end]));
    }
}

/// An index that is being made anew is whole, or what it was before: none, or a wrong one.
#[test]
fn a_cut_while_an_index_is_made_leaves_the_old_one_or_all_of_the_new_one() {
    let begin = |wrong: bool| {
        let disk = start();
        let mut writer = open(&disk);
        writer.drop_scores(0, &key(b"shrinks")).expect("dropped");
        if wrong {
            disk.create_dir("0/shrinks/scores").expect("made");
            disk.create("0/shrinks/scores/8", b"x\n").expect("written");
        }
        writer.sync().expect("synced");
        (disk, writer)
    };
    let index = |disk: &SimDisk| {
        let path = |(path, content)| (format!("0/shrinks/{path}"), content);
        meaning(&disk.dump("0/shrinks").into_iter().map(path).collect())
    };
    for wrong in [false, true] {
        let (disk, mut writer) = begin(wrong);
        let calls = disk.calls();
        let before = index(&disk);
        writer.build_scores(0, &key(b"shrinks")).expect("built");
        let after = index(&disk);
        assert_ne!(before, after);
        for call in calls + 1..=disk.calls() + 1 {
            let (disk, mut writer) = begin(wrong);
            disk.crash_at(call);
            let _ = writer.build_scores(0, &key(b"shrinks"));
            for cut in CUTS {
                let found = index(&disk.cut(cut));
                assert!(found == before || found == after, "cut at call {call}, {cut:?}");
            }
        }
    }
}

/// The tests above bite: left out, the step is missed by one of them.
#[cfg(feature = "variants")]
#[test]
fn leaving_out_a_step_of_the_writer_is_caught() {
    use crate::base::variant::{Step, leave_out};

    for (left_out, journal) in [
        (Step::ReplayRewrites, batches()),
        (Step::RemovalFirst, cleared_database()),
        (Step::SyncTree, batches()),
        (Step::ReplayRewrites, collections()),
        (Step::SyncRegroup, groups()),
    ] {
        let expected = whole(&journal);
        leave_out(Some(left_out));
        let caught = std::panic::catch_unwind(|| cut_everywhere(&journal, &expected));
        leave_out(None);
        assert!(caught.is_err(), "{left_out:?} is missed by nobody");
    }
}

//! What a simulated cut, kill, fault or full disk may do, and what it may not.

use super::{Cut, SimDisk, SimSettings};
use crate::disk::{Disk, Wait, is_full};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

fn disk() -> SimDisk {
    SimDisk::new(SimSettings::default())
}

/// All states in which 500 cuts leave a disk.
fn cuts(disk: &SimDisk) -> BTreeSet<BTreeMap<String, Vec<u8>>> {
    let seeds = (0..500).map(Cut::Seed).chain([Cut::Nothing, Cut::Everything]);
    seeds.map(|cut| disk.cut(cut).dump("")).collect()
}

fn files(all: &[(&str, &[u8])]) -> BTreeMap<String, Vec<u8>> {
    all.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect()
}

#[test]
fn a_new_file_needs_both_syncs() {
    let d = disk();
    d.create("f", b"x").expect("create");
    assert_eq!(
        cuts(&d),
        [files(&[]), files(&[("f", b"")]), files(&[("f", b"\0")]), files(&[("f", b"x")])].into()
    );
    d.sync_file("f").expect("sync");
    assert_eq!(cuts(&d), [files(&[]), files(&[("f", b"x")])].into());
    d.sync_dir("").expect("sync");
    assert_eq!(cuts(&d), [files(&[("f", b"x")])].into());
    assert_eq!(d.unsynced(), 0);
}

#[test]
fn a_directory_sync_keeps_names_but_no_data() {
    let d = disk();
    d.create("f", b"x").expect("create");
    d.sync_dir("").expect("sync");
    let all = cuts(&d);
    assert!(all.contains(&files(&[("f", b"")])) && all.contains(&files(&[("f", b"x")])));
    assert!(all.iter().all(|state| state.contains_key("f")));
    d.sync_all().expect("syncfs");
    assert_eq!(cuts(&d).len(), 1);
}

#[test]
fn names_survive_in_their_order() {
    let d = disk();
    for name in ["a", "b", "c"] {
        d.create_dir(name).expect("mkdir");
    }
    d.rename("a", "d").expect("rename");
    d.remove_dir("b").expect("rmdir");
    let names = |all: &[&str]| all.iter().map(|name| ((*name).to_owned(), Vec::new())).collect();
    let prefixes: [BTreeMap<_, _>; 6] = [
        names(&[]),
        names(&["a/"]),
        names(&["a/", "b/"]),
        names(&["a/", "b/", "c/"]),
        names(&["b/", "c/", "d/"]),
        names(&["c/", "d/"]),
    ];
    assert_eq!(cuts(&d), prefixes.into());
}

#[test]
fn a_removed_file_comes_back_as_it_was_durable() {
    let d = disk();
    d.create("f", b"old").expect("create");
    d.create("g", b"new").expect("create");
    d.sync_all().expect("syncfs");
    d.rename("g", "f").expect("rename");
    let (before, after) = (files(&[("f", b"old"), ("g", b"new")]), files(&[("f", b"new")]));
    assert_eq!(cuts(&d), [before.clone(), after.clone()].into());
    d.remove_file("f").expect("unlink");
    assert_eq!(cuts(&d), [before, after, files(&[])].into());
}

#[test]
fn exchange_leaves_both_names_at_any_cut() {
    let d = disk();
    d.create("a", b"1").expect("create");
    d.create("b", b"2").expect("create");
    d.sync_all().expect("syncfs");
    d.exchange("a", "b").expect("exchange");
    let (before, after) = (files(&[("a", b"1"), ("b", b"2")]), files(&[("a", b"2"), ("b", b"1")]));
    assert_eq!(cuts(&d), [before, after].into());
}

#[test]
fn sectors_survive_alone_and_whole() {
    let d = disk();
    d.create_zeroed("f", 2_048).expect("create");
    d.sync_dir("").expect("sync");
    d.write_at("f", 0, &[b'x'; 2_048]).expect("write");
    let mut seen = BTreeSet::new();
    for state in cuts(&d) {
        let sectors = state["f"].chunks(512).map(|sector| {
            assert!(sector.iter().all(|byte| *byte == sector[0]), "a torn sector");
            sector[0] == b'x'
        });
        seen.insert(sectors.collect::<Vec<_>>());
    }
    assert_eq!(seen.len(), 16, "any set of sectors");
}

#[test]
fn a_sector_written_twice_is_old_or_either() {
    let d = disk();
    d.create("f", b"0").expect("create");
    d.sync_all().expect("syncfs");
    d.write_at("f", 0, b"1").expect("write");
    d.write_at("f", 0, b"2").expect("write");
    let all: BTreeSet<_> = cuts(&d).into_iter().map(|mut state| state.remove("f")).collect();
    assert_eq!(all, [b"0", b"1", b"2"].map(|content| Some(content.to_vec())).into());
}

#[test]
fn a_crash_leaves_the_call_half_done_and_nothing_synced() {
    let d = disk();
    d.create("f", &[b'0'; 1_024]).expect("create");
    d.sync_all().expect("syncfs");
    d.crash_at(3);
    assert!(!d.is_down());
    d.write_at("f", 0, &[b'1'; 1_024]).expect_err("the power goes");
    assert!(d.is_down());
    d.read("f", Wait::Yes).expect_err("no power");
    d.create("g", b"").expect_err("no power");
    assert_eq!((d.calls(), cuts(&d).len()), (3, 4));
    let d = d.cut(Cut::Nothing);
    assert_eq!((d.calls(), d.unsynced()), (0, 0));
    d.write_at("f", 0, b"2").expect("power is back");
    d.crash_at(2);
    d.sync_all().expect_err("the power goes");
    assert_eq!(cuts(&d).len(), 2, "the sync did nothing");
}

#[test]
fn a_failed_sync_loses_what_it_was_to_write() {
    for whole in [false, true] {
        let d = disk();
        d.create("f", b"old").expect("create");
        d.sync_all().expect("syncfs");
        let file = d.open("f").expect("open");
        let sync = || if whole { d.sync_all() } else { file.sync_data() };
        file.write_at(0, b"newer").expect("write");
        d.sync_fails_at(0);
        sync().expect_err("EIO once");
        sync().expect("then it answers OK");
        assert_eq!(d.read("f", Wait::Yes).expect("read"), b"newer");
        assert_eq!(cuts(&d), [files(&[("f", b"old\0\0")])].into());
        assert_eq!(d.kill().read("f", Wait::Yes).expect("read"), b"newer");
    }
}

#[test]
fn one_call_fails_and_a_created_file_is_left_empty() {
    let d = disk();
    d.fail_at(1, libc::EIO);
    d.fail_at(2, libc::EDQUOT);
    d.create_dir("d").expect_err("EIO");
    assert!(is_full(&d.create("f", b"x").expect_err("quota")));
    assert_eq!(d.dump(""), files(&[("f", b"")]));
    d.create("f", b"").expect_err("it is there");
    d.create_dir("d").expect("no fault any more");
    d.fail_at(5, libc::EMFILE);
    d.create("g", b"").expect_err("no descriptor");
    d.create("g", b"").expect("so it was not made");
    d.count_reads(true);
    d.fail_at(7, libc::EMFILE);
    let e = d.read("f", Wait::Yes).expect_err("no descriptor");
    assert!(crate::disk::is_out_of_descriptors(&e));
}

#[test]
fn a_kill_keeps_what_was_seen_and_it_is_still_not_synced() {
    let d = disk();
    d.create("f", b"x").expect("create");
    let file = d.open("f").expect("open");
    let killed = d.kill();
    file.sync_data().expect_err("a dead handle");
    d.sync_all().expect_err("a dead handle");
    assert_eq!(killed.dump(""), files(&[("f", b"x")]));
    assert!(cuts(&killed).contains(&files(&[])));
    killed.sync_all().expect("syncfs");
    assert_eq!(cuts(&killed), [files(&[("f", b"x")])].into());
}

#[test]
fn a_full_disk_takes_overwrites_renames_and_removals() {
    let settings = SimSettings { bytes_total: 10 * 512, inodes_total: 6, block_bytes: 512 };
    let d = SimDisk::new(settings);
    d.create("f", &[1; 9 * 512]).expect("it fits");
    assert_eq!(d.space().expect("statfs").bytes_free, 0);
    assert!(is_full(&d.append("f", b"x").expect_err("full")));
    assert!(is_full(&d.create_dir("d").expect_err("full")));
    assert!(is_full(&d.create("g", b"x").expect_err("full")));
    assert_eq!(d.read("g", Wait::Yes).expect("there, and empty"), b"");
    d.write_at("f", 0, b"x").expect("overwrite");
    d.rename("f", "h").expect("rename");
    d.link("h", "i").expect("a second name");
    d.remove_file("h").expect("unlink");
    assert_eq!(d.space().expect("statfs").bytes_free, 0);
    let file = d.open("i").expect("open");
    d.remove_file("i").expect("unlink");
    assert_eq!(d.space().expect("statfs").bytes_free, 0, "a handle holds it");
    drop(file);
    assert_eq!(d.space().expect("statfs").bytes_free, 9 * 512);
    for name in ["1", "2", "3", "4"] {
        d.create(name, b"").expect("inodes are left");
    }
    assert!(is_full(&d.create("5", b"").expect_err("no inode")));
    d.set_inodes_total(7);
    d.create("5", b"").expect("one more");
    let again = d.cut(Cut::Everything).space().expect("statfs");
    assert_eq!(again.bytes_free, d.space().expect("statfs").bytes_free);
    assert_eq!(again.inodes_free, 0);
    d.set_full();
    assert!(is_full(&d.append("1", b"x").expect_err("full")));
}

#[test]
fn reads_that_may_not_wait_are_put_off_as_often_as_asked() {
    let d = disk();
    d.create("f", b"x").expect("create");
    let waits = |d: &SimDisk| {
        let cold = |_: &i32| match d.read("f", Wait::No) {
            Err(e) => e.kind() == ErrorKind::WouldBlock,
            Ok(_) => false,
        };
        (0..1_000).filter(cold).count()
    };
    assert_eq!(waits(&d), 0);
    d.cold(1, 100);
    assert_eq!(waits(&d), 1_000);
    d.read("f", Wait::Yes).expect("a helper waits");
    d.cold(1, 30);
    assert!((200..400).contains(&waits(&d)));
}

#[test]
fn links_and_names_are_refused_where_asked() {
    let d = disk();
    d.create_shared("t", b"string").expect("create");
    d.write_at("t", 0, b"x").expect_err("shared");
    d.set_links_max(2);
    d.link("t", "u").expect("link");
    d.link("t", "v").expect_err("too many");
    d.refuse_name("bad");
    d.create("bad", b"").expect_err("refused");
    d.rename("u", "bad").expect_err("refused");
    d.rename("t", "u").expect("two names of one file: nothing happens");
    assert_eq!(d.dump("").len(), 2);
}

#[test]
fn the_same_seed_cuts_alike() {
    let d = disk();
    for n in 0..20 {
        d.create(&n.to_string(), &[n; 700]).expect("create");
    }
    for seed in 0..50 {
        assert_eq!(d.cut(Cut::Seed(seed)).dump(""), d.cut(Cut::Seed(seed)).dump(""));
    }
    let state = |cut| d.cut(cut).dump("");
    assert_eq!(state(Cut::Everything), d.dump(""));
    assert!(state(Cut::Nothing).is_empty());
}

//! Tests of the journal as a whole, on the simulated disk.
//!
//! The oracle: what comes back is a prefix of what was appended, with at least all that was
//! durable, records whole; and a second recovery gives the same.

use super::*;
use crate::disk::sim::{Cut, SimDisk, SimSettings};
use crate::disk::{Disk, Wait};
use crate::layout::op::{Content, Key};
use std::sync::Arc;

const SMALL: Settings = Settings {
    segment_bytes: 2048,
    segments_max: 12,
    segments_keep: 3,
    spares: 1,
    copy_on_write: false,
    chance: 7,
};

fn ops(seq: Seq, len: usize) -> Vec<Op> {
    let key = Key::from(seq.to_string().as_bytes());
    vec![Op::Value(0, key, Content::from(vec![seq as u8; len]))]
}

fn length(seq: Seq) -> usize {
    [10, 200, 0, 700, 3000, 40][seq as usize % 6]
}

fn group(first: Seq, count: u64) -> Group {
    let mut group = Group::new();
    for seq in first..first + count {
        group.push(seq, 1000 + seq, &ops(seq, length(seq)));
    }
    group
}

fn new_disk() -> SimDisk {
    SimDisk::new(SimSettings::default())
}

/// Recovers, and checks that what comes is whole and in order.
fn open(disk: &SimDisk) -> Result<(Recovered, Vec<Seq>), Error> {
    let mut seqs = Vec::new();
    let recovered = recover(Arc::new(disk.clone()), SMALL, &mut |record| {
        assert_eq!(record.ops, ops(record.seq, length(record.seq)), "record {}", record.seq);
        assert_eq!((record.epoch, record.time_ms), (1, 1000 + record.seq));
        assert!(seqs.last().is_none_or(|last| last + 1 == record.seq));
        seqs.push(record.seq);
    })?;
    assert_eq!(recovered.records, seqs.len() as u64);
    assert!(seqs.last().is_none_or(|last| *last == recovered.last));
    Ok((recovered, seqs))
}

fn append(journal: &mut Segments, first: Seq, count: u64) {
    journal.append(&group(first, count)).unwrap();
    assert_eq!(journal.sync().unwrap(), first + count - 1);
}

/// A life of the journal, as far as the disk lets it: what was issued, durable and trimmed.
#[derive(Clone, Copy, Debug, Default)]
struct Life {
    issued: Seq,
    durable: Seq,
    trimmed: Seq,
}

impl Life {
    fn go(&mut self, disk: &SimDisk) -> Result<(), Error> {
        let mut journal = open(disk)?.0.journal;
        self.go_on(&mut journal)
    }

    fn go_on(&mut self, journal: &mut Segments) -> Result<(), Error> {
        let start = self.issued;
        for (count, applied) in [(3, 0), (2, 2), (4, 5), (1, 0), (6, 10), (3, 16)] {
            let first = self.issued + 1;
            self.issued += count;
            journal.append(&group(first, count))?;
            self.durable = journal.sync()?;
            if applied > 0 {
                self.trimmed = self.trimmed.max((start + applied).min(self.durable));
                journal.trim(self.trimmed)?;
            }
            journal.prepare()?;
        }
        Ok(())
    }

    /// The oracle. `trimmed` may be ahead of the disk by one that was under way.
    fn check(&self, disk: &SimDisk, hint: &str) -> Recovered {
        let problems = inspect(disk, &mut |_| {}).problems;
        let (recovered, seqs) = open(disk).unwrap_or_else(|error| panic!("{hint}: {error}"));
        assert_eq!(problems, Vec::<String>::new(), "{hint}: what is accepted is no problem");
        assert!(recovered.last >= self.durable && recovered.last <= self.issued, "{hint}");
        let first = seqs.first().copied().unwrap_or(recovered.last + 1);
        assert!(first <= self.trimmed + 1, "{hint}: starts at {first}");
        recovered
    }
}

#[test]
fn records_come_back_after_a_clean_stop_and_go_on() {
    let disk = new_disk();
    let mut life = Life::default();
    life.go(&disk).unwrap();
    let recovered = life.check(&disk, "first");
    assert_eq!(recovered.last, 19);
    let mut journal = recovered.journal;
    append(&mut journal, 20, 5);
    let mut read = Vec::new();
    journal.read(18, &mut |record| read.push(record.seq)).unwrap();
    assert_eq!(read, [18, 19, 20, 21, 22, 23, 24]);
    journal.trim(24).unwrap();
    assert_eq!(journal.status().bytes_live, 0);
    drop(journal);
    let (recovered, seqs) = open(&disk).unwrap();
    assert_eq!((recovered.last, seqs.len()), (24, 0));
    let report = inspect(&disk, &mut |_| {});
    assert_eq!((report.last, report.records, report.problems), (24, 0, vec![]));
}

#[test]
fn a_crash_at_every_call_keeps_what_was_durable() {
    let calls = {
        let disk = new_disk();
        Life::default().go(&disk).unwrap();
        disk.calls()
    };
    let cuts = [Cut::Nothing, Cut::Everything].into_iter().chain((0..25).map(Cut::Seed));
    let cuts: Vec<Cut> = cuts.collect();
    for call in 1..=calls {
        let disk = new_disk();
        disk.crash_at(call);
        let mut life = Life::default();
        assert!(life.go(&disk).is_err());
        for cut in &cuts {
            let hint = format!("call {call}, {cut:?}, {life:?}");
            let disk = disk.cut(*cut);
            let first = life.check(&disk, &hint);
            let (last, records) = (first.last, first.records);
            let second = life.check(&disk.cut(Cut::Nothing), &hint);
            assert_eq!((second.last, second.records), (last, records), "{hint}");
        }
    }
}

#[test]
fn a_crash_during_recovery_and_after_it_keeps_what_was_durable() {
    let calls = {
        let disk = new_disk();
        Life::default().go(&disk).unwrap();
        disk.calls()
    };
    for call in (1..=calls).step_by(5) {
        let disk = new_disk();
        disk.crash_at(call);
        let mut first = Life::default();
        assert!(first.go(&disk).is_err());
        for seed in 0..3 {
            let torn = disk.cut(Cut::Seed(seed));
            let whole = torn.cut(Cut::Everything);
            let last = first.check(&whole, "whole").last;
            for second_call in 1.. {
                let again = torn.cut(Cut::Everything);
                again.crash_at(second_call);
                let mut second = first;
                if let Ok((recovered, _)) = open(&again) {
                    assert_eq!(recovered.last, last);
                    second.issued = recovered.last;
                    second.durable = recovered.last;
                    let mut journal = recovered.journal;
                    let result = second.go_on(&mut journal);
                    if !again.is_down() {
                        result.unwrap();
                        break;
                    }
                }
                for cut in [Cut::Nothing, Cut::Everything, Cut::Seed(seed), Cut::Seed(seed + 9)] {
                    let hint = format!("call {call}, seed {seed}, call {second_call}, {cut:?}");
                    second.check(&again.cut(cut), &hint);
                }
            }
        }
    }
}

#[test]
fn a_failed_sync_is_the_end_and_is_not_believed_later() {
    let calls = {
        let disk = new_disk();
        Life::default().go(&disk).unwrap();
        disk.calls()
    };
    for call in 1..=calls {
        let disk = new_disk();
        disk.sync_fails_at(call);
        let mut life = Life::default();
        if life.go(&disk).is_ok() {
            continue;
        }
        let disk = disk.kill();
        let hint = format!("call {call}");
        let mut recovered = life.check(&disk, &hint);
        life.issued = recovered.last;
        life.durable = recovered.last;
        // What was served at the start must be there after a cut.
        life.check(&disk.cut(Cut::Nothing), &hint);
        life.go_on(&mut recovered.journal).unwrap();
        life.check(&disk.cut(Cut::Nothing), &hint);
    }
}

#[test]
fn an_error_poisons_but_a_full_disk_does_not() {
    let disk = new_disk();
    let mut journal = open(&disk).unwrap().0.journal;
    disk.set_full();
    let room = journal.status().bytes_room;
    let mut seq = 1;
    let full = loop {
        match journal.append(&group(seq, 1)) {
            Ok(()) => seq += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, Error::Full { .. }), "{full}");
    assert!(room > 1500 && seq > 1);
    assert!(matches!(journal.begin_backup("b"), Err(Error::Full { .. })));
    assert_eq!(journal.sync().unwrap(), seq - 1);
    journal.trim(seq - 1).unwrap();
    drop(journal);
    let mut journal = open(&disk).unwrap().0.journal;
    disk.fail_at(disk.calls() + 1, 5);
    assert!(matches!(journal.append(&group(seq, 1)), Err(Error::Disk { .. })));
    assert!(matches!(journal.sync(), Err(Error::Poisoned)));
}

/// The file and offset of the frame with this sequence number, which is in the journal.
fn find_frame(disk: &SimDisk, seq: Seq) -> (String, usize) {
    for (name, bytes) in disk.dump(FOLDER) {
        let header::Parsed::Header(header) = header::parse(&bytes) else { continue };
        if !name.starts_with("segment.") {
            continue;
        }
        let mut at = header::HEADER_BYTES;
        while let frame::Parsed::Frame(frame, _, behind) =
            frame::parse(&bytes, at, Some(header.salt))
        {
            if frame.seq == seq {
                return (format!("{FOLDER}/{name}"), at);
            }
            at = behind;
        }
    }
    panic!("no frame of {seq}");
}

#[test]
fn damage_is_told_from_an_ordinary_end() {
    let disk = new_disk();
    let mut journal = open(&disk).unwrap().0.journal;
    append(&mut journal, 1, 3);
    append(&mut journal, 6 - 2, 3);
    append(&mut journal, 7, 2);
    drop(journal);
    let damage = |seq: Seq| {
        let disk = disk.kill();
        let (path, at) = find_frame(&disk, seq);
        disk.write_at(&path, at as u64 + 66, &[0xee]).unwrap();
        (disk, path, at)
    };
    for seq in 1..=6 {
        let (disk, path, at) = damage(seq);
        let before = disk.dump("");
        let Err(error) = open(&disk) else { panic!("record {seq} is not missed") };
        let text = error.to_string();
        let Error::Corrupt { file, offset, durable_claim, .. } = error else { panic!("{text}") };
        assert_eq!((file, offset as usize), (path, at), "{text}");
        assert!(durable_claim.is_some_and(|claim| claim >= seq));
        assert_eq!(disk.dump(""), before, "nothing is changed");
        assert_eq!(inspect(&disk, &mut |_| {}).problems.len(), 1);
    }
    for seq in 7..=8 {
        let (disk, ..) = damage(seq);
        let (recovered, seqs) = open(&disk).unwrap();
        assert_eq!((recovered.last, seqs.len() as u64), (seq - 1, seq - 1));
    }
}

#[test]
fn a_tail_torn_at_any_byte_ends_before_it() {
    let disk = new_disk();
    let mut journal = open(&disk).unwrap().0.journal;
    journal.append(&group(1, 3)).unwrap();
    journal.sync().unwrap();
    drop(journal);
    let (path, start) = find_frame(&disk, 1);
    let bytes = disk.read(&path, Wait::Yes).unwrap();
    let ends: Vec<usize> = (2..=3).map(|seq| find_frame(&disk, seq).1).collect();
    for cut in start..bytes.len().min(start + 500) {
        let disk = disk.kill();
        disk.write_at(&path, cut as u64, &vec![0; bytes.len() - cut]).unwrap();
        let (recovered, _) = open(&disk).unwrap();
        let whole = ends.iter().filter(|end| cut >= **end).count() as u64;
        // Padding and zeros at the end of a body may be cut without harm.
        assert!((whole..=3).contains(&recovered.last), "{cut}");
    }
}

#[test]
fn a_record_of_many_segments_comes_back() {
    let disk = new_disk();
    let mut settings = SMALL;
    settings.segments_max = 5000;
    let mut journal = recover(Arc::new(disk.clone()), settings, &mut |_| {}).unwrap().journal;
    let mut group = Group::new();
    group.push(1, 5, &ops(1, 1_000_000));
    group.push(2, 5, &[]);
    journal.append(&group).unwrap();
    journal.sync().unwrap();
    drop(journal);
    let mut records = Vec::new();
    settings.segment_bytes = 8192;
    let recovered =
        recover(Arc::new(disk.clone()), settings, &mut |record| records.push(record)).unwrap();
    assert_eq!(records[0].ops, ops(1, 1_000_000));
    assert_eq!((records.len(), &records[1].ops), (2, &vec![]));
    let mut journal = recovered.journal;
    let mut group = Group::new();
    group.push(3, 5, &ops(3, 100));
    journal.append(&group).unwrap();
    journal.sync().unwrap();
    journal.trim(3).unwrap();
    assert_eq!(journal.status().bytes_live, 0);
}

/// A copy of the folder on another disk, as a tool that reads file after file makes it.
fn copy_folder(disk: &SimDisk) -> SimDisk {
    let copy = new_disk();
    copy.create_dir("other").unwrap();
    copy.create_dir(FOLDER).unwrap();
    for (name, bytes) in disk.dump(FOLDER) {
        copy.create(&format!("{FOLDER}/{name}"), &bytes).unwrap();
    }
    copy.sync_all().unwrap();
    copy
}

#[test]
fn a_copy_with_a_backup_mark_replays_from_its_first_record() {
    let disk = new_disk();
    let mut journal = open(&disk).unwrap().0.journal;
    append(&mut journal, 1, 6);
    journal.trim(4).unwrap();
    assert_eq!(journal.begin_backup("b1").unwrap(), 5);
    append(&mut journal, 7, 6);
    journal.trim(12).unwrap();
    append(&mut journal, 13, 2);
    assert!(journal.status().bytes_pinned > 0);
    let copy = copy_folder(&disk);
    let calls = {
        let copy = copy.kill();
        let (recovered, seqs) = open(&copy).unwrap();
        assert!(recovered.from_backup);
        assert_eq!(seqs, (5..=14).collect::<Vec<Seq>>());
        copy.calls()
    };
    for call in 1..=calls {
        let copy = copy.kill();
        copy.crash_at(call);
        assert!(open(&copy).is_err());
        for seed in 0..10 {
            let copy = copy.cut(Cut::Seed(seed));
            let (_, seqs) = open(&copy).unwrap();
            assert_eq!(seqs, (5..=14).collect::<Vec<Seq>>(), "call {call}, seed {seed}");
            assert!(open(&copy).is_ok_and(|(again, seqs)| !again.from_backup && seqs.len() == 10));
        }
    }
    assert!(!journal.end_backup("b2").unwrap());
    assert!(journal.end_backup("b1").unwrap());
    assert_eq!(journal.status().bytes_pinned, 0);
    drop(journal);
    assert_eq!(open(&disk).unwrap().1, [13, 14]);
}

#[test]
fn a_copy_with_an_older_file_of_the_journal_is_refused() {
    let disk = new_disk();
    let mut journal = open(&disk).unwrap().0.journal;
    append(&mut journal, 1, 1);
    let older = copy_folder(&disk);
    append(&mut journal, 2, 1);
    journal.trim(2).unwrap();
    assert_eq!(journal.begin_backup("b1").unwrap(), 3);
    append(&mut journal, 3, 1);
    assert_eq!(open(&copy_folder(&disk)).unwrap().1, [3]);
    let copy = copy_folder(&disk);
    let path = segment_path(1);
    copy.write_at(&path, 0, &older.read(&path, Wait::Yes).unwrap()).unwrap();
    let Err(Error::Corrupt { file, what, .. }) = open(&copy).map(|(_, seqs)| seqs) else {
        panic!("a copy without record 2 is opened");
    };
    assert!(file == path && what.contains("go on at record 3"), "{file}: {what}");
}

#[test]
fn the_mark_of_a_live_server_is_removed() {
    let disk = new_disk();
    let mut journal = open(&disk).unwrap().0.journal;
    append(&mut journal, 1, 4);
    journal.trim(4).unwrap();
    journal.begin_backup("b1").unwrap();
    append(&mut journal, 5, 1);
    journal.trim(5).unwrap();
    drop(journal);
    let (recovered, seqs) = open(&disk).unwrap();
    assert_eq!((recovered.from_backup, seqs.len()), (false, 0));
    assert!(disk.read(backup::PATH, Wait::Yes).is_err());
}

#[test]
fn a_checkpoint_is_missed_but_not_an_unfinished_folder() {
    let disk = new_disk();
    let mut journal = open(&disk).unwrap().0.journal;
    append(&mut journal, 1, 2);
    drop(journal);
    disk.remove_file(checkpoint::PATH).unwrap();
    assert!(matches!(open(&disk), Err(Error::Corrupt { .. })));
    let disk = new_disk();
    disk.create_dir(FOLDER).unwrap();
    disk.create(MAKING, b"half").unwrap();
    assert_eq!(open(&disk).unwrap().0.last, 0);
}

#[test]
fn the_example_in_the_docs_is_what_is_written() {
    let mut body = Vec::new();
    let op = Op::Value(0, Key::from(&b"a"[..]), Content::from(&b"hi"[..]));
    ops::encode(&[op], &mut body);
    let frame = frame::Frame {
        kind: frame::Kind::Full,
        seq: 42,
        epoch: 1,
        durable: 41,
        time_ms: 1_700_000_000_000,
        salt: 0x0123_4567_89ab_cdef,
        offset: 0,
    };
    let mut bytes = Vec::new();
    frame::write(&frame, &body, &mut bytes);
    let line =
        |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<Vec<_>>().join(" ");
    for eight in bytes.chunks(8) {
        let expected = line(eight);
        let docs = include_str!("../../docs/JOURNAL.md");
        assert!(docs.contains(&expected), "docs/JOURNAL.md lacks {expected}");
    }
}

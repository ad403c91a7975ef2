//! Replay: the records in a row of segments, and where they end.
//!
//! Records come in strictly consecutive order. The first bad or missing frame ends them; whether
//! that is an ordinary power cut or damage is decided by what later frames say had been durable
//! ([`find_claim`]). Replay only reads: what is done with the outcome is up to its caller.

use super::frame::{self, Frame, Kind, Parsed};
use super::header::{self, Header};
use super::{Error, FOLDER, Record, ops, segment_path};
use crate::base::variant::{Step, step};
use crate::disk::{Disk, Wait};
use crate::layout::op::Seq;

/// A segment with a valid header.
#[derive(Clone, Copy, Debug)]
pub struct Live {
    /// Its number.
    pub id: u64,
    /// What its first sector says.
    pub header: Header,
}

/// A segment that was read, and what of it counts.
#[derive(Clone, Copy, Debug)]
pub struct Walked {
    /// The segment.
    pub live: Live,
    /// Behind the last frame that belongs to a complete record.
    pub end: usize,
    /// Newest sequence number of a complete record with a frame in it; 0 without.
    pub last: Seq,
    /// Behind the last frame that was accepted.
    accepted: usize,
    /// Where something came that is no frame, if something did.
    bad: Option<usize>,
}

/// What replay found.
#[derive(Debug)]
pub struct Outcome {
    /// The segments read, in order.
    pub walked: Vec<Walked>,
    /// Place of the first segment read in the row given.
    pub start: usize,
    /// Newest complete record, or the base where there is none behind it.
    pub last: Seq,
    /// The records go on behind the base, or there is no segment: none is missing between them.
    pub reaches_base: bool,
    /// Epoch of the newest record; 0 without one.
    pub epoch: u64,
    /// Number of records visited.
    pub records: u64,
    /// Bytes of their frames.
    pub bytes: u64,
    /// Where the next record was expected: segment, offset, what came instead.
    pub end: Option<(u64, usize, &'static str)>,
}

impl Outcome {
    /// What came in place of the next record: file, offset, and what that is.
    pub fn came(&self) -> (String, u64, &'static str) {
        match self.end {
            Some((id, at, came)) => (segment_path(id), at as u64, came),
            None => (FOLDER.to_string(), 0, "no segment"),
        }
    }
}

/// Visits the records behind `base` in `row`, which is in order of generation.
pub fn replay(
    disk: &dyn Disk,
    row: &[Live],
    base: Seq,
    visit: &mut dyn FnMut(Record),
) -> Result<Outcome, Error> {
    // A segment that begins at or before the base makes all before it unneeded; they may be half
    // recycled and are not looked at.
    let begins = |live: &Live| {
        live.header.first <= base || (live.header.first == base + 1 && !live.header.continues)
    };
    let start = row.iter().rposition(begins).unwrap_or(0);
    let mut walk = Walk::new(base);
    let mut end = None;
    for live in &row[start.min(row.len())..] {
        if walk.walked.is_empty() && begins(live) {
            walk.next = live.header.first;
        }
        if live.header.first != walk.next {
            end = end.or(Some((live.id, 0, "a segment that begins at another record")));
            break;
        }
        let bytes = load(disk, live.id)?;
        let expected = walk.next;
        let stop = walk.segment(live, &bytes, visit)?.map(|(at, why)| (live.id, at, why));
        // Where a segment brings nothing new, the place to name is the one before it.
        end = if walk.next == expected { stop.and(end).or(stop) } else { stop };
    }
    if !step(Step::CloseChain) {
        walk.visit_open_chain(visit);
    }
    Ok(Outcome {
        start,
        reaches_base: row.is_empty() || (!walk.walked.is_empty() && walk.next > base),
        last: (walk.next - 1).max(base),
        epoch: walk.epoch,
        records: walk.records,
        bytes: walk.bytes,
        end,
        walked: walk.walked,
    })
}

/// Looks, in all that comes behind the end of a replay and in the segments with damaged headers,
/// for a frame that says that the first missing record, or a later one, had been durable. Answers
/// the segment, the offset in it and what it says.
pub fn find_claim(
    disk: &dyn Disk,
    row: &[Live],
    damaged: &[u64],
    outcome: &Outcome,
) -> Result<Option<(u64, usize, Seq)>, Error> {
    let missing = outcome.last + 1;
    let tails = outcome.walked.iter().filter_map(|walked| {
        walked.bad.map(|at| (walked.live.id, at, Some(walked.live.header.salt)))
    });
    let unread = row.iter().skip(outcome.start + outcome.walked.len());
    let unread = unread.map(|live| (live.id, header::HEADER_BYTES, Some(live.header.salt)));
    let damaged = damaged.iter().map(|id| (*id, header::HEADER_BYTES, None));
    for (id, from, salt) in tails.chain(unread).chain(damaged) {
        let bytes = load(disk, id)?;
        if let Some((at, durable)) = frame::find_claim(&bytes, from, salt, missing) {
            return Ok(Some((id, at, durable)));
        }
    }
    Ok(None)
}

/// All bytes of a segment.
pub fn load(disk: &dyn Disk, id: u64) -> Result<Vec<u8>, Error> {
    let path = segment_path(id);
    disk.read(&path, Wait::Yes).map_err(|error| Error::disk(&path, error))
}

/// A record of several frames, not yet complete.
struct Chain {
    seq: Seq,
    epoch: u64,
    time_ms: u64,
    offset: u64,
    bytes: u64,
    body: Vec<u8>,
}

/// Where a replay is.
struct Walk {
    base: Seq,
    next: Seq,
    epoch: u64,
    chain: Option<Chain>,
    walked: Vec<Walked>,
    records: u64,
    bytes: u64,
}

impl Walk {
    fn new(base: Seq) -> Walk {
        let next = base + 1;
        Walk { base, next, epoch: 0, chain: None, walked: Vec::new(), records: 0, bytes: 0 }
    }

    /// Walks one segment. Answers where and why it ended before the segment's end, if so.
    fn segment(
        &mut self,
        live: &Live,
        bytes: &[u8],
        visit: &mut dyn FnMut(Record),
    ) -> Result<Option<(usize, &'static str)>, Error> {
        let mut at = header::HEADER_BYTES;
        let fresh = Walked { live: *live, end: at, last: 0, accepted: at, bad: None };
        self.walked.push(fresh);
        while at + frame::HEADER_BYTES + frame::ALIGN <= bytes.len() {
            let why = match frame::parse(bytes, at, Some(live.header.salt)) {
                Parsed::Frame(frame, body, behind) => match self.accept(&frame, body, at) {
                    Ok(()) => {
                        self.place(behind);
                        if matches!(frame.kind, Kind::Full | Kind::Last) {
                            self.complete(live.id, at, visit)?;
                        }
                        at = behind;
                        continue;
                    }
                    Err(why) => why,
                },
                Parsed::Bad(why) => why,
                Parsed::Unknown(what) => return Err(corrupt(live.id, at, unknown(&what))),
            };
            self.current().bad = Some(at);
            return Ok(Some((at, why)));
        }
        Ok(None)
    }

    /// Takes a frame if it is the one that has to come.
    fn accept(&mut self, frame: &Frame, body: &[u8], at: usize) -> Result<(), &'static str> {
        if frame.seq != self.next {
            return Err("a record of another sequence number");
        }
        if frame.epoch < self.epoch {
            return Err("a record of an earlier epoch");
        }
        let opening = at == header::HEADER_BYTES;
        let unneeded = frame.seq <= self.base;
        if matches!(frame.kind, Kind::Full | Kind::First) {
            if self.chain.is_some() && !opening {
                return Err("a record inside another");
            }
            self.drop_chain();
        } else if self.chain.is_none() && !(opening && unneeded && self.walked.len() == 1) {
            return Err("a piece of a record without its beginning");
        }
        let chain = self.chain.get_or_insert_with(|| Chain {
            seq: frame.seq,
            epoch: frame.epoch,
            time_ms: frame.time_ms,
            offset: if unneeded { frame.offset } else { 0 },
            bytes: 0,
            body: Vec::new(),
        });
        if chain.offset != frame.offset {
            return Err("a piece of a record that does not fit the one before it");
        }
        chain.offset += body.len() as u64;
        chain.bytes += frame::framed_bytes(body.len()) as u64;
        if !unneeded {
            chain.body.extend_from_slice(body);
        }
        Ok(())
    }

    fn current(&mut self) -> &mut Walked {
        self.walked.last_mut().expect("a segment is being walked")
    }

    fn place(&mut self, behind: usize) {
        self.current().accepted = behind;
    }

    /// An open chain was written anew further on: its frames do not count.
    fn drop_chain(&mut self) {
        self.chain = None;
        self.walked.iter_mut().for_each(|walked| walked.accepted = walked.end);
    }

    fn complete(&mut self, id: u64, at: usize, visit: &mut dyn FnMut(Record)) -> Result<(), Error> {
        let chain = self.chain.take().expect("a frame was accepted");
        if chain.seq > self.base {
            let mut ops = Vec::new();
            ops::decode(&chain.body, &mut ops).map_err(|what| corrupt(id, at, unknown(&what)))?;
            let Chain { seq, epoch, time_ms, .. } = chain;
            visit(Record { seq, epoch, time_ms, ops });
            self.records += 1;
            self.bytes += chain.bytes;
        }
        self.count(chain.seq, chain.epoch);
        Ok(())
    }

    /// All frames accepted so far belong to complete records.
    fn count(&mut self, seq: Seq, epoch: u64) {
        for walked in self.walked.iter_mut().filter(|walked| walked.end < walked.accepted) {
            walked.end = walked.accepted;
            walked.last = seq;
        }
        self.epoch = epoch;
        self.next = seq + 1;
    }

    /// What must never be done: a record without its end. Only a build variant does it.
    fn visit_open_chain(&mut self, visit: &mut dyn FnMut(Record)) {
        let Some(chain) = self.chain.take().filter(|chain| chain.seq > self.base) else { return };
        let mut ops = Vec::new();
        let _cut_short = ops::decode(&chain.body, &mut ops);
        let Chain { seq, epoch, time_ms, .. } = chain;
        visit(Record { seq, epoch, time_ms, ops });
        self.records += 1;
        self.count(seq, epoch);
    }
}

fn unknown(what: &str) -> String {
    format!("{what}: written by a newer version, start that one")
}

/// Damage in a segment.
pub fn corrupt(id: u64, at: usize, what: String) -> Error {
    Error::Corrupt { file: segment_path(id), offset: at as u64, what, durable_claim: None }
}

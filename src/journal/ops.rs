//! Ops as bytes: the body of a journal record.
//!
//! ```text
//! body    = op*                               until the record's bytes end
//! op      = 1 db key kind                     Make
//!         | 2 db key content                  Value
//!         | 3 db key offset content           Patch
//!         | 4 db key deadline                 Expires
//!         | 5 db key element content          Put
//!         | 6 db key element                  Absent
//!         | 7 db key                          AbsentKey
//!         | 8 db                              AbsentDb
//!         | 9 db key db key                   Move: the first key becomes the second
//!         | 10 db db                          Move: the databases change places
//! db      = number
//! key     = number byte*                      length, bytes
//! kind    = 1 (string) | 2 (hash) | 3 (set) | 4 (zset)
//! element = 1 name                            field
//!         | 2 name                            member
//!         | 3 score name                      member below its score
//! score   = byte{8}                           the bits of a double, least significant byte first
//! content = number byte*
//! name    = number byte*
//! offset  = number
//! deadline = number                           0: never; else Unix milliseconds and 1
//! number  = LEB128: 7 bits a byte, least significant first, the upper bit set on all but the last
//! ```
//!
//! Example: `Value(0, "a", "hi")` is `02 00 01 61 02 68 69`.
//!
//! The grammar belongs to the frame's format number. An unknown kind of op or part is refused, as
//! is a number that is too large: the bytes passed a checksum, so a newer version wrote them.
//! Nothing here knows frames or what an op does.

use crate::base::score::Score;
use crate::layout::op::{Content, Db, Element, Key, Move, Op, Type};

const MAKE: u8 = 1;
const VALUE: u8 = 2;
const PATCH: u8 = 3;
const EXPIRES: u8 = 4;
const PUT: u8 = 5;
const ABSENT: u8 = 6;
const ABSENT_KEY: u8 = 7;
const ABSENT_DB: u8 = 8;
const MOVE_KEY: u8 = 9;
const SWAP: u8 = 10;

/// Every type with its number.
const KINDS: [(Type, u8); 4] =
    [(Type::String, 1), (Type::Hash, 2), (Type::Set, 3), (Type::Zset, 4)];

const FIELD: u8 = 1;
const MEMBER: u8 = 2;
const SCORED: u8 = 3;

/// Appends the bytes of `ops` to `out`.
pub fn encode(ops: &[Op], out: &mut Vec<u8>) {
    for op in ops {
        match op {
            Op::Make(db, key, kind) => {
                put_start(out, MAKE, *db, key);
                let number = KINDS.iter().find(|(known, _)| known == kind);
                out.push(number.expect("KINDS lists every type").1);
            }
            Op::Value(db, key, content) => {
                put_start(out, VALUE, *db, key);
                put_bytes(out, content);
            }
            Op::Patch(db, key, offset, data) => {
                put_start(out, PATCH, *db, key);
                put_number(out, *offset);
                put_bytes(out, data);
            }
            Op::Expires(db, key, deadline) => {
                put_start(out, EXPIRES, *db, key);
                put_number(out, deadline.map_or(0, |ms| ms.saturating_add(1)));
            }
            Op::Put(db, key, element, content) => {
                put_start(out, PUT, *db, key);
                put_element(out, element);
                put_bytes(out, content);
            }
            Op::Absent(db, key, element) => {
                put_start(out, ABSENT, *db, key);
                put_element(out, element);
            }
            Op::AbsentKey(db, key) => put_start(out, ABSENT_KEY, *db, key),
            Op::AbsentDb(db) => {
                out.push(ABSENT_DB);
                put_number(out, u64::from(*db));
            }
            Op::Move(Move::Key((from_db, from), (to_db, to))) => {
                put_start(out, MOVE_KEY, *from_db, from);
                put_number(out, u64::from(*to_db));
                put_bytes(out, to);
            }
            Op::Move(Move::Swap(one, other)) => {
                out.push(SWAP);
                put_number(out, u64::from(*one));
                put_number(out, u64::from(*other));
            }
        }
    }
}

/// Appends the ops in `bytes` to `ops`. On an error, which says what was expected and what came,
/// `ops` holds those before it.
pub fn decode(bytes: &[u8], ops: &mut Vec<Op>) -> Result<(), String> {
    let mut input = Input { bytes, at: 0 };
    while input.at < bytes.len() {
        ops.push(input.op()?);
    }
    Ok(())
}

fn put_start(out: &mut Vec<u8>, op: u8, db: Db, key: &Key) {
    out.push(op);
    put_number(out, u64::from(db));
    put_bytes(out, key);
}

fn put_element(out: &mut Vec<u8>, element: &Element) {
    match element {
        Element::Field(name) => {
            out.push(FIELD);
            put_bytes(out, name);
        }
        Element::Member(name) => {
            out.push(MEMBER);
            put_bytes(out, name);
        }
        Element::Scored(score, name) => {
            out.push(SCORED);
            out.extend_from_slice(&score.get().to_le_bytes());
            put_bytes(out, name);
        }
    }
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Bytes being read, and how far.
struct Input<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Input<'_> {
    fn op(&mut self) -> Result<Op, String> {
        let at = self.at;
        let op = self.byte()?;
        match op {
            ABSENT_DB => return Ok(Op::AbsentDb(self.db()?)),
            SWAP => return Ok(Op::Move(Move::Swap(self.db()?, self.db()?))),
            MAKE..=ABSENT_KEY | MOVE_KEY => {}
            _ => return Err(format!("expected an op of kind 1 to 10 at byte {at}, came {op}")),
        }
        let (db, key) = (self.db()?, self.key()?);
        Ok(match op {
            MAKE => Op::Make(db, key, self.kind()?),
            VALUE => Op::Value(db, key, self.content()?),
            PATCH => Op::Patch(db, key, self.number()?, self.content()?),
            EXPIRES => Op::Expires(db, key, self.number()?.checked_sub(1)),
            PUT => Op::Put(db, key, self.element()?, self.content()?),
            ABSENT => Op::Absent(db, key, self.element()?),
            MOVE_KEY => Op::Move(Move::Key((db, key), (self.db()?, self.key()?))),
            _ => Op::AbsentKey(db, key),
        })
    }

    fn byte(&mut self) -> Result<u8, String> {
        let byte = self.bytes.get(self.at).copied();
        let byte = byte.ok_or_else(|| format!("ops end at byte {} inside an op", self.at))?;
        self.at += 1;
        Ok(byte)
    }

    fn number(&mut self) -> Result<u64, String> {
        let at = self.at;
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(format!("expected a number below 2^64 at byte {at}"))
    }

    fn slice(&mut self) -> Result<&[u8], String> {
        let len = self.number()?;
        let rest = &self.bytes[self.at..];
        if len > rest.len() as u64 {
            return Err(format!("expected {len} bytes at byte {}, {} left", self.at, rest.len()));
        }
        self.at += len as usize;
        Ok(&rest[..len as usize])
    }

    fn db(&mut self) -> Result<Db, String> {
        let db = self.number()?;
        Db::try_from(db).map_err(|_| format!("expected a database below 65536, came {db}"))
    }

    fn key(&mut self) -> Result<Key, String> {
        self.slice().map(Key::from)
    }

    fn content(&mut self) -> Result<Content, String> {
        self.slice().map(Content::from)
    }

    fn kind(&mut self) -> Result<Type, String> {
        let number = self.byte()?;
        let found = KINDS.iter().find(|(_, known)| *known == number);
        found.map(|(kind, _)| *kind).ok_or_else(|| {
            format!("expected a type of 1 to 4 before byte {}, came {number}", self.at)
        })
    }

    fn element(&mut self) -> Result<Element, String> {
        match self.byte()? {
            FIELD => Ok(Element::Field(self.content()?)),
            MEMBER => Ok(Element::Member(self.content()?)),
            SCORED => Ok(Element::Scored(self.score()?, self.content()?)),
            number => Err(format!(
                "expected an element of kind 1 to 3 before byte {}, came {number}",
                self.at
            )),
        }
    }

    fn score(&mut self) -> Result<Score, String> {
        let at = self.at;
        let bytes = self.bytes[at..].first_chunk();
        let bytes = bytes.ok_or_else(|| format!("ops end at byte {at} inside a score"))?;
        self.at += bytes.len();
        let score = Score::new(f64::from_le_bytes(*bytes));
        score.ok_or_else(|| format!("expected a score at byte {at}, came no number"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &[u8]) -> Key {
        Key::from(name)
    }

    #[test]
    fn ops_come_back() {
        let ops = vec![
            Op::Value(0, key(b"a"), key(b"hi")),
            Op::Make(15, key(b""), Type::Zset),
            Op::Patch(1, key(&[0, 255]), u64::MAX, key(b"")),
            Op::Expires(2, key(b"k"), None),
            Op::Expires(2, key(b"k"), Some(1_700_000_000_000)),
            Op::Put(2, key(b"h"), Element::Field(key(b"f")), key(&[0; 300])),
            Op::Absent(2, key(b"h"), Element::Member(key(&[7; 200]))),
            Op::Put(2, key(b"z"), Element::Scored(Score::MAX, key(b"m")), key(b"")),
            Op::AbsentKey(3, key(&[7; 200])),
            Op::AbsentDb(u16::MAX),
            Op::Move(Move::Key((1, key(b"a")), (2, key(b"b")))),
            Op::Move(Move::Swap(3, 4)),
        ];
        let mut bytes = Vec::new();
        encode(&ops, &mut bytes);
        assert_eq!(&bytes[..7], [2, 0, 1, b'a', 2, b'h', b'i']);
        let mut back = Vec::new();
        decode(&bytes, &mut back).unwrap();
        assert_eq!(back, ops);
    }

    #[test]
    fn a_body_cut_short_or_unknown_is_refused() {
        let mut bytes = Vec::new();
        encode(&[Op::Patch(9, key(b"key"), 1000, key(&[1; 9]))], &mut bytes);
        for len in 1..bytes.len() {
            assert!(decode(&bytes[..len], &mut Vec::new()).is_err(), "{len}");
        }
        let bad: [&[u8]; 7] = [
            &[0],
            &[11, 0],
            &[1, 0, 1, b'a', 9],
            &[6, 0, 1, b'a', 9],
            &[8, 0x80, 0x80, 0x04],
            &[7, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[7, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ];
        for bytes in bad {
            assert!(decode(bytes, &mut Vec::new()).is_err(), "{bytes:?}");
        }
    }
}

//! Ops as bytes: the body of a journal record.
//!
//! ```text
//! body    = op*                               until the record's bytes end
//! op      = 1 db key part content             Put
//!         | 2 db key part offset content      Patch
//!         | 3 db key part                     Absent
//!         | 4 db key                          AbsentKey
//!         | 5 db                              AbsentDb
//! db      = number
//! key     = number byte*                      length, bytes
//! content = number byte*
//! offset  = number
//! part    = 1 (type) | 2 (value) | 3 (expires)
//! number  = LEB128: 7 bits a byte, least significant first, the upper bit set on all but the last
//! ```
//!
//! Example: `Put(0, "a", Value, "hi")` is `01 00 01 61 02 02 68 69`.
//!
//! The grammar belongs to the frame's format number. An unknown kind of op or part is refused, as
//! is a number that is too large: the bytes passed a checksum, so a newer version wrote them.
//! Nothing here knows frames or what an op does.

use crate::layout::op::{Content, Db, Key, Op, Part};
use std::sync::Arc;

const PUT: u8 = 1;
const PATCH: u8 = 2;
const ABSENT: u8 = 3;
const ABSENT_KEY: u8 = 4;
const ABSENT_DB: u8 = 5;

/// Every part with its number.
const PARTS: [(Part, u8); 3] = [(Part::Type, 1), (Part::Value, 2), (Part::Expires, 3)];

/// Appends the bytes of `ops` to `out`.
pub fn encode(ops: &[Op], out: &mut Vec<u8>) {
    for op in ops {
        match op {
            Op::Put(db, key, part, content) => {
                put_start(out, PUT, *db, key, part);
                put_bytes(out, content);
            }
            Op::Patch(db, key, part, offset, data) => {
                put_start(out, PATCH, *db, key, part);
                put_number(out, *offset);
                put_bytes(out, data);
            }
            Op::Absent(db, key, part) => put_start(out, ABSENT, *db, key, part),
            Op::AbsentKey(db, key) => {
                out.push(ABSENT_KEY);
                put_number(out, u64::from(*db));
                put_bytes(out, key);
            }
            Op::AbsentDb(db) => {
                out.push(ABSENT_DB);
                put_number(out, u64::from(*db));
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

fn put_start(out: &mut Vec<u8>, kind: u8, db: Db, key: &Key, part: &Part) {
    out.push(kind);
    put_number(out, u64::from(db));
    put_bytes(out, key);
    let number = PARTS.iter().find(|(known, _)| known == part).map(|(_, number)| *number);
    out.push(number.expect("PARTS lists every part"));
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
        match self.byte()? {
            PUT => Ok(Op::Put(self.db()?, self.key()?, self.part()?, self.content()?)),
            PATCH => {
                let (db, key, part) = (self.db()?, self.key()?, self.part()?);
                Ok(Op::Patch(db, key, part, self.number()?, self.content()?))
            }
            ABSENT => Ok(Op::Absent(self.db()?, self.key()?, self.part()?)),
            ABSENT_KEY => Ok(Op::AbsentKey(self.db()?, self.key()?)),
            ABSENT_DB => Ok(Op::AbsentDb(self.db()?)),
            kind => Err(format!("expected an op of kind 1 to 5 at byte {at}, came {kind}")),
        }
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
        self.slice().map(Arc::from)
    }

    fn content(&mut self) -> Result<Content, String> {
        self.slice().map(|bytes| Arc::new(bytes.to_vec()))
    }

    fn part(&mut self) -> Result<Part, String> {
        let number = self.byte()?;
        let found = PARTS.iter().find(|(_, known)| *known == number);
        let part = found.map(|(part, _)| part.clone());
        part.ok_or_else(|| {
            format!("expected a part of 1 to 3 before byte {}, came {number}", self.at)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &[u8]) -> Key {
        Arc::from(name)
    }

    #[test]
    fn ops_come_back() {
        let ops = vec![
            Op::Put(0, key(b"a"), Part::Value, Arc::new(b"hi".to_vec())),
            Op::Put(15, key(b""), Part::Type, Arc::new(vec![0; 300])),
            Op::Patch(1, key(&[0, 255]), Part::Value, u64::MAX, Arc::new(vec![])),
            Op::Absent(2, key(b"k"), Part::Expires),
            Op::AbsentKey(3, key(&[7; 200])),
            Op::AbsentDb(u16::MAX),
        ];
        let mut bytes = Vec::new();
        encode(&ops, &mut bytes);
        assert_eq!(&bytes[..8], [1, 0, 1, b'a', 2, 2, b'h', b'i']);
        let mut back = Vec::new();
        decode(&bytes, &mut back).unwrap();
        assert_eq!(back, ops);
    }

    #[test]
    fn a_body_cut_short_or_unknown_is_refused() {
        let mut bytes = Vec::new();
        encode(&[Op::Patch(9, key(b"key"), Part::Value, 1000, Arc::new(vec![1; 9]))], &mut bytes);
        for len in 1..bytes.len() {
            assert!(decode(&bytes[..len], &mut Vec::new()).is_err(), "{len}");
        }
        let bad: [&[u8]; 6] = [
            &[0],
            &[6, 0],
            &[3, 0, 1, b'a', 4],
            &[5, 0x80, 0x80, 0x04],
            &[4, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[4, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
        ];
        for bytes in bad {
            assert!(decode(bytes, &mut Vec::new()).is_err(), "{bytes:?}");
        }
    }
}

use super::op::*;
use super::reader::*;
use crate::base::bytes::Bytes;
use crate::disk::Wait;
use std::io;
pub struct Whole {
    pub elements: Vec<(Bytes, Content)>,
    pub complete: bool,
}
#[allow(unused_variables)]
impl TreeReader {
    pub fn elements(
        &self,
        db: Db,
        key: &[u8],
        kind: Type,
        names: &[Bytes],
        wait: Wait,
    ) -> io::Result<Vec<Option<Content>>> {
        Ok(vec![None; names.len()])
    }
    pub fn list_elements(
        &self,
        db: Db,
        key: &[u8],
        kind: Type,
        position: u64,
        want: Option<usize>,
        contents: bool,
        visit: &mut dyn FnMut(Bytes, Option<Content>) -> bool,
    ) -> io::Result<Option<u64>> {
        Ok(None)
    }
    pub fn whole(&self, db: Db, key: &[u8], kind: Type, limit: usize) -> io::Result<Whole> {
        Ok(Whole { elements: vec![], complete: true })
    }
    pub fn record_count(&self, db: Db, key: &[u8], kind: Type, count: u64) -> io::Result<bool> {
        Ok(false)
    }
    pub fn count_elements(&self, db: Db, key: &[u8], kind: Type) -> io::Result<u64> {
        Ok(0)
    }
    pub fn trusted_count(&self, db: Db, key: &[u8], kind: Type) -> io::Result<Option<u64>> {
        Ok(None)
    }
    pub fn sample_elements(
        &self,
        db: Db,
        key: &[u8],
        kind: Type,
        seed: u64,
        limit: usize,
    ) -> io::Result<Vec<Key>> {
        Ok(vec![])
    }
}
impl super::writer::TreeWriter {
    pub fn apply_moves(&mut self, _seq: Seq, _moves: &[Move]) -> io::Result<()> {
        Ok(())
    }
}

//! sizes
use crate::disk::Disk;
use crate::layout::op::Db;
use std::io;

/// Records.
pub fn record(_disk: &dyn Disk, _db: Db, _count: u64) -> io::Result<bool> {
    todo!()
}
/// Trusted.
pub fn trusted(_disk: &dyn Disk, _db: Db) -> io::Result<Option<u64>> {
    todo!()
}

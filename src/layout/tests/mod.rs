//! Tests of the tree: the same changes give the same files, whatever was there before.

mod collections;
mod cuts;
mod derived;
mod faults;
mod groups;
mod moves;
mod names;
mod reading;
mod support;
mod writing;

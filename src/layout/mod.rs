//! The tree: how keys lie below ROOT_DIR. The only module that knows paths.
//!
//! [`op`] says what a batch leaves behind, in logical names. [`names`] turns bytes into file names
//! and back, [`paths`] puts them together. [`reader`] answers from the tree, [`collections`] of
//! what lies below a key, by `listing`. [`writer`] brings the tree up to date a key at a time:
//! `elements` and `regroup` do what a collection consists of, [`index`] makes the groups of a
//! sorted set anew, and all of them by what `entries`, `files`, `links` and `trash` do to
//! single names. [`hints`] and [`sizes`] keep what is derived (`.dredis/`), [`cursor`] the
//! positions that clients see. Nothing here knows of the journal, of caches or of commands. The
//! grammar of every file is in `docs/LAYOUT.md`.

pub mod collections;
pub mod cursor;
mod elements;
mod entries;
mod files;
pub mod groups;
pub mod hints;
pub mod index;
mod links;
mod listing;
mod moves;
pub mod names;
pub mod op;
pub mod paths;
pub mod reader;
mod regroup;
pub mod sizes;
mod trash;
pub mod writer;

#[cfg(test)]
mod tests;

//! dredis: a Redis-compatible server whose database is a tree of plain directories and files.
//!
//! The modules below are listed from the bottom layer to the top one; each uses only those of
//! lower layers (`docs/ARCHITECTURE.md` has the table, a test checks it).

#![deny(unsafe_code)]
#![warn(missing_docs)]

pub mod base;
pub mod config;
pub mod disk;
pub mod resp;

pub mod layout;
pub mod lua;

pub mod backlog;
pub mod journal;

pub mod value;

pub mod keyspace;

pub mod command;

pub mod commands;

pub mod check;
pub mod dispatch;
pub mod engine;
pub mod lanes;
pub mod session;

pub mod server;

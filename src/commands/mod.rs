//! All commands. Plural files are families of commands; each holds its rows and its handlers.

use crate::command::Command;

pub mod connection;
pub mod keys;
pub mod server;
pub mod strings;
pub mod tree;

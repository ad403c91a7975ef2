//! All commands. Plural files are families of commands; each holds its rows and its handlers.

use crate::command::Command;

pub mod connection;
pub mod keys;
mod lcs;
pub mod server;
mod set_options;
pub mod strings;
pub mod tree;

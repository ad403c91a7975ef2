//! The tree: how keys lie below ROOT_DIR. The only module that knows paths.

pub mod names;
pub mod op;
pub mod paths;
pub mod reader;
pub mod writer;

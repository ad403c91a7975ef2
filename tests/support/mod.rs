//! What the integration tests share: a server without sockets and threads, and requests as text.

pub mod machine;
pub mod words;

<<<<<<< HEAD
//! All integration tests.

mod tidy;
=======
//! All integration tests, as one binary.

mod crash;
mod support;
mod transcripts;
#[cfg(feature = "variants")]
mod variants;
>>>>>>> 2cec3c4cd548c2d8be2c1097804c5264b14f6e6b

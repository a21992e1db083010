//! Owns one container: its process, its streams, its exit status.

pub mod protocol;

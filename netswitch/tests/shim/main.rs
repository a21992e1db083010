//! Containers of our own, started by the real shim; as root, each test in a folder of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod files;
mod isolation;
mod lifetime;
mod process;
mod streams;
mod world;

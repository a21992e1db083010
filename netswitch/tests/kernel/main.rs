//! The kernel edge against the real kernel, each test in network namespaces of its own (as root), and
//! the scenarios that the fake kernel must answer as the real one does.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod listeners;
mod netlink;
mod scenario;
mod watch;
mod world;

//! The kernel edge against the real kernel, each test in network namespaces of its own (as root), and
//! the scenarios that the fake kernel must answer as the real one does.

mod netlink;
mod scenario;
mod world;

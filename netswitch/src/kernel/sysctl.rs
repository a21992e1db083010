//! sysctl: to be written.

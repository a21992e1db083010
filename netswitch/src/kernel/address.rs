//! address: to be written.

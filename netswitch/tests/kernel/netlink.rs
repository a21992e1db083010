//! The real kernel alone.

//! fake: to be written.

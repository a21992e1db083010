//! doors: to be written.

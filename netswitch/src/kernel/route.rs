//! route: to be written.

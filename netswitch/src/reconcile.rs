//! reconcile: to be written.

//! The stages of a hook. Each one only looks up and returns its part of a decision.

pub mod forward;
pub mod gateway;
pub mod neighbour;
pub mod replicate;
pub mod source_guard;

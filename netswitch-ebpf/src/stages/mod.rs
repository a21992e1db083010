//! The stages of a hook. Each one only looks up and returns its part of a decision.

pub mod admit;
mod begin;
pub mod claim;
mod direct;
pub mod flow;
pub mod forward;
pub mod fragment;
pub mod gateway;
pub mod host;
pub mod leash;
pub mod leave;
pub mod masquerade;
pub mod names;
pub mod neighbour;
pub mod open;
mod options;
pub mod policy;
pub mod publish;
pub mod replicate;
pub mod resolve;
pub mod route;
pub mod settled;
pub mod source_guard;
pub mod stack;
pub mod tuple;
pub mod uplink;

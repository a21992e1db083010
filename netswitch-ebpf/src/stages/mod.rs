//! The stages of a hook. Each one only looks up and returns its part of a decision.

use netswitch_common::verdict::DropReason;

pub mod flow;
pub mod forward;
pub mod fragment;
pub mod gateway;
pub mod host;
pub mod leash;
pub mod masquerade;
pub mod names;
pub mod neighbour;
pub mod policy;
pub mod publish;
pub mod replicate;
pub mod resolve;
pub mod route;
pub mod source_guard;
pub mod stack;
pub mod tuple;
pub mod uplink;

/// What a global function answers with: 0, or the reason's number.
#[inline(always)]
pub fn outcome(number: u32) -> Result<(), DropReason> {
    match DropReason::from_number(number) {
        None => Ok(()),
        Some(reason) => Err(reason),
    }
}

/// The other way round.
#[inline(always)]
pub fn number(outcome: Result<(), DropReason>) -> u32 {
    match outcome {
        Ok(()) => 0,
        Err(reason) => reason as u32,
    }
}

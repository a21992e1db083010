//! Code: a global function returns a number, and no `Result`.

use netswitch_common::verdict::DropReason;

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

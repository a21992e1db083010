//! Names, carried out: one port takes the other's place, and the checksum follows.

use netswitch_common::verdict::DropReason;

use super::{rewrite::store, translate};
use crate::{
    headers::{checksum_of, dns::PORT},
    maps,
    packet::{Frame, LONGEST},
    stages::names::agent_port,
};

type Result = core::result::Result<(), DropReason>;

const SOURCE: u32 = 0;
const DESTINATION: u32 = 2;

/// A question goes to the agent's port.
#[inline(never)]
pub fn to_agent(frame: Frame) -> Result {
    let work = maps::work().ok_or(DropReason::Malformed)?;
    let at = u32::from(work.headers.transport & LONGEST);
    let checksum = checksum_of(work.headers.protocol).ok_or(DropReason::Malformed)?;
    replace(
        frame,
        at + DESTINATION,
        at + checksum,
        work.headers.protocol,
        agent_port(),
    )
}

/// The agent's answer, or the host's word that it is not there, comes from where it was asked.
#[inline(never)]
pub fn from_agent(frame: Frame) -> Result {
    let work = maps::work().ok_or(DropReason::Malformed)?;
    let at = u32::from(work.headers.transport & LONGEST);
    let checksum = checksum_of(work.headers.protocol).ok_or(DropReason::Malformed)?;
    let port_at = match work.quoted {
        0 => at + SOURCE,
        _ => work.quoted_transport + DESTINATION,
    };
    replace(frame, port_at, at + checksum, work.headers.protocol, PORT)
}

#[inline(always)]
fn replace(frame: Frame, at: u32, checksum: u32, protocol: u8, port: u16) -> Result {
    let mut before = 0_u16;
    frame.load(at, &mut before)?;
    let sum = u32::from(!before) + u32::from(port);
    translate::add(frame, checksum, sum, translate::no_checksum(protocol))?;
    store(frame, at, &port, 0)
}

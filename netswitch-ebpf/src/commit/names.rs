//! Names, carried out: one port takes the other's place, and the checksum follows.

use netswitch_common::verdict::DropReason;

use super::{rewrite::store, translate};
use crate::{
    headers::{checksum_of, dns::PORT},
    maps,
    packet::{Frame, LONGEST},
    stages::names::agent_port,
    work::{Read, Work},
};

type Result = core::result::Result<(), DropReason>;

const SOURCE: u32 = 0;
const DESTINATION: u32 = 2;

/// A question goes to the agent's port.
#[inline(never)]
pub fn to_agent(frame: Frame) -> Result {
    let read = read()?;
    let (at, protocol) = (transport(read), read.headers.get().protocol);
    let checksum = checksum_of(protocol).ok_or(DropReason::Malformed)?;
    replace(frame, at + DESTINATION, at + checksum, protocol, agent_port())
}

/// The agent's answer, or the host's word that it is not there, comes from where it was asked.
#[inline(never)]
pub fn from_agent(frame: Frame) -> Result {
    let read = read()?;
    let (at, protocol) = (transport(read), read.headers.get().protocol);
    let checksum = checksum_of(protocol).ok_or(DropReason::Malformed)?;
    let port_at = match read.is_quoting() {
        false => at + SOURCE,
        true => read.quoted_transport.get() + DESTINATION,
    };
    replace(frame, port_at, at + checksum, protocol, PORT)
}

#[inline(always)]
fn read() -> core::result::Result<&'static Read, DropReason> {
    maps::work().and_then(Work::read).ok_or(DropReason::Internal)
}

#[inline(always)]
fn transport(read: &Read) -> u32 {
    u32::from(read.headers.get().transport & LONGEST)
}

#[inline(always)]
fn replace(frame: Frame, at: u32, checksum: u32, protocol: u8, port: u16) -> Result {
    let mut before = 0_u16;
    frame.load(at, &mut before)?;
    let sum = u32::from(!before) + u32::from(port);
    translate::add(frame, checksum, sum, translate::no_checksum(protocol))?;
    store(frame, at, &port, 0)
}

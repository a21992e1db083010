//! Host: what a container says to the host's own stack where that is closed to it. What the host has begun
//! goes on; the host's sockets know what that is.

use aya_ebpf::bindings::__sk_buff;
use netswitch_common::{
    address::Address,
    endpoint::{Endpoint, flags},
    verdict::{Decision, DropReason},
};

use super::{claim, tuple};
use crate::{
    headers::{icmpv6, protocol},
    maps,
    packet::{Addresses, Family, Frame, Headers},
    work::{Read, Work},
};

/// The metadata services of cloud providers: 169.254.169.254 and fd00:ec2::254.
const METADATA_V4: Address = Address([0, 0, 0xffff_u32.to_be(), 0xa9fe_a9fe_u32.to_be()]);
const METADATA_V6: Address = Address([0xfd00_0ec2_u32.to_be(), 0, 0, 0x254_u32.to_be()]);

/// Any of these in an endpoint's flags: [`restrict`] has to look.
pub const CLOSED: u32 = flags::NO_HOST_V4 | flags::NO_HOST_V6 | flags::NO_METADATA;

/// Where a frame to the gateway's MAC belongs.
#[repr(u32)]
#[derive(Clone, Copy)]
pub enum Answer {
    /// To the host's own stack.
    Host = 0,
    /// A question about names: to the agent's port.
    Question = 1,
    /// To the host's stack, which carries it on (`--uplink-mode stack`).
    Stack = 2,
    /// Nowhere there: the decision is in `work`.
    Decided = 3,
}

impl Answer {
    #[inline(always)]
    pub fn from_number(number: u32) -> Self {
        match number {
            0 => Self::Host,
            1 => Self::Question,
            2 => Self::Stack,
            _ => Self::Decided,
        }
    }
}

/// Whether the endpoint may speak to an address as far as metadata services are concerned.
#[inline(always)]
pub fn check_metadata(endpoint: &Endpoint, to: Address) -> Result<(), DropReason> {
    match endpoint.flags & flags::NO_METADATA != 0 && (to == METADATA_V4 || to == METADATA_V6) {
        true => Err(DropReason::Metadata),
        false => Ok(()),
    }
}

/// What becomes of a frame to the gateway's MAC, whose place [`super::gateway`] has found, where something is closed.
#[inline(always)]
pub fn restrict(frame: Frame, headers: Headers, endpoint: &Endpoint, answer: Answer) -> Answer {
    Answer::from_number(restrict_host(frame.0, headers.bits(), endpoint, answer as u32))
}

#[unsafe(no_mangle)]
extern "C" fn restrict_host(skb: *mut __sk_buff, headers: u64, endpoint: *const Endpoint, answer: u32) -> u32 {
    // SAFETY: from `restrict`; the verifier checks that the endpoint is one
    let (headers, endpoint) = unsafe { (Headers::from_bits(headers), endpoint.as_ref()) };
    let Some(endpoint) = endpoint else {
        return answer;
    };
    match judge(Frame::new(skb), headers, endpoint, Answer::from_number(answer)) {
        Ok(()) => answer,
        Err(reason) => {
            if let Some(work) = maps::work() {
                work.start_decision().write(Decision::drop(reason));
            }
            Answer::Decided as u32
        }
    }
}

#[inline(always)]
fn judge(frame: Frame, headers: Headers, endpoint: &Endpoint, answer: Answer) -> Result<(), DropReason> {
    let Addresses { to, .. } = frame.addresses(headers.family)?;
    check_metadata(endpoint, to)?;
    let is_closed = match answer {
        Answer::Host => !endpoint.host_is_open(headers.family),
        Answer::Question => !endpoint.may_ask_names(headers.family),
        Answer::Stack | Answer::Decided => false,
    };
    if !is_closed {
        return Ok(());
    }
    // what is no IP, or cannot be read, belongs to nothing that the host has begun
    let is_packet = matches!(headers.family, Family::V4 | Family::V6)
        && !to.is_group()
        && tuple::read(frame, headers, endpoint.network).is_ok();
    let may_echo = endpoint.flags & flags::MAY_ASK != 0
        && maps::network(endpoint.network).is_some_and(|network| network.is_gateway(to));
    let read = maps::work().filter(|_| is_packet).and_then(Work::read);
    match read.is_some_and(|read| is_welcome(frame.0, read, may_echo)) {
        true => Ok(()),
        false => Err(DropReason::HostAccess),
    }
}

#[inline(always)]
fn is_welcome(skb: *mut __sk_buff, read: &Read, may_echo: bool) -> bool {
    // an answer has its identifier where questions have none
    let is_answer = read.identified.get() == tuple::ASKED;
    match read.protocol() {
        // an error: the stack compares it with what it has sent
        _ if read.is_quoting() => true,
        protocol::TCP | protocol::UDP => claim::socket(skb, &read.tuple) == claim::SPEAKS,
        protocol::ICMP if read.is_v4() => may_echo || is_answer,
        protocol::ICMPV6 if !read.is_v4() => {
            may_echo || is_answer || read.headers.get().is_icmpv6(icmpv6::NEIGHBOUR_ADVERTISEMENT)
        }
        _ => false,
    }
}

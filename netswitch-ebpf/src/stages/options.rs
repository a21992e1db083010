//! Options of an IPv4 header: source routes. A router that takes packets with them lets their sender choose what they
//! pass (RFC 7126, 4.3 and 4.4); the host's own stack drops them unless it was told otherwise.

use core::{cell::Cell, ffi::c_void};

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_loop};

use crate::{
    headers::{ETHERNET_LENGTH, Ipv4},
    maps,
    packet::Frame,
    place::part,
    work::{Options, Work},
};

/// Types of options (RFC 791, 3.1).
const END: u8 = 0;
const NO_OPERATION: u8 = 1;
const LOOSE_SOURCE_ROUTE: u8 = 131;
const STRICT_SOURCE_ROUTE: u8 = 137;

/// Bytes of options at most.
const MOST: u32 = 40;

/// Whether an IPv4 packet with options carries a source route.
#[inline(always)]
pub fn has_source_route(frame: Frame) -> bool {
    find_source_route(frame.0) != 0
}

#[unsafe(no_mangle)]
extern "C" fn find_source_route(skb: *mut __sk_buff) -> u32 {
    let mut walk = Walk { frame: Frame::new(skb) };
    let mut start = [0_u8; 2];
    if walk.frame.load(ETHERNET_LENGTH, &mut start).is_err() {
        return 0;
    }
    let Some(work) = maps::work() else { return 0 };
    work.start_options().write(Options {
        at: ETHERNET_LENGTH + size_of::<Ipv4>() as u32,
        end: ETHERNET_LENGTH + u32::from(start[0] & 0xf) * 4,
        has_source_route: false,
    });
    // SAFETY: the callback has the signature that the helper wants and runs before this returns
    unsafe { bpf_loop(MOST, next as *mut c_void, (&raw mut walk).cast(), 0) };
    let options = maps::work().and_then(Work::options).map(Cell::get);
    u32::from(options.is_none_or(|options| options.has_source_route))
}

/// What `bpf_loop` passes from option to option.
#[repr(C)]
struct Walk {
    frame: Frame,
}

extern "C" fn next(_round: u64, walk: &mut Walk) -> i64 {
    let Some(options) = maps::work().and_then(Work::options) else {
        return 1;
    };
    let mut option = [0_u8; 2];
    let Options { at, end, .. } = options.get();
    if at >= end || walk.frame.load(at, &mut option).is_err() {
        return 1;
    }
    let [kind, length] = option;
    let step = match kind {
        END => return 1,
        NO_OPERATION => 1,
        LOOSE_SOURCE_ROUTE | STRICT_SOURCE_ROUTE => {
            part!(options, has_source_route).set(true);
            return 1;
        }
        _ => u32::from(length.max(2)),
    };
    part!(options, at).set(at + step);
    0
}

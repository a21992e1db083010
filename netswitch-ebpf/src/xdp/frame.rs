//! A frame before the kernel has made a packet of it.

use aya_ebpf::{bindings::xdp_md, programs::XdpContext};

use crate::packet::{self, plain::Bytes};

/// What can be read, and written.
#[inline(always)]
pub fn bytes(context: &XdpContext) -> Bytes {
    // SAFETY: the context of the running program and its fields
    unsafe {
        packet::bounds::<{ core::mem::offset_of!(xdp_md, data) }, { core::mem::offset_of!(xdp_md, data_end) }>(
            context.ctx.cast(),
        )
    }
}

/// Bytes of the frame.
#[inline(always)]
pub fn length(context: &XdpContext) -> u32 {
    let Bytes { start, end } = bytes(context);
    (end - start) as u32
}

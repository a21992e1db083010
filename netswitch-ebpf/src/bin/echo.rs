//! What the benchmark calls the limit of answering at a veth: a datagram to port 53 goes back to its sender as it
//! is, addresses and ports swapped, and nothing is looked up. No part of the agent.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        clippy::cast_possible_truncation,
        clippy::needless_pass_by_value,
        reason = "the helper's result, and what a hook's attribute calls"
    )
)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod hook {
    use core::mem::MaybeUninit;

    use aya_ebpf::{
        bindings::{__sk_buff, TC_ACT_OK},
        helpers::{bpf_redirect_peer, bpf_skb_load_bytes, bpf_skb_store_bytes},
        macros::classifier,
        programs::TcContext,
    };

    const IPV4: u16 = 0x0800_u16.to_be();
    const NO_OPTIONS: u8 = 0x45;
    const UDP: u8 = 17;
    const QUESTIONS: u16 = 53_u16.to_be();

    /// Ethernet, IPv4 and UDP up to the ports.
    #[repr(C, packed(2))]
    #[derive(Clone, Copy)]
    struct Front {
        destination_mac: [u16; 3],
        source_mac: [u16; 3],
        kind: u16,
        version: u8,
        _service_to_ttl: [u8; 8],
        protocol: u8,
        _checksum: u16,
        source: u32,
        destination: u32,
        source_port: u16,
        destination_port: u16,
    }

    /// `bpf_skb_store_bytes` and `bpf_skb_load_bytes` take it as `u32`.
    const LENGTH: u32 = 38;
    const _: () = assert!(size_of::<Front>() == LENGTH as usize);

    /// Ingress of a host-side veth whose other end asks.
    #[classifier]
    pub fn echo(context: TcContext) -> i32 {
        turn_round(context.skb.skb).unwrap_or(TC_ACT_OK)
    }

    #[inline(always)]
    fn turn_round(skb: *mut __sk_buff) -> Option<i32> {
        let mut memory = MaybeUninit::<Front>::uninit();
        // SAFETY: the context of the running program, and memory of this length
        let loaded = unsafe { bpf_skb_load_bytes(skb.cast(), 0, memory.as_mut_ptr().cast(), LENGTH) };
        if loaded != 0 {
            return None;
        }
        // SAFETY: loaded whole, and every pattern of bits is one
        let front = unsafe { memory.assume_init() };
        if front.kind != IPV4
            || front.version != NO_OPTIONS
            || front.protocol != UDP
            || front.destination_port != QUESTIONS
        {
            return None;
        }
        // checksums are sums: they stay right
        let back = Front {
            destination_mac: front.source_mac,
            source_mac: front.destination_mac,
            source: front.destination,
            destination: front.source,
            source_port: front.destination_port,
            destination_port: front.source_port,
            ..front
        };
        // SAFETY: as above
        let stored = unsafe { bpf_skb_store_bytes(skb, 0, (&raw const back).cast(), LENGTH, 0) };
        if stored != 0 {
            return None;
        }
        // SAFETY: the context of the running program; redirecting only takes numbers
        Some(unsafe { bpf_redirect_peer((*skb).ifindex, 0) } as i32)
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        loop {} // the build refuses an object that can get here
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

//! The hooks, in the order a packet meets them.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]

#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod hooks {
    use aya_ebpf::{macros::classifier, programs::TcContext};

    #[classifier]
    pub fn from_endpoint(_ctx: TcContext) -> i32 {
        2
    }

    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo) -> ! {
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}

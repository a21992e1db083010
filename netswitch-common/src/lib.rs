//! What the kernel side and the user side must agree on: map keys and values, the list of drop
//! reasons, and pure helpers. No I/O, no allocation; unit-tested on the host.
#![cfg_attr(not(test), no_std)]
#![expect(
    clippy::inline_always,
    reason = "a call that is not inlined costs an eBPF program a stack frame"
)]
#![expect(
    clippy::pub_underscore_fields,
    reason = "padding is part of a map's layout and must be written"
)]
#![expect(
    clippy::many_single_char_names,
    reason = "the bytes of an address have no better names"
)]
#![expect(
    clippy::cast_possible_truncation,
    reason = "checksums are folded by truncation; `try_from` is not const"
)]

pub mod address;
pub mod capacity;
pub mod checksum;
pub mod cut;
pub mod endpoint;
pub mod event;
pub mod family;
pub mod flow;
pub mod fragment;
pub mod host;
pub mod ipsec;
pub mod leash;
pub mod limit;
pub mod name;
pub mod neighbour;
pub mod network;
pub mod policy;
pub mod progress;
pub mod publish;
pub mod routing;
pub mod socket;
pub mod verdict;
pub mod way;

/// Version of every map's layout. Pins live under `<bpffs>/v<ABI_VERSION>/`; raise it when a key,
/// a value or a meaning in this crate changes, and say how to carry the old entries over in
/// `netswitch/src/datapath/upgrade.rs`.
pub const ABI_VERSION: u32 = 5;

/// Declares that a type may be read from and written to a BPF map as plain bytes.
///
/// Map keys and values must have no padding: the kernel hashes every byte of a key.
#[macro_export]
macro_rules! map_type {
    ($type:ty, $size:expr) => {
        const _: () = assert!(size_of::<$type>() == $size);
        // SAFETY: repr(C), only integers and byte arrays, and the assertion above shows that the
        // fields fill the type, so any bit pattern is valid and no byte is uninitialised.
        #[cfg(feature = "user")]
        unsafe impl aya::Pod for $type {}
    };
}

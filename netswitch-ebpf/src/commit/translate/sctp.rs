//! SCTP: other ports in a packet whose checksum covers them by a CRC.

use core::ffi::c_void;

use aya_ebpf::helpers::bpf_loop;
use netswitch_common::{checksum::Crc32cChange, flow::Tuple, verdict::DropReason};

use crate::{
    commit::rewrite::store,
    packet::{Frame, Headers},
};

/// SCTP's checksum covers no addresses, and its ports by a CRC (RFC 9260, 6.8): what changes in the first
/// four bytes changes it in a way that only depends on how many bytes follow. A sum of 0 is one that a device will
/// fill in (CHECKSUM_PARTIAL with csum_not_inet): it sums the field as it finds it, so that stays 0.
#[inline(always)]
pub fn rewrite(frame: Frame, headers: Headers, translated: Tuple) -> Result<(), DropReason> {
    let at = u32::from(headers.transport);
    let mut header = [0_u32; 3];
    frame.load(at, &mut header)?;
    let ports = u32::from(translated.from_port) | u32::from(translated.to_port) << 16;
    let difference = header[0] ^ ports;
    header[0] = ports;
    if header[2] != 0 {
        let length = frame.ip_length(headers.family)? - at;
        let mut change = Crc32cChange::new(difference, length - 4);
        // SAFETY: the callback has the signature that the helper wants and runs before this returns
        unsafe {
            bpf_loop(
                Crc32cChange::STEPS,
                crc32c_step as *mut c_void,
                (&raw mut change).cast(),
                0,
            );
        }
        header[2] ^= change.finish();
    }
    store(frame, at, &header, 0)
}

extern "C" fn crc32c_step(_step: u64, change: &mut Crc32cChange) -> i64 {
    change.step();
    0
}

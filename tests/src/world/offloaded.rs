//! Frames with what their sender has left to the device: a sum that is not filled in (`CHECKSUM_PARTIAL`).

use std::os::fd::{AsRawFd as _, OwnedFd};

use super::capture::{socket, take_offloads};
use super::{Namespace, eventually};

/// `VIRTIO_NET_HDR_F_NEEDS_CSUM` (`linux/virtio_net.h`).
const NEEDS_CHECKSUM: u8 = 1;
const HEADER: usize = 10;

/// Where a sum is still to be filled in: where what it covers starts, and its field from there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfinished {
    pub start: u16,
    pub offset: u16,
}

impl Unfinished {
    /// As a `struct virtio_net_hdr`, for [`super::send_offloaded`].
    pub fn header(self) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[0] = NEEDS_CHECKSUM;
        header[6..8].copy_from_slice(&self.start.to_ne_bytes());
        header[8..10].copy_from_slice(&self.offset.to_ne_bytes());
        header
    }
}

/// Hears frames as the stack would get them, unfinished sums and all.
pub struct Offloaded(OwnedFd);

impl Offloaded {
    pub fn start(namespace: &Namespace, interface: &str) -> Self {
        let socket = namespace.enter(|| {
            let socket = socket(interface, libc::ETH_P_ALL)?;
            take_offloads(&socket).map(|()| socket)
        });
        Self(socket.expect(interface))
    }

    /// The first frame that fits, and what of it is unfinished.
    #[track_caller]
    pub fn expect(&self, what: &str, fits: impl Fn(&[u8]) -> bool) -> (Option<Unfinished>, Vec<u8>) {
        let mut buffer = vec![0_u8; 64 * 1024];
        let mut others = 0;
        eventually(what, || {
            // SAFETY: the buffer is as long as the call is told.
            let length = unsafe {
                libc::recv(
                    self.0.as_raw_fd(),
                    buffer.as_mut_ptr().cast(),
                    buffer.len(),
                    libc::MSG_DONTWAIT,
                )
            };
            let length = usize::try_from(length).map_err(|_| format!("{others} other frames"))?;
            let (header, frame) = buffer[..length].split_at_checked(HEADER).unwrap_or_default();
            if header.is_empty() || !fits(frame) {
                others += 1;
                return Err(format!("{others} other frames"));
            }
            let short = |at: usize| u16::from_ne_bytes([header[at], header[at + 1]]);
            let unfinished = (header[0] & NEEDS_CHECKSUM != 0).then(|| Unfinished {
                start: short(6),
                offset: short(8),
            });
            Ok((unfinished, frame.to_vec()))
        })
    }
}

//! Whether the host uses `IPsec`, by `NETLINK_XFRM` (`linux/xfrm.h`). Two messages that are fixed, so they are written
//! and read here.

use std::io;

use rtnetlink::{
    packet_core::{NLM_F_REQUEST, NLMSG_ERROR},
    sys::{self, protocols::NETLINK_XFRM},
};

use super::{Error, Result};

/// `XFRM_MSG_GETSADINFO` and `XFRM_MSG_GETSPDINFO`: how many associations and policies there are.
const ASKS: [u16; 2] = [0x23, 0x25];
/// Both answer with flags, then one attribute of counts: `XFRMA_SAD_CNT`; `XFRMA_SPD_INFO`, of which the first six
/// are policies by direction.
const ATTRIBUTE: usize = HEADER_LENGTH + 4 + 4;
const COUNTS: usize = 6;

/// `struct nlmsghdr`.
const HEADER_LENGTH: usize = 16;
const REQUEST_LENGTH: usize = HEADER_LENGTH + 4;

/// Whether the calling thread's namespace has an `IPsec` association or policy.
pub fn is_used() -> Result<bool> {
    for ask in ASKS {
        match count(ask) {
            Ok(0) => {}
            Ok(_) => return Ok(true),
            // the kernel has no IPsec
            Err(error) if matches!(error.raw_os_error(), Some(libc::EPROTONOSUPPORT | libc::EINVAL)) => {
                return Ok(false);
            }
            Err(error) => return Err(Error::system("ask for IPsec policies".to_owned(), error)),
        }
    }
    Ok(false)
}

fn count(ask: u16) -> io::Result<u32> {
    let mut request = [0; REQUEST_LENGTH];
    request[0..4].copy_from_slice(&20_u32.to_ne_bytes());
    request[4..6].copy_from_slice(&ask.to_ne_bytes());
    request[6..8].copy_from_slice(&NLM_F_REQUEST.to_ne_bytes());
    request[HEADER_LENGTH..].copy_from_slice(&u32::MAX.to_ne_bytes());
    let mut socket = sys::Socket::new(NETLINK_XFRM)?;
    socket.bind_auto()?;
    socket.connect(&sys::SocketAddr::new(0, 0))?;
    socket.send(&request, 0)?;
    let mut answer = Vec::with_capacity(4096);
    socket.recv(&mut answer, 0)?;
    let word = |at: usize| {
        let bytes = answer.get(at..).and_then(|bytes| bytes.first_chunk());
        bytes.map_or(0, |bytes| u32::from_ne_bytes(*bytes))
    };
    if u32::from(NLMSG_ERROR) == word(4) & 0xffff {
        return Err(io::Error::from_raw_os_error(-word(HEADER_LENGTH).cast_signed()));
    }
    // an attribute's length covers its header; what lies behind it are other attributes
    let length = (word(ATTRIBUTE - 4) & 0xffff) as usize;
    let counts = length.saturating_sub(4) / 4;
    Ok((0..counts.min(COUNTS))
        .map(|index| word(ATTRIBUTE + 4 * index))
        .fold(0, u32::saturating_add))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_fresh_namespace_uses_no_ipsec() {
        if !nix::unistd::geteuid().is_root() {
            return;
        }
        let asked = std::thread::spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
            super::is_used().unwrap()
        });
        assert!(!asked.join().unwrap());
    }
}

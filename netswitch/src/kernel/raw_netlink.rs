//! Netlink protocols whose messages are few and fixed, so that they are written and read here: what such messages share
//! (`linux/netlink.h`).

use std::io;

use rtnetlink::{
    packet_core::{NLMSG_DONE, NLMSG_ERROR},
    sys,
};

/// `struct nlmsghdr`.
pub const HEADER_LENGTH: usize = 16;
/// Dumps come in datagrams of at most 32 KiB (`netlink_dump`).
const DATAGRAM_MAX: usize = 64 * 1024;

/// A socket of a protocol, in the calling thread's namespace.
pub fn open(protocol: isize) -> io::Result<sys::Socket> {
    let mut socket = sys::Socket::new(protocol)?;
    socket.bind_auto()?;
    socket.connect(&sys::SocketAddr::new(0, 0))?;
    Ok(socket)
}

/// A request: its header, `body` behind it.
pub fn request(kind: u16, flags: u16, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER_LENGTH + body.len()).unwrap_or(u32::MAX);
    let mut request = length.to_ne_bytes().to_vec();
    request.extend(kind.to_ne_bytes());
    request.extend(flags.to_ne_bytes());
    request.extend([0; 8]);
    request.extend(body);
    request
}

/// Sends a request for a dump and calls `each` with every answer behind its header.
pub fn dump(socket: &sys::Socket, request: &[u8], mut each: impl FnMut(&[u8])) -> io::Result<()> {
    socket.send(request, 0)?;
    let mut datagram = Vec::with_capacity(DATAGRAM_MAX);
    loop {
        datagram.clear();
        socket.recv(&mut datagram, 0)?;
        let mut over = None;
        messages(&datagram, |kind, message| match kind {
            NLMSG_DONE => over = Some(Ok(())),
            NLMSG_ERROR => over = Some(refusal(message)),
            _ if over.is_none() => each(message),
            _ => {}
        })?;
        if let Some(over) = over {
            return over;
        }
    }
}

/// Sends a request that has one answer: what stands behind its header.
pub fn ask(socket: &sys::Socket, request: &[u8]) -> io::Result<Vec<u8>> {
    socket.send(request, 0)?;
    let mut datagram = Vec::with_capacity(DATAGRAM_MAX);
    socket.recv(&mut datagram, 0)?;
    let mut answer = Ok(Vec::new());
    messages(&datagram, |kind, message| match kind {
        NLMSG_ERROR => answer = refusal(message).map(|()| Vec::new()),
        _ => answer = Ok(message.to_vec()),
    })?;
    answer
}

/// Calls `each` with the kind of every message of a datagram and what stands behind its header.
pub fn messages(datagram: &[u8], mut each: impl FnMut(u16, &[u8])) -> io::Result<()> {
    let mut rest = datagram;
    while rest.len() >= HEADER_LENGTH {
        let length = u32::from_ne_bytes(bytes_at(rest, 0)) as usize;
        let Some(message) = rest.get(HEADER_LENGTH..length) else {
            return Err(cut_off());
        };
        each(u16::from_ne_bytes(bytes_at(rest, 4)), message);
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(())
}

/// `struct nlmsgerr`: 0, or an error number.
fn refusal(message: &[u8]) -> io::Result<()> {
    if message.len() < 4 {
        return Err(cut_off());
    }
    match i32::from_ne_bytes(bytes_at(message, 0)) {
        0 => Ok(()),
        error => Err(io::Error::from_raw_os_error(-error)),
    }
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "a cut off netlink message")
}

/// Zeros where there are no bytes.
pub fn bytes_at<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    let found = bytes.get(offset..).and_then(|bytes| bytes.first_chunk());
    found.copied().unwrap_or([0; N])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_datagram_is_cut_into_its_messages() {
        let mut datagram = request(7, 0, &[1, 2, 3]);
        datagram.push(0);
        datagram.extend(request(8, 0, &[4]));
        let mut seen = Vec::new();
        messages(&datagram, |kind, message| seen.push((kind, message.to_vec()))).unwrap();
        assert_eq!(seen, [(7, vec![1, 2, 3]), (8, vec![4])]);
        datagram.truncate(HEADER_LENGTH + 2);
        assert!(messages(&datagram, |_, _| {}).is_err());
        assert!(refusal(&0_i32.to_ne_bytes()).is_ok());
        assert_eq!(
            refusal(&(-libc::EPERM).to_ne_bytes()).unwrap_err().raw_os_error(),
            Some(libc::EPERM)
        );
    }
}

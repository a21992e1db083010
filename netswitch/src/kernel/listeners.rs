//! Which sockets of the host hold ports, by `sock_diag` (what `ss -lntu` asks).

use netswitch_common::host::SOCKET_MARK;

use super::{
    Error, Result,
    sock_diag::{self, Answer, CLOSED, IPV4, IPV6, LISTENING, Question},
};
use crate::model::publish::{Listener, Protocol};

/// `INET_DIAG_SKV6ONLY`, told unasked.
const V6_ONLY: u16 = 11;
/// `INET_DIAG_MARK`, told to who may administer the network.
const MARK: u16 = 15;

/// Listening TCP and SCTP sockets and bound UDP sockets of the calling thread's namespace, but the agent's own.
pub fn all() -> Result<Vec<Listener>> {
    let mut listeners = Vec::new();
    for (protocol, states) in [
        (Protocol::Tcp, LISTENING),
        (Protocol::Udp, CLOSED),
        (Protocol::Sctp, LISTENING),
    ] {
        for family in [IPV4, IPV6] {
            let question = Question {
                protocol,
                family,
                states,
            };
            match sock_diag::dump(question, |answer| listeners.extend(listener(protocol, answer))) {
                // the kernel does not have the protocol, or not the module that tells of it
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                    if protocol != Protocol::Sctp {
                        tracing::warn!(%protocol, "the kernel does not tell which ports its sockets hold");
                    }
                }
                result => result.map_err(|error| Error::system(format!("list {protocol} sockets"), error))?,
            }
        }
    }
    Ok(listeners)
}

/// `None`: a socket without a port, or the agent's own, which makes way.
fn listener(protocol: Protocol, answer: &Answer<'_>) -> Option<Listener> {
    let (address, port) = answer.local();
    let v6_only = answer.has(V6_ONLY, &[1]);
    let is_own = answer.has(MARK, &SOCKET_MARK.to_ne_bytes());
    (port != 0 && !is_own).then_some(Listener {
        protocol,
        address,
        port,
        v6_only,
    })
}

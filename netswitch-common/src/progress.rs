//! Progress: how far a flow has come, as bits, and what follows from them: its state and how long it may be silent.
//!
//! The bits are set and never cleared, but for [`RESET`].

/// The responder has spoken.
pub const ANSWERED: u32 = 1 << 0;
/// The originator was heard after that. For TCP it has acknowledged what the responder said, which a
/// sender with somebody else's address cannot know.
pub const ASSURED: u32 = 1 << 1;
pub const FIN_ORIGINAL: u32 = 1 << 2;
pub const FIN_REPLY: u32 = 1 << 3;
/// A TCP reset has passed. The next packet that is none clears it: the reset was not obeyed, perhaps forged.
pub const RESET: u32 = 1 << 4;
/// A question for a name: UDP to port 53. Set when the flow begins.
pub const QUESTION: u32 = 1 << 5;
/// The record is being written: its flow is nobody's to find, and its slot nobody's to take.
pub const WRITING: u32 = 1 << 31;

/// FIN of one [`direction`](crate::flow::direction).
#[inline(always)]
pub const fn fin(direction: u32) -> u32 {
    FIN_ORIGINAL << (direction & 1)
}

/// How far a flow has come (RFC 9293 as seen from the middle), as users see it. Follows from
/// [`Flow::progress`](crate::flow::Flow::progress).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlowState {
    /// No reply yet.
    New,
    /// The responder has spoken, the originator has not been heard since. A stranger brings a flow this far
    /// with one packet from an address that is not his.
    Answered,
    /// The originator was heard after the reply: ASSURED of `nf_conntrack`.
    Established,
    /// One side of a TCP connection has finished.
    Closing,
    /// Both have, or it was reset. The next SYN is a new flow.
    Closed,
}

impl FlowState {
    #[inline(always)]
    pub const fn of(progress: u32) -> Self {
        const FINISHED: u32 = FIN_ORIGINAL | FIN_REPLY;
        match (progress & FINISHED, progress & ASSURED != 0) {
            _ if progress & RESET != 0 => Self::Closed,
            (FINISHED, _) => Self::Closed,
            (0, true) => Self::Established,
            (_, true) => Self::Closing,
            _ if progress & ANSWERED != 0 => Self::Answered,
            _ => Self::New,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Answered => "answered",
            Self::Established => "established",
            Self::Closing => "closing",
            Self::Closed => "closed",
        }
    }
}

/// How far an acknowledgement may lie behind and ahead of the sequence number that it has to know for a flow
/// to be assured: a window's worth each way, so that a guess succeeds once in 21,845 times.
const ACKNOWLEDGED_BEHIND: u32 = 1 << 16;
const ACKNOWLEDGED_AHEAD: u32 = 1 << 17;

/// Whether an originator's acknowledgement shows that it has received the responder's first segment. Both
/// numbers are in host order; `sequence` is the number that follows the segment's SYN, or its first byte's.
#[inline(always)]
pub const fn acknowledges(acknowledgement: u32, sequence: u32) -> bool {
    acknowledgement.wrapping_sub(sequence).wrapping_add(ACKNOWLEDGED_BEHIND) < ACKNOWLEDGED_BEHIND + ACKNOWLEDGED_AHEAD
}

pub(crate) const SECOND: u64 = 1_000_000_000;

pub(crate) const TCP: u32 = 6;
pub(crate) const UDP: u32 = 17;
pub(crate) const UDP_LITE: u32 = 136;
pub(crate) const ICMP: u32 = 1;
pub(crate) const ICMPV6: u32 = 58;

/// How long a flow may be silent. TCP: RFC 5382 (at least 2 h 4 min established), UDP: RFC 4787, ICMP: RFC
/// 5508; what they leave open is as in `nf_conntrack`: 120 s after both sides have finished, so that a port is
/// not used again while the server remembers the connection (TIME-WAIT); 30 s for a question over UDP and its answer,
/// until the originator is heard again. For the names' well-known port it may be less (RFC 4787, 4.3).
#[inline(always)]
pub const fn timeout(protocol: u32, progress: u32) -> u64 {
    match (protocol, FlowState::of(progress)) {
        (TCP, FlowState::New | FlowState::Answered) => 60 * SECOND,
        (TCP, FlowState::Established) => 7_440 * SECOND,
        (TCP, FlowState::Closing) => 240 * SECOND,
        (TCP, FlowState::Closed) if progress & RESET != 0 => 10 * SECOND,
        (TCP, FlowState::Closed) => 120 * SECOND,
        (UDP, state) if progress & QUESTION != 0 => match state {
            FlowState::New => 15 * SECOND,
            FlowState::Answered => 5 * SECOND,
            _ => 30 * SECOND,
        },
        (ICMP | ICMPV6, _) | (_, FlowState::New | FlowState::Answered) => 30 * SECOND,
        (UDP, _) => 180 * SECOND,
        _ => 600 * SECOND,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flow::direction;

    #[test]
    fn an_idle_connection_lives_longer_than_two_keepalives() {
        const OPEN: u32 = ANSWERED | ASSURED;
        assert!(timeout(TCP, OPEN) >= (2 * 60 + 4) * 60 * SECOND);
        assert!(timeout(UDP, OPEN) >= 120 * SECOND);
    }

    #[test]
    fn a_question_over_udp_is_no_stream() {
        for (progress, seconds) in [
            (0, 30),
            (ANSWERED, 30),
            (ANSWERED | ASSURED, 180),
            (QUESTION, 15),
            (QUESTION | ANSWERED, 5),
            (QUESTION | ANSWERED | ASSURED, 30),
        ] {
            assert_eq!(timeout(UDP, progress), seconds * SECOND, "{progress:#b}");
        }
    }

    #[test]
    fn a_state_follows_from_what_has_passed() {
        for (progress, state) in [
            (0, FlowState::New),
            (ANSWERED, FlowState::Answered),
            (ANSWERED | ASSURED, FlowState::Established),
            (ANSWERED | ASSURED | FIN_REPLY, FlowState::Closing),
            (ANSWERED | ASSURED | FIN_ORIGINAL | FIN_REPLY, FlowState::Closed),
            (ANSWERED | ASSURED | RESET, FlowState::Closed),
            // a FIN from a stranger makes nothing last longer
            (FIN_ORIGINAL, FlowState::New),
            (ANSWERED | FIN_ORIGINAL, FlowState::Answered),
        ] {
            assert_eq!(FlowState::of(progress), state, "{progress:#b}");
        }
        assert_eq!(fin(direction::ORIGINAL), FIN_ORIGINAL);
        assert_eq!(fin(direction::REPLY), FIN_REPLY);
    }

    #[test]
    fn an_acknowledgement_has_to_know_the_sequence() {
        for sequence in [0, 1, 77_777, u32::MAX] {
            for (offset, knows) in [
                (0_i32, true),
                (1, true),
                (14_600, true),
                (-1, true),
                (-70_000, false),
                (200_000, false),
                (i32::MAX, false),
                (i32::MIN, false),
            ] {
                let acknowledgement = sequence.wrapping_add_signed(offset);
                assert_eq!(acknowledges(acknowledgement, sequence), knows, "{sequence} {offset}");
            }
        }
    }
}

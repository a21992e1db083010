//! The system calls that a container may make: an allow list, Docker's default profile. Everything else is answered
//! with EPERM, and what the profile does not know yet with ENOSYS, as runc answers it.

mod calls;

use std::{io, mem::offset_of};

use libc::{c_long, seccomp_data, sock_filter, sock_fprog};
use nix::errno::Errno;

use calls::{ALLOWED, Call, NONE};

/// One way into the kernel, and how it numbers calls.
struct Abi {
    // linux/audit.h
    architecture: u32,
    number: fn(&Call) -> i16,
    socket: u32,
    clone: u32,
    personality: u32,
}

/// A 64-bit kernel runs programs of i386 too. Those of x32 have numbers beyond [`NEWEST`].
#[cfg(target_arch = "x86_64")]
const ABIS: [Abi; 2] = [
    Abi {
        architecture: 0xc000_003e,
        number: |call| call.1[0],
        socket: number(libc::SYS_socket),
        clone: number(libc::SYS_clone),
        personality: number(libc::SYS_personality),
    },
    Abi {
        architecture: 0x4000_0003,
        number: |call| call.1[1],
        socket: 359,
        clone: 120,
        personality: 136,
    },
];
/// Programs of 32-bit ARM get no answer.
#[cfg(target_arch = "aarch64")]
const ABIS: [Abi; 1] = [Abi {
    architecture: 0xc000_00b7,
    number: |call| call.1[2],
    socket: number(libc::SYS_socket),
    clone: number(libc::SYS_clone),
    personality: number(libc::SYS_personality),
}];

/// The newest call that the profile knows: removexattrat. All architectures number new calls alike.
const NEWEST: u32 = 466;
const CLONE3: u32 = number(libc::SYS_clone3);
/// All but `AF_ALG` (38) and `AF_VSOCK` (40), by which a guest speaks with its host past every network.
const SOCKET_FAMILIES: [(u32, u32); 3] = [(0, 37), (39, 39), (41, u32::MAX)];
/// Linux, Linux on 32 bits, each with its 64-bit or 32-bit uname; and the question which it is.
const PERSONALITIES: [(u32, u32); 5] = [
    (0, 0),
    (8, 8),
    (0x2_0000, 0x2_0000),
    (0x2_0008, 0x2_0008),
    (u32::MAX, u32::MAX),
];
const NEW_NAMESPACES: u32 = (libc::CLONE_NEWNS
    | libc::CLONE_NEWUTS
    | libc::CLONE_NEWIPC
    | libc::CLONE_NEWUSER
    | libc::CLONE_NEWPID
    | libc::CLONE_NEWNET
    | libc::CLONE_NEWCGROUP)
    .cast_unsigned();

const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
const DENY: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM.cast_unsigned();
/// The caller does without it: the C library falls back from clone3, whose flags a filter cannot read.
const UNKNOWN: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS.cast_unsigned();

/// For the calling thread and all it becomes or starts, for ever. Needs `CAP_SYS_ADMIN`, which the caller is
/// about to lose.
pub(super) fn install() -> io::Result<()> {
    let mut filter = filter();
    let program = sock_fprog {
        len: u16::try_from(filter.len()).map_err(io::Error::other)?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: the kernel copies the program, whose instructions live through the call.
    Errno::result(unsafe { libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program) })?;
    Ok(())
}

fn filter() -> Vec<sock_filter> {
    let mut filter = vec![load(offset_of!(seccomp_data, arch))];
    for abi in &ABIS {
        filter.extend(case(abi.architecture, calls(abi)));
    }
    filter.push(answer(UNKNOWN));
    filter
}

/// Ends with an answer, whatever the call.
fn calls(abi: &Abi) -> Vec<sock_filter> {
    let mut filter = vec![
        load(offset_of!(seccomp_data, nr)),
        skip_unless(libc::BPF_JGT, NEWEST, 1),
        answer(UNKNOWN),
    ];
    let first_argument = load(offset_of!(seccomp_data, args));
    let among = |values: &[(u32, u32)]| [vec![first_argument], only(values)].concat();
    filter.extend(case(CLONE3, vec![answer(UNKNOWN)]));
    filter.extend(case(abi.socket, among(&SOCKET_FAMILIES)));
    filter.extend(case(abi.personality, among(&PERSONALITIES)));
    // flags come first on all of these architectures
    let divides = vec![
        first_argument,
        skip_unless(libc::BPF_JSET, NEW_NAMESPACES, 1),
        answer(DENY),
        answer(ALLOW),
    ];
    filter.extend(case(abi.clone, divides));
    filter.extend(only(&ranges(abi)));
    filter
}

/// Numbers of the allowed calls in ascending order, those that follow each other in one range.
fn ranges(abi: &Abi) -> Vec<(u32, u32)> {
    let mut numbers: Vec<u32> = ALLOWED
        .iter()
        .map(abi.number)
        .filter(|number| *number != NONE)
        .filter_map(|number| u32::try_from(number).ok())
        .collect();
    numbers.sort_unstable();
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if number <= *last + 1 => *last = number,
            _ => ranges.push((number, number)),
        }
    }
    ranges
}

/// Runs `block`, which ends with an answer, if the loaded value is this one.
fn case(value: u32, block: Vec<sock_filter>) -> Vec<sock_filter> {
    // a conditional jump reaches 255 instructions only
    let past = u32::try_from(block.len()).unwrap_or(u32::MAX);
    let mut case = vec![
        skip_if(libc::BPF_JEQ, value, 1),
        instruction(libc::BPF_JMP | libc::BPF_JA, past, 0, 0),
    ];
    case.extend(block);
    case
}

/// Allows the loaded value if it is in one of the ranges, which ascend.
fn only(ranges: &[(u32, u32)]) -> Vec<sock_filter> {
    let mut filter = Vec::new();
    for (first, last) in ranges {
        filter.extend([
            skip_if(libc::BPF_JGE, *first, 1),
            answer(DENY),
            skip_if(libc::BPF_JGT, *last, 1),
            answer(ALLOW),
        ]);
    }
    filter.push(answer(DENY));
    filter
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "as the kernel numbers calls"
)]
const fn number(call: c_long) -> u32 {
    call as u32
}

#[expect(clippy::cast_possible_truncation, reason = "the structure has 64 bytes")]
fn load(offset: usize) -> sock_filter {
    instruction(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, offset as u32, 0, 0)
}

fn skip_if(comparison: u32, value: u32, instructions: u8) -> sock_filter {
    instruction(libc::BPF_JMP | comparison | libc::BPF_K, value, instructions, 0)
}

fn skip_unless(comparison: u32, value: u32, instructions: u8) -> sock_filter {
    instruction(libc::BPF_JMP | comparison | libc::BPF_K, value, 0, instructions)
}

fn answer(action: u32) -> sock_filter {
    instruction(libc::BPF_RET | libc::BPF_K, action, 0, 0)
}

#[expect(clippy::cast_possible_truncation, reason = "operation codes have 16 bits")]
fn instruction(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter {
        code: code as u16,
        jt,
        jf,
        k,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter answers: a classic BPF machine with the instructions that are used.
    fn judge(architecture: u32, call: u32, argument: u32) -> u32 {
        let filter = filter();
        let (mut at, mut value) = (0, 0);
        loop {
            let step = filter[at];
            let k = step.k;
            let skip = |holds: bool| usize::from(if holds { step.jt } else { step.jf });
            at += 1;
            match u32::from(step.code) {
                code if code == libc::BPF_LD | libc::BPF_W | libc::BPF_ABS => {
                    value = match k as usize {
                        0 => call,
                        4 => architecture,
                        16 => argument,
                        other => panic!("loads {other}"),
                    }
                }
                code if code == libc::BPF_JMP | libc::BPF_JA => at += k as usize,
                code if code == libc::BPF_JMP | libc::BPF_JEQ => at += skip(value == k),
                code if code == libc::BPF_JMP | libc::BPF_JGE => at += skip(value >= k),
                code if code == libc::BPF_JMP | libc::BPF_JGT => at += skip(value > k),
                code if code == libc::BPF_JMP | libc::BPF_JSET => at += skip(value & k != 0),
                code if code == libc::BPF_RET | libc::BPF_K => return k,
                other => panic!("does {other:#x}"),
            }
        }
    }

    #[test]
    fn every_call_is_answered_as_the_table_says() {
        for abi in &ABIS {
            let allowed: Vec<i16> = ALLOWED.iter().map(abi.number).collect();
            for call in (0..=NEWEST).filter(|call| ![abi.socket, abi.clone, abi.personality, CLONE3].contains(call)) {
                let listed = i16::try_from(call).is_ok_and(|call| allowed.contains(&call));
                let expected = if listed { ALLOW } else { DENY };
                assert_eq!(judge(abi.architecture, call, 0), expected, "{call}");
            }
            assert_eq!(judge(abi.architecture, CLONE3, 0), UNKNOWN);
            assert_eq!(judge(abi.architecture, NEWEST + 1, 0), UNKNOWN);
        }
        assert_eq!(judge(0xc000_0015, 0, 0), UNKNOWN);
        assert!(filter().len() < 4096);
    }

    #[test]
    fn arguments_decide_where_they_matter() {
        for abi in &ABIS {
            let judge = |call, argument| judge(abi.architecture, call, argument);
            for (family, expected) in [
                (2, ALLOW),
                (16, ALLOW),
                (38, DENY),
                (39, ALLOW),
                (40, DENY),
                (41, ALLOW),
            ] {
                assert_eq!(judge(abi.socket, family), expected, "{family}");
            }
            for (flags, expected) in [
                (17, ALLOW),
                (0x3d_0f00, ALLOW),
                (0x1000_0011, DENY),
                (0x0200_0000, DENY),
            ] {
                assert_eq!(judge(abi.clone, flags), expected, "{flags:#x}");
            }
            for (persona, expected) in [(0, ALLOW), (8, ALLOW), (0x4_0000, DENY), (u32::MAX, ALLOW)] {
                assert_eq!(judge(abi.personality, persona), expected, "{persona:#x}");
            }
        }
    }

    #[test]
    #[cfg(target_arch = "x86_64")]
    fn the_numbers_are_the_c_librarys() {
        for (name, number) in [
            ("accept4", libc::SYS_accept4),
            ("ptrace", libc::SYS_ptrace),
            ("chroot", libc::SYS_chroot),
            ("writev", libc::SYS_writev),
        ] {
            let call = ALLOWED.iter().find(|call| call.0 == name);
            assert_eq!(call.map(|call| c_long::from(call.1[0])), Some(number), "{name}");
        }
        for refused in ["io_uring_setup", "socketcall", "mount", "unshare", "bpf", "keyctl"] {
            assert!(ALLOWED.iter().all(|call| call.0 != refused), "{refused}");
        }
    }
}

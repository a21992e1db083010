//! System calls a container gets no answer from: those that reach kernel state no namespace divides, and
//! those that make new privileges. Docker denies them as well; what it denies beyond needs capabilities that
//! the container has not.

use std::{io, mem::offset_of};

use libc::{c_long, seccomp_data, sock_filter, sock_fprog};
use nix::errno::Errno;

// linux/audit.h
#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xc000_003e;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xc000_00b7;
/// Where the x32 calls of an x86 kernel begin; no other call has a number that high.
const X32: u32 = 0x4000_0000;
/// Of `linux/unistd.h` since 6.15; the C library's bindings do not know it yet.
const OPEN_TREE_ATTR: c_long = 467;

const DENIED: [c_long; 27] = [
    // keyrings are not divided by any namespace
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    // the kernel itself
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    // files by number, whatever the root
    libc::SYS_open_by_handle_at,
    // mounts and namespaces
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_move_mount,
    libc::SYS_open_tree,
    OPEN_TREE_ATTR,
    libc::SYS_fsopen,
    libc::SYS_fspick,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_mount_setattr,
    libc::SYS_setns,
];

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
    let mut filter = vec![
        load(offset_of!(seccomp_data, arch)),
        // programs of another architecture have other numbers
        skip_if(libc::BPF_JEQ, ARCHITECTURE, 1),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(offset_of!(seccomp_data, nr)),
        skip_unless(libc::BPF_JGE, X32, 1),
        answer(UNKNOWN),
        skip_unless(libc::BPF_JEQ, number(libc::SYS_clone3), 1),
        answer(UNKNOWN),
    ];
    for call in DENIED {
        filter.extend([skip_unless(libc::BPF_JEQ, number(call), 1), answer(DENY)]);
    }
    // both have their flags first; other namespaces need a capability
    filter.extend([
        skip_if(libc::BPF_JEQ, number(libc::SYS_clone), 2),
        skip_if(libc::BPF_JEQ, number(libc::SYS_unshare), 1),
        answer(ALLOW),
        // the lower half: both architectures are little-endian
        load(offset_of!(seccomp_data, args)),
        skip_unless(libc::BPF_JSET, libc::CLONE_NEWUSER.cast_unsigned(), 1),
        answer(DENY),
        answer(ALLOW),
    ]);
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

//! What a container's root may do: Docker's default set.

use std::io;

use nix::errno::Errno;

// linux/capability.h
const VERSION_3: u32 = 0x2008_0522;
const LAST: u32 = 63;
/// chown, `dac_override`, fowner, fsetid, kill, setgid, setuid, setpcap, `net_bind_service`, `net_raw`,
/// `sys_chroot`, mknod (no mount that a container writes to opens devices), `audit_write`, setfcap
const KEPT: [u32; 14] = [0, 1, 3, 4, 5, 6, 7, 8, 10, 13, 18, 27, 29, 31];

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// Takes everything else out of the bounding set, for good: no program gets it back by its file.
pub(super) fn bound() -> io::Result<()> {
    for capability in (0..=LAST).filter(|capability| !KEPT.contains(capability)) {
        // SAFETY: no pointers are passed.
        match Errno::result(unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) }) {
            // EINVAL: this kernel knows no such capability
            Ok(_) | Err(Errno::EINVAL) => {}
            Err(error) => return Err(error.into()),
        }
    }
    // SAFETY: no pointers are passed.
    Errno::result(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) })?;
    Ok(())
}

/// Reduces the calling process's own sets; for a process that stays root.
pub(super) fn reduce() -> io::Result<()> {
    let kept = KEPT.iter().fold(0, |mask, capability| mask | 1 << capability);
    let header = Header {
        version: VERSION_3,
        pid: 0,
    };
    let none = Sets {
        effective: 0,
        permitted: 0,
        inheritable: 0,
    };
    let sets = [
        Sets {
            effective: kept,
            permitted: kept,
            inheritable: 0,
        },
        none,
    ];
    // SAFETY: version 3 reads one header and two sets, which live through the call.
    Errno::result(unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) })?;
    Ok(())
}

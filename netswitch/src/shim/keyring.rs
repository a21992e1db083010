//! The session keyring: by inheritance it would be the agent's, with whatever keys whoever started it had.

use std::io;

use nix::errno::Errno;

// linux/keyctl.h
const JOIN_SESSION_KEYRING: libc::c_int = 1;

/// Gives the calling thread an empty session keyring.
pub(super) fn join_new() -> io::Result<()> {
    let unnamed = std::ptr::null::<libc::c_char>();
    // SAFETY: a null name asks for a new keyring.
    match Errno::result(unsafe { libc::syscall(libc::SYS_keyctl, JOIN_SESSION_KEYRING, unnamed) }) {
        // a kernel without keys has none to hide
        Ok(_) | Err(Errno::ENOSYS) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the calling thread.
    fn session_keyring() -> libc::c_long {
        let (get_keyring_id, session) = (0, -3);
        // SAFETY: no pointers are passed.
        unsafe { libc::syscall(libc::SYS_keyctl, get_keyring_id, session, 0) }
    }

    #[test]
    fn a_joined_keyring_is_a_new_one() {
        let joining = std::thread::spawn(|| {
            let before = session_keyring();
            join_new().map(|()| (before, session_keyring()))
        });
        let (before, after) = joining.join().unwrap().unwrap();
        assert!(after == -1 || after != before, "{before} {after}");
    }
}

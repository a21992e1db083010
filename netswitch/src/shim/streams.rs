//! Bytes between a container's processes and those who listen: copying out, feeding in.

use std::{
    collections::VecDeque,
    fs::File,
    io::{self, Read as _, Write},
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
    sync::{Condvar, Mutex, MutexGuard, PoisonError},
};

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
};

use super::{connection::Connection, log::Stream};

const CHUNK: usize = 32 * 1024;
/// What a client may lag behind, in bytes, before the container waits for it.
const LAG: usize = 1024 * 1024;

/// Reads all sources until they end, or until `process` has ended and nothing is left in them: a background
/// child may keep a source open for ever.
pub(super) fn copy(mut sources: Vec<(Stream, File)>, process: BorrowedFd, mut take: impl FnMut(Stream, &[u8])) {
    let mut chunk = vec![0; CHUNK];
    while !sources.is_empty() {
        let mut watched: Vec<PollFd> = sources
            .iter()
            .map(|(_, source)| PollFd::new(source.as_fd(), PollFlags::POLLIN))
            .collect();
        watched.push(PollFd::new(process, PollFlags::POLLIN));
        match poll(&mut watched, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        let mut ready: Vec<bool> = watched.iter().map(is_ready).collect();
        let ended = ready.pop() == Some(true);
        if ended && !ready.contains(&true) {
            return;
        }
        let mut ready = ready.into_iter();
        sources.retain_mut(|(stream, source)| {
            if ready.next() != Some(true) {
                return true;
            }
            match source.read(&mut chunk) {
                Ok(0) => false,
                Ok(length) => {
                    take(*stream, &chunk[..length]);
                    true
                }
                // EIO: nobody has the terminal open any more
                Err(error) => error.kind() == io::ErrorKind::Interrupted,
            }
        });
    }
}

/// Copies a client's standard input until it ends, the client goes, or nobody reads any more.
pub(super) fn feed(input: OwnedFd, client: &Connection, mut target: &File) {
    let mut input = File::from(input);
    let mut chunk = vec![0; CHUNK];
    loop {
        let mut watched = [
            PollFd::new(input.as_fd(), PollFlags::POLLIN),
            PollFd::new(client.as_fd(), PollFlags::empty()),
            PollFd::new(target.as_fd(), PollFlags::empty()),
        ];
        match poll(&mut watched, PollTimeout::NONE) {
            Err(Errno::EINTR) => continue,
            Err(_) => return,
            Ok(_) => {}
        }
        if is_ready(&watched[1]) || is_ready(&watched[2]) {
            return;
        }
        match input.read(&mut chunk) {
            Ok(0) => return,
            Ok(length) => {
                if target.write_all(&chunk[..length]).is_err() {
                    return;
                }
            }
            Err(error) if [io::ErrorKind::Interrupted, io::ErrorKind::WouldBlock].contains(&error.kind()) => {}
            Err(_) => return,
        }
    }
}

fn is_ready(watched: &PollFd) -> bool {
    watched.any() == Some(true)
}

/// Writes all, to a descriptor that its owner may have made non-blocking.
pub(super) fn write_all(mut target: &File, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match target.write(bytes) {
            Ok(length) => bytes = &bytes[length..],
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                _ = poll(
                    &mut [PollFd::new(target.as_fd(), PollFlags::POLLOUT)],
                    PollTimeout::NONE,
                );
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// The output of a container on its way to one client.
#[derive(Default)]
pub(super) struct Sink {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Default)]
struct Queue {
    chunks: VecDeque<(Stream, Vec<u8>)>,
    bytes: usize,
    /// The container has ended: what is left is small, so nobody waits for the client.
    ending: bool,
    /// Nothing more will come.
    finished: bool,
    /// Nobody listens any more, or all has been said.
    closed: bool,
}

impl Sink {
    /// Waits while the client lags.
    pub(super) fn push(&self, stream: Stream, bytes: &[u8]) {
        let mut queue = self.wait_while(|queue| queue.bytes > LAG && !queue.closed && !queue.ending);
        if !queue.closed {
            queue.bytes += bytes.len();
            queue.chunks.push_back((stream, bytes.to_vec()));
            self.changed.notify_all();
        }
    }

    pub(super) fn stop_waiting(&self) {
        self.change(|queue| queue.ending = true);
    }

    pub(super) fn finish(&self) {
        self.change(|queue| queue.finished = true);
    }

    pub(super) fn close(&self) {
        self.change(|queue| queue.closed = true);
    }

    pub(super) fn wait_until_closed(&self) {
        drop(self.wait_while(|queue| !queue.closed));
    }

    /// Writes what comes; true once all of it is written, false when the client is gone.
    pub(super) fn drain(&self, output: &File, errors: &File) -> bool {
        while let Some((stream, bytes)) = self.next() {
            let target = match stream {
                Stream::Stdout => output,
                Stream::Stderr => errors,
            };
            // a client that closed one stream still wants the other, and the exit code
            _ = write_all(target, &bytes);
        }
        !lock(&self.queue).closed
    }

    fn next(&self) -> Option<(Stream, Vec<u8>)> {
        let mut queue = self.wait_while(|queue| queue.chunks.is_empty() && !queue.finished && !queue.closed);
        if queue.closed {
            return None;
        }
        let chunk = queue.chunks.pop_front()?;
        queue.bytes -= chunk.1.len();
        self.changed.notify_all();
        Some(chunk)
    }

    fn wait_while(&self, waiting: impl Fn(&Queue) -> bool) -> MutexGuard<'_, Queue> {
        let waited = self.changed.wait_while(lock(&self.queue), |queue| waiting(queue));
        waited.unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Queue)) {
        change(&mut lock(&self.queue));
        self.changed.notify_all();
    }
}

/// A thread that panicked holding a lock left nothing half done here.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Reads a whole map with few system calls (`BPF_MAP_LOOKUP_BATCH`), and key by key where the map has no batches.

use std::{
    io,
    os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd},
};

/// Commands of bpf(2).
const LOOKUP: libc::c_long = 1;
const NEXT_KEY: libc::c_long = 4;
const LOOKUP_BATCH: libc::c_long = 24;

/// `ENOTSUPP` of the kernel, which has no name in user space: this kind of map has no batches.
const NOT_SUPPORTED: i32 = 524;

/// Bytes of keys and values that one call should fill.
const BATCH_BYTES: usize = 1 << 20;

/// The kernel takes the position as an index or as a key.
const POSITION_MIN: usize = 8;

/// The part of `union bpf_attr` for single elements.
#[repr(C)]
pub(super) struct Element {
    pub(super) map: u32,
    pub(super) _pad: u32,
    pub(super) key: u64,
    /// Or the next key.
    pub(super) value: u64,
    pub(super) flags: u64,
}

/// The part of `union bpf_attr` for batches.
#[repr(C)]
struct Batch {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map: u32,
    element_flags: u64,
    flags: u64,
}

/// Bytes of a key and of a value as bpf(2) passes them: a per-CPU value is every CPU's, each a multiple of 8.
#[derive(Clone, Copy)]
pub struct Sizes {
    pub key: usize,
    pub value: usize,
}

struct Buffers {
    keys: Vec<u8>,
    values: Vec<u8>,
}

impl Buffers {
    fn new(room: usize, sizes: Sizes) -> Self {
        Self {
            keys: vec![0; room * sizes.key],
            values: vec![0; room * sizes.value],
        }
    }
}

/// Calls `each` with every key and value. Entries that come or go meanwhile may be missed, or listed twice.
pub fn read_all(map: BorrowedFd, sizes: Sizes, mut each: impl FnMut(&[u8], &[u8])) -> io::Result<()> {
    let mut room = (BATCH_BYTES / (sizes.key + sizes.value)).max(1);
    let mut position: Option<Vec<u8>> = None;
    let mut buffers = Buffers::new(room, sizes);
    loop {
        let mut next = vec![0; sizes.key.max(POSITION_MIN)];
        let mut batch = Batch {
            from: position.as_ref().map_or(0, |position| position.as_ptr() as u64),
            to: next.as_mut_ptr() as u64,
            keys: buffers.keys.as_mut_ptr() as u64,
            values: buffers.values.as_mut_ptr() as u64,
            count: u32::try_from(room).map_err(io::Error::other)?,
            map: map.as_raw_fd().cast_unsigned(),
            element_flags: 0,
            flags: 0,
        };
        let result = bpf(LOOKUP_BATCH, &mut batch);
        let is_last = match result.as_ref().map_err(io::Error::raw_os_error) {
            Ok(()) => false,
            Err(Some(libc::ENOENT)) => true,
            // a bucket of a hash has more entries than there is room for
            Err(Some(libc::ENOSPC)) => {
                room *= 2;
                buffers = Buffers::new(room, sizes);
                continue;
            }
            Err(Some(NOT_SUPPORTED)) if position.is_none() => return read_each(map, sizes, each),
            Err(_) => return result,
        };
        let count = batch.count as usize;
        let keys = buffers.keys.chunks(sizes.key).take(count);
        for (key, value) in keys.zip(buffers.values.chunks(sizes.value)) {
            each(key, value);
        }
        if is_last {
            return Ok(());
        }
        position = Some(next);
    }
}

fn read_each(map: BorrowedFd, sizes: Sizes, mut each: impl FnMut(&[u8], &[u8])) -> io::Result<()> {
    let mut last: Option<Vec<u8>> = None;
    loop {
        let mut key = vec![0; sizes.key];
        let before = last.as_ref().map_or(0, |key| key.as_ptr() as u64);
        match bpf(NEXT_KEY, &mut element(map, before, key.as_mut_ptr())) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            result => result?,
        }
        let mut value = vec![0; sizes.value];
        match bpf(LOOKUP, &mut element(map, key.as_ptr() as u64, value.as_mut_ptr())) {
            Ok(()) => each(&key, &value),
            // it went meanwhile
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        last = Some(key);
    }
}

fn element(map: BorrowedFd, key: u64, value: *mut u8) -> Element {
    Element {
        map: map.as_raw_fd().cast_unsigned(),
        _pad: 0,
        key,
        value: value as u64,
        flags: 0,
    }
}

/// Every address in `attribute` is of memory that lives through the call and has the size that the kernel expects.
pub(super) fn bpf<T>(command: libc::c_long, attribute: &mut T) -> io::Result<()> {
    call(command, attribute).map(drop)
}

/// The same for a command that makes a descriptor.
pub(super) fn bpf_descriptor<T>(command: libc::c_long, attribute: &mut T) -> io::Result<OwnedFd> {
    let descriptor = i32::try_from(call(command, attribute)?).map_err(io::Error::other)?;
    // SAFETY: the kernel has just made this descriptor for us, and nothing else owns it
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

fn call<T>(command: libc::c_long, attribute: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the callers in this folder keep what `bpf` says, with the sizes that the kernel reported
    match unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attribute), size_of::<T>()) } {
        ..0 => Err(io::Error::last_os_error()),
        number => Ok(number),
    }
}

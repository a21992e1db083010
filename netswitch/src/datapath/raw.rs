//! Maps as bytes, for conversions between layouts: aya's handles want their types at compile time.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _},
    path::{Path, PathBuf},
};

use aya::maps::MapData;

use super::{
    Error, Result,
    batch::{self, Element, Sizes},
    layout::Layout,
};

/// Commands of bpf(2).
const LOOKUP: libc::c_long = 1;
const UPDATE: libc::c_long = 2;
const LOOKUP_AND_DELETE: libc::c_long = 21;

/// `BPF_NOEXIST`.
const ONLY_NEW: u64 = 1;

/// A pinned map, whatever its types.
pub struct RawMap {
    path: PathBuf,
    data: MapData,
    layout: Layout,
    /// Bytes of a value as bpf(2) passes it: for per-CPU maps every CPU's, each a multiple of 8.
    value: usize,
}

impl RawMap {
    pub fn open(path: &Path) -> Result<Self> {
        let fault = |source| Error::Map {
            map: path.display().to_string(),
            source,
        };
        let data = MapData::from_pin(path).map_err(fault)?;
        let layout = Layout::of(&data.info().map_err(fault)?);
        let mut value = layout.value as usize;
        if layout.is_per_cpu() {
            let cpus = aya::util::nr_cpus().map_err(|(_, error)| Error::io(path)(error))?;
            value = value.next_multiple_of(8) * cpus;
        }
        Ok(Self {
            path: path.to_owned(),
            data,
            layout,
            value,
        })
    }

    /// Removes an entry and returns what it was at that moment (Linux 5.14).
    pub(super) fn take(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.value];
        match self.call(LOOKUP_AND_DELETE, key.as_ptr() as u64, value.as_mut_ptr(), 0) {
            Ok(()) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&self.path)(error)),
        }
    }

    /// Writes an entry unless its key has one.
    pub(super) fn put_new(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.check(key, value)?;
        match self.call(UPDATE, key.as_ptr() as u64, value.as_ptr().cast_mut(), ONLY_NEW) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(Error::io(&self.path)(error)),
            _ => Ok(()),
        }
    }

    /// Every entry. Those that come or go meanwhile may be missed or listed twice.
    pub fn entries(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut entries = Vec::new();
        self.each(|key, value| entries.push((key.to_vec(), value.to_vec())))?;
        Ok(entries)
    }

    /// The same, one after the other.
    pub(super) fn each(&self, each: impl FnMut(&[u8], &[u8])) -> Result<()> {
        let sizes = Sizes {
            key: self.layout.key as usize,
            value: self.value,
        };
        batch::read_all(self.data.fd().as_fd(), sizes, each).map_err(Error::io(&self.path))
    }

    pub(super) fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut value = vec![0; self.value];
        match self.call(LOOKUP, key.as_ptr() as u64, value.as_mut_ptr(), 0) {
            Ok(()) => Ok(Some(value)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io(&self.path)(error)),
        }
    }

    pub(super) fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        self.check(key, value)?;
        self.call(UPDATE, key.as_ptr() as u64, value.as_ptr().cast_mut(), 0)
            .map_err(Error::io(&self.path))
    }

    fn check(&self, key: &[u8], value: &[u8]) -> Result<()> {
        if key.len() == self.layout.key as usize && value.len() == self.value {
            return Ok(());
        }
        let text = format!("entry of {} and {} bytes", key.len(), value.len());
        Err(Error::io(&self.path)(io::Error::new(io::ErrorKind::InvalidInput, text)))
    }

    /// Converts an entry; each CPU's value by itself.
    pub(super) fn convert(
        &self,
        key: &[u8],
        value: &[u8],
        convert: impl Fn(&[u8], &[u8]) -> Option<(Vec<u8>, Vec<u8>)>,
    ) -> Option<(Vec<u8>, Vec<u8>)> {
        if !self.layout.is_per_cpu() {
            return convert(key, value);
        }
        let size = self.layout.value as usize;
        let (mut new_key, mut new_value) = (Vec::new(), Vec::new());
        for one in value.chunks(size.next_multiple_of(8)) {
            let (key, mut value) = convert(key, &one[..size])?;
            value.resize(value.len().next_multiple_of(8), 0);
            new_key = key;
            new_value.extend(value);
        }
        Some((new_key, new_value))
    }

    /// `key` points to a key of the map's size, `value` to what the command
    /// reads or writes, of a value's size.
    fn call(&self, command: libc::c_long, key: u64, value: *mut u8, flags: u64) -> io::Result<()> {
        let mut element = Element {
            map: self.data.fd().as_fd().as_raw_fd().cast_unsigned(),
            _pad: 0,
            key,
            value: value as u64,
            flags,
        };
        // the callers above pass buffers of the sizes that the kernel itself reported
        batch::bpf(command, &mut element)
    }
}

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

/// A command of bpf(2).
const UPDATE: libc::c_long = 2;

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

    /// Every entry. Those that come or go meanwhile may be missed or listed twice.
    pub fn entries(&self) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
        let mut entries = Vec::new();
        let sizes = Sizes {
            key: self.layout.key as usize,
            value: self.value,
        };
        batch::read_all(self.data.fd().as_fd(), sizes, |key, value| {
            entries.push((key.to_vec(), value.to_vec()));
        })
        .map_err(Error::io(&self.path))?;
        Ok(entries)
    }

    pub(super) fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        if key.len() != self.layout.key as usize || value.len() != self.value {
            let text = format!("entry of {} and {} bytes", key.len(), value.len());
            return Err(Error::io(&self.path)(io::Error::new(io::ErrorKind::InvalidInput, text)));
        }
        let mut element = Element {
            map: self.data.fd().as_fd().as_raw_fd().cast_unsigned(),
            _pad: 0,
            key: key.as_ptr() as u64,
            value: value.as_ptr() as u64,
            flags: 0,
        };
        batch::bpf(UPDATE, &mut element).map_err(Error::io(&self.path))
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
}

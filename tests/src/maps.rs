//! Pinned maps as plain bytes: dumped whatever their types, and made with a wrong layout.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::{fs, io};

use aya::maps::{MapData, MapInfo, MapType};

/// Commands of bpf(2).
const MAP_CREATE: i64 = 0;
const MAP_LOOKUP_ELEM: i64 = 1;
const MAP_GET_NEXT_KEY: i64 = 4;
const OBJ_PIN: i64 = 6;

/// Key to value, as bytes; a per-CPU value is the values of all CPUs in a row.
pub type Dump = BTreeMap<Vec<u8>, Vec<u8>>;

/// Every map pinned in a folder whose entries can be listed.
pub fn dump_all(folder: &Path) -> BTreeMap<String, Dump> {
    let mut dumps = BTreeMap::new();
    let listed = names(folder)
        .into_iter()
        .filter(|name| !matches!(name.as_str(), "DIALLED" | "RELAYS"));
    for name in listed {
        let dump = dump(&folder.join(&name));
        dumps.insert(name, dump);
    }
    dumps
}

/// The kernel's id of every map pinned in a folder.
pub fn ids(folder: &Path) -> BTreeMap<String, u32> {
    let id = |name: &String| MapInfo::from_pin(folder.join(name)).expect("a pinned map").id();
    names(folder)
        .into_iter()
        .map(|name| (name.clone(), id(&name)))
        .collect()
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder of pins");
    entries
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect()
}

fn dump(pin: &Path) -> Dump {
    let info = MapInfo::from_pin(pin).expect("a pinned map");
    let map = MapData::from_pin(pin).expect("a pinned map");
    let fd = map.fd().as_fd().as_raw_fd();
    let per_cpu = matches!(
        info.map_type(),
        Ok(MapType::PerCpuHash | MapType::PerCpuArray | MapType::LruPerCpuHash)
    );
    let size = info.value_size() as usize;
    let size = if per_cpu {
        size.next_multiple_of(8) * aya::util::nr_cpus().expect("the number of CPUs")
    } else {
        size
    };
    let mut dump = Dump::new();
    let mut key: Option<Vec<u8>> = None;
    loop {
        let mut next = vec![0; info.key_size() as usize];
        let mut attribute = [0; 16];
        attribute[0] = descriptor(fd);
        attribute[1] = key.as_mut().map_or(0, |key| address(key));
        attribute[2] = address(&mut next);
        match bpf(MAP_GET_NEXT_KEY, &mut attribute) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return dump,
            result => result.expect("the next key"),
        };
        let mut value = vec![0; size];
        attribute[1] = address(&mut next);
        attribute[2] = address(&mut value);
        bpf(MAP_LOOKUP_ELEM, &mut attribute).expect("the value of a key");
        dump.insert(next.clone(), value);
        key = Some(next);
    }
}

/// Makes a map and pins it.
pub fn pin_new(pin: &Path, kind: MapType, key: u32, value: u32, entries: u32) {
    let word = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    // an LPM trie must not be preallocated (BPF_F_NO_PREALLOC), and so are our hashes
    let flags = u32::from(matches!(kind, MapType::LpmTrie | MapType::Hash | MapType::PerCpuHash));
    let mut attribute = [0; 16];
    attribute[..3].copy_from_slice(&[word(kind as u32, key), word(value, entries), word(flags, 0)]);
    let fd = bpf(MAP_CREATE, &mut attribute).expect("a new map");
    // SAFETY: the kernel has just made this descriptor for us
    let map = unsafe { OwnedFd::from_raw_fd(fd) };
    let path = CString::new(pin.as_os_str().as_bytes()).expect("a path");
    let mut attribute = [0; 16];
    attribute[0] = path.as_ptr() as u64;
    attribute[1] = descriptor(map.as_raw_fd());
    bpf(OBJ_PIN, &mut attribute).expect("a pin");
}

fn descriptor(fd: RawFd) -> u64 {
    u64::try_from(fd).expect("an open descriptor")
}

fn address(bytes: &mut [u8]) -> u64 {
    bytes.as_mut_ptr() as u64
}

fn bpf(command: i64, attribute: &mut [u64; 16]) -> io::Result<i32> {
    // SAFETY: every pointer in an attribute above is to memory of the size that the command reads or
    // fills, and lives until after this call
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attribute.as_mut_ptr(), size_of_val(attribute)) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(i32::try_from(result).expect("a descriptor or zero"))
}

//! Pinned maps as plain bytes: dumped whatever their types, and made with a wrong layout.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::{fs, io};

use aya::maps::{MapInfo, MapType};
use netswitch::datapath::RawMap;

/// Commands of bpf(2).
const MAP_CREATE: i64 = 0;
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
    let map = RawMap::open(pin).expect("a pinned map");
    map.entries().expect("its entries").into_iter().collect()
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

fn bpf(command: i64, attribute: &mut [u64; 16]) -> io::Result<i32> {
    // SAFETY: every pointer in an attribute above is to memory of the size that the command reads or
    // fills, and lives until after this call
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, attribute.as_mut_ptr(), size_of_val(attribute)) };
    if result < 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(i32::try_from(result).expect("a descriptor or zero"))
}

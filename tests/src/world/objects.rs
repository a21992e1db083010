//! What is pinned: maps with their content, links and programs with their ids, read as bytes.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsFd as _, AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::{fs, io};

use netswitch::datapath::{Sizes, read_all};

// linux/bpf.h, enum bpf_cmd
const OBJ_GET: libc::c_long = 7;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
/// The first two bits of a map's type that matter here: per-CPU values.
const PER_CPU: [u32; 4] = [5, 6, 10, 21];

/// Maps of sockets and ring buffers, whose values nobody can read.
const UNREADABLE: [u32; 3] = [15, 18, 27];

/// Something pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Object {
    Map {
        id: u32,
        entries: BTreeMap<Vec<u8>, Vec<u8>>,
    },
    Link {
        id: u32,
        program: u32,
    },
    Program {
        id: u32,
    },
}

impl Object {
    pub fn id(&self) -> u32 {
        match self {
            Self::Map { id, .. } | Self::Link { id, .. } | Self::Program { id } => *id,
        }
    }
}

/// Everything pinned below a folder, by path relative to it.
pub fn objects(bpffs: &Path) -> BTreeMap<String, Object> {
    objects_with(bpffs, |_| true)
}

/// The same, with the entries of those maps alone whose path is `wanted`.
pub fn objects_with(bpffs: &Path, wanted: impl Fn(&str) -> bool) -> BTreeMap<String, Object> {
    let mut found = BTreeMap::new();
    let mut folders = vec![bpffs.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let name = path.strip_prefix(bpffs).unwrap_or(&path).display().to_string();
            if let Ok(mut object) = read(&path, wanted(&name)) {
                // each agent attaches its socket hooks beside those before them
                if let Object::Link { id, .. } = &mut object
                    && name.starts_with("sockets")
                {
                    *id = 0;
                }
                found.insert(name, object);
            }
        }
    }
    found
}

fn read(path: &Path, with_entries: bool) -> io::Result<Object> {
    let name = CString::new(path.as_os_str().as_bytes())?;
    let mut get = ObjectAttribute {
        path: name.as_ptr() as u64,
        ..Default::default()
    };
    let descriptor = bpf(OBJ_GET, &mut get)?;
    let descriptor = i32::try_from(descriptor).map_err(io::Error::other)?;
    // SAFETY: OBJ_GET has just given us this descriptor; nobody else has it.
    let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
    let kind = fs::read_link(format!("/proc/self/fd/{}", descriptor.as_raw_fd()))?;
    // the first words of bpf_map_info, bpf_link_info and bpf_prog_info
    let mut words = [0_u32; 64];
    let mut info = InfoAttribute {
        descriptor: descriptor.as_raw_fd().cast_unsigned(),
        length: u32::try_from(size_of_val(&words)).unwrap_or(0),
        info: words.as_mut_ptr() as u64,
    };
    bpf(OBJ_GET_INFO_BY_FD, &mut info)?;
    let [kind_number, id, third, fourth, ..] = words;
    Ok(match kind.to_string_lossy().as_ref() {
        "anon_inode:bpf-map" => Object::Map {
            id,
            entries: if with_entries && !UNREADABLE.contains(&kind_number) {
                dump(&descriptor, kind_number, third, fourth)?
            } else {
                BTreeMap::new()
            },
        },
        "anon_inode:bpf-link" | "anon_inode:bpf_link" => Object::Link { id, program: third },
        _ => Object::Program { id },
    })
}

/// Entries that are not all zero: array maps have every key, and only what was written is of interest.
fn dump(map: &OwnedFd, kind: u32, key_size: u32, value_size: u32) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut value = value_size as usize;
    if PER_CPU.contains(&kind) {
        // SAFETY: sysconf reads nothing of ours.
        let cpus = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
        value = value.next_multiple_of(8) * usize::try_from(cpus).unwrap_or(1);
    }
    let key = key_size as usize;
    let zero = vec![0; value];
    let mut entries = BTreeMap::new();
    read_all(map.as_fd(), Sizes { key, value }, |key, value| {
        if value != zero {
            entries.insert(key.to_vec(), value.to_vec());
        }
    })?;
    Ok(entries)
}

#[repr(C)]
#[derive(Default)]
struct ObjectAttribute {
    path: u64,
    descriptor: u32,
    flags: u32,
}

#[repr(C)]
#[derive(Default)]
struct InfoAttribute {
    descriptor: u32,
    length: u32,
    info: u64,
}

fn bpf<T>(command: libc::c_long, attribute: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: each attribute is the beginning of `union bpf_attr` for its command, with its size; the
    // addresses in it are of buffers that live through the call and are as long as the kernel expects.
    let result = unsafe { libc::syscall(libc::SYS_bpf, command, std::ptr::from_mut(attribute), size_of::<T>()) };
    if result < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(result)
    }
}

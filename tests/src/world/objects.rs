//! What is pinned: maps with their content, links and programs with their ids, read as bytes.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::{fs, io};

// linux/bpf.h, enum bpf_cmd
const MAP_LOOKUP_ELEM: libc::c_long = 1;
const MAP_GET_NEXT_KEY: libc::c_long = 4;
const OBJ_GET: libc::c_long = 7;
const OBJ_GET_INFO_BY_FD: libc::c_long = 15;
/// The first two bits of a map's type that matter here: per-CPU values.
const PER_CPU: [u32; 4] = [5, 6, 10, 21];

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
    let mut found = BTreeMap::new();
    let mut folders = vec![bpffs.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(mut object) = read(&path) {
                let name = path.strip_prefix(bpffs).unwrap_or(&path);
                // each agent attaches its socket hooks beside those before them
                if let Object::Link { id, .. } = &mut object
                    && name.starts_with("sockets")
                {
                    *id = 0;
                }
                found.insert(name.display().to_string(), object);
            }
        }
    }
    found
}

fn read(path: &Path) -> io::Result<Object> {
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
            entries: dump(&descriptor, kind_number, third, fourth),
        },
        "anon_inode:bpf-link" | "anon_inode:bpf_link" => Object::Link { id, program: third },
        _ => Object::Program { id },
    })
}

fn dump(map: &OwnedFd, kind: u32, key_size: u32, value_size: u32) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut size = value_size as usize;
    if PER_CPU.contains(&kind) {
        // SAFETY: sysconf reads nothing of ours.
        let cpus = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_CONF) };
        size = size.next_multiple_of(8) * usize::try_from(cpus).unwrap_or(1);
    }
    let mut entries = BTreeMap::new();
    let mut key: Option<Vec<u8>> = None;
    loop {
        let mut next = vec![0; key_size as usize];
        let mut attribute = MapAttribute {
            map: map.as_raw_fd().cast_unsigned(),
            key: key.as_ref().map_or(0, |key| key.as_ptr() as u64),
            value: next.as_mut_ptr() as u64,
            ..Default::default()
        };
        if bpf(MAP_GET_NEXT_KEY, &mut attribute).is_err() {
            return entries;
        }
        let mut value = vec![0; size];
        let mut attribute = MapAttribute {
            map: map.as_raw_fd().cast_unsigned(),
            key: next.as_ptr() as u64,
            value: value.as_mut_ptr() as u64,
            ..Default::default()
        };
        // array maps have every key: only what was written is of interest
        if bpf(MAP_LOOKUP_ELEM, &mut attribute).is_ok() && value.iter().any(|byte| *byte != 0) {
            entries.insert(next.clone(), value);
        }
        key = Some(next);
    }
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

#[repr(C)]
#[derive(Default)]
struct MapAttribute {
    map: u32,
    _pad: u32,
    key: u64,
    value: u64,
    flags: u64,
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

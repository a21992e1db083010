//! Settings below `/proc/sys/net`, as the calling thread's namespace has them. Paths are written with
//! slashes throughout: a device name may hold dots.

use std::{fs, io, path::Path};

use super::{End, Error, Result};
use crate::action::Interface;

const ROOT: &str = "/proc/sys";
/// A list of every other port fits.
const VALUE_MAX: usize = 256 * 1024;

/// One setting; `optional` ones may be missing (a kernel or a device without IPv6).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    pub path: String,
    pub value: &'static str,
    pub optional: bool,
}

pub fn read(path: &str) -> Result<String> {
    // in one read: a list of ports ends where the first one ends (`proc_do_large_bitmap`)
    let mut value = vec![0; VALUE_MAX];
    fs::File::open(Path::new(ROOT).join(path))
        .and_then(|mut file| io::Read::read(&mut file, &mut value))
        .map(|length| String::from_utf8_lossy(&value[..length]).trim_end().to_owned())
        .map_err(|error| Error::system(format!("read sysctl {path}"), error))
}

pub fn write(path: &str, value: &str) -> Result<()> {
    // no O_CREAT, no O_TRUNC: /proc knows neither
    fs::OpenOptions::new()
        .write(true)
        .open(Path::new(ROOT).join(path))
        .and_then(|mut file| io::Write::write_all(&mut file, value.as_bytes()))
        .map_err(|error| Error::system(format!("set sysctl {path} to {value}"), error))
}

pub fn apply(settings: &[Setting]) -> Result<()> {
    for setting in settings {
        match write(&setting.path, setting.value) {
            Err(Error::System { source, .. }) if setting.optional && source.kind() == io::ErrorKind::NotFound => {}
            result => result?,
        }
    }
    Ok(())
}

/// What [`End::gateway`] means: routed for, but silent.
pub fn of_end(end: &End) -> Vec<Setting> {
    if !end.gateway {
        return Vec::new();
    }
    let v4 = [("forwarding", "1"), ("arp_notify", "0")].map(|(key, value)| v4(&end.name, key, value));
    let v6 = [
        ("forwarding", "1"),
        // since 6.17; without it the stack forwards IPv6 on all devices or none
        ("force_forwarding", "1"),
        ("accept_ra", "0"),
        ("router_solicitations", "0"),
        ("accept_dad", "0"),
        ("dad_transmits", "0"),
    ]
    .map(|(key, value)| v6(&end.name, key, value, true));
    v4.into_iter().chain(v6).collect()
}

/// IPv6 on one of our devices, on a host where it is switched off.
pub fn with_ipv6(device: &str) -> Setting {
    v6(device, "disable_ipv6", "0", true)
}

/// What an interface in a container needs before it comes up: with IPv6 its EUI-64 link-local address
/// and no question asked about it, without IPv6 none at all.
pub fn of_interface(interface: &Interface) -> Vec<Setting> {
    let name = &interface.name;
    if !interface.v6 {
        return vec![v6(name, "disable_ipv6", "1", true)];
    }
    let loopback = interface.ours.then(|| v6("lo", "disable_ipv6", "0", false));
    let own = [
        ("disable_ipv6", "0"),
        ("accept_ra", "0"),
        ("router_solicitations", "0"),
        ("accept_dad", "0"),
        ("dad_transmits", "0"),
        ("addr_gen_mode", "0"),
    ]
    .map(|(key, value)| v6(name, key, value, false));
    loopback.into_iter().chain(own).collect()
}

/// The loopback of a new namespace: without IPv6, as an engine's, until an interface has it.
pub fn of_new_loopback() -> Vec<Setting> {
    vec![v6("lo", "disable_ipv6", "1", true)]
}

fn v4(device: &str, key: &str, value: &'static str) -> Setting {
    Setting {
        path: format!("net/ipv4/conf/{device}/{key}"),
        value,
        optional: false,
    }
}

fn v6(device: &str, key: &str, value: &'static str, optional: bool) -> Setting {
    Setting {
        path: format!("net/ipv6/conf/{device}/{key}"),
        value,
        optional,
    }
}

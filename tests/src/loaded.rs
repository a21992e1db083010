//! The real switch in the fixed world: the object loaded, its maps filled, and the devices there,
//! all in a network namespace and a bpffs folder of the test's own.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::os::fd::{AsRawFd as _, FromRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{fs, io, panic, thread};

use netswitch::datapath::{Datapath, Hook, Options};
use netswitch_common::{
    ABI_VERSION,
    endpoint::Kind,
    verdict::{Count, DropReason},
};
use nix::sched::{CloneFlags, unshare};

use crate::{
    fixture::{HOST_V4, HOST_V6, NETWORKS, PORTS, Port, REFUSED, UPLINK_INDEX, UPLINK_MAC, entries},
    switch::Counter,
};

const BPFFS: &str = "/sys/fs/bpf";

/// A loaded object and its world.
pub struct Loaded {
    pub datapath: Datapath,
    folder: Folder,
}

/// A bpffs folder that goes with its test.
pub struct Folder(PathBuf);

impl Folder {
    /// Of no other test; not made yet.
    pub fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        mount_bpffs();
        Self(format!("{BPFFS}/netswitch-test-{}-{number}", std::process::id()).into())
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where a version of the maps is pinned.
    pub fn maps(&self, version: u32) -> PathBuf {
        self.0.join(format!("v{version}"))
    }

    pub fn options(&self) -> Options {
        Options {
            bpffs: self.0.clone(),
            abi_version: ABI_VERSION,
            log_level: 0,
        }
    }
}

impl Default for Folder {
    fn default() -> Self {
        Self::new()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // a test that never opened it has nothing to remove
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Runs a test on a thread in a network namespace of its own.
pub fn in_a_namespace<R: Send + 'static>(test: impl FnOnce() -> R + Send + 'static) -> R {
    let thread = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace (needs root)");
        test()
    });
    match thread.join() {
        Ok(result) => result,
        Err(panic) => panic::resume_unwind(panic),
    }
}

/// Runs a test in the fixed world, whose host has a default route.
pub fn in_the_world<R: Send + 'static>(test: impl FnOnce(&mut Loaded) -> R + Send + 'static) -> R {
    in_a_namespace(|| {
        make_devices();
        test(&mut Loaded::new())
    })
}

impl Loaded {
    fn new() -> Self {
        let folder = Folder::new();
        let mut datapath = Datapath::open(&folder.options()).expect("the object loads");
        for entry in entries::all() {
            datapath.tables().write(&entry).expect("an entry of the fixture");
        }
        Self { datapath, folder }
    }

    /// How it was opened.
    pub fn options(&self) -> Options {
        self.folder.options()
    }

    /// Where its maps are pinned.
    pub fn maps(&self) -> PathBuf {
        self.folder.maps(ABI_VERSION)
    }

    /// Every counter that is not zero.
    pub fn counters(&self) -> BTreeMap<Counter, Count> {
        let counters = self.datapath.counters().expect("counters");
        let drops = counters.drops().expect("DROPS").into_iter().map(|(key, count)| {
            let reason = DropReason::from_number(key.reason).expect("a drop reason");
            (Counter::Drop(key.endpoint, reason), count)
        });
        let paths = counters.paths().expect("PATHS").into_iter();
        drops
            .chain(paths.map(|(verdict, count)| (Counter::Path(verdict), count)))
            .filter(|(_, count)| count.packets != 0)
            .collect()
    }

    /// Puts the program on every container's device.
    pub fn attach(&mut self) {
        for port in PORTS.iter().filter(|port| port.kind == Kind::Container) {
            self.datapath
                .attach(Hook::Endpoint, &port.device(), port.index())
                .expect("the program attaches");
        }
    }

    /// How many packets each port's device has sent out, by index.
    pub fn sent(&self) -> BTreeMap<u32, usize> {
        let table = fs::read_to_string("/proc/thread-self/net/dev").expect("the devices' statistics");
        let mut sent = BTreeMap::new();
        for line in table.lines() {
            let Some((name, numbers)) = line.split_once(':') else {
                continue;
            };
            if let Some(port) = PORTS.iter().find(|port| port.device() == name.trim()) {
                // receive has eight columns; the second of transmit are packets
                let packets = numbers.split_whitespace().nth(9).expect("transmitted packets");
                sent.insert(port.index(), packets.parse().expect("a number"));
            }
        }
        sent
    }
}

/// The devices that the fixture names, up and silent but for the host's own.
fn make_devices() {
    write("ipv4/ip_forward", "0");
    write("ipv6/conf/default/disable_ipv6", "1");
    let mut commands = "link set lo up\n".to_owned();
    let mut command = |text: String| writeln!(commands, "{text}").expect("a string takes all");
    for port in PORTS {
        let (device, index) = (port.device(), port.index());
        let far = match port.kind {
            Kind::Container | Kind::Remote => format!("far-{} index {}", port.name, port.far_index()),
            Kind::Host => format!("{} index {} address {}", port.name, port.target(), port.mac()),
        };
        command(format!("link add {device} index {index} type veth peer name {far}"));
        // jumbo frames, so that the switch meets what its own MTU check is for
        for end in [device.as_str(), far.split(' ').next().unwrap_or_default()] {
            command(format!("link set {end} mtu 9000 up"));
        }
    }
    command(format!(
        "link add up0 index {UPLINK_INDEX} address {UPLINK_MAC} type veth peer name up1"
    ));
    command("link set up0 up\nlink set up1 up".to_owned());
    ip(&commands);

    let mut commands = format!("addr add {HOST_V4}/24 brd + dev up0\naddr add {HOST_V6}/64 dev up0 nodad\n");
    let mut command = |text: String| writeln!(commands, "{text}").expect("a string takes all");
    enable_v6("up0");
    for network in NETWORKS {
        let host = network.host_port();
        let device = host.target_device();
        write(&format!("ipv4/conf/{device}/forwarding"), "1");
        command(format!("addr add {}/16 brd + dev {device}", host.v4()));
        if network.has_v6() {
            enable_v6(&device);
            write(&format!("ipv6/conf/{device}/forwarding"), "1");
            command(format!("addr add {}/64 dev {device} nodad", host.v6()));
            command(format!("addr add {}/64 dev {device} nodad", host.link_local()));
        }
    }
    ip(&commands);
    add_default_routes();
    let mut commands = String::new();
    for (kind, v4, v6) in REFUSED {
        writeln!(commands, "route add {kind} {v4}/29\nroute add {kind} {v6}/125").expect("a string takes all");
    }
    ip(&commands);
}

fn add_default_routes() {
    ip("route add default via 192.0.2.254\nroute add default via inet6 2001:db8::fe\n");
}

/// Afterwards nothing but the host's own subnets has a route that leads anywhere.
pub fn remove_default_routes() {
    ip("route del default\nroute del default via inet6 2001:db8::fe\n");
}

fn enable_v6(device: &str) {
    write(&format!("ipv6/conf/{device}/addr_gen_mode"), "1");
    write(&format!("ipv6/conf/{device}/accept_dad"), "0");
    write(&format!("ipv6/conf/{device}/disable_ipv6"), "0");
}

/// A sysctl of this thread's namespace.
fn write(path: &str, value: &str) {
    let path = Path::new("/proc/sys/net").join(path);
    fs::write(&path, value).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// The container's end of a port's pair sends a frame.
pub fn send(port: &Port, frame: &[u8]) {
    // SAFETY: no pointers
    let socket = unsafe { libc::socket(libc::AF_PACKET, libc::SOCK_RAW | libc::SOCK_CLOEXEC, 0) };
    assert!(socket >= 0, "a packet socket: {}", io::Error::last_os_error());
    // SAFETY: the kernel has just made this descriptor for us
    let socket = unsafe { OwnedFd::from_raw_fd(socket) };
    // SAFETY: plain integers
    let mut to: libc::sockaddr_ll = unsafe { std::mem::zeroed() };
    to.sll_family = u16::try_from(libc::AF_PACKET).expect("a small number");
    to.sll_ifindex = i32::try_from(port.far_index()).expect("a small number");
    // SAFETY: both pointers are to live memory of the sizes given
    let sent = unsafe {
        libc::sendto(
            socket.as_raw_fd(),
            frame.as_ptr().cast(),
            frame.len(),
            0,
            (&raw const to).cast(),
            u32::try_from(size_of_val(&to)).expect("a small number"),
        )
    };
    assert!(sent >= 0, "{} sends: {}", port.name, io::Error::last_os_error());
}

/// Runs `ip` commands in this thread's namespace.
pub fn ip(commands: &str) {
    let mut child = Command::new("ip")
        .args(["-batch", "-"])
        .stdin(Stdio::piped())
        .spawn()
        .expect("ip runs");
    let mut stdin = child.stdin.take().expect("a pipe");
    stdin.write_all(commands.as_bytes()).expect("ip reads its commands");
    drop(stdin);
    assert!(
        child.wait().expect("ip ends").success(),
        "ip refused one of:\n{commands}"
    );
}

fn mount_bpffs() {
    static ONCE: std::sync::Once = std::sync::Once::new();
    ONCE.call_once(|| {
        let mounts = fs::read_to_string("/proc/self/mounts").expect("the mounts");
        let mounted = mounts.lines().any(|line| line.split(' ').nth(1) == Some(BPFFS));
        if !mounted {
            let none = None::<&str>;
            nix::mount::mount(none, BPFFS, Some("bpf"), nix::mount::MsFlags::empty(), none).expect("a mounted bpffs");
        }
    });
}

//! Namespaces of a test's own, and the two kernels behind one face.

use std::{
    fs::{self, File},
    net::IpAddr,
    os::fd::{AsRawFd, OwnedFd},
    path::PathBuf,
    process::{self, Child, Command},
    thread,
};

use ipnetwork::IpNetwork;
use netswitch::{
    action::Interface,
    kernel::{End, Kernel, Namespace, Veth, fake::Fake, namespace::in_namespace, netlink::Netlink},
    shim::spawn::start_time,
};
use netswitch_common::address::Mac;
use nix::sched::{CloneFlags, unshare};

/// A kernel to try, and containers for it.
pub trait World {
    fn kernel(&mut self) -> &mut dyn Kernel;
    /// A new namespace.
    fn container(&mut self) -> Namespace;
    /// That of a process, and that of an earlier one which had the same number.
    fn successor(&mut self) -> (Namespace, Namespace);
    /// What an agent in that namespace would see.
    fn seen_from(&self, namespace: &Namespace) -> Box<dyn Kernel>;
}

/// Network namespaces without names: each is held open by its file.
pub struct Real {
    kernel: Netlink,
    containers: Vec<OwnedFd>,
    processes: Vec<Child>,
}

impl Drop for Real {
    fn drop(&mut self) {
        for process in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Real {
    /// Runs a test in a namespace of its own: the host.
    pub fn run(test: impl FnOnce(&mut Self) + Send) {
        thread::scope(|scope| {
            let host = scope.spawn(|| {
                unshare(CloneFlags::CLONE_NEWNET).expect("root, for namespaces");
                for path in ["all", "default"].map(|name| format!("/proc/sys/net/ipv4/conf/{name}/forwarding")) {
                    fs::write(path, "0").unwrap();
                }
                test(&mut Self {
                    kernel: Netlink::open().unwrap(),
                    containers: Vec::new(),
                    processes: Vec::new(),
                });
            });
            if let Err(panicked) = host.join() {
                std::panic::resume_unwind(panicked);
            }
        });
    }

    /// Ends a namespace that nothing else holds.
    pub fn end_last_container(&mut self) {
        self.containers.pop();
    }
}

impl World for Real {
    fn kernel(&mut self) -> &mut dyn Kernel {
        &mut self.kernel
    }

    fn container(&mut self) -> Namespace {
        let file = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        let file: OwnedFd = file.join().unwrap().into();
        let path = PathBuf::from(format!("/proc/{}/fd/{}", process::id(), file.as_raw_fd()));
        self.containers.push(file);
        Namespace::Path(path)
    }

    fn successor(&mut self) -> (Namespace, Namespace) {
        let process = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            Command::new("sleep").arg("1000").spawn().unwrap()
        });
        let process = process.join().unwrap();
        let pid = process.id().cast_signed();
        self.processes.push(process);
        let start_time = start_time(pid).unwrap();
        let started = |start_time| Namespace::Process { pid, start_time };
        (started(start_time), started(start_time - 1))
    }

    fn seen_from(&self, namespace: &Namespace) -> Box<dyn Kernel> {
        Box::new(in_namespace(namespace, Netlink::open).unwrap().unwrap())
    }
}

pub struct Imagined {
    pub fake: Fake,
    containers: usize,
}

impl Imagined {
    pub fn run(test: impl FnOnce(&mut Self)) {
        test(&mut Self {
            fake: Fake::new(),
            containers: 0,
        });
    }
}

impl World for Imagined {
    fn kernel(&mut self) -> &mut dyn Kernel {
        &mut self.fake
    }

    fn container(&mut self) -> Namespace {
        self.containers += 1;
        Namespace::Path(format!("/run/netns/container{}", self.containers).into())
    }

    fn successor(&mut self) -> (Namespace, Namespace) {
        let started = |start_time| Namespace::Process { pid: 42, start_time };
        self.fake.remove_namespace(&started(1));
        (started(2), started(1))
    }

    fn seen_from(&self, namespace: &Namespace) -> Box<dyn Kernel> {
        Box::new(self.fake.seen_from(namespace))
    }
}

pub const GATEWAY_MAC: Mac = Mac::of_v4([10, 9, 0, 1]);
pub const MAC: Mac = Mac::of_v4([10, 9, 0, 2]);

/// A container's pair: silent on the host's side.
pub fn endpoint(near: &str, container: &Namespace) -> Veth {
    Veth {
        near: End {
            alias: Some(format!("netswitch /test {near}")),
            silent: true,
            ..end(near)
        },
        far: End {
            namespace: container.clone(),
            mac: Some(MAC),
            ..end("eth0")
        },
    }
}

/// A network's pair, both ends on the host.
pub fn network(host_end: &str, switch_end: &str) -> Veth {
    Veth {
        near: End {
            mac: Some(GATEWAY_MAC),
            alias: Some("netswitch /test network".to_owned()),
            gateway: true,
            ..end(host_end)
        },
        far: End {
            silent: true,
            ..end(switch_end)
        },
    }
}

fn end(name: &str) -> End {
    End {
        name: name.to_owned(),
        namespace: Namespace::Host,
        mac: None,
        mtu: 1500,
        alias: None,
        silent: false,
        gateway: false,
        big_tcp: None,
    }
}

pub fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

pub fn net(text: &str) -> IpNetwork {
    text.parse().unwrap()
}

/// `eth0` in a container, with its gateway as a neighbour.
pub fn interface(namespace: &Namespace, addresses: &[&str], v6: bool) -> Interface {
    Interface {
        namespace: namespace.clone(),
        name: "eth0".to_owned(),
        addresses: addresses.iter().map(|address| net(address)).collect(),
        neighbours: vec![(ip("10.9.0.1"), GATEWAY_MAC)],
        v6,
        ours: true,
    }
}

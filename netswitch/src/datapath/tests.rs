//! Loading, pins, take-over, in the kernel. Without root there is nothing to load, so they pass.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    thread,
};

use aya::{
    maps::{HashMap, MapData, MapInfo},
    programs::{
        links::{FdLink, LinkType, PinnedLink},
        loaded_links,
    },
};
use netswitch_common::{
    ABI_VERSION,
    endpoint::{Port, PortKey},
    verdict::{DropReason, Verdict},
};
use nix::{
    sched::{CloneFlags, unshare},
    unistd::geteuid,
};

use super::*;
use crate::action::{Device, Entry};

const LOOPBACK: u32 = 1;
const FRAME: [u8; 64] = [0; 64];

/// A folder on bpffs of its own.
struct World {
    bpffs: PathBuf,
}

impl World {
    fn new() -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("netswitch-test-{}-{number}", std::process::id());
        let bpffs = Path::new("/sys/fs/bpf").join(name);
        make_folder(&bpffs).unwrap();
        Self { bpffs }
    }

    fn open(&self, abi_version: u32) -> Result<Datapath> {
        Datapath::open(&Options {
            bpffs: self.bpffs.clone(),
            abi_version,
            log_level: 0,
        })
    }

    fn pin(&self, version: u32, map: &str) -> PathBuf {
        self.bpffs.join(format!("v{version}")).join(map)
    }

    fn pins(&self) -> Vec<PathBuf> {
        let mut pins: Vec<PathBuf> = walk(&self.bpffs);
        pins.sort();
        pins
    }
}

impl Drop for World {
    fn drop(&mut self) {
        Datapath::purge(&self.bpffs).unwrap();
    }
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] })
        .collect()
}

/// Runs a test in a network namespace of its own, if this is root.
fn in_namespace(test: impl FnOnce(World) + Send) {
    if !geteuid().is_root() {
        return;
    }
    thread::scope(|scope| {
        let run = scope.spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            test(World::new());
        });
        run.join().unwrap();
    });
}

fn map_id(pin: &Path) -> u32 {
    MapInfo::from_pin(pin).unwrap().id()
}

/// Ids of the pinned link and of the program it runs. Below 6.6 there is no link: 0.
fn link(pin: &Path) -> (u32, u32) {
    let link = FdLink::from(PinnedLink::from_pin(pin).unwrap());
    let info = link.info().unwrap();
    match info.link_type() {
        Ok(LinkType::Tcx) => (info.id(), info.program_id()),
        _ => (0, SchedClassifier::from_pin(pin).unwrap().info().unwrap().id()),
    }
}

fn port(network: u32) -> Entry {
    Entry::Port {
        key: PortKey {
            network,
            ..PortKey::default()
        },
        device: Device {
            name: String::new(),
            index: Some(7),
        },
        value: Port {
            id: 3,
            ifindex: 7,
            ..Port::default()
        },
    }
}

#[test]
fn every_map_is_pinned_and_looks_as_listed() {
    in_namespace(|world| {
        let _datapath = world.open(ABI_VERSION).unwrap();
        let wanted: Vec<_> = MAPS.iter().map(|(name, _)| world.pin(ABI_VERSION, name)).collect();
        let mut found = world.pins();
        found.retain(|pin| !wanted.contains(pin));
        assert_eq!(found, Vec::<PathBuf>::new(), "pins that are not listed");
        for ((_, layout), pin) in MAPS.iter().zip(&wanted) {
            assert_eq!(layout::of_pin(pin).unwrap(), Some(*layout), "{}", pin.display());
        }
    });
}

#[test]
fn a_pin_of_another_layout_is_refused_and_left_as_it_is() {
    in_namespace(|world| {
        let pin = world.pin(ABI_VERSION, "PORTS");
        make_folder(pin.parent().unwrap()).unwrap();
        let strange: HashMap<MapData, [u8; 12], [u8; 64]> = HashMap::create(16, 0).unwrap();
        strange.pin(&pin).unwrap();
        let before = (map_id(&pin), world.pins());
        let error = world.open(ABI_VERSION).err().unwrap().to_string();
        assert!(
            error.contains("PORTS is a Hash with keys of 12 bytes, values of 64 bytes, 16 entries"),
            "{error}"
        );
        assert_eq!((map_id(&pin), world.pins()), before);
    });
}

#[test]
fn entries_and_links_outlive_the_agent() {
    in_namespace(|world| {
        let mut first = world.open(ABI_VERSION).unwrap();
        first.tables().write(&port(1)).unwrap();
        first.attach(Hook::Uplink, "lo", LOOPBACK).unwrap();
        drop(first);
        let map = map_id(&world.pin(ABI_VERSION, "PORTS"));
        let pin = world.bpffs.join("uplinks/1");
        let (link_before, program_before) = link(&pin);

        let mut second = world.open(ABI_VERSION).unwrap();
        assert_eq!(second.tables().dump().unwrap(), [port(1)]);
        assert_eq!(map_id(&world.pin(ABI_VERSION, "PORTS")), map);
        let (link_after, program_after) = link(&pin);
        assert_eq!(
            link_after, link_before,
            "the link itself must stay: packets pass it meanwhile"
        );
        assert_ne!(program_after, program_before);
        second.attach(Hook::Uplink, "lo", LOOPBACK).unwrap();
        assert_eq!(second.attached(Hook::Uplink).unwrap(), [LOOPBACK]);

        second.detach(Hook::Uplink, LOOPBACK).unwrap();
        second.detach(Hook::Uplink, LOOPBACK).unwrap();
        assert!(second.attached(Hook::Uplink).unwrap().is_empty());
        assert!(
            loaded_links().flatten().all(|info| info.id() != link_before),
            "still attached"
        );
        second.tables().remove(&port(1)).unwrap();
        second.tables().remove(&port(1)).unwrap();
        assert_eq!(second.tables().dump().unwrap(), []);
    });
}

/// A clsact qdisc of somebody else's keeps a device out of the block: it gets a link of its own.
#[test]
fn endpoints_devices_share_a_program_that_outlives_the_agent() {
    in_namespace(|world| {
        let ip = |line: &str| {
            let words = line.split(' ');
            assert!(std::process::Command::new("ip").args(words).status().unwrap().success());
        };
        ip("link add one index 11 type veth peer name two index 12");
        let mut first = world.open(ABI_VERSION).unwrap();
        aya::programs::tc::qdisc_add_clsact("lo").unwrap();
        for (device, index) in [("one", 11), ("two", 12), ("lo", LOOPBACK), ("one", 11)] {
            first.attach(Hook::Endpoint, device, index).unwrap();
        }
        assert_eq!(first.attached(Hook::Endpoint).unwrap(), [LOOPBACK, 11, 12]);
        assert_eq!(first.block.devices().unwrap(), [11, 12]);
        let pin = world.bpffs.join("links/1");
        let before = (first.block.program().unwrap(), link(&pin));
        drop(first);

        let mut second = world.open(ABI_VERSION).unwrap();
        let after = (second.block.program().unwrap(), link(&pin));
        assert_ne!(after.0, before.0);
        assert_eq!(
            after.1,
            (before.1.0, after.0),
            "the link stays, and has the same program"
        );
        assert_eq!(second.attached(Hook::Endpoint).unwrap(), [LOOPBACK, 11, 12]);
        for index in [11, 11, LOOPBACK] {
            second.detach(Hook::Endpoint, index).unwrap();
        }
        assert_eq!(second.attached(Hook::Endpoint).unwrap(), [12]);
        ip("link del two");
        assert!(second.attached(Hook::Endpoint).unwrap().is_empty());
        // the filter went with the last device
        ip("link add one index 11 type veth peer name two index 12");
        second.attach(Hook::Endpoint, "two", 12).unwrap();
        assert_eq!(second.block.program().unwrap(), after.0);
    });
}

#[test]
fn another_version_takes_over_entries_and_links() {
    in_namespace(|world| {
        let mut old = world.open(ABI_VERSION).unwrap();
        old.tables().write(&port(1)).unwrap();
        old.attach(Hook::Uplink, "lo", LOOPBACK).unwrap();
        old.run(Hook::Endpoint, LOOPBACK, &FRAME, 1).unwrap();
        drop(old);
        let pin = world.bpffs.join("uplinks/1");
        let before = link(&pin);
        // an upgrade that crashed leaves this behind
        make_folder(&world.bpffs.join(format!("v{}-new", ABI_VERSION + 1))).unwrap();

        let mut new = world.open(ABI_VERSION + 1).unwrap();
        assert_eq!(new.tables().dump().unwrap(), [port(1)]);
        assert_eq!(
            new.counters().unwrap().drops().unwrap().len(),
            1,
            "counters are carried over"
        );
        let after = link(&pin);
        assert_eq!(after.0, before.0);
        assert_ne!(after.1, before.1);
        let kept = world
            .pins()
            .into_iter()
            .filter(|pin| !pin.starts_with(world.bpffs.join("uplinks")));
        assert!(
            kept.into_iter()
                .all(|pin| pin.starts_with(world.bpffs.join(format!("v{}", ABI_VERSION + 1))))
        );
    });
}

#[test]
fn another_version_with_an_unknown_layout_is_not_touched() {
    in_namespace(|world| {
        let pin = world.pin(ABI_VERSION - 1, "UPLINKS");
        make_folder(pin.parent().unwrap()).unwrap();
        HashMap::<MapData, u32, u64>::create(16, 0).unwrap().pin(&pin).unwrap();
        let before = world.pins();
        let error = world.open(ABI_VERSION).err().unwrap().to_string();
        assert!(
            error.contains(&format!(
                "UPLINKS of version {} cannot be carried over",
                ABI_VERSION - 1
            )),
            "{error}"
        );
        assert_eq!(world.pins(), before);
    });
}

#[test]
fn explaining_changes_nothing_and_running_counts() {
    in_namespace(|world| {
        let mut datapath = world.open(ABI_VERSION).unwrap();
        let counters = |datapath: &Datapath| {
            let counters = datapath.counters().unwrap();
            (counters.drops().unwrap(), counters.paths().unwrap())
        };
        let before = counters(&datapath);
        let decision = datapath.explain(Hook::Endpoint, LOOPBACK, &FRAME).unwrap().decision;
        assert_eq!(decision.reason, DropReason::UnknownEndpoint as u32);
        assert_eq!(counters(&datapath), before);

        let ran = datapath.run(Hook::Endpoint, LOOPBACK, &FRAME, 1).unwrap();
        assert_eq!((ran.verdict, &ran.frame[..]), (2, &FRAME[..]));
        let (drops, paths) = counters(&datapath);
        let [(key, count)] = drops[..] else { panic!("{drops:?}") };
        assert_eq!((key.endpoint, key.reason), (0, DropReason::UnknownEndpoint as u32));
        assert_eq!((count.packets, count.bytes), (1, 64));
        assert!(paths.contains(&(Verdict::Drop, count)));
        datapath.tables().forget_endpoint(0).unwrap();
        assert_eq!(counters(&datapath).0, []);
    });
}

/// What the verifier has to look at decides how fast an agent starts, and how far it is from its limit.
#[test]
fn programs_stay_far_from_the_verifiers_limit() {
    const LIMIT: u32 = 250_000;
    if !geteuid().is_root() {
        return;
    }
    let world = World::new();
    let mut datapath = world.open(ABI_VERSION).unwrap();
    for hook in Hook::ALL {
        datapath.load(hook).unwrap();
    }
    for name in Hook::ALL.into_iter().filter_map(Hook::explanation) {
        program_mut(&mut datapath.ebpf, name).unwrap().load().unwrap();
    }
    xdp::guard(&mut datapath.ebpf).unwrap();
    for (name, program) in datapath.ebpf.programs() {
        let count = program.info().unwrap().verified_instruction_count().unwrap();
        assert!(count < LIMIT, "{name}: {count} instructions");
    }
}

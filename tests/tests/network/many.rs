//! 1,500 endpoints on one network: each talks to the host, its gateway and two peers.

use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::net::{IpAddr, Ipv4Addr};
use std::os::unix::fs::OpenOptionsExt as _;

use netswitch::api::{Attach, NamespaceOf, Request, Response};
use netswitch::model::{container::limits::Change, endpoint::Settings};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use tests::world::{Namespace, World, echoes};

/// Beyond the kernel's limit for learnt neighbours, which is 1,024 unless somebody raised it.
const ENDPOINTS: u32 = 1500;
/// Who talks to each other: the neighbours that two peers each cost must not pile up in a test.
const GROUP: usize = 3;

#[test]
fn fifteen_hundred_endpoints_talk() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).unwrap();
    let mut messages = kernel_messages();
    let world = World::new();
    let client = world.client();
    let mut namespaces = Vec::new();
    for number in 0..ENDPOINTS {
        let namespace = Namespace::new();
        let asked = Attach {
            name: format!("container-{number}"),
            namespace: NamespaceOf::Path(namespace.path().into()),
            network: "bridge".into(),
            settings: Settings::default(),
            dns: Vec::new(),
            egress: Vec::new(),
            publish: Vec::new(),
            limits: Change::default(),
            labels: [].into(),
        };
        match client.ask(&Request::Attach(asked)) {
            Ok(Response::Created { .. }) => namespaces.push((namespace, address(number))),
            other => panic!("{number}: {other:?}"),
        }
    }
    let gateway = IpAddr::from([172, 17, 0, 1]);
    for group in namespaces.chunks(GROUP) {
        for (namespace, own) in group {
            let peers = group.iter().map(|(_, peer)| *peer).filter(|peer| peer != own);
            let targets: Vec<IpAddr> = [gateway].into_iter().chain(peers).collect();
            namespace
                .enter(|| echoes(&targets))
                .unwrap_or_else(|error| panic!("{own}: {error}"));
        }
        let targets: Vec<IpAddr> = group.iter().map(|(_, own)| *own).collect();
        world.host.enter(|| echoes(&targets)).unwrap();
        for (namespace, _) in group {
            namespace.sh("ip neigh flush dev eth0").ok();
        }
    }
    let permanent = world.host.sh("ip neigh show dev docker0 nud permanent").ok();
    assert_eq!(permanent.lines().count(), ENDPOINTS as usize);
    let learnt = world.host.sh("ip neigh show dev docker0").ok();
    assert_eq!(learnt.lines().count(), ENDPOINTS as usize, "the host learns nothing");

    let doctor = world.cli(&["doctor"]);
    let limit = std::fs::read_to_string("/proc/sys/net/ipv4/neigh/default/gc_thresh3").unwrap();
    if limit.trim().parse::<u32>().unwrap() <= ENDPOINTS {
        assert_eq!(doctor.status, 1, "{doctor:?}");
        assert!(
            doctor
                .stdout
                .contains("hint: sysctl -w net.ipv4.neigh.default.gc_thresh3="),
            "{doctor:?}"
        );
    }
    let said = new_messages(&mut messages);
    assert!(!said.contains("table overflow"), "{said}");
    // each is told from its neighbours to the end
    let last = world.json(&["inspect", &format!("container-{}", ENDPOINTS - 1)]);
    assert_eq!(
        last[0]["NetworkSettings"]["IPAddress"],
        address(ENDPOINTS - 1).to_string()
    );
}

/// Addresses are given out in order.
fn address(number: u32) -> IpAddr {
    Ipv4Addr::from_bits(u32::from(Ipv4Addr::new(172, 17, 0, 2)) + number).into()
}

/// The kernel's log from here on.
fn kernel_messages() -> File {
    let mut file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open("/dev/kmsg")
        .unwrap();
    file.seek(SeekFrom::End(0)).unwrap();
    file
}

fn new_messages(file: &mut File) -> String {
    let mut said = String::new();
    let mut record = [0; 8192];
    while let Ok(length) = file.read(&mut record) {
        said.push_str(&String::from_utf8_lossy(&record[..length]));
    }
    said
}

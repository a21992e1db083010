//! Slots: records follow the flows that are alive, and none is written by a packet of the flow before it.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

use netswitch::action::{Device, Entry};
use netswitch::datapath::Hook;
use netswitch_common::{
    address::Mac,
    capacity,
    flow::{Flow, FlowKey},
    verdict::DropReason,
};
use tests::fixture::{A, ALPHA, B, HOST_V4, UPLINK_INDEX, WORLD_V4, entries, uplink, uplink::FROM_WORLD, uplink::out};
use tests::loaded::{self, Loaded};
use tests::packet::{Ip, ip};
use tests::records::{Records, state};

use super::{NEXT, RANGE, REDIRECT, drops, receive, send, source_port, with_uplink};

const RST: u8 = 4;

fn set_quota(loaded: &mut Loaded, quota: u32) {
    let config = uplink::config(RANGE, quota);
    loaded.datapath.tables().set_config(&config).expect("a configuration");
}

/// More containers on ALPHA, each with a device of its own: their device's index, MAC and address.
fn make_endpoints(loaded: &mut Loaded, count: u8) -> Vec<(u32, Mac, Ipv4Addr)> {
    let template = entries::all().into_iter().find_map(|entry| match entry {
        Entry::Endpoint { value, .. } if value.id == A.id => Some(value),
        _ => None,
    });
    let template = template.expect("A is an endpoint");
    let slot = entries::all().into_iter().find_map(|entry| match entry {
        Entry::Slot { id, value, .. } if id == A.id => Some(value),
        _ => None,
    });
    let slot = slot.expect("A has a slot");
    let commands: Vec<String> = (0..count)
        .map(|number| {
            let index = 6000 + u32::from(number);
            format!("link add many{number} index {index} type veth peer name far{number}\nlink set many{number} up\n")
        })
        .collect();
    loaded::ip(&commands.concat());
    (0..count)
        .map(|number| {
            let index = 6000 + u32::from(number);
            let address = Ipv4Addr::new(10, 1, 1, number);
            let mac = Mac::of_v4(address.octets());
            let device = || Device {
                name: format!("many{number}"),
                index: Some(index),
            };
            let mut endpoint = template;
            endpoint.id = 300 + u32::from(number);
            endpoint.mac = mac;
            endpoint.v4 = u32::from_ne_bytes(address.octets());
            let mut slot = slot;
            slot.ifindex = index;
            let (id, value) = (endpoint.id, slot);
            let tables = loaded.datapath.tables();
            let endpoint = Entry::Endpoint {
                device: device(),
                value: endpoint,
            };
            tables.write(&endpoint).expect("an endpoint");
            let device = device();
            tables.write(&Entry::Slot { id, device, value }).expect("a slot");
            (index, mac, address)
        })
        .collect()
}

/// The same packet with other flags of TCP; nothing here looks at its checksum.
fn flagged(mut frame: Vec<u8>, flags: u8) -> Vec<u8> {
    frame[47] = flags;
    frame
}

#[test]
fn records_follow_the_flows_that_are_alive() {
    const ENDPOINTS: u8 = 40;
    const FLOWS_EACH: u16 = 4_000;
    with_uplink(RANGE, |loaded| {
        set_quota(loaded, capacity::FLOW_QUOTA);
        let endpoints = make_endpoints(loaded, ENDPOINTS);
        let gateway = ALPHA.host_port().mac();
        for (index, mac, address) in &endpoints {
            let packet = ip((*mac, gateway), *address, WORLD_V4);
            let run = |frame: &[u8]| loaded.datapath.run(Hook::Endpoint, *index, frame, 1).expect("it runs");
            // a connection that is refused: nobody sweeps what it leaves
            for port in 1000..1000 + FLOWS_EACH {
                assert_eq!(run(&packet.syn(port, 80)).verdict, REDIRECT, "{address}, {port}");
                run(&flagged(packet.tcp(port, 80, b""), RST));
            }
        }
        let records = Records::open(&loaded.maps()).all().len();
        let most = usize::from(ENDPOINTS) * 256;
        assert!(records <= most, "{records} records, where {most} would be many");
        // who has used nothing so far is served like everybody
        let fresh = send(loaded, &B, &ip(out(&B), B.v4(), WORLD_V4).syn(4000, 80));
        assert_eq!(fresh.0, REDIRECT);
    });
}

/// Fills RECORDS with flows of endpoints that are not there.
fn fill(records: &mut Records, template: &Flow) {
    let taken = u32::try_from(records.all().len()).expect("a small number");
    for slot in 0..capacity::RECORDS - taken {
        let key = FlowKey { owner: 60_000, slot };
        records.put(key, template);
    }
}

#[test]
fn a_full_table_leaves_everybody_the_slots_they_have() {
    with_uplink(RANGE, |loaded| {
        set_quota(loaded, 128);
        let packet = ip(out(&A), A.v4(), WORLD_V4);
        for port in 4000..4064 {
            assert_eq!(send(loaded, &A, &packet.udp(port, 53, b"x")).0, REDIRECT);
        }
        let mut records = Records::open(&loaded.maps());
        let (_, template) = records.all().pop().expect("a record");
        records.pass(Duration::from_hours(24));
        fill(&mut records, &template);
        // B has no slot and gets none
        assert_ne!(
            send(loaded, &B, &ip(out(&B), B.v4(), WORLD_V4).udp(4000, 53, b"x")).0,
            REDIRECT
        );
        let counted: BTreeSet<&str> = DropReason::ALL
            .iter()
            .filter(|reason| drops(loaded, &B, **reason) > 0)
            .map(|reason| reason.name())
            .collect();
        let opened = (5000..5064)
            .filter(|port| send(loaded, &A, &packet.udp(*port, 53, b"x")).0 == REDIRECT)
            .count();
        assert_eq!(opened, 64, "A has that many slots whose flows are over");
        assert_eq!(counted, BTreeSet::from(["table-full"]), "why B gets none");
    });
}

/// A flow that is found and cannot go on gives nothing of its own to the one in its place.
#[test]
fn a_flow_in_the_place_of_another_is_new() {
    with_uplink(RANGE, |loaded| {
        const OTHER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 77);
        let packet = ip(out(&A), A.v4(), WORLD_V4);
        let answer = |port| ip(FROM_WORLD, WORLD_V4, HOST_V4).udp(53, port, b"y");
        let tcp = send(loaded, &A, &packet.syn(4000, 80));
        receive(
            loaded,
            &ip(FROM_WORLD, WORLD_V4, HOST_V4).tcp(80, source_port(&tcp.1), b""),
        );
        send(loaded, &A, &packet.tcp(4000, 80, b"x"));
        let udp = send(loaded, &A, &packet.udp(4000, 53, b"x"));
        receive(loaded, &answer(source_port(&udp.1)));
        send(loaded, &A, &packet.udp(4000, 53, b"x"));
        let mut records = Records::open(&loaded.maps());
        let states: Vec<_> = records.all().iter().map(|(_, flow)| state(flow)).collect();
        assert_eq!(states, ["established", "established"]);
        let old: BTreeSet<u32> = records.all().iter().map(|(_, flow)| flow.serial).collect();

        // some time later the host has another address, and only that
        records.pass(Duration::from_secs(20));
        loaded::ip(&format!(
            "addr del {HOST_V4}/24 dev up0\naddr add {OTHER}/24 brd + dev up0\nroute add default via 192.0.2.254\n"
        ));
        let Entry::Uplink { device, mut value } = uplink::uplink() else {
            panic!("an uplink's entry");
        };
        value.v4 = IpAddr::from(OTHER).into();
        let tables = loaded.datapath.tables();
        tables.write(&Entry::Uplink { device, value }).expect("an uplink");
        let mut config = tables.config().expect("a configuration");
        config.generation += 1;
        tables.set_config(&config).expect("a configuration");

        let mut wrong = Vec::new();
        for frame in [packet.tcp(4000, 80, b"x"), packet.udp(4000, 53, b"x")] {
            let sent = send(loaded, &A, &frame);
            assert_eq!((sent.0, &sent.1[26..30]), (REDIRECT, &OTHER.octets()[..]));
        }
        let (flows, now) = loaded.datapath.flows().and_then(|flows| flows.list()).expect("a list");
        let new: Vec<_> = flows.iter().filter(|(_, flow)| !old.contains(&flow.serial)).collect();
        assert_eq!(new.len(), 2);
        for (_, flow) in new {
            let left = Duration::from_nanos(flow.deadline - now);
            let protocol = flow.tuples[0].protocol;
            if state(flow) != "new" || left > Duration::from_mins(1) {
                wrong.push(format!("protocol {protocol}: {}, ends in {left:?}", state(flow)));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    });
}

/// Waits for its turn: shortly, for what it is about takes microseconds.
fn wait_for(turn: &AtomicU32, number: u32) {
    for spins in 0_u32.. {
        if turn.load(Ordering::Acquire) == number {
            return;
        }
        match spins % 1000 {
            999 => thread::yield_now(),
            _ => std::hint::spin_loop(),
        }
    }
}

/// Flows that share one slot: as one is answered on one CPU, another takes its place on the other.
#[test]
fn an_answer_to_a_flow_that_has_ended_changes_nothing_in_its_slot() {
    const TRIES: u32 = 20_000;
    with_uplink(RANGE, |loaded| {
        set_quota(loaded, 1);
        let key = FlowKey { owner: A.id, slot: 0 };
        let mut records = Records::open(&loaded.maps());
        let packet = ip(out(&A), A.v4(), WORLD_V4);
        let second = packet.udp(5000, 53, b"x");
        let datapath = &loaded.datapath;
        let send = |frame: &[u8]| datapath.run(Hook::Endpoint, A.index(), frame, 1).expect("it runs");
        let (turn, done) = (AtomicU32::new(0), AtomicU32::new(0));
        let answer = Mutex::new(Vec::new());
        let mut written = Vec::new();
        thread::scope(|scope| {
            scope.spawn(|| {
                for number in 1..=TRIES {
                    wait_for(&turn, number);
                    let frame = answer.lock().expect("nobody panics with it").clone();
                    // each try meets the other flow a little later: it takes its slot when it has found its way
                    for _ in 0..number % 128 {
                        std::hint::spin_loop();
                    }
                    datapath.run(Hook::Uplink, UPLINK_INDEX, &frame, 1).expect("it runs");
                    done.store(number, Ordering::Release);
                }
            });
            for number in 1..=TRIES {
                let port = 10_000 + u16::try_from(number % 10_000).expect("a port");
                let first = send(&packet.udp(port, 53, b"x"));
                let outer = source_port(&first.frame);
                *answer.lock().expect("nobody panics with it") = ip(FROM_WORLD, WORLD_V4, HOST_V4).udp(53, outer, b"y");
                turn.store(number, Ordering::Release);
                send(&second);
                wait_for(&done, number);
                // the second flow was never answered, unless it got the port that the first one had
                if let Some(flow) = records.get(key)
                    && flow.tuples[0].from_port == 5000_u16.to_be()
                    && flow.tuples[1].to_port != outer.to_be()
                    && state(&flow) != "new"
                {
                    written.push(format!("try {number}: {}", state(&flow)));
                }
                records.remove(key);
            }
        });
        let first = written.first();
        assert!(
            written.is_empty(),
            "{} of {TRIES} flows that nobody has answered, {first:?}",
            written.len()
        );
    });
}

/// In one order at a time: a packet that comes after its flow's slot was taken.
#[test]
fn a_late_packet_finds_no_flow() {
    with_uplink(RANGE, |loaded| {
        let packet: Ip = ip(out(&A), A.v4(), WORLD_V4);
        let old = send(loaded, &A, &packet.udp(3999, 53, b"x"));
        let old = ip(FROM_WORLD, WORLD_V4, HOST_V4).udp(53, source_port(&old.1), b"late");
        for port in 4000..4064 {
            assert_eq!(send(loaded, &A, &packet.udp(port, 53, b"x")).0, REDIRECT);
        }
        let records = Records::open(&loaded.maps());
        let mut before = records.all();
        assert_eq!(receive(loaded, &old).0, NEXT);
        let mut after = records.all();
        before.sort_unstable_by_key(|(key, _)| *key);
        after.sort_unstable_by_key(|(key, _)| *key);
        assert!(before == after, "a record has changed");
    });
}

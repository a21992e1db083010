//! Flows: what goes out to the world and comes in at published ports, packet by packet, every byte compared
//! with a packet built for its new addresses.

mod answers;
mod error;
mod faults;
mod fragment;
mod held;
mod life;
mod masquerade;
mod overlap;
mod publish;
mod route;
mod sctp;
mod slots;
mod source_port;
mod stack;

use std::net::IpAddr;

use netswitch::datapath::Hook;
use netswitch_common::{capacity, verdict::DropReason};
use tests::fixture::{Port, UPLINK_INDEX, uplink};
use tests::loaded::{Loaded, in_the_world};
use tests::packet::describe;
use tests::switch::Counter;

/// Verdicts of TC.
pub const SHOT: i32 = 2;
pub const REDIRECT: i32 = 7;
const NEXT: i32 = -1;

/// Ports for masquerade, first and how many.
pub const RANGE: (u16, u16) = capacity::MASQUERADE_PORTS;

/// The fixed world with an uplink.
pub fn with_uplink(ports: (u16, u16), test: impl FnOnce(&mut Loaded) + Send + 'static) {
    in_the_world(move |loaded| {
        let tables = loaded.datapath.tables();
        tables.write(&uplink::uplink()).expect("an uplink");
        tables.set_config(&uplink::config(ports, 64)).expect("a configuration");
        test(loaded);
    });
}

pub fn send(loaded: &Loaded, port: &Port, frame: &[u8]) -> (i32, Vec<u8>) {
    let ran = loaded
        .datapath
        .run(Hook::Endpoint, port.index(), frame, 1)
        .expect("it runs");
    (ran.verdict, ran.frame)
}

pub fn receive(loaded: &Loaded, frame: &[u8]) -> (i32, Vec<u8>) {
    let ran = loaded
        .datapath
        .run(Hook::Uplink, UPLINK_INDEX, frame, 1)
        .expect("it runs");
    (ran.verdict, ran.frame)
}

/// Compares all but the MACs: those of a packet to the world are the neighbour table's.
#[track_caller]
fn same_packet(found: &(i32, Vec<u8>), expected: &[u8]) {
    assert_eq!(found.0, REDIRECT, "{}", describe(&found.1));
    assert!(
        found.1[14..] == expected[14..],
        "{}\ninstead of\n{}",
        describe(&found.1),
        describe(expected)
    );
}

#[track_caller]
fn same_frame(found: &(i32, Vec<u8>), expected: &[u8]) {
    same_packet(found, expected);
    assert_eq!(found.1[..14], expected[..14], "{}", describe(&found.1));
}

/// The source port of a UDP or TCP packet over plain IP.
fn source_port(frame: &[u8]) -> u16 {
    let at = if frame[12..14] == [0x86, 0xdd] { 54 } else { 34 };
    u16::from_be_bytes([frame[at], frame[at + 1]])
}

pub fn drops(loaded: &mut Loaded, port: &Port, reason: DropReason) -> u64 {
    let counters = loaded.counters();
    counters
        .get(&Counter::Drop(port.id, reason))
        .map_or(0, |count| count.packets)
}

/// Publishes `first..=last` of the host on a container's ports from `container` on.
pub fn publish(
    loaded: &mut Loaded,
    host: impl Into<IpAddr>,
    ports: (u16, u16),
    port: &Port,
    container: u16,
    flags: u32,
) {
    for entry in uplink::publication(host.into(), ports, port, container, flags) {
        loaded.datapath.tables().write(&entry).expect("an entry");
    }
}

//! Rows that take a leash: A may begin to speak with B's port 80, and with the world's port 53 by a name; its
//! network lets it speak with both of B's ports, and with the world.

use netswitch::action::Entry;
use netswitch_common::{
    capacity,
    host::Config,
    leash::{Classes, LeashPortsKey},
    policy::{PROTOCOL_BITS, SET_BITS, Standing, flags, half},
    publish::protocol,
    verdict::{DropReason, Verdict},
};

use super::flow::{FlowRow, refused, row, sent};
use crate::{
    fixture::{A, B, Port, WORLD_V4, uplink},
    packet::{Ip, ip},
};

const EPOCH: u32 = 1;
/// The generation of every port in the fixed world.
pub const LEASH: u32 = 1;

pub fn rows() -> Vec<FlowRow> {
    let asks = |from, port| sent(&A, to(&A, &B).syn(from, port));
    let begun = sent(&B, to(&B, &A).syn(4200, 4299));
    let answer = sent(&A, to(&A, &B).tcp(4299, 4200, b"!"));
    let under_way = sent(&A, to(&A, &B).tcp(4201, 81, b"?"));
    let world = |port| sent(&A, ip(uplink::out(&A), A.v4(), WORLD_V4).udp(4202, port, b"?"));
    let ping = sent(&A, to(&A, &B).ping());
    [
        row("what a leash names", asks(4203, 80), Verdict::Admit),
        row("an answer to who may begin", answer, Verdict::Follow).after(&[begun]),
        refused(
            "another port than a leash names",
            asks(4204, 81),
            &A,
            DropReason::Egress,
        ),
        refused("a protocol without ports", ping, &A, DropReason::Egress),
        refused("as if it were under way", under_way, &A, DropReason::Egress),
        row("to the world, as a leash says", world(53), Verdict::Open),
        refused("to the world beside the leash", world(54), &A, DropReason::Egress),
    ]
    .map(in_force)
    .into()
}

pub fn to(from: &Port, to: &Port) -> Ip {
    ip((from.mac(), to.mac()), from.v4(), to.v4())
}

fn in_force(row: FlowRow) -> FlowRow {
    FlowRow {
        config: config(),
        entries: entries(),
        ..row
    }
}

/// With a policy that says nothing.
pub fn config() -> Config {
    Config {
        policy_epoch: EPOCH,
        ..uplink::config(capacity::MASQUERADE_PORTS, 64)
    }
}

/// A's leash.
pub fn entries() -> Vec<Entry> {
    let mut value = Standing::default();
    value.flags[half(EPOCH)] = flags::CONCERNED | flags::LEASHED | flags::LEASHED_BY_NETWORK;
    let prefix = |address: std::net::IpAddr, classes: Classes| Entry::Leashed {
        leash: LEASH,
        network: address.into(),
        classes,
    };
    let ports = |protocol, port: u16, length, classes| Entry::LeashPorts {
        key: LeashPortsKey {
            leash: LEASH,
            protocol,
            _pad: 0,
            port: port.to_be(),
        },
        length,
        classes,
    };
    vec![
        Entry::Standing { endpoint: A.id, value },
        prefix(B.v4().into(), [1, 1]),
        prefix(WORLD_V4.into(), [2, 2]),
        ports(0, 0, SET_BITS, [0, 2]),
        ports(protocol::TCP, 80, PROTOCOL_BITS + 16, [1, 3]),
        ports(protocol::TCP, 81, PROTOCOL_BITS + 16, [0, 3]),
        ports(protocol::UDP, 53, PROTOCOL_BITS + 16, [2, 2]),
    ]
}

//! Rows that take a policy: A may begin what a rule allows and nothing else, with B and with D, which is on
//! another network.

use netswitch::action::Entry;
use netswitch_common::{
    capacity,
    host::Config,
    policy::{PROTOCOL_BITS, PairKey, Ruling, RulingKey, Standing, action, flags, half},
    publish::protocol,
    verdict::{DropReason, Verdict},
};

use super::flow::{FlowRow, refused, row, sent};
use crate::{
    fixture::{A, B, D, Port, WORLD_V4, uplink},
    packet::{Ip, ip},
};

const EPOCH: u32 = 1;
const RULE: u32 = 7;

pub fn rows() -> Vec<FlowRow> {
    let asks = |from, port| sent(&A, to(&A, &B).syn(from, port));
    let answer = sent(&B, to(&B, &A).tcp(80, 4101, b"!"));
    let under_way = |from, port| sent(&A, to(&A, &B).tcp(from, port, b"?"));
    let routed = ip(uplink::out(&A), A.v4(), D.v4()).udp(4107, 53, b"?");
    let world = |port| sent(&A, ip(uplink::out(&A), A.v4(), WORLD_V4).udp(4105, port, b"?"));
    let begun = sent(&B, to(&B, &A).syn(4106, 83));
    let other = sent(&A, to(&A, &B).udp(4108, 80, b"?"));
    [
        row("what a rule allows", asks(4100, 80), Verdict::Admit),
        row("an answer to it", answer, Verdict::Follow).after(&[asks(4101, 80)]),
        refused("what no rule allows", asks(4102, 81), &A, DropReason::PolicyDenied),
        row(
            "a connection that is under way and allowed",
            under_way(4103, 80),
            Verdict::Admit,
        ),
        row(
            "one that the other end may have begun",
            under_way(82, 4104),
            Verdict::Admit,
        ),
        refused("another protocol than the rule's", other, &A, DropReason::PolicyDenied),
        row("the other way round", begun, Verdict::Admit),
        row("to another network, by a rule", sent(&A, routed), Verdict::Open),
        refused("to the world, by no rule", world(53), &A, DropReason::PolicyDenied),
    ]
    .map(in_force)
    .into()
}

fn to(from: &Port, to: &Port) -> Ip {
    ip((from.mac(), to.mac()), from.v4(), to.v4())
}

fn in_force(row: FlowRow) -> FlowRow {
    let standing = |port: &Port, identity, denies| {
        let mut value = Standing::default();
        value.identities[half(EPOCH)] = identity;
        value.flags[half(EPOCH)] = flags::CONCERNED | denies;
        Entry::Standing {
            endpoint: port.id,
            value,
        }
    };
    let pair = |to, set| Entry::Pair {
        key: PairKey {
            epoch: EPOCH,
            from: 3,
            to,
        },
        set,
    };
    let ruling = |set, protocol, port: u16, length| Entry::Ruling {
        key: RulingKey {
            set,
            protocol,
            _pad: 0,
            port: port.to_be(),
        },
        length,
        value: Ruling {
            action: action::ALLOW,
            rule: RULE,
        },
    };
    FlowRow {
        config: Config {
            policy_epoch: EPOCH,
            ..uplink::config(capacity::MASQUERADE_PORTS, 64)
        },
        entries: vec![
            standing(&A, 3, flags::DENY_OUT),
            standing(&B, 4, 0),
            standing(&D, 5, 0),
            pair(4, 1),
            pair(5, 2),
            ruling(1, protocol::TCP, 80, PROTOCOL_BITS + 16),
            ruling(2, protocol::UDP, 0, PROTOCOL_BITS),
        ],
        ..row
    }
}

//! Rows of ARP and neighbour discovery: the switch answers from its table.

use std::net::{Ipv4Addr, Ipv6Addr};

use netswitch_common::{
    address::Mac,
    verdict::{DropReason, Verdict},
};

use super::{Row, Sent, sends};
use crate::{
    fixture::{
        A, ALPHA, ALPHA_HOST, B, BETA_HOST, D, E, EXTRA_V4, EXTRA_V6, F, FREE, G, MORE, Port, QUIET_HOST, SIX, SMALL,
    },
    packet::{Arp, DESTINATION_OPTIONS, ip, multicast_mac, solicited_node},
};

pub fn rows() -> Vec<Row> {
    [arp(), discovery(), announcements(), without_icc()]
        .into_iter()
        .flatten()
        .collect()
}

fn ask(from: &Port, target: Ipv4Addr) -> Vec<u8> {
    Arp::request((from.mac(), from.v4()), target).frame(from.mac(), Mac::BROADCAST)
}

fn reply(from: Mac, address: Ipv4Addr, to: &Port) -> Vec<u8> {
    Arp::reply((from, address), (to.mac(), to.v4())).frame(from, to.mac())
}

fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(60, 0);
    frame
}

fn solicit(from: &Port, target: Ipv6Addr) -> Vec<u8> {
    let group = solicited_node(target);
    ip((from.mac(), multicast_mac(group)), from.v6(), group).solicit(target, Some(from.mac()))
}

/// The answer about `target` to an asker's address.
fn advertise(from: Mac, target: Ipv6Addr, to: &Port, address: Ipv6Addr) -> Vec<u8> {
    ip((from, to.mac()), target, address).advertise(0x60, target, Some(from))
}

trait Answers {
    fn gets_told(self, target: impl Into<std::net::IpAddr>, mac: Mac, asker: &Port) -> Row;
}

impl Answers for Sent {
    fn gets_told(self, target: impl Into<std::net::IpAddr>, mac: Mac, asker: &Port) -> Row {
        match target.into() {
            std::net::IpAddr::V4(target) => self.is_answered(Verdict::AnswerArp, mac, reply(mac, target, asker)),
            std::net::IpAddr::V6(target) => {
                let answer = advertise(mac, target, asker, asker.v6());
                self.is_answered(Verdict::AnswerNeighbour, mac, answer)
            }
        }
    }
}

fn arp() -> Vec<Row> {
    let unicast = Arp::request((A.mac(), A.v4()), B.v4()).frame(A.mac(), B.mac());
    let probe = |target| Arp::request((A.mac(), Ipv4Addr::UNSPECIFIED), target).frame(A.mac(), Mac::BROADCAST);
    let probe_answer = Arp::reply((B.mac(), B.v4()), (A.mac(), Ipv4Addr::UNSPECIFIED)).frame(B.mac(), A.mac());
    vec![
        sends(&A, "who has a neighbour", ask(&A, B.v4())).gets_told(B.v4(), B.mac(), &A),
        sends(&A, "who has the gateway", ask(&A, ALPHA_HOST.v4())).gets_told(ALPHA_HOST.v4(), ALPHA_HOST.mac(), &A),
        sends(&A, "who has a neighbour, in a padded frame", padded(ask(&A, B.v4()))).is_answered(
            Verdict::AnswerArp,
            B.mac(),
            padded(reply(B.mac(), B.v4(), &A)),
        ),
        sends(&A, "who has a neighbour, asked of it directly", unicast).gets_told(B.v4(), B.mac(), &A),
        sends(&A, "who has a further address", ask(&A, EXTRA_V4)).gets_told(EXTRA_V4, MORE.mac(), &A),
        sends(&ALPHA_HOST, "the host asks for a container", ask(&ALPHA_HOST, A.v4())).gets_told(
            A.v4(),
            A.mac(),
            &ALPHA_HOST,
        ),
        sends(&D, "who has a neighbour on a v4-only network", ask(&D, E.v4())).gets_told(E.v4(), E.mac(), &D),
        sends(&A, "who has nobody", ask(&A, ALPHA.v4(200))).is_dropped(DropReason::NoSuchNeighbour),
        sends(&A, "who has a container without v4", ask(&A, SIX.v4())).is_dropped(DropReason::NoSuchNeighbour),
        sends(&A, "who has a member of another network", ask(&A, D.v4())).is_dropped(DropReason::NoSuchNeighbour),
        sends(&A, "who has another network's gateway", ask(&A, BETA_HOST.v4())).is_dropped(DropReason::NoSuchNeighbour),
        sends(&A, "a probe for a neighbour's address", probe(B.v4())).is_answered(
            Verdict::AnswerArp,
            B.mac(),
            probe_answer,
        ),
        sends(&A, "a probe for a free address", probe(ALPHA.v4(200))).is_dropped(DropReason::NoSuchNeighbour),
    ]
}

fn discovery() -> Vec<Row> {
    let unicast = ip((A.mac(), B.mac()), A.v6(), B.v6()).solicit(B.v6(), Some(A.mac()));
    let group = solicited_node(B.v6());
    let multicast = (A.mac(), multicast_mac(group));
    let from_link_local = ip(multicast, A.link_local(), group).solicit(B.v6(), Some(A.mac()));
    let without_option = ip(multicast, A.v6(), group).solicit(B.v6(), None);
    let forwarded = ip(multicast, A.v6(), group).hops(63).solicit(B.v6(), Some(A.mac()));
    vec![
        sends(&A, "solicits a neighbour", solicit(&A, B.v6())).gets_told(B.v6(), B.mac(), &A),
        sends(&A, "solicits a neighbour's link-local", solicit(&A, B.link_local())).gets_told(
            B.link_local(),
            B.mac(),
            &A,
        ),
        sends(&A, "solicits the gateway", solicit(&A, ALPHA_HOST.v6())).gets_told(
            ALPHA_HOST.v6(),
            ALPHA_HOST.mac(),
            &A,
        ),
        sends(
            &A,
            "solicits the gateway's link-local",
            solicit(&A, ALPHA_HOST.link_local()),
        )
        .gets_told(ALPHA_HOST.link_local(), ALPHA_HOST.mac(), &A),
        sends(&A, "solicits a further address", solicit(&A, EXTRA_V6)).gets_told(EXTRA_V6, MORE.mac(), &A),
        sends(&A, "solicits a neighbour directly", unicast).gets_told(B.v6(), B.mac(), &A),
        sends(&A, "solicits a neighbour without naming its mac", without_option).gets_told(B.v6(), B.mac(), &A),
        sends(&A, "solicits from its link-local", from_link_local).is_answered(
            Verdict::AnswerNeighbour,
            B.mac(),
            advertise(B.mac(), B.v6(), &A, A.link_local()),
        ),
        sends(
            &ALPHA_HOST,
            "the host solicits a container",
            solicit(&ALPHA_HOST, A.v6()),
        )
        .gets_told(A.v6(), A.mac(), &ALPHA_HOST),
        sends(&A, "solicits nobody", solicit(&A, ALPHA.v6(200))).is_dropped(DropReason::NoSuchNeighbour),
        sends(&A, "solicits a member of another network", solicit(&A, F.v6())).is_dropped(DropReason::NoSuchNeighbour),
        sends(&A, "a solicitation with a code", {
            ip(multicast, A.v6(), group)
                .hops(255)
                .icmp(135, 1, &[&[0; 4][..], &B.v6().octets()].concat())
        })
        .is_dropped(DropReason::Malformed),
        sends(&A, "a solicitation from beyond the link", forwarded).is_dropped(DropReason::Malformed),
        sends(&A, "solicits a neighbour behind an extension header", {
            ip(multicast, A.v6(), group)
                .extension(DESTINATION_OPTIONS, &[1, 4, 0, 0, 0, 0])
                .solicit(B.v6(), Some(A.mac()))
        })
        .gets_told(B.v6(), B.mac(), &A),
    ]
}

fn announcements() -> Vec<Row> {
    let others = [&ALPHA_HOST, &B, &SMALL, &FREE, &MORE, &SIX];
    let group = solicited_node(A.v6());
    let own_group = (A.mac(), multicast_mac(group));
    let probe = ip(own_group, Ipv6Addr::UNSPECIFIED, group).solicit(A.v6(), None);
    let link_local = solicited_node(A.link_local());
    let link_local_probe =
        ip((A.mac(), multicast_mac(link_local)), Ipv6Addr::UNSPECIFIED, link_local).solicit(A.link_local(), None);
    let own = |sender: Ipv4Addr| Arp::request((A.mac(), sender), A.v4()).frame(A.mac(), Mac::BROADCAST);
    let gratuitous_reply = Arp::reply((A.mac(), A.v4()), (Mac::BROADCAST, A.v4())).frame(A.mac(), Mac::BROADCAST);
    vec![
        sends(&A, "a probe for its own v4", own(Ipv4Addr::UNSPECIFIED)).is_copied_to(&others),
        sends(&A, "a gratuitous arp request", own(A.v4())).is_copied_to(&others),
        sends(&A, "a gratuitous arp answer", gratuitous_reply).is_copied_to(&others),
        sends(&FREE, "a gratuitous arp for another without guard", {
            Arp::request((FREE.mac(), A.v4()), A.v4()).frame(FREE.mac(), Mac::BROADCAST)
        })
        .is_copied_to(&[&ALPHA_HOST, &A, &B, &SMALL, &MORE, &SIX]),
        sends(&MORE, "a gratuitous arp for a further address", {
            Arp::request((MORE.mac(), EXTRA_V4), EXTRA_V4).frame(MORE.mac(), Mac::BROADCAST)
        })
        .is_copied_to(&[&ALPHA_HOST, &A, &B, &SMALL, &FREE, &SIX]),
        sends(&A, "duplicate address detection of its own v6", probe).is_copied_to(&others),
        sends(
            &A,
            "duplicate address detection of its own link-local",
            link_local_probe,
        )
        .is_copied_to(&others),
    ]
}

fn without_icc() -> Vec<Row> {
    vec![
        sends(&F, "without icc: who has the gateway", ask(&F, QUIET_HOST.v4())).gets_told(
            QUIET_HOST.v4(),
            QUIET_HOST.mac(),
            &F,
        ),
        sends(&F, "without icc: who has a neighbour", ask(&F, G.v4())).is_dropped(DropReason::IccDisabled),
        sends(&F, "without icc: solicits the gateway", solicit(&F, QUIET_HOST.v6())).gets_told(
            QUIET_HOST.v6(),
            QUIET_HOST.mac(),
            &F,
        ),
        sends(&F, "without icc: solicits a neighbour", solicit(&F, G.v6())).is_dropped(DropReason::IccDisabled),
        sends(
            &QUIET_HOST,
            "without icc: the host asks for a container",
            ask(&QUIET_HOST, F.v4()),
        )
        .gets_told(F.v4(), F.mac(), &QUIET_HOST),
    ]
}

//! Fragments: only the first one has ports.

use netswitch_common::publish::protocol;
use tests::fixture::{A, HOST_V4, WORLD_V4, uplink::out};
use tests::loaded::Loaded;
use tests::maps;
use tests::packet::ip;

use super::{RANGE, REDIRECT, SHOT, same_packet, send, with_uplink};

#[test]
fn case_3_a_later_fragment_waits_for_the_first() {
    with_uplink(RANGE, |loaded| {
        let datagram = ip(out(&A), A.v4(), WORLD_V4).udp(4000, 53, &[7; 72]);
        let part = |from: usize, more| {
            let offset = u16::try_from(from).expect("a small offset");
            ip(out(&A), A.v4(), WORLD_V4)
                .fragment(offset, more)
                .protocol(protocol::UDP, &datagram[34 + from..(34 + from + 40)])
        };
        assert_eq!(send(loaded, &A, &part(40, false)).0, SHOT);
        let parked = |loaded: &Loaded| maps::dump_all(&loaded.maps())["PARKED"].len();
        assert_eq!(parked(loaded), 1);
        // all of it arrives once more, on a device that has no program here
        assert_eq!(send(loaded, &A, &part(0, true)).0, SHOT);
        assert_eq!(parked(loaded), 0);
        let first = send(loaded, &A, &part(0, true));
        assert_eq!(first.0, REDIRECT);
        assert_eq!(first.1[26..30], HOST_V4.octets());
        let second = send(loaded, &A, &part(40, false));
        let expected = ip(out(&A), HOST_V4, WORLD_V4)
            .hops(63)
            .fragment(40, false)
            .protocol(protocol::UDP, &[7; 40]);
        same_packet(&second, &expected);
    });
}

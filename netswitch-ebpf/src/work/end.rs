//! An end of a flow on the sheet, written in place: the stack has no room for another one.

use core::cell::Cell;

use netswitch_common::{
    address::{Address, Mac},
    flow::FlowEnd,
};

use crate::place::part;

/// It becomes what an endpoint is, with its MAC and its gateway's.
#[inline(always)]
pub fn set_endpoint(end: &Cell<FlowEnd>, endpoint: u32, generation: u32, mtu: u16, mac: Mac, gateway: Mac) {
    set_world(end, 0, 0, mtu, mac, gateway);
    part!(end, endpoint).set(endpoint);
    part!(end, generation).set(generation);
}

/// It becomes the world's behind a device; the next hop is the neighbour with that MAC.
#[inline(always)]
pub fn set_world(end: &Cell<FlowEnd>, way: u8, ifindex: u32, mtu: u16, mac: Mac, source: Mac) {
    part!(end, endpoint).set(0);
    part!(end, generation).set(0);
    part!(end, ifindex).set(ifindex);
    part!(end, remote).set(0);
    part!(end, mtu).set(mtu);
    part!(end, mac).set(mac);
    part!(end, source).set(source);
    part!(end, way).set(way);
    part!(end, silent).set(0);
    part!(end, next_hop).set(Address::NONE);
}

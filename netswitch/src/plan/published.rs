//! The published-port table as the map has it: chunks of 256 ports, and beside those of each address one that
//! says which ports are taken anywhere.

use std::collections::BTreeSet;

use netswitch_common::{
    address::Address,
    publish::{ANYWHERE, PublishedKey, PublishedPorts},
};

use super::{entries::differences, view::View};
use crate::action::{Action, Entry};
use crate::model::{
    publish::{
        Protocol, Publication,
        table::{Chunk, Key, Table},
    },
    state::State,
};

/// Protocol and upper eight bits of the port.
type Ports = (Protocol, u8);

/// Every chunk that the map must hold.
pub fn all(state: &State) -> Vec<Entry> {
    let table = state.published();
    let mut entries: Vec<Entry> = table.chunks().map(|(key, chunk)| entry(*key, chunk)).collect();
    let ports: BTreeSet<Ports> = table
        .chunks()
        .map(|((protocol, high, _), _)| (*protocol, *high))
        .collect();
    entries.extend(ports.into_iter().filter_map(|ports| {
        let chunks = table.of_ports(ports.0, ports.1).map(|(_, chunk)| chunk);
        Some(anywhere(ports, &union(chunks)?))
    }));
    entries
}

/// What a change does to the table: first what is taken back, to be done before the publications go; then
/// what is given out, to be done when they are there.
pub struct Changed {
    pub taken_back: Vec<Action>,
    pub given_out: Vec<Action>,
}

pub fn changed(view: &View<'_>) -> Changed {
    let (old, new) = publications(view);
    let touched: BTreeSet<Key> = old
        .iter()
        .chain(&new)
        .flat_map(|publication| publication.chunks().map(|(key, _)| key))
        .collect();
    let before = view.before.published();
    let mut table = Table::default();
    for key in &touched {
        table.set(*key, before.chunk(key).cloned());
    }
    let at_first = snapshot(before, &table, &touched);
    for publication in &old {
        table.remove(publication);
    }
    let between = snapshot(before, &table, &touched);
    for publication in &new {
        table.add(publication);
    }
    let at_last = snapshot(before, &table, &touched);
    Changed {
        taken_back: differences(&at_first, between.clone()),
        given_out: differences(&between, at_last),
    }
}

/// Publications that go, and that come, of endpoints whose publications change.
fn publications<'a>(view: &View<'a>) -> (Vec<&'a Publication>, Vec<&'a Publication>) {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    for (before, after) in view.changes.publications(view.before) {
        old.extend(before);
        new.extend(after);
    }
    (old, new)
}

/// The touched chunks, and the union of each of their ports over all addresses.
fn snapshot(before: &Table, table: &Table, touched: &BTreeSet<Key>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = table.chunks().map(|(key, chunk)| entry(*key, chunk)).collect();
    let ports: BTreeSet<Ports> = touched.iter().map(|(protocol, high, _)| (*protocol, *high)).collect();
    for ports in ports {
        let untouched = before
            .of_ports(ports.0, ports.1)
            .filter(|(key, _)| !touched.contains(key));
        let chunks = untouched.chain(table.of_ports(ports.0, ports.1));
        entries.extend(union(chunks.map(|(_, chunk)| chunk)).map(|chunk| anywhere(ports, &chunk)));
    }
    entries
}

fn union<'a>(chunks: impl Iterator<Item = &'a Chunk>) -> Option<Chunk> {
    let mut union: Option<Chunk> = None;
    for chunk in chunks {
        match &mut union {
            None => union = Some(chunk.clone()),
            Some(union) => {
                for (port, number) in union.iter_mut().zip(chunk.iter()).filter(|(port, _)| **port == 0) {
                    *port = *number;
                }
            }
        }
    }
    union
}

fn entry((protocol, port_high, host): Key, chunk: &Chunk) -> Entry {
    published(protocol, port_high, host.into(), chunk)
}

fn anywhere((protocol, port_high): Ports, chunk: &Chunk) -> Entry {
    published(protocol, port_high, ANYWHERE, chunk)
}

fn published(protocol: Protocol, port_high: u8, address: Address, chunk: &Chunk) -> Entry {
    Entry::Published {
        key: PublishedKey {
            address,
            protocol: protocol.number(),
            port_high,
            _pad: [0; 2],
        },
        value: Box::new(PublishedPorts(**chunk)),
    }
}

//! Resolve: a container's question for a name that NAMES has the answer to. Everything else the agent's server
//! answers, and alike. On a network of gateway mode isolated there is none, and the switch says so, too, if there is
//! no such name.

use core::cell::Cell;

use aya_ebpf::{bindings::__sk_buff, check_bounds_signed, helpers::bpf_skb_load_bytes};
use netswitch_common::{
    address::Address,
    checksum::{self, total},
    endpoint::{Endpoint, Kind, flags},
    name::{LONGEST, Name, NameKey, SEVERAL, View, lower},
    verdict::{Decision, Verdict},
};

use crate::{
    headers::{
        dns::{Asked, KIND, Message, PLAIN, PORT, RECORD_HEADER, THE_NAME, code, kind},
        protocol,
    },
    maps,
    packet::{self, Frame, Headers, plain_transport},
    place::part,
    work::{Answer, Denial, Work},
};

/// Whether a frame to the gateway's MAC is a question that the map answers; then the decision is in `work`.
#[inline(always)]
pub fn find(frame: Frame, headers: Headers, endpoint: &Endpoint) -> bool {
    headers.protocol == protocol::UDP
        && headers.transport == plain_transport(headers.family)
        && headers.more_fragments == 0
        && frame
            .read::<[u16; 2]>(u32::from(headers.transport & packet::LONGEST))
            .is_some_and(|ports| ports[1] == PORT)
        && find_name(frame.0, headers.bits(), endpoint) != 0
}

#[unsafe(no_mangle)]
extern "C" fn find_name(skb: *mut __sk_buff, headers: u64, endpoint: *const Endpoint) -> u32 {
    // SAFETY: from `find`; the verifier checks that the endpoint is one
    let (headers, endpoint) = unsafe { (Headers::from_bits(headers), endpoint.as_ref()) };
    let found = endpoint.and_then(|endpoint| look(Frame::new(skb), headers, endpoint));
    u32::from(found.is_some())
}

#[inline(always)]
fn look(frame: Frame, headers: Headers, endpoint: &Endpoint) -> Option<()> {
    let network = maps::network(endpoint.network)?;
    let to = frame.addresses(headers.family).ok()?.to;
    let nobody_else = !network.is_gateway(to);
    if nobody_else && !answers_alone(endpoint, to) {
        return None;
    }
    let work = maps::work()?;
    let family = headers.family;
    let verdict = match record(frame, headers, endpoint, work, nobody_else) {
        Ok(()) => Verdict::AnswerName,
        Err(code) if nobody_else => {
            work.start_denial().write(Denial { family, code });
            Verdict::DenyName
        }
        Err(_) => return None,
    };
    work.start_decision().write(Decision {
        verdict: verdict as u32,
        ifindex: frame.ifindex(),
        way: endpoint.way,
        network: endpoint.network,
        mac: network.mac,
        ..Decision::default()
    });
    Some(())
}

/// Whether the switch alone answers at the address, which is no gateway: on networks without one.
#[inline(always)]
fn answers_alone(endpoint: &Endpoint, address: Address) -> bool {
    endpoint.flags & flags::ISOLATED != 0
        && maps::neighbour(endpoint.network, address).is_some_and(|neighbour| neighbour.port.kind == Kind::Host as u8)
}

/// The record that answers the question, onto the sheet; or what can be said instead.
#[inline(always)]
fn record(frame: Frame, headers: Headers, endpoint: &Endpoint, work: &Work, nobody_else: bool) -> Result<(), u16> {
    let view = maps::view(endpoint.sandbox).filter(|view| view.networks[0] != 0);
    let view = view.ok_or(code::CANNOT_TELL)?;
    let answer = work.start_answer();
    answer.family.set(headers.family);
    read(frame, headers, &answer.asked, nobody_else).ok_or(code::CANNOT_TELL)?;
    let name = first(view, part!(answer.asked, key)).ok_or(code::NO_SUCH_NAME)?;
    let length = match nobody_else {
        true => name.length & !SEVERAL,
        false => name.length,
    };
    if length + KIND as u32 != answer.asked.get().length {
        return Err(code::NO_SUCH_NAME);
    }
    fill(&answer, name).ok_or(code::NOTHING)?;
    answer.done();
    Ok(())
}

/// What the message asks for, with its name in lower case. It may have `options` (EDNS).
#[inline(always)]
fn read(frame: Frame, headers: Headers, asked: &Cell<Asked>, options: bool) -> Option<()> {
    let at = u32::from(plain_transport(headers.family));
    let message: Message = frame.read(at)?;
    if message.flags & !PLAIN != 0
        || message.questions != 1_u16.to_be()
        || message.answers | message.authorities != 0
        || u16::from_be(message.additions) > u16::from(options)
    {
        return None;
    }
    let length = match message.additions {
        0 => i64::from(u16::from_be(message.length)) - size_of::<Message>() as i64,
        _ => name_length(frame, at + size_of::<Message>() as u32, part!(asked, key.name))? + KIND as i64,
    };
    let key = part!(asked, key.name);
    key.set([0; LONGEST]);
    let name = key.as_ptr().cast::<u8>();
    // SAFETY: the length is checked against the place's, and what stands behind the name lies in front of its end
    let kind = unsafe {
        if !check_bounds_signed(length, 1 + KIND as i64, (LONGEST + KIND) as i64)
            || bpf_skb_load_bytes(
                frame.0.cast(),
                at + size_of::<Message>() as u32,
                name.cast(),
                length as u32,
            ) != 0
        {
            return None;
        }
        let place = name.add(length as usize - KIND).cast::<[u16; 2]>();
        let kind = place.read_unaligned();
        place.write_unaligned([0; 2]);
        kind
    };
    let [kind, class] = kind;
    if class != kind::INTERNET {
        return None;
    }
    let length = length as u32;
    part!(asked, kind).set(kind);
    part!(asked, length).set(length);
    // SAFETY: the sum is read from the name, and nothing is written meanwhile
    let sum = checksum::narrow(total::<_, { LONGEST / 4 }>(unsafe { &*key.as_ptr() }));
    part!(asked, sum).set(sum + placed(length, u64::from(kind) + u64::from(class)));
    let words = name.cast::<u64>();
    for word in 0..LONGEST / size_of::<u64>() {
        // SAFETY: inside the name, which is aligned to eight bytes in its key
        unsafe { *words.add(word) = lower(*words.add(word)) };
    }
    Some(())
}

/// Up to the first zero, which ends every name of ours. The longest one and what has to follow it are looked at.
#[inline(always)]
fn name_length(frame: Frame, at: u32, name: &Cell<[u8; LONGEST]>) -> Option<i64> {
    let rest = i64::from(frame.length()) - i64::from(at);
    let looked_at = if rest > LONGEST as i64 { LONGEST as i64 } else { rest };
    if !check_bounds_signed(looked_at, 1, LONGEST as i64) {
        return None;
    }
    // SAFETY: the length was checked against the place's
    let loaded = unsafe { bpf_skb_load_bytes(frame.0.cast(), at, name.as_ptr().cast(), looked_at as u32) };
    if loaded != 0 {
        return None;
    }
    let (mut length, mut goes_on) = (0, 1);
    for byte in name.as_array_of_cells() {
        length += goes_on;
        goes_on &= (u32::from(byte.get()) + 0xff) >> 8; // without a branch: the verifier would follow each
    }
    (goes_on == 0).then_some(i64::from(length))
}

/// The sum of words behind a question's name, whose length with type and class this is.
#[inline(always)]
fn placed(length: u32, words: u64) -> u32 {
    let sum = checksum::narrow(words);
    match length & 1 {
        0 => sum,
        _ => checksum::at_odd_place(sum),
    }
}

/// The record of the type that is asked for, and its sum, if the name has one.
#[inline(always)]
fn fill(answer: &Answer, name: &Name) -> Option<()> {
    let record = &answer.record;
    let asked = &answer.asked;
    let data = part!(record, data).as_ptr().cast::<u32>();
    // SAFETY: the data holds the longest of these
    let (length, sum) = unsafe {
        match asked.get().kind {
            kind::A if name.v4 != 0 => {
                data.write_unaligned(name.v4);
                (4, u64::from(name.v4))
            }
            kind::AAAA if !name.v6.is_none() => {
                data.cast::<Address>().write_unaligned(name.v6);
                (16, total::<_, 4>(&name.v6))
            }
            kind::PTR if name.pointer_length != 0 => {
                core::ptr::copy_nonoverlapping((&raw const name.pointer).cast::<u32>(), data, LONGEST / 4);
                (name.pointer_length & 0x7f, total::<_, { LONGEST / 4 }>(&name.pointer))
            }
            _ => return None,
        }
    };
    part!(record, name).set(THE_NAME);
    part!(record, kind).set(asked.get().kind);
    part!(record, class).set(kind::INTERNET);
    part!(record, time_to_live).set(name.time_to_live.to_be());
    part!(record, length).set((length as u16).to_be());
    answer.length.set(RECORD_HEADER as u32 + length);
    // SAFETY: the sum is read from the record, and nothing is written meanwhile
    let sum = sum + total::<_, { RECORD_HEADER / 4 }>(unsafe { &*record.as_ptr() });
    answer.sum.set(placed(asked.get().length, sum));
    Some(())
}

/// What the first network of the view that has the name says; the key is its key then.
#[inline(always)]
fn first(view: &View, key: &Cell<NameKey>) -> Option<&'static Name> {
    part!(key, _pad).set(0);
    for network in view.networks {
        if network == 0 {
            break;
        }
        part!(key, network).set(network);
        if let Some(name) = maps::name(key) {
            return Some(name);
        }
    }
    None
}

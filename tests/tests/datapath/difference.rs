//! The program against the model: thousands of rows' frames, mutated, must be judged and answered
//! alike by both.

use netswitch::datapath::Hook;
use netswitch_common::{
    address::Mac,
    verdict::{Decision, DropReason, Verdict},
};
use tests::{
    fixture::{EXTRA_V4, EXTRA_V6, HOST_V4, HOST_V6, PORTS, UPLINK_INDEX, WORLD_V4, WORLD_V6, entries, host_addresses},
    loaded::{Loaded, in_the_world},
    packet::{ETHERTYPE_V4, ETHERTYPE_V6, describe},
    random::Random,
    rows::{self, Row, meaning},
    switch::{Effect, Switch},
};

const SEED: u64 = 0x6e65_7473_7769_7463;
const FRAMES: usize = 20_000;
const ETHERNET: usize = 14;
/// A test run of the program takes no more.
const LONGEST: usize = 3_500;

#[test]
fn program_and_model_agree_on_mutated_frames() {
    in_the_world(|loaded| {
        let switch = Switch::new(&entries::all(), host_addresses());
        let rows = rows::all();
        let mut random = Random(SEED);
        for number in 0..FRAMES {
            let row = random.pick(&rows);
            let (index, frame) = mutate(&mut random, row, &rows);
            if let Err(fault) = compare(loaded, &switch, index, &frame) {
                panic!(
                    "seed {SEED:#x}, frame {number} (from {:?}), device {index}: {fault}\n{}",
                    row.name,
                    describe(&frame)
                );
            }
        }
    });
}

fn compare(loaded: &mut Loaded, switch: &Switch, index: u32, frame: &[u8]) -> Result<(), String> {
    let (decision, effect) = switch.decide(index, frame);
    let found = loaded.datapath.explain(Hook::Endpoint, index, frame);
    let found = found.expect("it runs").decision;
    // the model does not wait for fragments
    if [Verdict::Park, Verdict::Unpark]
        .map(|verdict| verdict as u32)
        .contains(&found.verdict)
    {
        return Ok(());
    }
    if meaning(found) != meaning(decision) && !is_unreadable(found, decision) {
        return Err(format!(
            "the program says {}\nthe model says {}",
            say(found),
            say(decision)
        ));
    }
    let wanted = match effect {
        Effect::Copied(_) => return Ok(()), // would use up the rations
        Effect::Dropped => frame.to_vec(),
        Effect::Forwarded(frame) | Effect::Answered(frame) => frame,
    };
    let found = loaded
        .datapath
        .run(Hook::Endpoint, index, frame, 1)
        .expect("it runs")
        .frame;
    // a sender is told of 50 faults at once, and then no more
    let is_told = [Verdict::AnswerUnreachable, Verdict::AnswerTooBig].map(|verdict| verdict as u32);
    let is_limited = is_told.contains(&decision.verdict) && found == frame;
    if found != wanted && !is_limited {
        return Err(format!(
            "the program makes {}\nthe model makes {}",
            describe(&found),
            describe(&wanted)
        ));
    }
    Ok(())
}

/// The model knows no flows, and so not what a packet to the world needs for one.
fn is_unreadable(found: Decision, model: Decision) -> bool {
    let unreadable = [DropReason::Malformed, DropReason::NoFlow, DropReason::Fragment];
    model.reason == DropReason::NoUplink as u32 && unreadable.iter().any(|reason| *reason as u32 == found.reason)
}

fn say(decision: Decision) -> String {
    let verdict = Verdict::from_number(decision.verdict).map_or("?", Verdict::name);
    let reason = DropReason::from_number(decision.reason).map_or("", DropReason::name);
    format!("{verdict} {reason} {decision:?}")
}

/// The frame of a row after one to three changes, and the device it comes from.
fn mutate(random: &mut Random, row: &Row, rows: &[Row]) -> (u32, Vec<u8>) {
    let mut index = row.index;
    let mut frame = row.frame.clone();
    for _ in 0..=random.below(3) {
        match random.below(9) {
            0 => flip_bit(random, &mut frame),
            1 => overwrite(random, &mut frame),
            2 => frame.truncate(random.below(frame.len()).max(ETHERNET)),
            3 => {
                let more = random.below(1_600);
                frame.resize((frame.len() + more).min(LONGEST), 0);
            }
            4 => swap_mac(random, &mut frame),
            5 | 6 => swap_address(random, &mut frame),
            7 => {
                let other = random.pick(rows);
                splice(random, &mut frame, &other.frame);
            }
            _ => index = sender(random),
        }
    }
    frame.resize(frame.len().clamp(shortest(&frame), LONGEST), 0);
    (index, frame)
}

/// A test run of the program takes no less: an IP header must be whole.
fn shortest(frame: &[u8]) -> usize {
    match u16::from_be_bytes([frame[12], frame[13]]) {
        ETHERTYPE_V4 => ETHERNET + 20,
        ETHERTYPE_V6 => ETHERNET + 40,
        _ => ETHERNET + 1,
    }
}

fn sender(random: &mut Random) -> u32 {
    if random.below(20) == 0 {
        return UPLINK_INDEX;
    }
    random.pick(&PORTS).index()
}

/// Somewhere in the headers.
fn place(random: &mut Random, frame: &[u8]) -> usize {
    random.below(frame.len().min(110))
}

fn flip_bit(random: &mut Random, frame: &mut [u8]) {
    let at = place(random, frame);
    frame[at] ^= 1 << random.below(8);
}

/// With a byte that means something somewhere: types, lengths, protocols, ports.
fn overwrite(random: &mut Random, frame: &mut [u8]) {
    const BYTES: [u8; 26] = [
        0, 1, 2, 4, 6, 8, 17, 43, 44, 45, 51, 58, 59, 60, 64, 67, 68, 0x45, 0x60, 128, 134, 135, 136, 137, 143, 255,
    ];
    let at = place(random, frame);
    frame[at] = *random.pick(&BYTES);
}

fn swap_mac(random: &mut Random, frame: &mut [u8]) {
    let at = random.below(2) * 6;
    let port = random.pick(&PORTS);
    let mac = random.pick(&[port.mac(), port.mac(), Mac::BROADCAST]).0;
    frame[at..at + 6].copy_from_slice(&mac);
}

/// Puts an address that somebody has where one stands in the frame.
fn swap_address(random: &mut Random, frame: &mut [u8]) {
    let port = *random.pick(&PORTS);
    let v4 = *random.pick(&[
        port.v4(),
        EXTRA_V4,
        HOST_V4,
        WORLD_V4,
        port.network.broadcast(),
        [0; 4].into(),
    ]);
    let v6 = *random.pick(&[
        port.v6(),
        port.link_local(),
        EXTRA_V6,
        HOST_V6,
        WORLD_V6,
        v4.to_ipv6_mapped(),
        [0; 16].into(),
    ]);
    let (places, octets): (&[usize], &[u8]) = match frame[12..14] {
        [8, 0] => (&[26, 30], &v4.octets()),
        [8, 6] => (&[28, 38], &v4.octets()),
        _ => (&[22, 38, 62], &v6.octets()),
    };
    let at = *random.pick(places);
    if let Some(place) = frame.get_mut(at..at + octets.len()) {
        place.copy_from_slice(octets);
    }
}

/// The tail of another frame.
fn splice(random: &mut Random, frame: &mut Vec<u8>, other: &[u8]) {
    let at = place(random, frame).min(other.len());
    let at = at.max(ETHERNET);
    frame.truncate(at);
    frame.extend(&other[at..]);
}

//! Pieces: which fragments of a packet have passed. One that overlaps another does not (RFC 5722; IPv4 alike): what a
//! receiver would make of both is not what was judged.

use core::ffi::c_void;

use aya_ebpf::{bindings::BPF_ANY, helpers::bpf_loop};
use netswitch_common::{
    fragment::{Fragments, Piece, UNITS},
    verdict::DropReason,
};

use crate::{
    atomic,
    code::{number, outcome},
    maps,
    work::Work,
};

type Result = core::result::Result<(), DropReason>;

/// Of [`Fragments::seen`].
const WORDS: u32 = UNITS / 64;

/// Notes that the fragment on the sheet passes, unless a part of it has passed before.
#[inline(always)]
pub fn pass() -> Result {
    outcome(pass_fragment())
}

#[unsafe(no_mangle)]
extern "C" fn pass_fragment() -> u32 {
    maps::work().map_or(DropReason::Internal as u32, |work| number(mark(work)))
}

/// Notes the ports of a packet of which nothing has passed yet.
#[inline(always)]
pub fn note(work: &Work) -> Result {
    let Some(sheet) = maps::NOTING.get_ptr_mut(0) else {
        return Err(DropReason::Internal);
    };
    // SAFETY: a per-CPU entry; nothing else of it is ever written
    unsafe {
        (*sheet).from_port = work.tuple.from_port;
        (*sheet).to_port = work.tuple.to_port;
        (*sheet).noted = work.now;
    }
    // SAFETY: the sheet's memory stays
    match maps::FRAGMENTS.insert(&work.fragment, unsafe { &*sheet }, BPF_ANY.into()) {
        Ok(()) => Ok(()),
        Err(_) => Err(DropReason::Fragment),
    }
}

#[inline(always)]
fn mark(work: &Work) -> Result {
    let piece = work.piece;
    if piece.start >= piece.end || u32::from(piece.end) > UNITS {
        return Err(DropReason::Fragment);
    }
    let is_its = maps::fragments(&work.fragment).is_some_and(|packet| packet.is_alive(work.now));
    // protocols without ports have noted none, nor has what the host's stack has cut
    if !is_its {
        note(work)?;
    }
    let Some(packet) = maps::FRAGMENTS.get_ptr_mut(&work.fragment) else {
        return Err(DropReason::Fragment);
    };
    // SAFETY: an LRU map's entry stays memory of that map; its words are aligned. Another packet may get it meanwhile: then
    // one of its fragments may be taken for an overlap, and is sent again
    unsafe { occupy(packet, piece) }
}

/// What `bpf_loop` passes from word to word of [`Fragments::seen`].
#[repr(C)]
struct Occupied {
    seen: *mut u64,
}

/// # Safety
/// `packet` must be an entry of FRAGMENTS.
#[inline(always)]
unsafe fn occupy(packet: *mut Fragments, piece: Piece) -> Result {
    // SAFETY: the caller's
    let (seen, passed, whole) = unsafe {
        let seen = (&raw mut (*packet).seen).cast::<u64>();
        (seen, &raw mut (*packet).passed, &raw mut (*packet).whole)
    };
    let mut occupied = Occupied { seen };
    let words = (u32::from(piece.end) - 1) / 64 - u32::from(piece.start) / 64 + 1;
    // all of it is looked at before any of it is taken: what is refused leaves the rest its place
    is_free(words, look as *mut c_void, &mut occupied)?;
    is_free(words, take as *mut c_void, &mut occupied)?;
    // SAFETY: words of the entry
    unsafe {
        atomic::fetch_add(passed, u32::from(piece.end - piece.start));
        if piece.is_last != 0 {
            whole.write_volatile(piece.end.into());
        }
    }
    Ok(())
}

/// Whether a callback finds nothing in any of so many words. What it finds is on the sheet: verifiers before 6.8 take
/// what is on the stack for what it was before the loop.
#[inline(always)]
fn is_free(words: u32, callback: *mut c_void, occupied: &mut Occupied) -> Result {
    if let Some(work) = maps::work() {
        work.found = 0;
    }
    // SAFETY: the callback has the signature that the helper wants and runs before this returns
    unsafe { bpf_loop(words, callback, core::ptr::from_mut(occupied).cast(), 0) };
    match maps::work().is_some_and(|work| work.found == 0) {
        true => Ok(()),
        false => Err(DropReason::Fragment),
    }
}

extern "C" fn look(round: u64, occupied: &mut Occupied) -> i64 {
    each(round, |work, word, bits| {
        // SAFETY: a word of the entry
        work.found = u32::from(unsafe { occupied.seen.add(word).read_volatile() } & bits != 0);
    })
}

extern "C" fn take(round: u64, occupied: &mut Occupied) -> i64 {
    each(round, |work, word, bits| {
        // SAFETY: a word of the entry
        work.found = u32::from(unsafe { atomic::fetch_or(occupied.seen.add(word), bits) } & bits != 0);
    })
}

/// The word of a round, and the bits of the fragment there. Whether the rounds are over.
#[inline(always)]
fn each(round: u64, judge: impl FnOnce(&mut Work, usize, u64)) -> i64 {
    let Some(work) = maps::work() else { return 1 };
    let word = u32::from(work.piece.start) / 64 + round as u32;
    if word >= WORDS {
        return 1;
    }
    let bits = work.piece.bits(word);
    judge(work, word as usize, bits);
    i64::from(work.found != 0)
}

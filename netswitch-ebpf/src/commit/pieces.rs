//! Pieces: which fragments of a packet have passed. One that overlaps another does not (RFC 5722; IPv4 alike): what a
//! receiver would make of both is not what was judged.

use core::{cell::Cell, ffi::c_void};

use aya_ebpf::{bindings::BPF_ANY, helpers::bpf_loop};
use netswitch_common::{
    fragment::{Fragments, Piece, UNITS},
    verdict::DropReason,
};

use crate::{
    atomic,
    code::{number, outcome},
    maps,
    place::part,
    work::{Fragment, Read, Work},
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
    let sheet = maps::work().and_then(|work| work.read().zip(work.fragment()));
    sheet.map_or(DropReason::Internal as u32, |(read, fragment)| {
        number(mark(read, fragment))
    })
}

/// Notes the ports of a packet of which nothing has passed yet.
#[inline(always)]
pub fn note(read: &Read, fragment: &Cell<Fragment>) -> Result {
    let Some(sheet) = maps::NOTING.get_ptr_mut(0) else {
        return Err(DropReason::Internal);
    };
    // SAFETY: a per-CPU entry; nothing else of it is ever written
    unsafe {
        (*sheet).from_port = read.tuple.get().from_port;
        (*sheet).to_port = read.tuple.get().to_port;
        (*sheet).noted = read.now.get();
    }
    // SAFETY: the sheet's memory stays
    match maps::insert_fragments(part!(fragment, key), unsafe { &*sheet }, BPF_ANY) {
        Ok(()) => Ok(()),
        Err(_) => Err(DropReason::Fragment),
    }
}

#[inline(always)]
fn mark(read: &Read, fragment: &Cell<Fragment>) -> Result {
    let piece = fragment.get().piece;
    if piece.start >= piece.end || u32::from(piece.end) > UNITS {
        return Err(DropReason::Fragment);
    }
    let key = part!(fragment, key);
    let is_its = maps::fragments(key).is_some_and(|packet| packet.is_alive(read.now.get()));
    // protocols without ports have noted none, nor has what the host's stack has cut
    if !is_its {
        note(read, fragment)?;
    }
    let Some(packet) = maps::fragments_mut(key) else {
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

/// What a word has where a fragment lies: nothing, or something else.
const FREE: u32 = 0;

/// Whether a callback finds nothing in any of so many words.
#[inline(always)]
fn is_free(words: u32, callback: *mut c_void, occupied: &mut Occupied) -> Result {
    if let Some(work) = maps::work() {
        work.start_result().write(FREE);
    }
    // SAFETY: the callback has the signature that the helper wants and runs before this returns
    unsafe { bpf_loop(words, callback, core::ptr::from_mut(occupied).cast(), 0) };
    let result = maps::work().and_then(Work::result);
    match result.is_some_and(|result| result.get() == FREE) {
        true => Ok(()),
        false => Err(DropReason::Fragment),
    }
}

extern "C" fn look(round: u64, occupied: &mut Occupied) -> i64 {
    // SAFETY: a word of the entry
    each(
        round,
        |word, bits| unsafe { occupied.seen.add(word).read_volatile() } & bits,
    )
}

extern "C" fn take(round: u64, occupied: &mut Occupied) -> i64 {
    // SAFETY: a word of the entry
    each(
        round,
        |word, bits| unsafe { atomic::fetch_or(occupied.seen.add(word), bits) } & bits,
    )
}

/// The word of a round, and the bits of the fragment there, are looked at. Whether the rounds are over.
#[inline(always)]
fn each(round: u64, taken: impl FnOnce(usize, u64) -> u64) -> i64 {
    let sheet = maps::work().and_then(|work| work.fragment().zip(work.result()));
    let Some((fragment, result)) = sheet else { return 1 };
    let piece = fragment.get().piece;
    let word = u32::from(piece.start) / 64 + round as u32;
    if word >= WORDS {
        return 1;
    }
    let is_taken = taken(word as usize, piece.bits(word)) != 0;
    result.set(u32::from(is_taken));
    i64::from(is_taken)
}

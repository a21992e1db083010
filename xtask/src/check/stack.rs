//! The stack that each program takes. The kernel refuses more than 512 bytes; 6.1 counts more than later ones do.

use anyhow::{Result, ensure};
use toolchain::stack::{self, FRAMES, Measured};

use crate::place;

/// Bytes of the deepest chain.
const LIMIT: u64 = 448;

pub(super) fn run() -> Result<()> {
    let object = toolchain::build::object(place::root(), &place::target())?;
    let stack = stack::measure(&object)?;
    println!("bytes of stack, each frame rounded up to 32; functions on it; instructions; the deepest chain");
    stack.programs.iter().for_each(show);
    println!("the same of what helpers call, counted above");
    stack.callbacks.iter().for_each(show);
    let refused: Vec<_> = stack.programs.iter().filter(|program| !fits(program)).collect();
    let names: Vec<_> = refused.iter().map(|program| program.name.as_str()).collect();
    ensure!(
        names.is_empty(),
        "more than {LIMIT} bytes of stack, or {FRAMES} functions on it: {}",
        names.join(", ")
    );
    Ok(())
}

fn fits(program: &Measured) -> bool {
    program.bytes <= LIMIT && program.frames <= FRAMES
}

fn show(measured: &Measured) {
    let chain = measured.chain.iter().map(|(name, bytes)| format!("{name} {bytes}"));
    println!(
        "{:>5} {} {:>6}  {}",
        measured.bytes,
        measured.frames,
        measured.instructions,
        chain.collect::<Vec<_>>().join(" > ")
    );
}

//! `cargo xtask fuzz packets`: random sequences of packets through the loaded programs (`tests/src/sequence.rs`). No
//! coverage guides them; a sequence follows from its number, its seed.

use std::process::Stdio;
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, Result, bail};

use crate::progress::Step;
use crate::setup::{self, Need};
use crate::{command, place};

/// Plays sequences until so many packets have been sent, other ones each time; or the one with this seed, or these steps
/// of it alone.
pub(super) fn run(packets: u64, seed: Option<u64>, steps: Option<&str>) -> Result<()> {
    setup::ensure(&[Need::Ebpf, Need::Host, Need::Traffic])?;
    command::run(command::cargo().args(["build", "--package", "tests", "--bin", "packets"]))?;
    let mut player = command::as_root(place::binary("packets", false));
    let step = if let Some(seed) = seed {
        player.args(["replay", &seed.to_string()]).args(steps);
        Step::start(format!("packets: the sequence {seed}"))
    } else {
        let first = SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros();
        player.args(["run", &first.to_string(), &packets.to_string()]);
        Step::start(format!("packets: {packets} in sequences from {first} on"))
    };
    let output = player.stdin(Stdio::null()).output().context("the player of packets")?;
    if output.status.success() {
        step.end(String::from_utf8_lossy(&output.stdout).trim_end());
        return Ok(());
    }
    step.end("failed");
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    bail!("a sequence of packets: {}", output.status);
}

//! What `cargo xtask fuzz packets` runs: `packets run SEED PACKETS`, or `packets replay SEED [STEP,STEP,…]`.
#![expect(clippy::print_stdout, reason = "it is there to print")]
#![expect(clippy::print_stderr, reason = "failures go to standard error")]

use std::process::ExitCode;

use tests::sequence::{Failure, Tally, replay, run};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let Some(result) = play(&arguments) else {
        eprintln!("usage: packets run SEED PACKETS | packets replay SEED [STEP,STEP,...]");
        return ExitCode::FAILURE;
    };
    match result {
        Ok(tally) => {
            println!("{tally}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn play(arguments: &[&str]) -> Option<Result<Tally, Failure>> {
    match arguments {
        ["run", seed, packets] => Some(run(seed.parse().ok()?, packets.parse().ok()?)),
        ["replay", seed] => Some(replay(seed.parse().ok()?, None)),
        ["replay", seed, steps] => {
            let steps: Option<Vec<usize>> = steps.split(',').map(|step| step.parse().ok()).collect();
            Some(replay(seed.parse().ok()?, Some(&steps?)))
        }
        _ => None,
    }
}

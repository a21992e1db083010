//! netswitch: parse, run, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    netswitch::cli::run(std::env::args_os().collect())
}

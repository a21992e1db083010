//! `netswitch shim`: what the agent starts for each container; not for people.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::failure::Failure;

/// Own one container's process
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Shim {
    #[arg(value_name = "SPEC")]
    spec: PathBuf,
}

impl Shim {
    pub fn run(self) -> Result<(), Failure> {
        if crate::shim::run(&self.spec) == ExitCode::SUCCESS {
            Ok(())
        } else {
            // It has said why.
            Err(Failure::status(1))
        }
    }
}

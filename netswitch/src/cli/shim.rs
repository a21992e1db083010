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
        match crate::shim::run(&self.spec) {
            ExitCode::SUCCESS => Ok(()),
            _ => Err(Failure::status(1)),
        }
    }
}

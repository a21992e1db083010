//! `netswitch interim`: what an agent that stops leaves behind for the next one; not for people.

use std::path::PathBuf;

use clap::Args;

use super::failure::Failure;
use crate::agent::dns::interim;

/// Hold the sockets of names until the next agent takes them
#[derive(Debug, Args)]
#[command(hide = true)]
pub struct Interim {
    #[arg(value_name = "SOCKET")]
    socket: PathBuf,
}

impl Interim {
    pub fn run(self) -> Result<(), Failure> {
        interim::hold(&self.socket).map_err(|error| Failure::new(error.to_string()))
    }
}

//! `netswitch stop`: TERM, a while, KILL.

use clap::Args;

use super::failure::Failure;
use super::options;
use crate::api::Request;
use crate::client::Client;

/// Stop one or more running containers
#[derive(Debug, Args)]
pub struct Stop {
    /// Seconds to wait for stop before killing it (default 10)
    #[arg(short, long, value_name = "int", default_value = "10", value_parser = options::integer)]
    time: i64,
    #[arg(value_name = "CONTAINER [CONTAINER...]", required = true)]
    containers: Vec<String>,
}

impl Stop {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        // Docker's -1 waits for as long as it takes.
        let seconds = u64::try_from(self.time).unwrap_or(u64::from(u32::MAX));
        super::each(client, self.containers, |container| Request::ContainerStop {
            container,
            seconds,
        })
    }
}

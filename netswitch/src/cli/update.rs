//! `netswitch update`, and the options of `run` and `attach` that it shares: a container's limits.

use clap::Args;

use super::failure::Failure;
use crate::api::Request;
use crate::client::Client;
use crate::model::container::limits::{self, Change};

/// For each direction: what the container sends, and what it receives.
#[derive(Clone, Copy, Debug, Args)]
pub struct Limits {
    /// Most flows at once, of each network (none: as many as the agent allows)
    #[arg(long, value_name = "int", value_parser = limits::flows)]
    max_flows: Option<u64>,
    /// Most packets a second, in each direction (none: no limit)
    #[arg(long, value_name = "int", value_parser = limits::packets)]
    pps: Option<u64>,
    /// Most bits a second, in each direction (e.g., 100mbit; none: no limit)
    #[arg(long, value_name = "rate", value_parser = limits::rate)]
    rate: Option<u64>,
}

impl Limits {
    pub const fn change(self) -> Change {
        Change {
            rate: self.rate,
            packets: self.pps,
            flows: self.max_flows,
        }
    }
}

/// Update the limits of one or more containers
#[derive(Debug, Args)]
pub struct Update {
    #[command(flatten)]
    limits: Limits,
    #[arg(value_name = "CONTAINER [CONTAINER...]", required = true)]
    containers: Vec<String>,
}

impl Update {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let limits = self.limits.change();
        if limits == Change::default() {
            return Err(Failure::new(
                "you must provide one or more flags when using this command",
            ));
        }
        super::each(client, self.containers, |container| Request::ContainerUpdate {
            container,
            limits,
        })
    }
}

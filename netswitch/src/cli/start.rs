//! `netswitch start`: runs stopped containers again.

use clap::Args;

use super::failure::Failure;
use super::{print, run};
use crate::api::Request;
use crate::client::Client;

/// Start one or more stopped containers
#[derive(Debug, Args)]
pub struct Start {
    /// Attach STDOUT/STDERR and forward signals
    #[arg(short, long)]
    attach: bool,
    /// Attach container's STDIN
    #[arg(short, long)]
    interactive: bool,
    #[arg(value_name = "CONTAINER [CONTAINER...]", required = true)]
    containers: Vec<String>,
}

impl Start {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let attaches = self.attach || self.interactive;
        let start = |container: &str| {
            client.ask(&Request::ContainerStart {
                container: container.to_owned(),
                wait_for_attach: attaches,
            })
        };
        if attaches {
            let [container] = self.containers.as_slice() else {
                return Err(Failure::new("you cannot start and attach multiple containers at once"));
            };
            start(container)?;
            return run::attach(client, container, self.interactive);
        }
        let mut failed = Vec::new();
        for container in self.containers {
            match start(&container) {
                Ok(_) => print::line(&container),
                Err(error) => {
                    print::complain(&error.to_string());
                    failed.push(container);
                }
            }
        }
        if failed.is_empty() {
            return Ok(());
        }
        let failed = failed.join(", ");
        Err(Failure::new(format!("Error: failed to start containers: {failed}")))
    }
}

//! `netswitch rm`: removes containers.

use clap::Args;

use super::failure::{Failure, missing, named};
use super::print;
use crate::api::Request;
use crate::client::Client;

/// Remove one or more containers
#[derive(Debug, Args)]
pub struct Rm {
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    force: bool,
    #[arg(value_name = "CONTAINER [CONTAINER...]", required = true)]
    containers: Vec<String>,
}

impl Rm {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let mut errors = Vec::new();
        for container in self.containers {
            let request = Request::ContainerRemove {
                container: container.clone(),
                force: self.force,
            };
            match client.ask(&request) {
                Ok(_) => print::line(&container),
                Err(error) => {
                    let missing = missing(&error);
                    let message = named(error, "container", &container).message;
                    // Forcing away what is not there is told, but no failure.
                    if self.force && missing {
                        print::complain(&message);
                    } else {
                        errors.push(message);
                    }
                }
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Failure::new(errors.join("\n")))
        }
    }
}

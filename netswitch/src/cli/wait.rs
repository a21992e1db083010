//! `netswitch wait`: until containers have ended.

use clap::Args;

use super::failure::Failure;
use super::print;
use crate::api::{Request, Response, WaitCondition};
use crate::client::Client;

/// Block until one or more containers stop, then print their exit codes
#[derive(Debug, Args)]
pub struct Wait {
    #[arg(value_name = "CONTAINER [CONTAINER...]", required = true)]
    containers: Vec<String>,
}

impl Wait {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let mut errors = Vec::new();
        for container in self.containers {
            let request = Request::ContainerWait {
                container,
                condition: WaitCondition::NotRunning,
            };
            match client.ask(&request) {
                Ok(Response::Ended { exit_code }) => print::line(&exit_code.to_string()),
                Ok(_) => return Err(Failure::unexpected()),
                Err(error) => errors.push(error.to_string()),
            }
        }
        if errors.is_empty() {
            Ok(())
        } else {
            Err(Failure::new(errors.join("\n")))
        }
    }
}

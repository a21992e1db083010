//! `netswitch version`: of this program and of the agent.

use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::inspect::{Found, show};
use super::print;
use crate::api::{Request, Response};
use crate::client::Client;

/// Show the version of the client and the agent
#[derive(Debug, Args)]
pub struct Version {
    /// Format the output using the given Go template
    #[arg(short, long, value_name = "string")]
    format: Option<String>,
}

impl Version {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let own = env!("CARGO_PKG_VERSION");
        let answer = client.ask(&Request::Version);
        if let Some(format) = self.format {
            let Response::Version(agent) = answer? else {
                return Err(Failure::unexpected());
            };
            let object = json!({"client": {"version": own}, "agent": agent});
            return show(Some(&format), &[String::new()], |_| Ok(Found::plain(object.clone())));
        }
        print::text(&format!("Client:\n Version:      {own}\n"));
        let Response::Version(agent) = answer? else {
            return Err(Failure::unexpected());
        };
        print::text(&format!(
            "\nAgent:\n Version:      {}\n Map layout:   {}\n Kernel:       {}\n Process:      {}\n \
             Networks:     {}\n Containers:   {} ({} running)\n",
            agent.version, agent.abi_version, agent.kernel, agent.pid, agent.networks, agent.containers, agent.running,
        ));
        Ok(())
    }
}

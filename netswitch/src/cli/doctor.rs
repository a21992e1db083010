//! `netswitch doctor`: what is wrong with this host, and what to do about it.

use clap::Args;
use serde_json::json;

use super::failure::Failure;
use super::print;
use crate::api::{Finding, Request, Response};
use crate::client::Client;

/// Check the host and the switch, and say what to do
#[derive(Debug, Args)]
pub struct Doctor {
    /// Print "json" instead of text
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
}

impl Doctor {
    /// Ends with status 1 if anything is wrong.
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let Response::Doctor(findings) = client.ask(&Request::Doctor)? else {
            return Err(Failure::unexpected());
        };
        if self.format == "json" {
            print::line(&json!(findings).to_string());
        } else {
            print::text(&render(&findings));
        }
        if findings.iter().all(|finding| finding.ok) {
            Ok(())
        } else {
            Err(Failure::status(1))
        }
    }
}

fn render(findings: &[Finding]) -> String {
    let line = |finding: &Finding| {
        let mark = if finding.ok { "ok     " } else { "problem" };
        format!("{mark}  {}: {}\n", finding.subject, finding.message)
    };
    findings.iter().map(line).collect()
}

//! `netswitch why`: what would become of the first packet from one to another.

use clap::Args;
use serde_json::{Value, json};

use super::failure::Failure;
use super::print;
use super::template::Template;
use crate::api::{Request, Response, WhyQuestion, WhyRow};
use crate::client::Client;
use crate::model::why::Target;

/// Exit status of what cannot be answered: 1 is an answer.
const NO_ANSWER: u8 = 125;

/// Tell whether packets from one to another are allowed or dropped, and why
#[derive(Debug, Args)]
pub struct Why {
    /// Format each answer using a Go template, or all of them with "json"
    #[arg(long, value_name = "string", default_value = "")]
    format: String,
    #[arg(value_name = "FROM")]
    from: String,
    #[arg(value_name = "TO[:PORT][/PROTO]")]
    to: String,
}

impl Why {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        let rows = self.ask(client).map_err(|failure| Failure {
            status: NO_ANSWER,
            ..failure
        })?;
        if rows.iter().all(|row| row.allowed) {
            Ok(())
        } else {
            Err(Failure::status(1))
        }
    }

    fn ask(&self, client: &Client) -> Result<Vec<WhyRow>, Failure> {
        let question = WhyQuestion {
            from: self.from.as_str().into(),
            to: self.to.parse::<Target>().map_err(Failure::new)?,
        };
        let Response::Why(rows) = client.ask(&Request::Why(question))? else {
            return Err(Failure::unexpected());
        };
        print::text(&render(&rows, &self.format)?);
        Ok(rows)
    }
}

fn render(rows: &[WhyRow], format: &str) -> Result<String, Failure> {
    let values: Vec<Value> = rows.iter().map(|row| json!(row)).collect();
    match format {
        "" => Ok(rows.iter().map(|row| line(row) + "\n").collect()),
        "json" => Ok(Value::from(values).to_string() + "\n"),
        format => {
            let template = Template::parse(format)?;
            let lines: Result<Vec<String>, _> = values.iter().map(|row| template.render(row)).collect();
            Ok(lines?.into_iter().map(|line| line + "\n").collect())
        }
    }
}

fn line(row: &WhyRow) -> String {
    let mut line = if row.allowed {
        "allowed".to_owned()
    } else {
        format!("dropped {}", row.reason)
    };
    line += &format!(": {} {} -> {}", row.protocol, row.source, row.destination);
    if !row.network.is_empty() {
        line += &format!(" on {}", row.network);
    }
    if row.allowed {
        line += &format!(", to {}", row.receiver);
    }
    if !row.uplink.is_empty() {
        line += &format!(" by {}", row.uplink);
    }
    if row.allowed {
        line += if row.translated {
            ", translated"
        } else {
            ", not translated"
        };
    }
    match &row.rule {
        Some(rule) => line += &format!("; rule {}: {}", rule.number, rule.text),
        None => line += because(&row.reason),
    }
    line
}

/// What a user can look up, where the reason alone does not name it.
fn because(reason: &str) -> &'static str {
    match reason {
        "policy-denied" => "; no rule allows it (default deny)",
        "host-access" => "; the host is closed to it (netswitch.host_access, gateway mode isolated, or --egress)",
        "metadata" => "; metadata services are closed to it (netswitch.metadata, or --egress)",
        "egress" => "; no leash names it (--egress), or no name that the container has asked for",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::WhyRule;

    #[test]
    fn an_answer_begins_with_its_verdict() {
        let allowed = WhyRow {
            allowed: true,
            protocol: "tcp".into(),
            source: "10.0.0.2".into(),
            destination: "192.0.2.1:443".into(),
            network: "front".into(),
            uplink: "eth0".into(),
            receiver: "(world)".into(),
            translated: true,
            rule: Some(WhyRule {
                number: 3,
                text: "allow web world:443/tcp".into(),
            }),
            ..WhyRow::default()
        };
        let dropped = WhyRow {
            allowed: false,
            reason: "policy-denied".into(),
            uplink: String::new(),
            rule: None,
            ..allowed.clone()
        };
        assert_eq!(
            render(&[allowed, dropped], "").unwrap(),
            "allowed: tcp 10.0.0.2 -> 192.0.2.1:443 on front, to (world) by eth0, translated; rule 3: allow web \
             world:443/tcp\n\
             dropped policy-denied: tcp 10.0.0.2 -> 192.0.2.1:443 on front; no rule allows it (default deny)\n"
        );
    }
}

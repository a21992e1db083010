//! `netswitch policy …`: who may begin to speak with whom.

use std::io::Read as _;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::failure::Failure;
use super::print::{self, Listing, Row};
use crate::api::{CutFlow, PolicyChange, PolicyDefault, PolicyFile, PolicyRule, Request, Response};
use crate::client::Client;
use crate::model::policy::{Action, Direction, Policy, file};

/// Manage who may speak with whom
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Allow what begins from someone to someone, between networks too
    Allow(Add),
    /// Deny it; what is denied is not allowed by any rule
    Deny(Add),
    Default(Default),
    Ls(List),
    Rm(Remove),
    Apply(Apply),
    Plan(Plan),
    Dump(Dump),
}

impl Verb {
    pub fn run(self, client: &Client) -> Result<(), Failure> {
        match self {
            Self::Allow(verb) => verb.run(Action::Allow, client),
            Self::Deny(verb) => verb.run(Action::Deny, client),
            Self::Default(verb) => verb.run(client),
            Self::Ls(verb) => verb.run(client),
            Self::Rm(verb) => verb.run(client),
            Self::Apply(verb) => verb.run(client),
            Self::Plan(verb) => verb.run(client),
            Self::Dump(verb) => verb.run(client),
        }
    }
}

#[derive(Debug, Args)]
pub struct Add {
    #[arg(value_name = "FROM")]
    from: String,
    #[arg(value_name = "TO[:PORT[-PORT][,...]][/PROTO]")]
    to: String,
}

impl Add {
    fn run(self, action: Action, client: &Client) -> Result<(), Failure> {
        let Self { from, to } = self;
        super::make(client, &Request::PolicyAdd(PolicyRule { action, from, to }))
    }
}

/// Set what becomes of what no rule speaks of
#[derive(Debug, Args)]
pub struct Default {
    /// What begins from it ("out"), to it ("in"), or "both"
    #[arg(long, value_name = "string", default_value = "both", value_parser = direction)]
    direction: Direction,
    #[arg(value_name = "allow|deny", value_parser = action)]
    action: Action,
    #[arg(value_name = "CONTAINER|network:NAME")]
    of: String,
}

fn direction(text: &str) -> Result<Direction, String> {
    text.parse().map_err(|_| "must be in, out or both".to_owned())
}

fn action(text: &str) -> Result<Action, String> {
    text.parse().map_err(|_| "must be allow or deny".to_owned())
}

impl Default {
    fn run(self, client: &Client) -> Result<(), Failure> {
        let Self { direction, action, of } = self;
        client.ask(&Request::PolicyDefault(PolicyDefault { of, direction, action }))?;
        Ok(())
    }
}

/// List rules and defaults
#[derive(Debug, Args)]
pub struct List {
    /// Pretty-print rules using a Go template
    #[arg(long, value_name = "string")]
    format: Option<String>,
    /// Only display rules' numbers
    #[arg(short, long)]
    quiet: bool,
}

const RULES: Listing = Listing {
    titles: &[
        ("ID", "RULE"),
        ("Action", "ACTION"),
        ("From", "FROM"),
        ("To", "TO"),
        ("Protocol", "PROTOCOL"),
        ("Ports", "PORTS"),
    ],
    columns: &["ID", "Action", "From", "To", "Protocol", "Ports"],
};

impl List {
    fn run(self, client: &Client) -> Result<(), Failure> {
        let policy = ask(client)?;
        let rows = rows(&policy, self.quiet);
        print::text(&RULES.render(self.format.as_deref(), self.quiet, &rows)?);
        Ok(())
    }
}

fn ask(client: &Client) -> Result<Policy, Failure> {
    match client.ask(&Request::PolicyList)? {
        Response::Policy(policy) => Ok(policy),
        _ => Err(Failure::unexpected()),
    }
}

/// Rules by number, then defaults as rules about the rest.
fn rows(policy: &Policy, only_rules: bool) -> Vec<Row> {
    let row = |cells: [String; 6]| Row {
        fields: std::iter::zip(RULES.columns, cells)
            .map(|(field, value)| ((*field).to_owned(), Value::from(value)))
            .collect(),
        labels: std::collections::BTreeMap::new(),
    };
    let any = || "any".to_owned();
    let mut rows = Vec::new();
    for (number, rule) in &policy.rules {
        let ports = if rule.ports.is_empty() {
            any()
        } else {
            rule.ports_text()
        };
        rows.push(row([
            number.to_string(),
            rule.action.to_string(),
            rule.from.to_string(),
            rule.to.to_string(),
            rule.protocol.to_string(),
            ports,
        ]));
    }
    for (of, defaults) in policy.defaults.iter().filter(|_| !only_rules) {
        let ends = [
            (any(), of.to_string(), defaults.incoming),
            (of.to_string(), any(), defaults.outgoing),
        ];
        for (from, to, action) in ends {
            let cells = action.map(|action| ["default".to_owned(), action.to_string(), from, to, any(), any()]);
            rows.extend(cells.map(row));
        }
    }
    rows
}

/// Remove one or more rules
#[derive(Debug, Args)]
#[command(visible_alias = "remove")]
pub struct Remove {
    #[arg(value_name = "RULE [RULE...]", required = true)]
    rules: Vec<u32>,
}

impl Remove {
    fn run(self, client: &Client) -> Result<(), Failure> {
        client.ask(&Request::PolicyRemove {
            rules: self.rules.clone(),
        })?;
        for rule in self.rules {
            print::line(&rule.to_string());
        }
        Ok(())
    }
}

/// Put the policy of a file in the place of the one in force
#[derive(Debug, Args)]
pub struct Apply {
    #[arg(value_name = "FILE|-")]
    file: String,
}

impl Apply {
    fn run(self, client: &Client) -> Result<(), Failure> {
        let Response::PolicyChange(change) = client.ask(&Request::PolicyApply(read(self.file)?))? else {
            return Err(Failure::unexpected());
        };
        print::line(&format!(
            "{} added, {} removed",
            change.added.len(),
            change.removed.len()
        ));
        Ok(())
    }
}

/// Show what a file would change, and which flows it would cut
#[derive(Debug, Args)]
pub struct Plan {
    #[arg(value_name = "FILE|-")]
    file: String,
}

impl Plan {
    fn run(self, client: &Client) -> Result<(), Failure> {
        let Response::PolicyChange(change) = client.ask(&Request::PolicyPlan(read(self.file)?))? else {
            return Err(Failure::unexpected());
        };
        print::text(&render(&change));
        Ok(())
    }
}

fn render(change: &PolicyChange) -> String {
    let added = change.added.iter().map(|line| format!("+ {line}\n"));
    let removed = change.removed.iter().map(|line| format!("- {line}\n"));
    let cut = change.cut.iter().map(|flow| {
        let CutFlow {
            protocol,
            from,
            to,
            because,
        } = flow;
        format!("cuts {protocol} {from} -> {to}: {because}\n")
    });
    let text: String = removed.chain(added).chain(cut).collect();
    if text.is_empty() {
        "nothing changes\n".to_owned()
    } else {
        text
    }
}

/// Print the policy as a file that "apply" reads
#[derive(Debug, Args)]
pub struct Dump {}

impl Dump {
    #[expect(clippy::unused_self, reason = "as every verb")]
    fn run(self, client: &Client) -> Result<(), Failure> {
        print::text(&file::write(&ask(client)?));
        Ok(())
    }
}

/// A file, or standard input.
fn read(name: String) -> Result<PolicyFile, Failure> {
    let text = if name == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(&name)
    };
    match text {
        Ok(text) => Ok(PolicyFile { name, text }),
        Err(error) => Err(Failure::new(format!("{name}: {error}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_listed_with_its_defaults() {
        let text = "[[rule]]\naction = \"deny\"\nfrom = \"web\"\nto = \"10.0.0.0/8\"\nports = [443, \"80-90\"]\n";
        let rule = file::read("x", text).unwrap().rules.remove(0).rule;
        let mut policy = Policy::default();
        policy.rules.insert(7, rule);
        policy.set_default(&"network:db".parse().unwrap(), Direction::In, Action::Deny);
        let list = |format, quiet| RULES.render(format, quiet, &rows(&policy, quiet)).unwrap();
        assert_eq!(
            list(None, false),
            "RULE      ACTION    FROM      TO           PROTOCOL   PORTS\n\
             7         deny      web       10.0.0.0/8   tcp        80-90,443\n\
             default   deny      any       network:db   any        any\n"
        );
        assert_eq!(list(None, true), "7\n");
        assert_eq!(
            list(Some("json"), false).lines().next().unwrap(),
            r#"{"ID":"7","Action":"deny","From":"web","To":"10.0.0.0/8","Protocol":"tcp","Ports":"80-90,443"}"#
        );
    }

    #[test]
    fn a_plan_says_what_goes_comes_and_ends() {
        let change = PolicyChange {
            added: vec!["deny web db".to_owned()],
            removed: vec!["allow web db".to_owned()],
            cut: vec![CutFlow {
                protocol: "tcp".to_owned(),
                from: "web (10.0.0.2:4000)".to_owned(),
                to: "db (10.0.0.3:80)".to_owned(),
                because: "deny web db".to_owned(),
            }],
        };
        assert_eq!(
            render(&change),
            "- allow web db\n+ deny web db\ncuts tcp web (10.0.0.2:4000) -> db (10.0.0.3:80): deny web db\n"
        );
        assert_eq!(render(&PolicyChange::default()), "nothing changes\n");
    }
}

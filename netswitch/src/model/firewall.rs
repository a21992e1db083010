//! Rules on the host that packets switched in eBPF pass by, or that cut what the host's stack carries.

pub mod iptables;
pub mod nft;

use std::collections::{BTreeMap, BTreeSet};

/// One table of a ruleset, whoever wrote it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Table {
    /// `iptables`, `ip6tables`, `nft`.
    pub tool: String,
    /// Family and name, where the tool does not imply them.
    pub name: Option<String>,
    pub chains: BTreeMap<String, Chain>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    /// `None`: only jumps lead here, or its hook is none of interest.
    pub hook: Option<Hook>,
    /// Its policy.
    pub drops: bool,
    pub rules: Vec<Rule>,
}

/// Where packets that the host forwards, or gets itself, meet a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hook {
    Forward,
    Input,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// All of them must hold.
    pub conditions: Vec<Condition>,
    pub target: Target,
}

/// What a rule asks of a packet, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// In or out by one of these devices; an asterisk or plus at the end stands for any rest.
    Devices(Vec<String>),
    /// ICMP of either family.
    Icmp,
    /// Nothing that opens a connection.
    Reply,
    Other,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    Accept,
    Refuse,
    Jump(String),
    /// Back to where the jump came from, or nothing but counting.
    Return,
    /// Logs, queues, changes.
    Other,
}

/// One sentence for each chain that matters.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// Forwarded packets would meet it, were they not switched in eBPF.
    pub unseen: BTreeSet<String>,
    /// It refuses what the host's stack carries for containers.
    pub cut: BTreeSet<String>,
}

/// Whom the rules would meet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Host {
    /// Whether packets between containers and the world pass the host's stack.
    pub stack: bool,
    /// The host ends of our networks.
    pub gateways: Vec<String>,
    pub uplinks: Vec<String>,
}

impl Host {
    /// What of these tables packets of containers pass by, and what cuts them.
    pub fn judge(&self, tables: &[Table]) -> Findings {
        let mut findings = Findings::default();
        for table in tables {
            for (name, chain) in &table.chains {
                let base = Base {
                    table,
                    name,
                    chain,
                    reached: self.reached(table, name),
                };
                match chain.hook {
                    Some(Hook::Forward) if self.stack => {
                        let accepts = base.accepts(lets_through);
                        let refusal = base.refusal().filter(|_| !accepts);
                        findings.cut.extend(
                            refusal.map(|what| format!("{what}: it has to accept what containers send and get")),
                        );
                    }
                    Some(Hook::Forward) => findings.unseen.extend(base.unseen()),
                    Some(Hook::Input) => {
                        let accepts = base.accepts(|rule| self.lets_in(rule));
                        let refusal = base.refusal().filter(|_| !accepts);
                        findings.cut.extend(
                            refusal.map(|what| format!("{what}: it has to accept what containers ask of the host")),
                        );
                    }
                    None => {}
                }
            }
            let ufw = table.chains.iter().filter(|(name, _)| is_ufws(name));
            if !self.stack && ufw.flat_map(|(_, chain)| &chain.rules).any(Rule::decides) {
                findings
                    .unseen
                    .insert(format!("{}: ufw is in use (chains ufw-*)", table.tool));
            }
        }
        findings
    }

    /// The rules that packets of containers may come to from a chain on, in chains that are not Docker's.
    fn reached<'a>(&self, table: &'a Table, from: &'a str) -> Vec<Reached<'a>> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        let mut waiting = vec![(from, true)];
        while let Some((name, always)) = waiting.pop() {
            let Some(chain) = table.chains.get(name).filter(|_| seen.insert(name)) else {
                continue;
            };
            for rule in chain.rules.iter().filter(|rule| self.may_match(rule)) {
                let always = always && rule.conditions.is_empty();
                match &rule.target {
                    Target::Jump(to) if is_dockers(to) => {}
                    Target::Jump(to) => waiting.push((to, always)),
                    _ => found.push(Reached {
                        chain: name,
                        rule,
                        always,
                    }),
                }
            }
        }
        found
    }

    /// Whether a packet of a container's may match the rule, by its devices.
    fn may_match(&self, rule: &Rule) -> bool {
        rule.conditions.iter().all(|condition| match condition {
            Condition::Devices(patterns) => any_matches(patterns, self.gateways.iter().chain(&self.uplinks)),
            Condition::Icmp | Condition::Reply | Condition::Other => true,
        })
    }

    /// Whether an accepting rule was made with containers in mind: it accepts everything, or names a
    /// gateway's device.
    fn lets_in(&self, rule: &Rule) -> bool {
        let names_a_gateway = rule.conditions.iter().any(|condition| match condition {
            Condition::Devices(patterns) => any_matches(patterns, &self.gateways),
            Condition::Icmp | Condition::Reply | Condition::Other => false,
        });
        lets_through(rule) && (rule.conditions.is_empty() || names_a_gateway)
    }
}

/// Whether an accepting rule accepts more than replies and ICMP.
fn lets_through(rule: &Rule) -> bool {
    let narrow = |condition: &Condition| matches!(condition, Condition::Icmp | Condition::Reply);
    !rule.conditions.iter().any(narrow)
}

/// A chain that the kernel sends packets to, with what they may meet from there on.
struct Base<'a> {
    table: &'a Table,
    name: &'a str,
    chain: &'a Chain,
    reached: Vec<Reached<'a>>,
}

/// A rule, and whether every packet of its base chain that comes so far matches.
struct Reached<'a> {
    chain: &'a str,
    rule: &'a Rule,
    always: bool,
}

impl Base<'_> {
    /// What is not met by packets that are switched in eBPF.
    fn unseen(&self) -> impl Iterator<Item = String> {
        let acting = self
            .reached
            .iter()
            .filter(|reached| matches!(reached.rule.target, Target::Refuse | Target::Other) && !is_ufws(reached.chain));
        let chains: BTreeSet<&str> = acting.map(|reached| reached.chain).collect();
        let rules = chains
            .into_iter()
            .map(|chain| format!("{} has rules", self.table.says("chain", chain)));
        self.policy()
            .into_iter()
            .chain(rules)
            .map(|what| format!("{what}, which packets on the eBPF path do not meet"))
    }

    /// That, and how, the chain refuses what no rule of its own accepts.
    fn refusal(&self) -> Option<String> {
        let refuses = |reached: &&Reached<'_>| reached.always && reached.rule.target == Target::Refuse;
        self.policy().or_else(|| {
            let last = self.reached.iter().find(refuses)?;
            Some(format!("{} refuses the rest", self.table.says("chain", last.chain)))
        })
    }

    fn policy(&self) -> Option<String> {
        let text = || format!("{} is DROP", self.table.says("policy of chain", self.name));
        self.chain.drops.then(text)
    }

    fn accepts(&self, suffices: impl Fn(&Rule) -> bool) -> bool {
        self.reached
            .iter()
            .any(|reached| reached.rule.target == Target::Accept && suffices(reached.rule))
    }
}

impl Table {
    /// `nft: policy of chain forward of inet filter`.
    fn says(&self, what: &str, chain: &str) -> String {
        let of = self
            .name
            .as_ref()
            .map_or_else(String::new, |name| format!(" of {name}"));
        format!("{}: {what} {chain}{of}", self.tool)
    }
}

impl Rule {
    /// Whether it does more than lead from chain to chain.
    fn decides(&self) -> bool {
        !matches!(self.target, Target::Jump(_) | Target::Return)
    }
}

/// What Docker's own chains hold is no administrator's wish.
fn is_dockers(chain: &str) -> bool {
    chain == "DOCKER" || chain.starts_with("DOCKER-") && chain != "DOCKER-USER"
}

fn is_ufws(chain: &str) -> bool {
    chain.starts_with("ufw-") || chain.starts_with("ufw6-")
}

fn any_matches<'a>(patterns: &[String], devices: impl IntoIterator<Item = &'a String>) -> bool {
    let mut devices = devices.into_iter();
    devices.any(|device| {
        patterns.iter().any(|pattern| match pattern.strip_suffix(['*', '+']) {
            Some(start) => device.starts_with(start),
            None => device == pattern,
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With the default network's device and one uplink.
    fn host(stack: bool) -> Host {
        Host {
            stack,
            gateways: vec!["nsw0".into()],
            uplinks: vec!["eth0".into()],
        }
    }

    /// What is found in a table `filter` of iptables, both kinds.
    fn found(stack: bool, filter: &str) -> Vec<String> {
        let text = format!("*filter\n{filter}\nCOMMIT\n");
        let findings = host(stack).judge(&[iptables::filter("iptables", &text)]);
        findings.unseen.into_iter().chain(findings.cut).collect()
    }

    const NONE: [&str; 0] = [];
    const FORWARD_DROPS: &str = ":INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n";
    /// As Docker 20.10 writes them.
    const DOCKER: &str = ":DOCKER - [0:0]\n:DOCKER-ISOLATION-STAGE-1 - [0:0]\n:DOCKER-USER - [0:0]\n\
        -A FORWARD -j DOCKER-USER\n-A FORWARD -j DOCKER-ISOLATION-STAGE-1\n\
        -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -o docker0 -j DOCKER\n\
        -A FORWARD -i docker0 ! -o docker0 -j ACCEPT\n-A DOCKER -d 172.17.0.2/32 -o docker0 -p tcp -j ACCEPT\n\
        -A DOCKER-ISOLATION-STAGE-1 -j DROP\n-A DOCKER-USER -j RETURN\n";

    #[test]
    fn an_empty_ruleset_and_dockers_own_are_no_finding() {
        let accepts = ":INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n";
        assert_eq!(found(false, accepts), NONE);
        assert_eq!(found(false, &format!("{accepts}{DOCKER}")), NONE);
        assert_eq!(found(false, ""), NONE);
        let nat = iptables::filter("iptables", "*nat\n:INPUT DROP [0:0]\nCOMMIT\n");
        assert_eq!(host(false).judge(&[nat]), Findings::default());
    }

    #[test]
    fn each_chain_that_matters_is_named_once() {
        let rules = ":INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:DOCKER-USER - [0:0]\n:mine - [0:0]\n\
                     -A FORWARD -j DOCKER-USER\n-A FORWARD -p tcp -j mine\n-A mine -j LOG\n\
                     -A DOCKER-USER -s 10.0.0.0/8 -j DROP\n-A DOCKER-USER -p tcp -j DROP";
        assert_eq!(
            found(false, rules),
            [
                "iptables: chain DOCKER-USER has rules, which packets on the eBPF path do not meet",
                "iptables: chain mine has rules, which packets on the eBPF path do not meet",
                "iptables: policy of chain FORWARD is DROP, which packets on the eBPF path do not meet",
                "iptables: policy of chain INPUT is DROP: it has to accept what containers ask of the host",
            ]
        );
    }

    #[test]
    fn what_only_returns_accepts_counts_or_is_about_other_devices_is_no_finding() {
        let rules = ":FORWARD ACCEPT [0:0]\n:mine - [0:0]\n:idle - [0:0]\n-A FORWARD -j mine\n\
                     -A mine -p tcp -j ACCEPT\n-A mine -j RETURN\n-A mine -p udp\n-A idle -j DROP\n\
                     -A FORWARD -i virbr+ -j REJECT\n\
                     -A FORWARD -i eth0 -o virbr0 -j REJECT\n";
        assert_eq!(found(false, rules), NONE);
        assert_eq!(found(false, &format!("{rules}-A FORWARD -i eth+ -j DROP\n")).len(), 1);
    }

    #[test]
    fn ufw_is_named_as_a_whole_while_it_is_on() {
        let off = ":FORWARD ACCEPT [0:0]\n:ufw-before-forward - [0:0]\n-A FORWARD -j ufw-before-forward\n";
        assert_eq!(found(false, off), NONE);
        let on = format!("{off}-A ufw-before-forward -p icmp -j ACCEPT\n-A ufw-before-forward -j LOG\n");
        assert_eq!(found(false, &on), ["iptables: ufw is in use (chains ufw-*)"]);
        assert_eq!(found(true, &on), NONE);
    }

    #[test]
    fn input_is_a_finding_where_it_refuses_what_nobody_let_in() {
        let refuses = |rules: &str| found(false, &format!(":INPUT ACCEPT [0:0]\n:mine - [0:0]\n{rules}"));
        assert_eq!(refuses("-A INPUT -p tcp --dport 22 -j DROP\n"), NONE);
        assert_eq!(
            refuses(
                "-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp --dport 22 -j ACCEPT\n-A INPUT -j mine\n-A mine -j REJECT\n"
            ),
            ["iptables: chain mine refuses the rest: it has to accept what containers ask of the host"]
        );
        assert_eq!(refuses("-A INPUT -i nsw0 -j ACCEPT\n-A INPUT -j DROP\n"), NONE);
        assert_eq!(refuses("-A INPUT -p tcp -j mine\n-A mine -j DROP\n"), NONE);
    }

    #[test]
    fn with_the_hosts_stack_forward_has_to_accept_and_may_refuse() {
        assert_eq!(
            found(true, ":FORWARD ACCEPT [0:0]\n-A FORWARD -s 10.0.0.0/8 -j DROP\n"),
            NONE
        );
        let cut = ["iptables: policy of chain FORWARD is DROP: it has to accept what containers send and get"];
        let replies = "-A FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n-A FORWARD -p icmp -j ACCEPT\n";
        for rules in ["", DOCKER, replies, "-A FORWARD -i eth0 -o wg0 -j ACCEPT\n"] {
            assert_eq!(found(true, &format!("{FORWARD_DROPS}{rules}")), cut, "{rules}");
        }
        for rules in [
            "-A FORWARD -i nsw0 -j ACCEPT\n",
            "-A FORWARD -s 172.17.0.0/16 -j ACCEPT\n",
            ":mine - [0:0]\n-A FORWARD -j mine\n-A mine -m conntrack --ctstate NEW,ESTABLISHED -j ACCEPT\n",
        ] {
            assert_eq!(found(true, &format!("{FORWARD_DROPS}{rules}")), NONE, "{rules}");
        }
        assert_eq!(
            found(true, ":FORWARD ACCEPT [0:0]\n-A FORWARD -j REJECT\n"),
            ["iptables: chain FORWARD refuses the rest: it has to accept what containers send and get"]
        );
    }
}

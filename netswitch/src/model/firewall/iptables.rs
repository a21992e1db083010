//! What `iptables-save` and `ip6tables-save` print (iptables-save(8), iptables-extensions(8)).

use std::collections::{BTreeMap, BTreeSet};

use super::{Chain, Condition, Hook, Rule, Table, Target};

/// The table `filter`; without chains where the tool has none to print.
pub fn filter(tool: &str, text: &str) -> Table {
    let mut chains: BTreeMap<String, Chain> = BTreeMap::new();
    let lines = text.lines().skip_while(|line| *line != "*filter");
    for line in lines.take_while(|line| *line != "COMMIT") {
        let words = words(line);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        if let ["-A", name, rest @ ..] = words.as_slice() {
            chains.entry((*name).to_owned()).or_default().rules.push(rule(rest));
        } else if let [chain, policy, ..] = words.as_slice()
            && let Some(name) = chain.strip_prefix(':')
        {
            let chain = chains.entry(name.to_owned()).or_default();
            chain.hook = hook(name);
            chain.drops = *policy == "DROP";
        }
    }
    let names: BTreeSet<String> = chains.keys().cloned().collect();
    for rule in chains.values_mut().flat_map(|chain| &mut chain.rules) {
        if matches!(&rule.target, Target::Jump(to) if !names.contains(to)) {
            rule.target = Target::Other;
        }
    }
    Table {
        tool: tool.to_owned(),
        name: None,
        chains,
    }
}

/// Names of the tables that the tool keeps in nftables: `nft` prints those too.
pub fn kept_in_nftables(text: &str) -> BTreeSet<&str> {
    let names = text.lines().filter_map(|line| line.strip_prefix('*'));
    let by_nftables = text.lines().next().is_some_and(|line| line.contains("(nf_tables)"));
    names.filter(|_| by_nftables).collect()
}

fn hook(chain: &str) -> Option<Hook> {
    match chain {
        "FORWARD" => Some(Hook::Forward),
        "INPUT" => Some(Hook::Input),
        _ => None,
    }
}

fn rule(words: &[&str]) -> Rule {
    let mut conditions = Vec::new();
    let mut words = words.iter().copied();
    let mut negated = false;
    while let Some(word) = words.next() {
        let is = !std::mem::take(&mut negated);
        match word {
            "!" => negated = true,
            "-j" | "-g" => {
                let target = target(words.next().unwrap_or_default());
                return Rule { conditions, target };
            }
            // the match's own options say what it asks
            "-m" | "--comment" => drop(words.next()),
            "-i" | "-o" if is => conditions.push(Condition::Devices(
                words.next().map(str::to_owned).into_iter().collect(),
            )),
            "-p" if is && matches!(words.clone().next(), Some("icmp" | "ipv6-icmp")) => {
                conditions.push(Condition::Icmp);
            }
            "--ctstate" | "--state" if is && words.clone().next().is_some_and(is_reply) => {
                conditions.push(Condition::Reply);
            }
            option if option.starts_with('-') => conditions.push(Condition::Other),
            _ => {}
        }
    }
    Rule {
        conditions,
        target: Target::Return,
    }
}

fn is_reply(states: &str) -> bool {
    states
        .split(',')
        .all(|state| matches!(state, "RELATED" | "ESTABLISHED"))
}

fn target(name: &str) -> Target {
    match name {
        "ACCEPT" => Target::Accept,
        "DROP" | "REJECT" => Target::Refuse,
        "RETURN" => Target::Return,
        // or an extension's target, which no chain is named after
        chain => Target::Jump(chain.to_owned()),
    }
}

/// Words between blanks, those in quotes whole.
fn words(line: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quoted = false;
    let mut characters = line.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => quoted = !quoted,
            ' ' if !quoted => words.extend(word.take()),
            '\\' if quoted => word.get_or_insert_default().extend(characters.next()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_and_targets_are_read_and_comments_are_not() {
        let read = |line: &str| {
            let words = words(line);
            rule(&words.iter().map(String::as_str).collect::<Vec<_>>())
        };
        let devices = |name: &str| Condition::Devices(vec![name.to_owned()]);
        for (line, conditions, target) in [
            ("-j DROP", vec![], Target::Refuse),
            (
                r#"-m comment --comment "a \"b\" -j DROP" -j RETURN"#,
                vec![],
                Target::Return,
            ),
            (
                "-i docker0 ! -o docker0 -j ACCEPT",
                vec![devices("docker0"), Condition::Other],
                Target::Accept,
            ),
            (
                "-p tcp -m multiport --dports 80,443 -g mine",
                vec![Condition::Other; 2],
                Target::Jump("mine".into()),
            ),
            (
                "-p icmp -m icmp --icmp-type 3 -j REJECT",
                vec![Condition::Icmp, Condition::Other],
                Target::Refuse,
            ),
            (
                "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                vec![Condition::Reply],
                Target::Accept,
            ),
            (
                "-m conntrack ! --ctstate ESTABLISHED -j ACCEPT",
                vec![Condition::Other],
                Target::Accept,
            ),
            (
                "-m conntrack --ctstate NEW -j ACCEPT",
                vec![Condition::Other],
                Target::Accept,
            ),
            ("-s 192.0.2.0/24", vec![Condition::Other], Target::Return),
        ] {
            assert_eq!(read(line), Rule { conditions, target }, "{line}");
        }
    }

    #[test]
    fn the_table_filter_is_read_among_others() {
        let text = "# Generated by iptables-save v1.8.9 (nf_tables) on Thu Nov 26 15:21:06 2026\n*nat\n\
                    :INPUT DROP [0:0]\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n:mine - [0:0]\n\
                    -A INPUT -j mine\n-A INPUT -j LOG\nCOMMIT\n";
        let table = filter("iptables", text);
        let input = &table.chains["INPUT"];
        assert!(input.drops && input.hook == Some(Hook::Input));
        let targets: Vec<&Target> = input.rules.iter().map(|rule| &rule.target).collect();
        assert_eq!(targets, [&Target::Jump("mine".into()), &Target::Other]);
        assert_eq!(kept_in_nftables(text), ["filter", "nat"].into());
        let legacy = text.replace("(nf_tables) ", "");
        assert_eq!(kept_in_nftables(&legacy), BTreeSet::new());
        assert!(filter("iptables", "").chains.is_empty());
    }
}

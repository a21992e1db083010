//! Rules on the host that packets switched in eBPF pass by, or that cut what the host's stack carries.

use std::collections::BTreeSet;

/// Docker's own chains; what they hold is no administrator's wish.
const DOCKER: &str = "DOCKER";

/// What `iptables-save` or `ip6tables-save` (`tool`) printed: one sentence for each chain that matters.
pub fn of_iptables(tool: &str, text: &str) -> Vec<String> {
    let mut findings = BTreeSet::new();
    let mut filter = false;
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            [table] if table.starts_with('*') => filter = *table == "*filter",
            _ if !filter => {}
            [chain @ (":FORWARD" | ":INPUT"), "DROP", ..] => {
                findings.insert(format!("{tool}: policy of chain {} is DROP", &chain[1..]));
            }
            [chain, ..] if chain.starts_with(":ufw") => {
                findings.insert(format!("{tool}: ufw is in use (chains ufw-*)"));
            }
            ["-A", chain @ ("DOCKER-USER" | "FORWARD"), rule @ ..] => {
                let target = rule.iter().skip_while(|word| **word != "-j").nth(1).unwrap_or(&"");
                if *target != "RETURN" && !target.starts_with(DOCKER) && !target.starts_with("ufw") {
                    findings.insert(format!(
                        "{tool}: chain {chain} has rules, which packets on the eBPF path do not meet"
                    ));
                }
            }
            _ => {}
        }
    }
    findings.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_ruleset_and_dockers_own_are_no_finding() {
        let text = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:DOCKER-USER - [0:0]\n\
                    -A FORWARD -j DOCKER-USER\n-A DOCKER-USER -j RETURN\nCOMMIT\n";
        assert!(of_iptables("iptables", text).is_empty());
        assert!(of_iptables("iptables", "").is_empty());
        assert!(of_iptables("iptables", "*nat\n:INPUT DROP [0:0]\nCOMMIT\n").is_empty());
    }

    #[test]
    fn each_chain_that_matters_is_named_once() {
        let text = "*filter\n:INPUT DROP [0:0]\n:FORWARD DROP [0:0]\n:ufw-before-input - [0:0]\n:ufw-user-input - [0:0]\n\
                    -A DOCKER-USER -s 10.0.0.0/8 -j DROP\n-A DOCKER-USER -p tcp -j DROP\nCOMMIT\n";
        let findings = of_iptables("iptables", text);
        assert_eq!(findings.len(), 4, "{findings:?}");
        assert!(findings.contains(&"iptables: policy of chain FORWARD is DROP".to_owned()));
        assert!(findings.iter().any(|finding| finding.contains("chain DOCKER-USER")));
    }
}

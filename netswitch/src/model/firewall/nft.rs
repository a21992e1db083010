//! What `nft --json list ruleset` prints (libnftables-json(5)).

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Condition, Hook, Rule, Table, Target};

/// Of Docker itself, where it writes nftables.
const DOCKER: &str = "docker-bridges";

/// Tables that packets between containers and the world may meet, but for those that `skip` tells by family
/// and name. A text that is not nft's: none.
pub fn tables(text: &str, skip: impl Fn(&str, &str) -> bool) -> Vec<Table> {
    let ruleset: Value = serde_json::from_str(text).unwrap_or_default();
    let mut tables: BTreeMap<String, Table> = BTreeMap::new();
    for object in ruleset["nftables"].as_array().into_iter().flatten() {
        let (is_chain, object) = match (&object["chain"], &object["rule"]) {
            (Value::Null, rule) => (false, rule),
            (chain, _) => (true, chain),
        };
        let (family, table) = (text_of(&object["family"]), text_of(&object["table"]));
        if !matches!(family, "ip" | "ip6" | "inet") || table == DOCKER || skip(family, table) {
            continue;
        }
        let name = format!("{family} {table}");
        let table = tables.entry(name.clone()).or_insert_with(|| Table {
            tool: "nft".to_owned(),
            name: Some(name),
            chains: BTreeMap::new(),
        });
        let name = &object[if is_chain { "name" } else { "chain" }];
        let chain = table.chains.entry(text_of(name).to_owned()).or_default();
        if is_chain {
            chain.hook = hook(text_of(&object["hook"]));
            chain.drops = object["policy"] == "drop";
        } else {
            let statements = object["expr"].as_array();
            chain.rules.extend(rules(statements.map_or(&[], Vec::as_slice)));
        }
    }
    tables.into_values().collect()
}

fn text_of(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn hook(name: &str) -> Option<Hook> {
    match name {
        "forward" => Some(Hook::Forward),
        "input" => Some(Hook::Input),
        _ => None,
    }
}

/// A rule; one for each verdict where a map holds them.
fn rules(statements: &[Value]) -> Vec<Rule> {
    let mut conditions = Vec::new();
    let mut targets = Vec::new();
    for (kind, value) in statements.iter().filter_map(Value::as_object).flatten() {
        match kind.as_str() {
            "match" if value["op"] == "!=" => conditions.push(Condition::Other),
            "match" => conditions.push(condition(&value["left"], &alternatives(&value["right"]))),
            "xt" if value["type"] == "match" && value["name"] == "comment" => {}
            "xt" if value["type"] == "match" => conditions.push(Condition::Other),
            "xt" if value["name"] == "REJECT" => targets.push((None, Target::Refuse)),
            "limit" => conditions.push(Condition::Other),
            "counter" => {}
            "vmap" => {
                for element in alternatives(&value["data"]) {
                    let verdict = element[1].as_object().into_iter().flatten();
                    let when = condition(&value["key"], &[&element[0]]);
                    targets.extend(verdict.map(|(kind, value)| (Some(when.clone()), target(kind, value))));
                }
            }
            kind => targets.push((None, target(kind, value))),
        }
    }
    // `log drop`: what it does last is what counts
    let is_verdict = |(_, target): &(_, Target)| *target != Target::Other;
    if targets.iter().any(is_verdict) {
        targets.retain(is_verdict);
    } else {
        targets.truncate(1);
    }
    let rule = |(when, target): (Option<Condition>, Target)| Rule {
        conditions: conditions.iter().cloned().chain(when).collect(),
        target,
    };
    targets.into_iter().map(rule).collect()
}

fn target(kind: &str, value: &Value) -> Target {
    match kind {
        "accept" => Target::Accept,
        "drop" | "reject" => Target::Refuse,
        "return" | "continue" => Target::Return,
        "jump" | "goto" => Target::Jump(text_of(&value["target"]).to_owned()),
        _ => Target::Other,
    }
}

/// The elements of a set or list, or the one value.
fn alternatives(value: &Value) -> Vec<&Value> {
    let elements = value["set"].as_array().or_else(|| value.as_array());
    elements.map_or_else(|| vec![value], |elements| elements.iter().collect())
}

/// That what `left` names of a packet is one of `right`.
fn condition(left: &Value, right: &[&Value]) -> Condition {
    let are = |of: &[&str]| right.iter().all(|value| of.contains(&text_of(value)));
    let meta = text_of(&left["meta"]["key"]);
    let is_icmp = matches!(text_of(&left["payload"]["protocol"]), "icmp" | "icmpv6");
    let is_protocol = meta == "l4proto" || matches!(text_of(&left["payload"]["field"]), "protocol" | "nexthdr");
    let named = || right.iter().map(|value| text_of(value).to_owned()).collect();
    match meta {
        "iif" | "iifname" | "oif" | "oifname" => Condition::Devices(named()),
        _ if is_icmp || is_protocol && are(&["icmp", "icmpv6", "ipv6-icmp"]) => Condition::Icmp,
        _ if left["ct"]["key"] == "state" && are(&["established", "related"]) => Condition::Reply,
        _ => Condition::Other,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Findings, Host};
    use super::*;

    /// Nft 1.0.6 printed these, but for handles and counts.
    fn ruleset() -> String {
        let base = |family: &str, table: &str, name: &str, hook: &str, policy: &str| {
            json!({"chain": {"family": family, "table": table, "name": name, "type": "filter", "hook": hook,
                "prio": 0, "policy": policy}})
        };
        let rule = |chain: &str, statements: Value| {
            let rule = json!({"family": "inet", "table": "theirs", "chain": chain, "expr": statements});
            json!({ "rule": rule })
        };
        let is = |left: Value, right: Value| json!({"match": {"op": "==", "left": left, "right": right}});
        json!({"nftables": [
            {"metainfo": {"version": "1.0.6", "json_schema_version": 1}},
            {"table": {"family": "ip", "name": "filter"}},
            base("ip", "filter", "FORWARD", "forward", "drop"),
            {"table": {"family": "inet", "name": "theirs"}},
            base("inet", "theirs", "f", "forward", "drop"),
            base("inet", "theirs", "i", "input", "accept"),
            base("inet", "theirs", "o", "output", "drop"),
            base("bridge", "theirs", "f", "forward", "drop"),
            {"chain": {"family": "inet", "table": "theirs", "name": "mine"}},
            rule("f", json!([{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set":
                [["invalid", {"drop": null}], ["established", {"accept": null}]]}}}])),
            rule("f", json!([is(json!({"meta": {"key": "l4proto"}}), json!({"set": ["icmp", "ipv6-icmp"]})),
                {"accept": null}])),
            rule("f", json!([is(json!({"meta": {"key": "iifname"}}), json!({"set": ["eth0", "virbr*"]})),
                {"counter": {"packets": 0, "bytes": 0}}, {"jump": {"target": "mine"}}])),
            rule("mine", json!([{"log": null}, {"drop": null}])),
            rule("i", json!([{"counter": {"packets": 0, "bytes": 0}}, {"reject": {"type": "icmpx"}}])),
        ]})
        .to_string()
    }

    fn judged(stack: bool, text: &str) -> Findings {
        let host = Host {
            stack,
            gateways: vec!["docker0".into()],
            uplinks: vec!["eth0".into()],
        };
        host.judge(&tables(text, |family, table| (family, table) == ("ip", "filter")))
    }

    #[test]
    fn base_chains_that_matter_are_named_with_their_table() {
        let found = judged(false, &ruleset());
        let unseen: Vec<String> = found.unseen.into_iter().collect();
        assert_eq!(
            unseen,
            [
                "nft: chain f of inet theirs has rules, which packets on the eBPF path do not meet",
                "nft: chain mine of inet theirs has rules, which packets on the eBPF path do not meet",
                "nft: policy of chain f of inet theirs is DROP, which packets on the eBPF path do not meet",
            ]
        );
        let cut: Vec<String> = found.cut.into_iter().collect();
        assert_eq!(
            cut,
            ["nft: chain i of inet theirs refuses the rest: it has to accept what containers ask of the host"]
        );
    }

    #[test]
    fn replies_and_icmp_alone_do_not_let_containers_through_the_stack() {
        let cut = "nft: policy of chain f of inet theirs is DROP: it has to accept what containers send and get";
        assert!(judged(true, &ruleset()).cut.contains(cut));
        let accepting = ruleset().replace(r#"{"drop":null}]}}"#, r#"{"accept":null}]}}"#);
        assert!(!judged(true, &accepting).cut.contains(cut), "{accepting}");
    }

    #[test]
    fn what_is_no_ruleset_has_no_tables() {
        for text in ["", "nft: not JSON", "[]", "{}", r#"{"nftables": [{"rule": 1}]}"#] {
            assert_eq!(tables(text, |_, _| false), []);
        }
    }
}

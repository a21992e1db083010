use super::*;

fn complaint(text: &str) -> String {
    let error = read("policy.toml", text).and_then(|file| file.check("policy.toml"));
    error.expect_err(text).message
}

#[test]
fn every_error_names_line_and_field_and_gives_a_hint() {
    let rule = |rest: &str| format!("# a comment\n\n[[rule]]\naction = \"allow\"\nfrom = \"web\"\n{rest}");
    for (text, beginning) in [
        (rule("too = \"db\"\n"), "policy.toml:6: unknown field `too`"),
        (
            rule("to = \"db\"\nports = [80, \"x\"]\n"),
            "policy.toml:7: rule.ports: \"x\" is no port",
        ),
        (
            rule("to = \"db\"\nports = 70000\n"),
            "policy.toml:7: rule.ports: \"70000\" is no port",
        ),
        (
            rule("to = \"db\"\nports = {}\n"),
            "policy.toml:7: rule.ports: table is no list of ports",
        ),
        (
            rule("to = \"db\"\nports = []\n"),
            "policy.toml:7: rule.ports: array is no list of ports",
        ),
        (rule("to = \"d b\"\n"), "policy.toml:6: rule.to: \"d b\" names nobody"),
        (rule("to = true\n"), "policy.toml:6: rule.to: boolean is no text"),
        (rule(""), "policy.toml:3: rule.to: missing"),
        (
            rule("to = \"db\"\nprotocol = \"tpc\"\n"),
            "policy.toml:7: rule.protocol: \"tpc\" is no protocol",
        ),
        (
            rule("to = \"db\"\nprotocol = \"icmp\"\nports = 8\n"),
            "policy.toml:8: rule.ports: protocol icmp has no ports",
        ),
        (rule("to = \"db\n"), "policy.toml:6: "),
        ("[[rules]]\n".to_owned(), "policy.toml:1: unknown field `rules`"),
        (
            "[[default]]\nof = \"web\"\naction = \"forbid\"\n".to_owned(),
            "policy.toml:3: default.action: \"forbid\" is no action",
        ),
        (
            "[[default]]\nof = \"web\"\ndirection = \"up\"\naction = \"deny\"\n".to_owned(),
            "policy.toml:3: default.direction: \"up\" is no direction",
        ),
        (
            "[[default]]\nof = \"world\"\naction = \"deny\"\n".to_owned(),
            "policy.toml:2: default.of: \"world\" has no default",
        ),
    ] {
        let said = complaint(&text);
        assert!(said.starts_with(beginning), "{text}\n{said}");
        assert!(said.contains("\nhint: "), "{text}\n{said}");
    }
}

/// A file of rules from `web` to `db`.
fn rules(rules: &[(&str, &str)]) -> String {
    let rules = rules
        .iter()
        .map(|(action, rest)| format!("[[rule]]\naction = \"{action}\"\nfrom = \"web\"\nto = \"db\"\n{rest}\n\n"));
    rules.collect()
}

#[test]
fn rules_that_contradict_or_repeat_each_other_are_named() {
    for (file, said) in [
        (&[("allow", ""), ("allow", "")][..], Some((7, "line 1 says the same"))),
        (&[("allow", ""), ("deny", "")], Some((7, "line 1 says the contrary"))),
        (
            &[("allow", "ports = \"80-90\""), ("deny", "ports = 85")],
            Some((7, "line 1 says the contrary")),
        ),
        (
            &[
                ("allow", "ports = [1, \"80-90\"]"),
                ("allow", "ports = \"81-82\""),
                ("deny", "ports = \"90-99\""),
            ],
            Some((13, "line 1 says the contrary")),
        ),
        (
            &[("allow", "ports = 80"), ("allow", "ports = 80")],
            Some((7, "line 1 says the same")),
        ),
        (&[("allow", "ports = 80"), ("deny", "ports = 81")], None),
        (
            &[("allow", "ports = 80"), ("deny", "protocol = \"udp\"\nports = 80")],
            None,
        ),
        (&[("allow", "protocol = \"tcp\""), ("deny", "ports = 22")], None),
    ] {
        let text = rules(file);
        match said {
            None => read("f", &text).unwrap().check("f").unwrap(),
            Some((line, said)) => {
                let beginning = format!("policy.toml:{line}: rule: {said}");
                assert!(complaint(&text).starts_with(&beginning), "{text}\n{}", complaint(&text));
            }
        }
    }
    let default =
        |direction: &str| format!("[[default]]\nof = \"web\"\ndirection = \"{direction}\"\naction = \"deny\"\n");
    assert!(complaint(&(default("both") + &default("in"))).starts_with("policy.toml:5: default: line 1 says"));
    let apart = read("f", &(default("out") + &default("in"))).unwrap();
    apart.check("f").unwrap();
}

#[test]
fn what_is_written_reads_as_the_same() {
    let text = "[[rule]]\naction = \"allow\"\nfrom = 'label:a\"b=c\\d'\nto = \"2001:db8::/32\"\n\
                ports = [80, \"90-99\"]\nprotocol = 17\n";
    let rule = read("f", text).unwrap().rules.remove(0).rule;
    assert_eq!(rule.to_string(), "allow label:a\"b=c\\d [2001:db8::/32]:80,90-99/udp");
    let mut policy = Policy::default();
    policy.rules.insert(3, rule.clone());
    policy.set_default(&"web".parse().unwrap(), Direction::In, Action::Deny);
    policy.set_default(&"web".parse().unwrap(), Direction::Out, Action::Allow);
    let file = read("f", &write(&policy)).unwrap();
    assert_eq!(file.rules[0].rule, rule);
    let mut again = Policy::default();
    for found in file.defaults {
        again.set_default(&found.of, found.direction, found.action);
    }
    assert_eq!(again.defaults, policy.defaults);
}

//! The rows of the tutorial that netswitch has to reproduce, and which test proves each.
//!
//! A test whose name starts with row tokens proves those rows: `s05_s08_host_and_peer_answer_with_ttl_64`.

use std::collections::BTreeMap;

/// A row: its number, what must be observed, and, for a statement, the rows that prove it.
pub(crate) struct Row {
    pub(crate) number: u8,
    pub(crate) observed: &'static str,
    proved_by: &'static [u8],
}

/// How the tests of a row ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed(Vec<String>),
    Failed(Vec<String>),
    Missing,
}

const fn row(number: u8, observed: &'static str) -> Row {
    Row {
        number,
        observed,
        proved_by: &[],
    }
}

const fn statement(number: u8, observed: &'static str, proved_by: &'static [u8]) -> Row {
    Row {
        number,
        observed,
        proved_by,
    }
}

/// Every row that holds by now.
pub(crate) const ROWS: &[Row] = &[
    row(1, "docker0 exists before any container, without carrier"),
    row(
        2,
        "run prints a 64-digit id, assigns an address, publishes exposed ports",
    ),
    row(3, "a container sees lo and eth0, nothing else"),
    row(4, "the MAC is 02:42 and the address"),
    row(5, "the host reaches a container, ttl 64"),
    row(6, "each container adds one host-side veth, paired with its eth0"),
    statement(7, "devices come in pairs", &[6]),
    row(8, "containers of a network reach each other, ttl 64"),
    statement(9, "containers share the default network and its gateway", &[3, 8]),
    statement(10, "all interfaces are virtual and go with their container", &[6, 54]),
    row(11, "gateway device first, then veth, eth0, address, default route"),
    statement(12, "a network namespace is the isolation", &[3, 26]),
    row(13, "an address may change: the name leads to the new one at once"),
    row(14, "the default network has no names"),
    row(15, "run --link prints an id"),
    row(16, "a linked container is reached by its name"),
    row(17, "a link is one-way"),
    row(18, "network ls: bridge, host, none"),
    row(19, "network inspect by short id: keys in the engine's order"),
    row(20, "network inspect lists containers with MAC and address"),
    row(21, "network inspect: the default network's options"),
    row(22, "/etc/hosts, with the linked container"),
    row(23, "--link writes hosts and nothing else"),
    row(24, "network ls again"),
    row(25, "--net bridge; its gateway can be renumbered"),
    row(26, "--net none has lo alone"),
    row(27, "--net host has the host's interfaces and ports"),
    row(28, "--net container:NAME shares a namespace"),
    row(29, "--net bridge is the default"),
    row(30, "network create with a subnet that covers a host route"),
    row(31, "network ls shows the new network in order"),
    row(32, "containers on the new network"),
    row(33, "network inspect of the new network"),
    row(
        34,
        "containers of a user's network reach each other by name, ping says name.network",
    ),
    row(35, "and in the other direction"),
    statement(36, "each network keeps its names, isolated from the others", &[34, 39]),
    row(37, "network --help"),
    row(38, "network connect --help"),
    row(39, "before connect: another network is out of reach"),
    row(40, "network connect is silent and the container runs on"),
    row(41, "network inspect shows the connected container"),
    row(42, "ps shows one random port on v4 and v6"),
    row(43, "inspect: the endpoint on the default network"),
    row(44, "inspect: the second endpoint, one container with two addresses"),
    row(45, "names switch on when a running container is connected"),
    statement(46, "crossing networks takes network connect", &[39, 40]),
    row(47, "network create with public space, the gateway chosen"),
    row(48, "six configurations for Redis"),
    row(49, "six nodes with fixed addresses, volumes and twelve published ports"),
    row(50, "the cluster forms, every slot covered"),
    row(51, "cluster info: state ok"),
    row(52, "cluster nodes: three masters, three replicas"),
    row(53, "a set is redirected to the slot's owner"),
    row(54, "stop of a master: its interface goes, its address stays reserved"),
    row(55, "the replica takes over within the node timeout"),
    row(56, "cluster nodes: the dead master failed, its replica owns the slots"),
];

/// The rows that a test proves, by the last part of its path.
fn rows_of(test: &str) -> Vec<u8> {
    let name = test.rsplit("::").next().unwrap_or(test);
    name.split('_')
        .map_while(|token| {
            let digits = token.strip_prefix('s')?;
            (digits.len() == 2).then(|| digits.parse().ok())?
        })
        .collect()
}

/// What the tests that ran (name, passed) say of each row.
pub(crate) fn outcomes(tests: &[(String, bool)]) -> Vec<(&'static Row, Outcome)> {
    let mut proofs: BTreeMap<u8, Vec<&(String, bool)>> = BTreeMap::new();
    for test in tests {
        for number in rows_of(&test.0) {
            proofs.entry(number).or_default().push(test);
        }
    }
    ROWS.iter().map(|row| (row, outcome(row, &proofs))).collect()
}

fn outcome(row: &Row, proofs: &BTreeMap<u8, Vec<&(String, bool)>>) -> Outcome {
    let mut tests: Vec<&(String, bool)> = Vec::new();
    let own = [row.number];
    let numbers = if row.proved_by.is_empty() { &own } else { row.proved_by };
    for number in numbers {
        match proofs.get(number) {
            Some(proof) => tests.extend(proof),
            None => return Outcome::Missing,
        }
    }
    let names = |passed: bool| -> Vec<String> {
        let these = tests.iter().filter(|test| test.1 == passed);
        these.map(|test| test.0.clone()).collect()
    };
    let failed = names(false);
    if failed.is_empty() {
        Outcome::Passed(names(true))
    } else {
        Outcome::Failed(failed)
    }
}

impl Row {
    /// `= S39, S40` for a statement.
    pub(crate) fn proof(&self) -> Option<String> {
        let rows: Vec<_> = self.proved_by.iter().map(|number| format!("S{number:02}")).collect();
        (!rows.is_empty()).then(|| format!("= {}", rows.join(", ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome_of(number: u8, tests: &[(&str, bool)]) -> Outcome {
        let tests: Vec<_> = tests
            .iter()
            .map(|(name, passed)| ((*name).to_owned(), *passed))
            .collect();
        let all = outcomes(&tests);
        all.into_iter().find(|(row, _)| row.number == number).unwrap().1
    }

    #[test]
    fn a_name_proves_the_rows_it_starts_with() {
        assert_eq!(rows_of("container::s05_s08_ttl_64_s09"), [5, 8]);
        assert!(rows_of("model::subnet_s01").is_empty());
        assert!(rows_of("s1_s002_sab").is_empty());
    }

    #[test]
    fn a_row_without_a_test_that_ran_is_missing() {
        assert_eq!(outcome_of(5, &[("s06_pairs", true)]), Outcome::Missing);
    }

    #[test]
    fn one_failed_test_fails_the_row() {
        let tests = [("s06_pairs", true), ("s06_indexes", false)];
        assert_eq!(outcome_of(6, &tests), Outcome::Failed(vec!["s06_indexes".into()]));
    }

    #[test]
    fn a_statement_holds_when_all_rows_behind_it_do() {
        assert_eq!(outcome_of(46, &[("s39_out_of_reach", true)]), Outcome::Missing);
        let tests = [("s39_out_of_reach", true), ("s40_connect", true)];
        assert_eq!(
            outcome_of(46, &tests),
            Outcome::Passed(vec!["s39_out_of_reach".into(), "s40_connect".into()])
        );
    }
}

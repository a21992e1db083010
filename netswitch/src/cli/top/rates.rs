//! What happened between two looks at the counters, per second.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::time::Duration;

use crate::api::{EndpointStats, Stats, Traffic};

/// Containers, each on each of its networks, and the networks themselves.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Rates {
    pub containers: Vec<Row>,
    pub networks: Vec<Row>,
}

/// All but the flows per second.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Row {
    /// `(host)` for the host's own port; how many containers there are where this is a network.
    pub container: String,
    pub network: String,
    pub received_packets: f64,
    pub received_bytes: f64,
    pub sent_packets: f64,
    pub sent_bytes: f64,
    pub drops: f64,
    /// Of most of the drops.
    pub reason: String,
    /// At present.
    pub flows: u64,
}

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Order {
    #[default]
    Bytes,
    Packets,
    Drops,
    Flows,
    Name,
}

impl Rates {
    /// Who was not there before has done nothing yet.
    pub fn between(before: &Stats, after: &Stats, elapsed: Duration) -> Self {
        let seconds = elapsed.as_secs_f64().max(f64::EPSILON);
        let known: BTreeMap<_, _> = before.endpoints.iter().map(|stats| (key(stats), stats)).collect();
        let mut networks: BTreeMap<&str, Sum> = BTreeMap::new();
        let mut containers = Vec::new();
        for stats in &after.endpoints {
            let mut sum = Sum {
                containers: u64::from(!stats.container.is_empty()),
                flows: stats.flows,
                ..Sum::default()
            };
            if let Some(before) = known.get(&key(stats)) {
                sum.grow(before, stats);
            }
            networks.entry(&stats.network).or_default().add(&sum);
            let container = match stats.container.as_str() {
                "" => "(host)",
                name => name,
            };
            containers.push(sum.row(container.to_owned(), &stats.network, seconds));
        }
        let networks = networks
            .into_iter()
            .map(|(name, sum)| sum.row(sum.containers.to_string(), name, seconds))
            .collect();
        Self { containers, networks }
    }

    pub fn sort(&mut self, order: Order, is_reversed: bool) {
        for rows in [&mut self.containers, &mut self.networks] {
            rows.sort_by(|a, b| {
                let compared = order.compare(a, b);
                if is_reversed { compared.reverse() } else { compared }
            });
        }
    }
}

impl Order {
    /// Most first; names tell apart what is alike.
    fn compare(self, a: &Row, b: &Row) -> Ordering {
        let most = |of: fn(&Row) -> f64| of(b).total_cmp(&of(a));
        let compared = match self {
            Self::Bytes => most(|row| row.received_bytes + row.sent_bytes),
            Self::Packets => most(|row| row.received_packets + row.sent_packets),
            Self::Drops => most(|row| row.drops),
            Self::Flows => b.flows.cmp(&a.flows),
            Self::Name => Ordering::Equal,
        };
        let names = || (&a.container, &a.network).cmp(&(&b.container, &b.network));
        compared.then_with(names)
    }
}

fn key(stats: &EndpointStats) -> (&str, &str) {
    (&stats.container, &stats.network)
}

/// What one or several have done.
#[derive(Default)]
struct Sum {
    containers: u64,
    traffic: Traffic,
    drops: BTreeMap<String, u64>,
    flows: u64,
}

impl Sum {
    fn grow(&mut self, before: &EndpointStats, after: &EndpointStats) {
        let traffic = |stats: &EndpointStats| stats.traffic.unwrap_or_default();
        let (before_traffic, after_traffic) = (traffic(before), traffic(after));
        // a counter that is less than before is that of another interface of the same name
        let grown = |of: fn(&Traffic) -> u64| of(&after_traffic).saturating_sub(of(&before_traffic));
        self.traffic = Traffic {
            received_packets: grown(|traffic| traffic.received_packets),
            received_bytes: grown(|traffic| traffic.received_bytes),
            sent_packets: grown(|traffic| traffic.sent_packets),
            sent_bytes: grown(|traffic| traffic.sent_bytes),
        };
        for (reason, count) in &after.drops {
            let more = count.saturating_sub(before.drops.get(reason).copied().unwrap_or(0));
            if more > 0 {
                self.drops.insert(reason.clone(), more);
            }
        }
    }

    fn add(&mut self, other: &Self) {
        self.containers += other.containers;
        self.flows += other.flows;
        self.traffic.received_packets += other.traffic.received_packets;
        self.traffic.received_bytes += other.traffic.received_bytes;
        self.traffic.sent_packets += other.traffic.sent_packets;
        self.traffic.sent_bytes += other.traffic.sent_bytes;
        for (reason, count) in &other.drops {
            *self.drops.entry(reason.clone()).or_default() += count;
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "a few digits are shown")]
    fn row(&self, container: String, network: &str, seconds: f64) -> Row {
        let rate = |count: u64| count as f64 / seconds;
        let most = self.drops.iter().max_by_key(|(_, count)| **count);
        Row {
            container,
            network: network.to_owned(),
            received_packets: rate(self.traffic.received_packets),
            received_bytes: rate(self.traffic.received_bytes),
            sent_packets: rate(self.traffic.sent_packets),
            sent_bytes: rate(self.traffic.sent_bytes),
            drops: rate(self.drops.values().sum()),
            reason: most.map_or_else(String::new, |(reason, _)| reason.clone()),
            flows: self.flows,
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Of a container that has sent so many packets of 100 bytes, of which some were dropped.
    fn endpoint(container: &str, network: &str, packets: u64, drops: &[(&str, u64)]) -> EndpointStats {
        EndpointStats {
            container: container.to_owned(),
            network: network.to_owned(),
            drops: drops
                .iter()
                .map(|(reason, count)| ((*reason).to_owned(), *count))
                .collect(),
            traffic: (!container.is_empty()).then_some(Traffic {
                sent_packets: packets,
                sent_bytes: 100 * packets,
                ..Traffic::default()
            }),
            flows: packets / 100,
            ..EndpointStats::default()
        }
    }

    /// Two seconds of two networks.
    pub(in crate::cli::top) fn rates() -> Rates {
        let stats = |endpoints: Vec<EndpointStats>| Stats {
            endpoints,
            ..Stats::default()
        };
        let before = stats(vec![
            endpoint("", "front", 0, &[]),
            endpoint("db", "back", 5000, &[]),
            endpoint("web", "front", 100, &[("martian", 3), ("policy-denied", 10)]),
            endpoint("web", "back", 100, &[]),
        ]);
        let after = stats(vec![
            endpoint("", "front", 0, &[("no-ipv6", 2)]),
            endpoint("db", "back", 400, &[]),
            endpoint("late", "front", 9000, &[("martian", 1)]),
            endpoint("web", "front", 300, &[("martian", 4), ("policy-denied", 15)]),
            endpoint("web", "back", 1100, &[]),
        ]);
        Rates::between(&before, &after, Duration::from_secs(2))
    }

    fn row<'a>(rows: &'a [Row], container: &str, network: &str) -> &'a Row {
        let mut rows = rows.iter();
        rows.find(|row| row.container == container && row.network == network)
            .unwrap()
    }

    #[test]
    fn rates_are_what_grew_by_the_second() {
        let rates = rates();
        let web = Row {
            container: "web".into(),
            network: "front".into(),
            sent_packets: 100.0,
            sent_bytes: 10_000.0,
            drops: 3.0,
            reason: "policy-denied".into(),
            flows: 3,
            ..Row::default()
        };
        assert_eq!(*row(&rates.containers, "web", "front"), web);
        assert_eq!(row(&rates.containers, "(host)", "front").reason, "no-ipv6");
        // one that has begun anew, and one that was not there
        for (name, network) in [("db", "back"), ("late", "front")] {
            let row = row(&rates.containers, name, network);
            assert_eq!((row.sent_bytes, row.drops), (0.0, 0.0), "{name}");
        }
    }

    #[test]
    fn a_network_is_the_sum_of_its_containers() {
        let rates = rates();
        let front = row(&rates.networks, "2", "front");
        assert_eq!((front.sent_packets, front.drops), (100.0, 4.0));
        assert_eq!(front.reason, "policy-denied");
        let back = row(&rates.networks, "2", "back");
        assert_eq!((back.sent_packets, back.reason.as_str()), (500.0, ""));
    }

    #[test]
    fn most_come_first_or_last() {
        let mut rates = rates();
        let mut names = |order, is_reversed| {
            rates.sort(order, is_reversed);
            let rows = rates
                .containers
                .iter()
                .map(|row| format!("{}@{}", row.container, row.network));
            rows.collect::<Vec<_>>().join(" ")
        };
        assert!(names(Order::Bytes, false).starts_with("web@back web@front "));
        assert!(names(Order::Packets, true).ends_with(" web@front web@back"));
        assert!(names(Order::Drops, false).starts_with("web@front (host)@front "));
        assert!(names(Order::Flows, false).starts_with("late@front web@back "));
        assert_eq!(
            names(Order::Name, false),
            "(host)@front db@back late@front web@back web@front"
        );
    }
}

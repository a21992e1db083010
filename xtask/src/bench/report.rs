//! What a run prints and writes: tables, floors, JSON.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::costs::Costs;
use super::monitor::Told;
use super::peer::Peer;
use super::scenario::Scenario;
use super::series::{Series, median};

/// What must hold on every machine.
struct Floor {
    scenario: Scenario,
    peer: Peer,
    /// Whom the figure is divided by, within each round; the figure itself is judged without.
    against: Option<Peer>,
    /// At least this where higher is better, at most where lower is.
    bound: f64,
}

#[rustfmt::skip]
const FLOORS: [Floor; 37] = [
    floor(Scenario::TcpStream, Peer::Netswitch, 0.95, Peer::Direct),
    floor(Scenario::TcpStream, Peer::NetswitchBigTcp, 1.10, Peer::Direct),
    floor(Scenario::Udp64b, Peer::Netswitch, 0.88, Peer::Direct),
    floor(Scenario::Udp64b, Peer::Netswitch, 1.10, Peer::Bridge),
    floor(Scenario::Udp64b, Peer::Netswitch, 1.30, Peer::Docker),
    floor(Scenario::TcpRr, Peer::Netswitch, 1.08, Peer::Direct),
    floor(Scenario::MasqUdp64b, Peer::Netswitch, 1.40, Peer::Iptables),
    floor(Scenario::MasqTcpStream, Peer::Netswitch, 1.10, Peer::Iptables),
    floor(Scenario::PublishTcpCrr, Peer::Netswitch, 1.25, Peer::Iptables),
    floor(Scenario::PublishUdp64b, Peer::Netswitch, 1.40, Peer::Iptables),
    floor(Scenario::LocalhostTcpRr, Peer::Netswitch, 1.10, Peer::Loopback),
    floor(Scenario::LocalhostTcpRrOneCpu, Peer::Netswitch, 0.30, Peer::DockerProxy),
    floor(Scenario::PublishAtScale, Peer::Netswitch10000Ports, 1.05, Peer::Netswitch1Port),
    limit(Scenario::Publish1000Ports, Peer::Netswitch, 50.0),
    limit(Scenario::Publish10000PortRange, Peer::Netswitch, 10.0),
    limit(Scenario::Publish10000PortRangeMemory, Peer::Netswitch, 1024.0),
    floor(Scenario::PolicyUdp64b, Peer::Netswitch10000Rules, 0.85, Peer::Netswitch),
    floor(Scenario::PolicyAtScale, Peer::Netswitch10000Rules, 1.05, Peer::Netswitch10Rules),
    limit(Scenario::PolicyApply, Peer::Netswitch, 300.0),
    limit(Scenario::PolicyReplace, Peer::Netswitch, 300.0),
    limit(Scenario::PolicyCut, Peer::Netswitch10000Rules, 100.0),
    floor(Scenario::MonitorUdp64b, Peer::NetswitchMonitored, 0.90, Peer::Netswitch),
    floor(Scenario::MonitorNewFlows, Peer::NetswitchMonitored, 0.90, Peer::Netswitch),
    limit(Scenario::RateAccuracy, Peer::Netswitch, 5.0),
    floor(Scenario::DnsQps, Peer::Netswitch, 0.90, Peer::Echo),
    floor(Scenario::DnsQpsOneCpu, Peer::Netswitch, 2.00, Peer::Dnsmasq),
    floor(Scenario::DnsQps, Peer::NetswitchAgent, 0.80, Peer::Dnsmasq),
    floor(Scenario::DnsQpsCached, Peer::Netswitch, 0.80, Peer::Dnsmasq),
    floor(Scenario::DnsLatencyP99, Peer::Netswitch, 1.20, Peer::Echo),
    floor(Scenario::DnsCpu, Peer::Netswitch, 0.20, Peer::Dnsmasq),
    limit(Scenario::RunAtOnce, Peer::Netswitch, 1500.0),
    limit(Scenario::RemoveAtOnce, Peer::Netswitch, 1000.0),
    limit(Scenario::Attach, Peer::Netswitch10Endpoints, 6.0),
    floor(Scenario::Attach, Peer::Netswitch4000Endpoints, 1.20, Peer::Netswitch10Endpoints),
    limit(Scenario::Restart, Peer::Netswitch1000Endpoints, 300.0),
    limit(Scenario::AgentMemory, Peer::Netswitch4000Endpoints, 64.0),
    limit(Scenario::ApiBusy, Peer::Netswitch, 20.0),
];

const fn floor(scenario: Scenario, peer: Peer, bound: f64, against: Peer) -> Floor {
    Floor {
        scenario,
        peer,
        against: Some(against),
        bound,
    }
}

/// In the scenario's own unit.
const fn limit(scenario: Scenario, peer: Peer, bound: f64) -> Floor {
    Floor {
        scenario,
        peer,
        against: None,
        bound,
    }
}

pub fn print_table(series: &Series) {
    let scenario = series.scenario;
    println!(
        "{}, {} ({} is better), {} rounds{}",
        scenario.name(),
        scenario.unit(),
        scenario.better(),
        series.rounds(),
        if series.is_noisy() { ", noisy" } else { "" }
    );
    let baseline = scenario.peers()[0];
    let judged_by = format!("/ {}", baseline.name());
    println!("  {:<20} {:>10} {:>23} {judged_by:>18}", "", "median", "min … max");
    for (peer, figures) in series.peers() {
        let (least, most) = bounds(figures);
        println!(
            "  {:<20} {:>10} {:>23} {:>18.3}",
            peer.name(),
            figure(median(figures)),
            format!("{} … {}", figure(least), figure(most)),
            series.ratio(peer, baseline).unwrap_or(f64::NAN),
        );
    }
    println!();
}

/// The ratio is to the first subject's program of the same name.
pub fn print_programs(scenario: Scenario, costs: &Costs) {
    println!(
        "eBPF programs under {}, by the kernel's run-time statistics, ns/packet, {} turns",
        scenario.name(),
        costs.turns()
    );
    let judged_by = costs.rows().next().map_or("", |row| row.subject).to_owned();
    println!(
        "  {:<24} {:<16} {:>8} {:>24}",
        "",
        "",
        "median",
        format!("/ {judged_by}")
    );
    for row in costs.rows() {
        println!(
            "  {:<24} {:<16} {:>8.1} {:>24.3}",
            row.subject, row.program, row.nanoseconds, row.ratio
        );
    }
    println!();
}

pub fn print_told(scenario: Scenario, told: Told) {
    println!("monitor under {}: {told}\n", scenario.name());
}

/// Whether all floors of the scenarios played hold. One whose peers were not measured does not.
pub fn print_floors(all: &[Series]) -> bool {
    println!("floors");
    let mut hold = true;
    for floor in &FLOORS {
        let Some(series) = all.iter().find(|series| series.scenario == floor.scenario) else {
            continue;
        };
        let figure = floor.figure(series);
        let holds = figure.is_some_and(|figure| floor.holds(figure));
        hold &= holds;
        println!(
            "  {}  {:<31} {:<21} {} {:<24} {}",
            if holds { "pass" } else { "FAIL" },
            floor.scenario.name(),
            floor.peer.name(),
            if floor.scenario.better() == "higher" {
                ">="
            } else {
                "<="
            },
            floor.against.map_or_else(
                || format!("{} {}", floor.bound, floor.scenario.unit()),
                |against| format!("{:.2} x {}", floor.bound, against.name())
            ),
            figure.map_or("not measured".into(), |figure| format!("{figure:.3}")),
        );
    }
    for series in all {
        let baseline = series.scenario.peers()[0];
        for control in series.scenario.peers().iter().filter(|peer| peer.is_control()) {
            if let Some(ratio) = series.ratio(*control, baseline) {
                println!(
                    "  control  {:<27} {} is {ratio:.3} x {}",
                    series.scenario.name(),
                    control.name(),
                    baseline.name()
                );
            }
        }
    }
    hold
}

impl Floor {
    /// What is judged; `None` where not everyone it takes was measured.
    fn figure(&self, series: &Series) -> Option<f64> {
        match self.against {
            Some(against) => series.ratio(self.peer, against),
            None => series.median(self.peer),
        }
    }

    fn holds(&self, figure: f64) -> bool {
        if self.scenario.better() == "higher" {
            figure >= self.bound
        } else {
            figure <= self.bound
        }
    }
}

pub fn write_json(file: &Path, rounds: usize, all: &[Series]) -> Result<()> {
    let text = serde_json::to_string_pretty(&to_json(rounds, all))? + "\n";
    fs::write(file, text).with_context(|| format!("write {}", file.display()))
}

fn to_json(rounds: usize, all: &[Series]) -> Value {
    let scenarios: Vec<Value> = all
        .iter()
        .map(|series| {
            let results: Map<String, Value> = series
                .peers()
                .map(|(peer, figures)| {
                    let (least, most) = bounds(figures);
                    let ratio = series.ratio(peer, series.scenario.peers()[0]);
                    let result = json!({"median": median(figures), "min": least, "max": most, "ratio": ratio});
                    (peer.name().into(), result)
                })
                .collect();
            let programs: Vec<Value> = series
                .programs
                .iter()
                .flat_map(Costs::rows)
                .map(|row| {
                    json!({
                        "peer": row.subject,
                        "program": row.program,
                        "nanoseconds": row.nanoseconds,
                        "ratio": row.ratio,
                    })
                })
                .collect();
            let scenario = series.scenario;
            json!({
                "name": scenario.name(),
                "unit": scenario.unit(),
                "better": scenario.better(),
                "results": results,
                "programs": programs,
                "rounds": series.rounds(),
                "noisy": series.is_noisy(),
            })
        })
        .collect();
    json!({"rounds": rounds, "scenarios": scenarios})
}

fn bounds(figures: &[f64]) -> (f64, f64) {
    (
        figures.iter().copied().fold(f64::INFINITY, f64::min),
        figures.iter().copied().fold(0.0, f64::max),
    )
}

/// Packets per second without decimals, everything else with two.
fn figure(value: f64) -> String {
    if value >= 1000.0 {
        format!("{value:.0}")
    } else {
        format!("{value:.2}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(scenario: Scenario, direct: f64, netswitch: f64) -> Series {
        let mut series = Series::new(scenario, [Peer::Direct, Peer::Netswitch]);
        series.push(&[direct, netswitch]);
        series
    }

    #[test]
    fn a_rate_has_a_floor_and_a_delay_a_ceiling() {
        let of = |scenario| FLOORS.iter().find(|floor| floor.scenario == scenario).unwrap();
        let (stream, round_trip) = (of(Scenario::TcpStream), of(Scenario::TcpRr));
        assert!(stream.holds(0.95) && stream.holds(1.2) && !stream.holds(0.949));
        assert!(round_trip.holds(1.08) && round_trip.holds(0.9) && !round_trip.holds(1.09));
    }

    #[test]
    fn what_was_not_measured_does_not_pass() {
        // nobody measured BIG TCP
        assert!(!print_floors(&[series(Scenario::TcpStream, 20.0, 20.0)]));
        // round trips need no other peer
        assert!(print_floors(&[series(Scenario::TcpRr, 20.0, 20.0)]));
    }

    #[test]
    fn a_limit_is_the_figure_s_own() {
        let series = |milliseconds: f64| {
            let mut series = Series::new(Scenario::Publish1000Ports, [Peer::Netswitch]);
            series.push(&[milliseconds]);
            series
        };
        assert!(print_floors(&[series(49.0)]));
        assert!(!print_floors(&[series(51.0)]));
    }

    #[test]
    fn every_floor_compares_peers_of_its_scenario() {
        for floor in &FLOORS {
            let peers = floor.scenario.peers();
            assert!(peers.contains(&floor.peer), "{}", floor.scenario.name());
            assert!(floor.against.is_none_or(|against| peers.contains(&against)));
        }
    }

    #[test]
    fn json_has_the_documented_form() {
        let written = to_json(7, &[series(Scenario::TcpRr, 10.0, 10.5)]);
        assert_eq!(written["rounds"], 7);
        let scenario = &written["scenarios"][0];
        assert_eq!(
            (&scenario["name"], &scenario["unit"], &scenario["better"]),
            (&json!("tcp_rr"), &json!("us"), &json!("lower"))
        );
        let netswitch = &scenario["results"]["netswitch"];
        assert_eq!(
            (&netswitch["median"], &netswitch["min"], &netswitch["max"]),
            (&json!(10.5), &json!(10.5), &json!(10.5))
        );
    }
}

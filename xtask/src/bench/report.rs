//! What a run prints and writes: tables, floors, JSON.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use super::Scenario;
use super::peer::Peer;
use super::program::Cost;
use super::series::{Series, median};

/// What must hold on every machine, as a ratio of two peers in one run.
struct Floor {
    scenario: Scenario,
    peer: Peer,
    against: Peer,
    /// At least this where higher is better, at most where lower is.
    bound: f64,
}

const FLOORS: [Floor; 6] = [
    floor(Scenario::TcpStream, Peer::Netswitch, Peer::Direct, 0.95),
    floor(Scenario::TcpStream, Peer::NetswitchBigTcp, Peer::Direct, 1.10),
    floor(Scenario::Udp64b, Peer::Netswitch, Peer::Direct, 0.88),
    floor(Scenario::Udp64b, Peer::Netswitch, Peer::Bridge, 1.10),
    floor(Scenario::Udp64b, Peer::Netswitch, Peer::Docker, 1.30),
    floor(Scenario::TcpRr, Peer::Netswitch, Peer::Direct, 1.08),
];

const fn floor(scenario: Scenario, peer: Peer, against: Peer, bound: f64) -> Floor {
    Floor {
        scenario,
        peer,
        against,
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
    println!("  {:<18} {:>10} {:>23} {:>9}", "", "median", "min … max", "/ direct");
    for (peer, figures) in series.peers() {
        let (least, most) = bounds(figures);
        println!(
            "  {:<18} {:>10} {:>23} {:>9.3}",
            peer.name(),
            figure(median(figures)),
            format!("{} … {}", figure(least), figure(most)),
            series.ratio(peer, Peer::Direct).unwrap_or(f64::NAN),
        );
    }
    println!();
}

pub fn print_programs(costs: &[Cost]) {
    println!("eBPF programs under udp_64b, by the kernel's run-time statistics");
    for cost in costs {
        println!("  {:<18} {:>7.0} ns/packet", cost.name, cost.nanoseconds);
    }
    println!();
}

/// Whether all floors of the scenarios played hold. One whose peers were not measured does not.
pub fn print_floors(all: &[Series]) -> bool {
    println!("floors");
    let mut hold = true;
    for floor in &FLOORS {
        let Some(series) = all.iter().find(|series| series.scenario == floor.scenario) else {
            continue;
        };
        let ratio = series.ratio(floor.peer, floor.against);
        let holds = ratio.is_some_and(|ratio| floor.holds(ratio));
        hold &= holds;
        println!(
            "  {}  {:<11} {:<17} {} {:.2} x {:<7} {}",
            if holds { "pass" } else { "FAIL" },
            floor.scenario.name(),
            floor.peer.name(),
            if floor.scenario.better() == "higher" {
                ">="
            } else {
                "<="
            },
            floor.bound,
            floor.against.name(),
            ratio.map_or("not measured".into(), |ratio| format!("{ratio:.3}")),
        );
    }
    for series in all {
        if let Some(ratio) = series.ratio(Peer::DirectAgain, Peer::Direct) {
            println!(
                "  control  {:<11} direct_again is {ratio:.3} x direct",
                series.scenario.name()
            );
        }
    }
    hold
}

impl Floor {
    fn holds(&self, ratio: f64) -> bool {
        if self.scenario.better() == "higher" {
            ratio >= self.bound
        } else {
            ratio <= self.bound
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
                    let ratio = series.ratio(peer, Peer::Direct);
                    let result = json!({"median": median(figures), "min": least, "max": most, "ratio": ratio});
                    (peer.name().into(), result)
                })
                .collect();
            let scenario = series.scenario;
            json!({
                "name": scenario.name(),
                "unit": scenario.unit(),
                "better": scenario.better(),
                "results": results,
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
        let [stream, .., round_trip] = &FLOORS;
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

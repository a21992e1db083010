//! Publishing ports: which, how long the command takes, and what the agent needs for them.

use std::fs;
use std::process::Stdio;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use super::traffic::{PORT, PORTS};
use crate::world::agent::Agent;

/// Ports from here on, 10,000 of them, are nobody's until a scenario publishes them.
const FREE: u16 = 10_000;

/// Of the container that the traffic goes to.
pub fn of_the_traffic() -> Vec<String> {
    PORTS
        .iter()
        .map(|(protocol, port)| format!("{port}:{port}/{protocol}"))
        .collect()
}

/// A few, none of which the traffic uses.
pub fn beside_the_traffic() -> Vec<String> {
    ["8080:80", "8443:443", "5353:53/udp"].map(Into::into).into()
}

/// `count` single ports, the traffic's first.
pub fn singles_with_the_traffic(count: u16) -> Vec<String> {
    singles(PORT, count)
}

/// 10,000 ports, the traffic's in their midst.
pub fn range_with_the_traffic() -> Vec<String> {
    vec!["20000-29999:20000-29999".into()]
}

/// 1,000 single ports that nobody uses.
pub fn thousand_singles() -> Vec<String> {
    singles(FREE, 1000)
}

/// 10,000 ports that nobody uses.
pub fn long_range() -> Vec<String> {
    let last = FREE + 9_999;
    vec![format!("{FREE}-{last}:{FREE}-{last}")]
}

/// Time of the whole command that publishes `ports`, which are free again afterwards.
pub fn milliseconds(agent: &Agent, ports: &[String]) -> Result<f64> {
    let taken = publish(agent, "publish", ports)?;
    publish(agent, "unpublish", ports)?;
    Ok(taken)
}

/// By how much the agent's memory grows, in KiB, when it publishes `ports`: an agent that has just started, because
/// one that has published before has room left over.
pub fn kibibytes(agent: &mut Agent, ports: &[String]) -> Result<f64> {
    agent.restart()?;
    // the first answer needs memory of its own
    publish(agent, "publish", &[format!("{FREE}:{FREE}")])?;
    publish(agent, "unpublish", &[format!("{FREE}:{FREE}")])?;
    let before = resident(agent)?;
    publish(agent, "publish", ports)?;
    let after = resident(agent)?;
    publish(agent, "unpublish", ports)?;
    Ok(after - before)
}

fn singles(first: u16, count: u16) -> Vec<String> {
    (first..first + count).map(|port| format!("{port}:{port}")).collect()
}

/// Milliseconds that `netswitch publish|unpublish` took, waited for without a pause.
fn publish(agent: &Agent, command: &str, ports: &[String]) -> Result<f64> {
    let mut netswitch = agent.netswitch();
    netswitch.args([command, "server"]).args(ports).stdin(Stdio::null());
    let start = Instant::now();
    let output = netswitch.output().with_context(|| format!("netswitch {command}"))?;
    let taken = start.elapsed();
    ensure!(
        output.status.success(),
        "netswitch {command} server {} … ({}): {}\n{}",
        ports[0],
        ports.len(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(taken.as_secs_f64() * 1e3)
}

/// `VmRSS` of the agent, proc(5), in KiB.
pub fn resident(agent: &Agent) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{}/status", agent.id()?)).context("read the agent's memory")?;
    status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok())
        .context("the agent's status has no VmRSS")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_traffic_s_port_is_published_at_every_scale() {
        let port = format!("{PORT}:{PORT}");
        assert_eq!(singles_with_the_traffic(1), std::slice::from_ref(&port));
        let many = singles_with_the_traffic(1000);
        assert!(many.len() == 1000 && many.contains(&port));
        assert!((20000..=29999).contains(&PORT));
    }

    #[test]
    fn what_is_published_for_the_time_it_takes_is_free() {
        assert_eq!(long_range(), ["10000-19999:10000-19999"]);
        assert_eq!(thousand_singles().last().unwrap(), "10999:10999");
    }
}

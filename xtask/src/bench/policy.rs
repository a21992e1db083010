//! Policies of many rules between two members of one network, as netswitch's file and as nftables' rules, how long
//! the commands about them take, and when a change reaches a flow.

use std::net::{Ipv4Addr, UdpSocket};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};

use super::peer::{CLIENT, Route, SERVER, Site};
use super::traffic::{PORT, PORTS};
use crate::world::agent::Agent;
use crate::world::namespace::Namespace;
use crate::world::process;

/// Rules about ports that nobody uses begin here.
const FREE: u16 = 40_000;
/// Rules about prefixes begin here: 10.128.0.0, in steps of /24.
const PREFIXES: u32 = 0x0a80_0000;

/// Between two datagrams of the flow that is cut.
const PACE: Duration = Duration::from_micros(100);
/// A flow that has been cut for this long stays so.
const SILENCE: Duration = Duration::from_millis(200);
/// No change takes that long to reach a flow.
const PATIENCE: Duration = Duration::from_secs(2);

/// What the client may begin; nothing else may pass.
#[derive(Clone, Copy)]
enum Leave {
    /// With the server, by protocol and port.
    Port(&'static str, u16),
    /// With port 443 of these and the 255 addresses after.
    Prefix(Ipv4Addr),
}

/// `count` of them: ports, prefixes, and the traffic's last, so that where rules are tried in turn all the others come
/// first. Those of another `series` are different ones but for the traffic's.
fn leaves(count: u16, series: u16) -> Vec<Leave> {
    let rest = count - u16::try_from(PORTS.len()).unwrap_or(u16::MAX);
    let unused = (0..rest).map(|index| {
        let number = series * 10_000 / 2 + index / 2;
        match index % 2 {
            0 => Leave::Port("udp", FREE + number),
            _ => Leave::Prefix(Ipv4Addr::from_bits(PREFIXES + (u32::from(number) << 8))),
        }
    });
    let used = PORTS.map(|(protocol, port)| Leave::Port(protocol, port));
    unused.chain(used).collect()
}

/// The file that `netswitch policy apply` takes: on `network:bench` nothing passes but what `count` rules allow.
fn file(count: u16, series: u16) -> String {
    let rule = |leave: &Leave| {
        let (to, protocol, port) = match leave {
            Leave::Port(protocol, port) => ("server".to_owned(), *protocol, *port),
            Leave::Prefix(address) => (format!("{address}/24"), "tcp", 443),
        };
        format!(
            "[[rule]]\naction = \"allow\"\nfrom = \"client\"\nto = \"{to}\"\nprotocol = \"{protocol}\"\nports = [{port}]\n\n"
        )
    };
    let rules: String = leaves(count, series).iter().map(rule).collect();
    format!("[[default]]\nof = \"network:bench\"\naction = \"deny\"\n\n{rules}")
}

/// The same for `nft --file`: what is known first, as usual, so that only the first packet of a flow meets the rules.
fn nftables(count: u16) -> String {
    let rule = |leave: &Leave| match leave {
        Leave::Port(protocol, port) => {
            format!("ip saddr {CLIENT} ip daddr {SERVER} {protocol} dport {port} accept\n")
        }
        Leave::Prefix(address) => format!("ip saddr {CLIENT} ip daddr {address}/24 tcp dport 443 accept\n"),
    };
    let rules: String = leaves(count, 0).iter().map(rule).collect();
    format!(
        "\
table ip bench {{
chain forward {{
type filter hook forward priority filter; policy drop;
ct state established,related accept
{rules}\
}}
}}
"
    )
}

/// Puts `count` rules in force.
pub fn set(agent: &Agent, count: u16) -> Result<()> {
    apply(agent, &file(count, 0)).map(drop)
}

/// The same by nftables, for what the bridge of `switch` forwards.
pub fn set_by_nftables(switch: &Namespace, count: u16) -> Result<()> {
    let mut nft = switch.command("nft");
    let done = process::output(nft.args(["--file", "-"]), &nftables(count))?;
    ensure!(done.status.success(), "nft: {}\n{}", done.status, done.stderr);
    Ok(())
}

/// Milliseconds of the command that puts `count` rules in force where there are none.
pub fn first(agent: &Agent, count: u16) -> Result<f64> {
    apply(agent, "")?;
    apply(agent, &file(count, 0))
}

/// The same where `count` other rules are in force.
pub fn replacing(agent: &Agent, count: u16) -> Result<f64> {
    apply(agent, &file(count, 1))?;
    apply(agent, &file(count, 0))
}

fn apply(agent: &Agent, file: &str) -> Result<f64> {
    let mut netswitch = agent.netswitch();
    netswitch.args(["policy", "apply", "-"]).stdin(process::input(file)?);
    timed(&mut netswitch)
}

/// Milliseconds, waited for without a pause.
fn timed(command: &mut Command) -> Result<f64> {
    let start = Instant::now();
    let output = command.output().context("netswitch policy")?;
    let taken = start.elapsed();
    ensure!(
        output.status.success(),
        "netswitch policy: {}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(taken.as_secs_f64() * 1e3)
}

/// Milliseconds from the start of the command that removes a rule to the first datagram that is refused, of a flow
/// which that rule had let begin, 10,000 datagrams a second.
pub fn cut(site: &mut Site) -> Result<f64> {
    let agent = site.agent()?;
    let mut allow = agent.netswitch();
    let rule = process::check(allow.args(["policy", "allow", "client", &format!("server:{PORT}/udp")]))?;
    let mut remove = agent.netswitch();
    remove.args(["policy", "rm", rule.trim()]);
    let flow = Flow::begin(&site.route())?;
    let start = Instant::now();
    let refused = flow.first_refused(|| timed(&mut remove).map(drop))?;
    Ok(refused.duration_since(start).as_secs_f64() * 1e3)
}

/// Datagrams with their numbers, from client to server.
struct Flow {
    client: UdpSocket,
    server: UdpSocket,
}

impl Flow {
    /// Answered once, so that both ends have spoken.
    fn begin(route: &Route) -> Result<Self> {
        let bind = |port| move || Ok(UdpSocket::bind((Ipv4Addr::UNSPECIFIED, port))?);
        let (client, server) = (route.client.inside(bind(0))?, route.server.inside(bind(PORT))?);
        client.connect((route.address, PORT))?;
        client.set_read_timeout(Some(PATIENCE))?;
        server.set_read_timeout(Some(PATIENCE))?;
        let mut message = [0; 8];
        client.send(&message)?;
        let (_, from) = server.recv_from(&mut message).context("the flow does not begin")?;
        server.send_to(&message, from)?;
        client.recv(&mut message).context("the flow is not answered")?;
        server.set_read_timeout(Some(SILENCE))?;
        Ok(Self { client, server })
    }

    /// When the first datagram was sent that did not arrive after `change` had begun.
    fn first_refused(&self, change: impl FnOnce() -> Result<()>) -> Result<Instant> {
        let stop = AtomicBool::new(false);
        let (sent, last) = thread::scope(|scope| {
            let sender = scope.spawn(|| self.send_until(&stop));
            let receiver = scope.spawn(|| self.last_received());
            let changed = change();
            let last = receiver.join().map_err(|_| anyhow!("the receiver panicked"));
            stop.store(true, Ordering::Relaxed);
            let sent = sender.join().map_err(|_| anyhow!("the sender panicked"))?;
            changed.and(Ok((sent, last??)))
        })?;
        sent.get(last + 1)
            .copied()
            .context("nothing was sent after the last one")
    }

    /// When each was sent. A refusal may be told to the sender; it goes on.
    fn send_until(&self, stop: &AtomicBool) -> Vec<Instant> {
        let mut sent = Vec::new();
        while !stop.load(Ordering::Relaxed) {
            sent.push(Instant::now());
            let _ = self.client.send(&(sent.len() - 1).to_be_bytes());
            thread::sleep(PACE);
        }
        sent
    }

    /// The number of the last that arrived before there was silence.
    fn last_received(&self) -> Result<usize> {
        let start = Instant::now();
        let (mut message, mut last) = ([0; 8], None);
        while self.server.recv(&mut message).is_ok() {
            last = Some(usize::from_be_bytes(message));
            ensure!(start.elapsed() < PATIENCE, "the flow is not cut");
        }
        last.context("nothing arrived")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_rules_as_said_and_the_traffic_s_last() {
        for count in [10, 10_000] {
            let text = file(count, 0);
            assert_eq!(text.matches("[[rule]]").count(), usize::from(count));
            assert!(text.ends_with(&format!("protocol = \"tcp\"\nports = [{PORT}]\n\n")));
            assert_eq!(nftables(count).matches("saddr").count(), usize::from(count));
        }
    }

    #[test]
    fn another_series_has_no_rule_in_common_but_the_traffic_s() {
        let [one, other] = [0, 1].map(|series| file(10_000, series));
        let rules: std::collections::BTreeSet<&str> = one.split("[[rule]]").skip(1).collect();
        let common = other.split("[[rule]]").skip(1).filter(|rule| rules.contains(rule));
        assert_eq!(common.count(), PORTS.len());
    }
}

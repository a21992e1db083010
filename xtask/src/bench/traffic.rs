//! The traffic of the scenarios: client on one CPU, server on another, each run two seconds.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use super::peer::Pair;
use super::series::median;
use crate::world::namespace::Namespace;
use crate::world::process::{self, Background};

const SECONDS: u64 = 2;
const MESSAGE: usize = 64;
pub const CLIENT_CPU: usize = 0;

/// The second CPU, or the only one.
pub fn server_cpu() -> usize {
    usize::from(thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1))
}

/// Listens when this returns.
pub fn start_iperf_server(namespace: &Namespace) -> Result<Background> {
    let mut command = namespace.command("iperf3");
    command.arg("--server").stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Background::start(process::pin(&mut command, server_cpu())?)?;
    let listening = |text: &str| {
        text.lines()
            .any(|socket| socket.contains(":1451 ") && socket.contains(" 0A "))
    };
    let (ipv4, ipv6) = (
        format!("/proc/{}/net/tcp", server.id()),
        format!("/proc/{}/net/tcp6", server.id()),
    );
    process::poll("iperf3 listens", Duration::from_secs(5), || {
        if let Some(status) = server.ended()? {
            bail!("iperf3 --server ended with {status}");
        }
        Ok([&ipv4, &ipv6]
            .into_iter()
            .any(|file| std::fs::read_to_string(file).is_ok_and(|text| listening(&text))))
    })?;
    Ok(server)
}

/// Gbit/s that the receiver got.
pub fn tcp_stream(pair: &Pair) -> Result<f64> {
    received_gigabits(&iperf(pair, &[])?)
}

/// Datagrams that the receiver got, per second.
pub fn udp_64b(pair: &Pair) -> Result<f64> {
    received_packets(&iperf(pair, &["--udp", "--length", "64", "--bitrate", "0"])?)
}

/// Median round trip in microseconds. A socket stays in the namespace that it was made in.
pub fn tcp_rr(pair: &Pair) -> Result<f64> {
    let listener = pair.server.inside(|| Ok(TcpListener::bind((pair.address, 0))?))?;
    let address = listener.local_addr()?;
    let client = pair
        .client
        .inside(|| Ok(TcpStream::connect_timeout(&address, Duration::from_secs(3))?))?;
    let (server, _) = listener.accept()?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(3)))?;
    }
    thread::scope(|scope| {
        let server = scope.spawn(|| answer(server));
        let client = scope.spawn(|| ask(client));
        let panicked = |_| anyhow!("a thread of the ping-pong panicked");
        server.join().map_err(panicked)??;
        client.join().map_err(panicked)?
    })
}

fn iperf(pair: &Pair, arguments: &[&str]) -> Result<Value> {
    let mut command = pair.client.command("iperf3");
    command.args(["--json", "--connect-timeout", "3000", "--time", &SECONDS.to_string()]);
    command.arg("--client").arg(pair.address.to_string()).args(arguments);
    let said = process::check(process::pin(&mut command, CLIENT_CPU)?)?;
    serde_json::from_str(&said).context("iperf3 did not answer in JSON")
}

/// From iperf3's answer in JSON.
pub fn received_gigabits(answer: &Value) -> Result<f64> {
    number(answer, "/end/sum_received/bits_per_second").map(|bits| bits / 1e9)
}

/// iperf3 3.12 counts the lost ones in `packets`.
fn received_packets(answer: &Value) -> Result<f64> {
    let received = number(answer, "/end/sum/packets")? - number(answer, "/end/sum/lost_packets")?;
    Ok(received / number(answer, "/end/sum/seconds")?)
}

fn number(answer: &Value, pointer: &str) -> Result<f64> {
    answer
        .pointer(pointer)
        .and_then(Value::as_f64)
        .with_context(|| format!("iperf3's answer has no {pointer}"))
}

/// Sends back each message until the other side closes.
fn answer(mut stream: TcpStream) -> Result<()> {
    process::pin_this_thread(server_cpu())?;
    let mut message = [0; MESSAGE];
    while stream.read_exact(&mut message).is_ok() {
        stream.write_all(&message)?;
    }
    Ok(())
}

fn ask(mut stream: TcpStream) -> Result<f64> {
    process::pin_this_thread(CLIENT_CPU)?;
    let mut message = [0; MESSAGE];
    let mut trips = Vec::new();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(SECONDS) {
        let sent = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message).context("no answer")?;
        trips.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    Ok(median(&trips))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lost_datagrams_are_not_received() {
        let answer = serde_json::json!({"end": {"sum": {"packets": 600_000, "lost_packets": 80_000, "seconds": 2.0}}});
        assert!((received_packets(&answer).unwrap() - 260_000.0).abs() < 1e-6);
    }

    #[test]
    fn an_answer_without_figures_is_an_error_that_names_the_field() {
        let error = received_gigabits(&serde_json::json!({"error": "busy"})).unwrap_err();
        assert!(error.to_string().contains("sum_received"), "{error}");
    }
}

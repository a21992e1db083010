//! The traffic of the scenarios: client on one CPU, server on another if not said otherwise, each run two seconds.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpListener, TcpStream};
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use nix::sys::socket::setsockopt;
use nix::sys::socket::sockopt::ReceiveTimeout;
use nix::sys::time::{TimeVal, TimeValLike as _};
use serde_json::Value;

use super::peer::{Route, SERVER_V6};
use super::series::median;
use crate::world::namespace::Namespace;
use crate::world::process::{self, Background};

pub const SECONDS: u64 = 2;
const MESSAGE: usize = 64;
/// In seconds: no step of a local connection takes that long.
const PATIENCE: i64 = 3;
pub const CLIENT_CPU: usize = 0;

/// Where servers of our own listen.
pub const PORT: u16 = 25_202;

/// What the scenarios need published, as (protocol, port); the first two are iperf3's.
pub const PORTS: [(&str, u16); 3] = [("tcp", 5201), ("udp", 5201), ("tcp", PORT)];

/// Where client and server run.
#[derive(Clone, Copy)]
pub struct Cpus {
    client: usize,
    server: usize,
}

impl Cpus {
    /// One each, if there are two.
    pub fn two() -> Self {
        Self {
            client: CLIENT_CPU,
            server: server_cpu(),
        }
    }

    /// Both on the same.
    pub fn one() -> Self {
        Self {
            client: CLIENT_CPU,
            server: CLIENT_CPU,
        }
    }
}

/// The second CPU, or the only one.
pub fn server_cpu() -> usize {
    usize::from(thread::available_parallelism().is_ok_and(|cpus| cpus.get() > 1))
}

/// Listens when this returns.
pub fn start_iperf_server(namespace: &Namespace) -> Result<Background> {
    let mut command = namespace.command("iperf3");
    command.arg("--server").stdout(Stdio::null()).stderr(Stdio::null());
    let mut server = Background::start(process::pin(&mut command, server_cpu())?)?;
    process::poll("iperf3 listens", Duration::from_secs(5), || listens(&mut server, 5201))?;
    Ok(server)
}

/// Whether someone in the program's namespace listens on the TCP port; an error once the program has ended.
pub fn listens(server: &mut Background, port: u16) -> Result<bool> {
    if let Some(status) = server.ended()? {
        bail!("the server of port {port} ended with {status}");
    }
    let listening = |text: &str| {
        text.lines()
            .any(|socket| socket.contains(&format!(":{port:04X} ")) && socket.contains(" 0A "))
    };
    Ok(["tcp", "tcp6"].into_iter().any(|family| {
        let file = format!("/proc/{}/net/{family}", server.id());
        std::fs::read_to_string(file).is_ok_and(|text| listening(&text))
    }))
}

/// Gbit/s that the receiver got.
pub fn tcp_stream(route: &Route) -> Result<f64> {
    received_gigabits(&iperf(route.client, route.address.into(), &[])?)
}

/// The same of ten seconds, from the server to the client if it is to go `back`.
pub fn long_tcp_stream(route: &Route, back: bool) -> Result<f64> {
    let arguments: &[_] = if back {
        &["--time", "10", "--reverse"]
    } else {
        &["--time", "10"]
    };
    received_gigabits(&iperf(route.client, route.address.into(), arguments)?)
}

/// Datagrams that the receiver got, per second.
pub fn udp_64b(route: &Route) -> Result<f64> {
    datagrams(route.client, route.address.into())
}

/// The same over IPv6, between two members of one network.
pub fn udp_64b_over_v6(route: &Route) -> Result<f64> {
    datagrams(route.client, SERVER_V6.into())
}

fn datagrams(client: &Namespace, to: IpAddr) -> Result<f64> {
    received_packets(&iperf(client, to, &["--udp", "--length", "64", "--bitrate", "0"])?)
}

/// Median round trip in microseconds.
pub fn tcp_rr(route: &Route, cpus: Cpus) -> Result<f64> {
    let listener = listen(route)?;
    let client = route.client.inside(|| connect(route))?;
    let (server, _) = listener.accept().context("accept")?;
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
    }
    both(
        cpus,
        || answer_all(server),
        || ask_for_a_while(client).map(|trips| median(&trips)),
    )
}

/// Connections per second, one at a time: each carries a request and its answer, and the server closes it.
pub fn tcp_crr(route: &Route) -> Result<f64> {
    let listener = listen(route)?;
    route.client.set("ipv4/tcp_syn_retries", "1")?; // an error within seconds
    let stop = AtomicBool::new(false);
    both(
        Cpus::two(),
        || {
            while !stop.load(Ordering::Relaxed) {
                answer_one(&listener.accept().context("accept")?.0)?;
            }
            Ok(())
        },
        || {
            let figure = route.client.enter().and_then(|()| connections_per_second(route));
            stop.store(true, Ordering::Relaxed);
            // from its own side, so that it looks again even where nothing comes through
            route.server.enter()?;
            drop(TcpStream::connect((Ipv4Addr::LOCALHOST, PORT)));
            figure
        },
    )
}

/// On the server's side; connections inherit the patience. A socket stays in the namespace that it was made in.
fn listen(route: &Route) -> Result<TcpListener> {
    let listener = route
        .server
        .inside(|| Ok(TcpListener::bind((Ipv4Addr::UNSPECIFIED, PORT))?))?;
    setsockopt(&listener, ReceiveTimeout, &TimeVal::seconds(PATIENCE))?;
    Ok(listener)
}

/// From the client's side, on a thread that is there.
fn connect(route: &Route) -> Result<TcpStream> {
    let stream = TcpStream::connect((route.address, PORT)).context("connect")?;
    setsockopt(&stream, ReceiveTimeout, &TimeVal::seconds(PATIENCE))?;
    Ok(stream)
}

/// Runs both at once, pinned, and returns the client's figure.
fn both(
    cpus: Cpus,
    server: impl FnOnce() -> Result<()> + Send,
    client: impl FnOnce() -> Result<f64> + Send,
) -> Result<f64> {
    thread::scope(|scope| {
        let server = scope.spawn(move || process::pin_this_thread(cpus.server).and_then(|()| server()));
        let client = scope.spawn(move || process::pin_this_thread(cpus.client).and_then(|()| client()));
        let panicked = |_| anyhow!("a thread of the traffic panicked");
        // the client's error says more: a server that lost its client only says that
        let figure = client.join().map_err(panicked)??;
        server.join().map_err(panicked)??;
        Ok(figure)
    })
}

fn iperf(client: &Namespace, to: IpAddr, arguments: &[&str]) -> Result<Value> {
    let mut command = client.command("iperf3");
    command.args(["--json", "--connect-timeout", "3000", "--time", &SECONDS.to_string()]);
    command.arg("--client").arg(to.to_string()).args(arguments);
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
fn answer_all(mut stream: TcpStream) -> Result<()> {
    let mut message = [0; MESSAGE];
    while stream.read_exact(&mut message).is_ok() {
        stream.write_all(&message)?;
    }
    Ok(())
}

/// One answer, if the other side asks; the close that follows is the first, so that the client keeps no port busy.
fn answer_one(mut stream: &TcpStream) -> Result<()> {
    let mut message = [0; MESSAGE];
    if stream.read_exact(&mut message).is_ok() {
        stream.write_all(&message)?;
    }
    Ok(())
}

/// Round trips of two seconds, in microseconds.
fn ask_for_a_while(mut stream: TcpStream) -> Result<Vec<f64>> {
    let mut message = [0; MESSAGE];
    let mut trips = Vec::new();
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(SECONDS) {
        let sent = Instant::now();
        stream.write_all(&message)?;
        stream.read_exact(&mut message).context("no answer")?;
        trips.push(sent.elapsed().as_secs_f64() * 1e6);
    }
    Ok(trips)
}

fn connections_per_second(route: &Route) -> Result<f64> {
    let mut message = [0; MESSAGE];
    let mut connections = 0_u32;
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(SECONDS) {
        let mut stream = connect(route)?;
        stream.write_all(&message)?;
        stream.read_exact(&mut message).context("no answer")?;
        let more = stream.read(&mut message).context("no end")?;
        ensure!(more == 0, "more than the answer");
        connections += 1;
    }
    Ok(f64::from(connections) / start.elapsed().as_secs_f64())
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

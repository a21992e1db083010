//! `agent --metrics`: the counters in Prometheus' text format, for whoever asks. Those of containers also stand under
//! the names and labels of cAdvisor, which reads the host end's counters: nothing that is redirected into a container
//! shows there.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};

use super::core::internal;
use super::observer::Observer;
use crate::api::{EndpointStats, Error, Interface, Stats, Traffic};

/// Of text format 0.0.4.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Connections at once. Anybody may open them, and each takes a descriptor of the agent's.
const CONNECTIONS: usize = 16;

/// How long a connection may last: one request and its answer.
const LASTS: Duration = Duration::from_secs(10);

/// After a connection that could not be accepted.
const PAUSE: Duration = Duration::from_millis(100);

/// Before anything is changed: an address that cannot be had ends the start.
pub fn listen(address: SocketAddr) -> Result<TcpListener> {
    let listen = || {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true).map(|()| listener)
    };
    let listener = listen().with_context(|| format!("metrics at {address}"))?;
    if !address.ip().is_loopback() {
        tracing::warn!(
            %address,
            "whoever reaches --metrics there, containers too, reads the names and the traffic of all containers"
        );
    }
    Ok(listener)
}

/// Answers `GET /metrics` from now on.
pub fn serve(listener: TcpListener, observer: Observer, runtime: &Handle) -> Result<()> {
    let _entered = runtime.enter();
    let listener = tokio::net::TcpListener::from_std(listener)?;
    runtime.spawn(accept(listener, observer));
    Ok(())
}

async fn accept(listener: tokio::net::TcpListener, observer: Observer) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection for metrics was not accepted");
                sleep(PAUSE).await;
                continue;
            }
        };
        let observer = observer.clone();
        tokio::spawn(async move {
            let answer = service_fn(|request| answer(request, &observer));
            let serving = http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), answer);
            // how it went concerns the other side alone
            let _ = timeout(LASTS, serving).await;
            drop(place);
        });
    }
}

type Answer = hyper::Response<Full<Bytes>>;

async fn answer(request: hyper::Request<Incoming>, observer: &Observer) -> Result<Answer, Infallible> {
    let mut answer = Answer::default();
    if request.uri().path() != "/metrics" {
        *answer.status_mut() = StatusCode::NOT_FOUND;
    } else if ![Method::GET, Method::HEAD].contains(request.method()) {
        *answer.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
    } else {
        match text(observer).await {
            Ok(text) => {
                answer.headers_mut().insert(CONTENT_TYPE, TEXT);
                *answer.body_mut() = text.into();
            }
            Err(error) => {
                *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
                *answer.body_mut() = Bytes::from(error.message).into();
            }
        }
    }
    Ok(answer)
}

/// Written once for a snapshot, on a thread that may take its time.
async fn text(observer: &Observer) -> Result<Bytes, Error> {
    let snapshot = observer.snapshot(None).await?;
    let text = tokio::task::spawn_blocking(move || snapshot.metrics());
    text.await.map_err(internal)?
}

/// A counter of an endpoint that has it.
type Count = fn(&EndpointStats) -> Option<u64>;

/// The text format: families with help and type, one sample a line.
pub fn render(stats: &Stats) -> String {
    let mut out = String::new();
    let version = env!("CARGO_PKG_VERSION");
    family(&mut out, "netswitch_info", "gauge", "The agent that answers.");
    sample(&mut out, "netswitch_info", &[("version", version)], 1);
    let traffic: [(&str, &str, Count); 4] = [
        (
            "received_packets",
            "Packets that a container has received.",
            |endpoint| endpoint.traffic.map(|traffic| traffic.received_packets),
        ),
        ("received_bytes", "Bytes that a container has received.", |endpoint| {
            endpoint.traffic.map(|traffic| traffic.received_bytes)
        }),
        ("sent_packets", "Packets that a container has sent.", |endpoint| {
            endpoint.traffic.map(|traffic| traffic.sent_packets)
        }),
        ("sent_bytes", "Bytes that a container has sent.", |endpoint| {
            endpoint.traffic.map(|traffic| traffic.sent_bytes)
        }),
    ];
    for (name, help, count) in traffic {
        let name = format!("netswitch_container_{name}_total");
        family(&mut out, &name, "counter", help);
        for endpoint in &stats.endpoints {
            if let Some(count) = count(endpoint) {
                sample(&mut out, &name, &labels(endpoint), count);
            }
        }
    }
    as_cadvisor(&mut out, stats);
    family(&mut out, "netswitch_flows", "gauge", "Flows that have a record.");
    for endpoint in &stats.endpoints {
        sample(&mut out, "netswitch_flows", &labels(endpoint), endpoint.flows);
    }
    family(
        &mut out,
        "netswitch_drops_total",
        "counter",
        "Packets dropped, by reason.",
    );
    for endpoint in &stats.endpoints {
        for (reason, packets) in &endpoint.drops {
            let [container, network] = labels(endpoint);
            let labels = [container, network, ("reason", reason.as_str())];
            sample(&mut out, "netswitch_drops_total", &labels, *packets);
        }
    }
    family(
        &mut out,
        "netswitch_packets_total",
        "counter",
        "Packets by what the switch did with them.",
    );
    for (verdict, packets) in &stats.paths {
        sample(&mut out, "netswitch_packets_total", &[("verdict", verdict)], *packets);
    }
    let missed = "netswitch_missed_events_total";
    family(&mut out, missed, "counter", "Events that monitor could not tell of.");
    sample(&mut out, missed, &[], stats.missed_events);
    out
}

/// A counter of a container's interface.
type InterfaceCount = fn(&EndpointStats, &Traffic, &Interface) -> u64;

/// The names that dashboards of containers ask for.
const CADVISOR: [(&str, &str, InterfaceCount); 8] = [
    ("receive_bytes", "Bytes received", |_, traffic, _| {
        traffic.received_bytes
    }),
    ("receive_packets", "Packets received", |_, traffic, _| {
        traffic.received_packets
    }),
    (
        "receive_packets_dropped",
        "Packets dropped while receiving",
        |_, _, interface| interface.received_dropped,
    ),
    ("receive_errors", "Errors while receiving", |_, _, interface| {
        interface.received_errors
    }),
    ("transmit_bytes", "Bytes sent", |_, traffic, _| traffic.sent_bytes),
    ("transmit_packets", "Packets sent", |_, traffic, _| traffic.sent_packets),
    // the switch counts a drop for whose fault it is
    (
        "transmit_packets_dropped",
        "Packets dropped while sending",
        |endpoint, _, interface| interface.sent_dropped + endpoint.drops.values().sum::<u64>(),
    ),
    ("transmit_errors", "Errors while sending", |_, _, interface| {
        interface.sent_errors
    }),
];

fn as_cadvisor(out: &mut String, stats: &Stats) {
    for (name, help, count) in CADVISOR {
        let name = format!("container_network_{name}_total");
        family(out, &name, "counter", &format!("{help} by a container's interface."));
        for endpoint in &stats.endpoints {
            let (Some(traffic), Some(interface)) = (&endpoint.traffic, &endpoint.interface) else {
                continue;
            };
            let labels = [
                ("id", interface.container_id.as_str()),
                ("interface", &interface.name),
                ("name", &endpoint.container),
            ];
            sample(out, &name, &labels, count(endpoint, traffic, interface));
        }
    }
}

/// The host's own port has an empty container.
fn labels(endpoint: &EndpointStats) -> [(&'static str, &str); 2] {
    [("container", &endpoint.container), ("network", &endpoint.network)]
}

fn family(out: &mut String, name: &str, kind: &str, help: &str) {
    // writing to a string does not fail
    _ = write!(out, "# HELP {name} {help}\n# TYPE {name} {kind}\n");
}

fn sample(out: &mut String, name: &str, labels: &[(&str, &str)], value: u64) {
    let labels: Vec<String> = labels
        .iter()
        .map(|(label, value)| format!("{label}=\"{}\"", escaped(value)))
        .collect();
    let labels = match labels.as_slice() {
        [] => String::new(),
        labels => format!("{{{}}}", labels.join(",")),
    };
    _ = writeln!(out, "{name}{labels} {value}");
}

/// What a label's value may not hold as it is.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_escaped_labels() {
        let endpoint = EndpointStats {
            container: "web".into(),
            network: "my\"net\\".into(),
            drops: [("spoofed-mac".to_owned(), 7)].into(),
            traffic: Some(Traffic {
                received_packets: 3,
                ..Traffic::default()
            }),
            flows: 2,
            interface: Some(Interface {
                container_id: "0123".into(),
                name: "eth0".into(),
                sent_dropped: 1,
                ..Interface::default()
            }),
            ..EndpointStats::default()
        };
        let text = render(&Stats {
            endpoints: vec![endpoint],
            paths: [("peer".to_owned(), 100)].into(),
            missed_events: 5,
            taken: 0,
        });
        for line in [
            r#"netswitch_container_received_packets_total{container="web",network="my\"net\\"} 3"#,
            r#"netswitch_drops_total{container="web",network="my\"net\\",reason="spoofed-mac"} 7"#,
            r#"netswitch_flows{container="web",network="my\"net\\"} 2"#,
            r#"netswitch_packets_total{verdict="peer"} 100"#,
            r#"container_network_receive_packets_total{id="0123",interface="eth0",name="web"} 3"#,
            r#"container_network_transmit_packets_dropped_total{id="0123",interface="eth0",name="web"} 8"#,
            "netswitch_missed_events_total 5",
            "# TYPE netswitch_drops_total counter",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}

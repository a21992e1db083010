//! One container asks more than the agent can answer: who is answered all the same.

use std::net::UdpSocket;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tests::question::{A, TXT, question};
use tests::world::{World, eventually};

use super::names_kernel::{ask, socket};

/// Questions of a neighbour's, one after the other.
const QUESTIONS: usize = 500;
/// Those of one on the flooder's own network.
const REPEATED: usize = 50;
/// After which it asks again.
const ATTEMPT: Duration = Duration::from_millis(100);

/// Asks without waiting for answers until it is dropped.
struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Flood {
    /// Has begun when this returns.
    fn start(socket: UdpSocket) -> Self {
        let (stop, sent) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (told, count) = (stop.clone(), sent.clone());
        let thread = thread::spawn(move || {
            let asked = question("nobody", TXT);
            while !told.load(Ordering::Relaxed) {
                // refused for a moment when a queue on the way is full
                count.fetch_add(socket.send(&asked).is_ok().into(), Ordering::Relaxed);
            }
        });
        let flood = Self {
            stop,
            thread: Some(thread),
        };
        eventually("a flood", || match sent.load(Ordering::Relaxed) {
            few @ ..20_000 => Err(format!("{few} questions")),
            _ => Ok(()),
        });
        flood
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(JoinHandle::join));
    }
}

/// `flooder` on a network of its own with `near`, and `app` on another one with `db`; the agent answers.
fn world() -> World {
    let world = World::with_arguments(&["--kernel-names=off"]);
    for (network, subnet, names) in [
        ("loud", "10.8.0.0/24", ["flooder", "near"]),
        ("quiet", "10.9.0.0/24", ["app", "db"]),
    ] {
        world.ok(&["network", "create", "--subnet", subnet, network]);
        for name in names {
            world.run(name, &["--net", network]);
        }
    }
    world
}

#[test]
fn another_networks_names_are_answered() {
    let world = world();
    let flooder = world.inside("flooder");
    let _flood = Flood::start(socket(&flooder, "10.8.0.1"));
    let app = socket(&world.inside("app"), "10.9.0.1");
    for _ in 0..QUESTIONS {
        // each at the first attempt
        assert!(ask(&app, &question("db", A)).ends_with(&[10, 9, 0, 3]));
    }
}

#[test]
fn a_neighbour_finds_names_when_it_asks_again() {
    let world = world();
    let flooder = world.inside("flooder");
    let _flood = Flood::start(socket(&flooder, "10.8.0.1"));
    let near = socket(&world.inside("near"), "10.8.0.1");
    near.set_read_timeout(Some(ATTEMPT)).unwrap();
    for _ in 0..REPEATED {
        // the queue is one for all on a network: some are lost, and never many in succession
        let answer = eventually("an answer", || {
            let mut answer = [0; 512];
            near.send(&question("near", A)).unwrap();
            match near.recv(&mut answer) {
                Ok(length) => Ok(answer[..length].to_vec()),
                Err(error) => Err(error.to_string()),
            }
        });
        assert!(answer.ends_with(&[10, 8, 0, 3]));
    }
}

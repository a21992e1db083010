//! `netswitch monitor`: reads the ring of events while somebody listens, and tells everyone who does.

mod labels;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use netswitch_common::event::{Event, level};
use serde::Serialize;
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};

use super::core::{Core, internal};
use super::facts;
use crate::api::{Error, MonitorFilter, Monitored};
use crate::datapath::Events;
use crate::model::time::Time;
pub use labels::Labels;

/// How often the ring is read: the programs wake nobody. It holds what comes meanwhile, up to 200,000 events a second.
const INTERVAL: Duration = Duration::from_millis(20);

/// Bytes that go to a listener at once, and how many such pieces wait for one who is slow: 100,000 events, about.
/// Further ones are counted and left out.
const PIECE: usize = 64 * 1024;
const WAITING: usize = 512;

/// At most so many at once, so that the end of a listener is noticed under any load.
const BATCH: usize = 20_000;

/// Everyone who listens; shared by the agent's thread, the task that reads, and the doors.
#[derive(Clone)]
pub struct Monitor(Arc<Shared>);

struct Shared {
    state: Mutex<State>,
    /// The first listener has come.
    arrived: Notify,
}

struct State {
    events: Events,
    listeners: Vec<Listener>,
    labels: Labels,
    level: u64,
    /// What the ring had missed when it was read last.
    missed: u64,
}

/// Somebody at the other end of a connection.
struct Listener {
    filter: MonitorFilter,
    pieces: mpsc::Sender<Bytes>,
    /// Lines that are not on their way yet, and how many.
    lines: Vec<u8>,
    count: u64,
    /// Events left out since the last that arrived.
    missed: u64,
}

impl Monitor {
    /// Nobody listens yet.
    pub fn new(events: Events, runtime: &Handle) -> Self {
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                events,
                listeners: Vec::new(),
                labels: Labels::default(),
                level: level::NONE,
                missed: 0,
            }),
            arrived: Notify::new(),
        });
        runtime.spawn(read(Arc::clone(&shared)));
        Self(shared)
    }

    /// Every listener's stream ends.
    pub fn close(&self) {
        self.0.lock().listeners.clear();
    }

    /// Events that found no room in the ring.
    pub fn missed(&self) -> Result<u64, Error> {
        self.0.lock().events.missed().map_err(internal)
    }

    fn is_heard(&self) -> bool {
        !self.0.lock().listeners.is_empty()
    }
}

impl Core {
    /// Lines of JSON about what happens from now on, one [`Monitored`] each; several come together.
    pub fn listen(&self, filter: MonitorFilter) -> Result<mpsc::Receiver<Bytes>, Error> {
        let filter = MonitorFilter {
            from: self.named(filter.from)?,
            to: self.named(filter.to)?,
            ..filter
        };
        let (pieces, receiver) = mpsc::channel(WAITING);
        let mut state = self.monitor.0.lock();
        state.labels = Labels::of(&self.state);
        state.listeners.push(Listener {
            filter,
            pieces,
            lines: Vec::new(),
            count: 0,
            missed: 0,
        });
        if state.level == level::NONE {
            // what nobody has asked for
            while state.events.oldest().is_some() {}
            state.missed = state.events.missed().map_err(internal)?;
        }
        state.adjust();
        self.monitor.0.arrived.notify_one();
        Ok(receiver)
    }

    /// The state has changed: so may whom an endpoint's number stands for.
    pub fn relabel(&self) {
        if self.monitor.is_heard() {
            self.monitor.0.lock().labels = Labels::of(&self.state);
        }
    }

    /// The name of the container that a user named somehow.
    fn named(&self, key: Option<String>) -> Result<Option<String>, Error> {
        match key {
            Some(key) if !labels::is_place(&key) => Ok(Some(self.state.container(&key)?.name.clone())),
            key => Ok(key),
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn read(shared: Arc<Shared>) {
    loop {
        shared.arrived.notified().await;
        while shared.lock().pass_on() {
            tokio::time::sleep(INTERVAL).await;
        }
    }
}

impl State {
    /// What has come since the last time to everyone who still listens; false once nobody does.
    fn pass_on(&mut self) -> bool {
        self.listeners.retain(|listener| !listener.pieces.is_closed());
        self.adjust();
        if self.listeners.is_empty() {
            return false;
        }
        let started = facts::start_of_clock();
        for _ in 0..BATCH {
            let Some(event) = self.events.oldest() else { break };
            self.tell(&event, started);
        }
        let missed = self.events.missed().unwrap_or(self.missed);
        let more = missed - self.missed;
        self.missed = missed;
        for listener in &mut self.listeners {
            listener.missed += more;
            listener.send();
        }
        true
    }

    fn tell(&mut self, event: &Event, started: Time) {
        let row = self.labels.row(event, started);
        let mut line = None;
        for listener in &mut self.listeners {
            if listener.filter.lets_through(&row) {
                listener.add(line.get_or_insert_with(|| to_line(&row)));
            }
        }
    }

    /// The programs tell as much as the listeners want.
    fn adjust(&mut self) {
        let wanted = match self.listeners.as_slice() {
            [] => level::NONE,
            listeners if listeners.iter().all(|listener| listener.filter.drops) => level::DROPS,
            _ => level::FLOWS,
        };
        if wanted == self.level {
            return;
        }
        match self.events.listen(wanted) {
            Ok(()) => self.level = wanted,
            Err(error) => tracing::warn!(%error, "the programs tell listeners as much as before"),
        }
    }
}

impl Listener {
    fn add(&mut self, line: &[u8]) {
        self.lines.extend_from_slice(line);
        self.count += 1;
        if self.lines.len() >= PIECE {
            self.send();
        }
    }

    /// What there is to say, behind what was left out before it, if there is room for it.
    fn send(&mut self) {
        let mut said = Vec::new();
        if self.missed > 0 {
            said = to_line(&Monitored::Missed { missed: self.missed });
        }
        said.append(&mut self.lines);
        let count = std::mem::take(&mut self.count);
        if said.is_empty() || self.pieces.try_send(said.into()).is_ok() {
            self.missed = 0;
        } else {
            self.missed += count;
        }
    }
}

fn to_line(said: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(said).unwrap_or_default();
    line.push(b'\n');
    line
}

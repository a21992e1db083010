//! The observer: a thread that reads counters and flows, so that the agent's own thread never does. It knows the state
//! by what that thread tells it after each change.

pub mod cut;
pub mod flows;
pub mod roster;
mod stats;

use std::sync::{Arc, OnceLock, mpsc};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::sync::{oneshot, watch};

use self::cut::Judge;
use self::roster::{Followed, Roster};
use super::core::internal;
use super::doctor::{Examination, Examined};
use super::handle::stopping;
use super::{metrics, monitor::Monitor};
use crate::api::{CutFlow, Error, FlowFilter, FlowRow, Stats};
use crate::datapath::{self, Counters, Datapath, Flows};
use crate::kernel::netlink::Netlink;
use crate::model::{changes::Changes, state::State};

/// How often what ended flows still hold is freed; nobody waits for it.
const SWEEP_INTERVAL: Duration = Duration::from_secs(30);

/// For how long a look at the counters serves everyone who asks, in nanoseconds.
const FRESH: u64 = 1_000_000_000;

/// What the counters said at one moment.
pub struct Snapshot {
    pub stats: Result<Stats, Error>,
    /// When that was, in nanoseconds of `CLOCK_MONOTONIC`.
    taken: u64,
    /// The same for Prometheus, once it has asked.
    metrics: OnceLock<Bytes>,
}

impl Snapshot {
    /// In Prometheus' text format. Writing it takes a while where there are many endpoints.
    pub fn metrics(&self) -> Result<Bytes, Error> {
        let stats = self.stats.as_ref().map_err(Error::clone)?;
        let text = self.metrics.get_or_init(|| metrics::render(stats).into());
        Ok(text.clone())
    }
}

/// What the observer does next.
enum Ask {
    Follow(Followed),
    /// A look at the counters, if the last one is older than this.
    Look {
        since: u64,
    },
    Flows {
        filter: FlowFilter,
        reply: oneshot::Sender<Result<Vec<FlowRow>, Error>>,
    },
    Cut {
        judge: Box<Judge>,
        reply: oneshot::Sender<Result<Vec<CutFlow>, Error>>,
    },
    Examine {
        examination: Box<Examination>,
        reply: oneshot::Sender<Examined>,
    },
}

/// What asks the observer, and hears of its snapshots.
#[derive(Clone)]
pub struct Observer {
    asks: mpsc::Sender<Ask>,
    published: watch::Receiver<Arc<Snapshot>>,
}

impl Observer {
    /// Starts the thread, in the network namespace of the calling one.
    pub fn start(state: &State, datapath: &Datapath, monitor: Monitor) -> anyhow::Result<Self> {
        let (asks, queue) = mpsc::channel();
        let (publish, published) = watch::channel(Arc::new(Snapshot {
            stats: Err(Error::internal("nobody has looked yet")),
            taken: 0,
            metrics: OnceLock::new(),
        }));
        let worker = Worker {
            roster: Roster::new(state),
            kernel: Netlink::open()?,
            flows: datapath.flows()?,
            counters: datapath.counters()?,
            monitor,
            publish,
        };
        std::thread::Builder::new()
            .name("observer".into())
            .spawn(move || worker.work(&queue))?;
        Ok(Self { asks, published })
    }

    /// After a change of the state: costs as much as the change is large.
    pub fn follow(&self, state: &State, changes: &Changes) {
        if let Some(followed) = Followed::of(state, changes) {
            // a thread that has ended is missed by whoever asks it
            let _ = self.ask(Ask::Follow(followed));
        }
    }

    /// The counters as they were at `since` or later, by default within the last second: whoever asks meanwhile gets
    /// the same snapshot.
    pub async fn snapshot(&self, since: Option<u64>) -> Result<Arc<Snapshot>, Error> {
        let now = datapath::now();
        let since = since.unwrap_or(now.saturating_sub(FRESH)).min(now);
        let mut published = self.published.clone();
        loop {
            let last = Arc::clone(&published.borrow_and_update());
            if last.taken >= since {
                return Ok(last);
            }
            self.ask(Ask::Look { since })?;
            published.changed().await.map_err(|_| stopping())?;
        }
    }

    /// The flows that a filter means; its container is named by its name.
    pub async fn flows(&self, filter: FlowFilter) -> Result<Vec<FlowRow>, Error> {
        let (reply, answer) = oneshot::channel();
        self.ask(Ask::Flows { filter, reply })?;
        answer.await.map_err(|_| stopping())?
    }

    /// The flows that another policy would cut.
    pub async fn cut(&self, judge: Judge) -> Result<Vec<CutFlow>, Error> {
        let (reply, answer) = oneshot::channel();
        let judge = Box::new(judge);
        self.ask(Ask::Cut { judge, reply })?;
        answer.await.map_err(|_| stopping())?
    }

    /// What `doctor` finds, but for what other programs tell it.
    pub async fn examine(&self, examination: Examination) -> Result<Examined, Error> {
        let (reply, answer) = oneshot::channel();
        let examination = Box::new(examination);
        self.ask(Ask::Examine { examination, reply })?;
        answer.await.map_err(|_| stopping())
    }

    fn ask(&self, ask: Ask) -> Result<(), Error> {
        self.asks.send(ask).map_err(|_| stopping())
    }
}

struct Worker {
    roster: Roster,
    kernel: Netlink,
    flows: Flows,
    counters: Counters,
    monitor: Monitor,
    publish: watch::Sender<Arc<Snapshot>>,
}

impl Worker {
    fn work(mut self, queue: &mpsc::Receiver<Ask>) {
        let mut swept = Instant::now();
        loop {
            match queue.recv_timeout(SWEEP_INTERVAL.saturating_sub(swept.elapsed())) {
                Ok(ask) => self.answer(ask),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => return,
            }
            if swept.elapsed() >= SWEEP_INTERVAL {
                self.sweep();
                swept = Instant::now();
            }
        }
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Follow(followed) => self.roster.follow(followed),
            Ask::Look { since } => {
                if self.publish.borrow().taken < since {
                    let snapshot = self.look();
                    self.publish.send_replace(Arc::new(snapshot));
                }
            }
            Ask::Flows { filter, reply } => {
                let rows = flows::rows(&self.flows, &self.roster, &filter);
                let _ = reply.send(rows.map_err(internal));
            }
            Ask::Cut { judge, reply } => {
                let _ = reply.send(judge.cut(&self.flows).map_err(internal));
            }
            Ask::Examine { examination, reply } => {
                // whoever asked may have gone
                let _ = reply.send(examination.carry_out(&mut self.kernel, &self.roster));
            }
        }
    }

    fn look(&mut self) -> Snapshot {
        let taken = datapath::now();
        let stats = self.stats().map(|stats| Stats { taken, ..stats });
        Snapshot {
            stats,
            taken,
            metrics: OnceLock::new(),
        }
    }

    /// Frees what ended flows still hold: an ended flow counts as absent.
    fn sweep(&mut self) {
        let roster = &self.roster;
        let swept = self
            .flows
            .sweep(roster.numbers(), |flow| flow.ends.iter().any(|end| roster.is_gone(end)));
        if let Err(error) = swept {
            tracing::warn!(%error, "flows that are over were not removed");
        }
    }
}

//! One name server: how it takes questions, which it shows by its answers.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, SocketAddrV6};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use nix::net::if_::if_nametoindex;
use tokio::time::{Instant, timeout};

use super::line::{Answered, Transport};
use super::lines::Lines;
use super::race::Race;
use crate::model::message::{Question, Verdict, answer};
use crate::model::name_server::NameServer;

/// Where all servers are asked.
pub const PORT: u16 = 53;
/// How long a server may be silent before it is asked in another way, too.
const SILENCE: Duration = Duration::from_millis(400);
/// How recently it must have answered so that silence is not taken for dislike.
const RECENT: Duration = Duration::from_secs(10);
/// How long it is spared what it dislikes.
const SPARED: Duration = Duration::from_mins(1);
/// Questions that are asked in several ways at a time; the others wait for what these show.
const TRIALS_MAX: usize = 16;

pub struct Server {
    place: NameServer,
    datagrams: Lines,
    streams: Lines,
    edns: Mutex<Experience>,
    udp: Mutex<Experience>,
    trials: AtomicUsize,
}

/// What a server makes of one way to ask it.
#[derive(Clone, Copy, Default)]
struct Experience {
    answered: Option<Instant>,
    spared_until: Option<Instant>,
}

impl Experience {
    fn is_disliked(&self) -> bool {
        self.spared_until.is_some_and(|until| Instant::now() < until)
    }

    fn is_recent(&self) -> bool {
        self.answered.is_some_and(|answered| answered.elapsed() < RECENT)
    }

    fn dislike() -> Self {
        Self {
            answered: None,
            spared_until: Some(Instant::now() + SPARED),
        }
    }

    fn answer() -> Self {
        Self {
            answered: Some(Instant::now()),
            spared_until: None,
        }
    }
}

/// How one question is put.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Manner {
    transport: Transport,
    with_edns: bool,
}

impl Server {
    pub fn new(server: NameServer) -> Self {
        Self {
            place: server,
            datagrams: Lines::new(Transport::Datagrams),
            streams: Lines::new(Transport::Stream),
            edns: Mutex::default(),
            udp: Mutex::default(),
            trials: AtomicUsize::new(0),
        }
    }

    /// What it says, however long that takes. By `transport` if it answers there; `is_fixed`: or not at all.
    pub async fn ask(&self, question: &Question, transport: Transport, is_fixed: bool) -> io::Result<Answered> {
        let server = self.address()?;
        let has_edns = question.can_go_plain();
        let first = Manner {
            transport: match transport {
                Transport::Datagrams if !is_fixed && lock(&self.udp).is_disliked() => Transport::Stream,
                _ => transport,
            },
            with_edns: has_edns && !lock(&self.edns).is_disliked(),
        };
        let mut others = self.others(first, is_fixed).into_iter();
        let mut ways = Race::new();
        ways.join(self.put(server, question, first));
        let mut trial = None;
        let mut otherwise = Err(ErrorKind::ConnectionRefused.into());
        loop {
            let ended = if others.len() == 0 {
                ways.next().await
            } else if let Ok(ended) = timeout(SILENCE, ways.next()).await {
                ended
            } else {
                trial = trial.or_else(|| Trial::begin(&self.trials));
                match others.next() {
                    Some(other) if trial.is_some() => ways.join(self.put(server, question, other)),
                    _ => others = Vec::new().into_iter(),
                }
                continue;
            };
            match ended {
                // a client with a stream has no use for half an answer while there may be a whole one
                Some((manner, Ok(answered))) if transport == Transport::Stream && is_half(&answered) => {
                    self.learn(first, manner, has_edns);
                    otherwise = Ok(answered);
                }
                Some((manner, Ok(answered))) => {
                    self.learn(first, manner, has_edns);
                    return Ok(answered);
                }
                Some((_, Err(error))) => otherwise = otherwise.or(Err(error)),
                // told at once that it is not served in these ways
                None => match others.next() {
                    Some(other) => ways.join(self.put(server, question, other)),
                    None => return otherwise,
                },
            }
        }
    }

    /// In which ways else, one after the other, a server is asked that is silent.
    fn others(&self, first: Manner, is_fixed: bool) -> Vec<Manner> {
        let plain = |manner: Manner| Manner {
            with_edns: false,
            ..manner
        };
        let other = Manner {
            transport: match first.transport {
                Transport::Datagrams => Transport::Stream,
                Transport::Stream => Transport::Datagrams,
            },
            ..first
        };
        let edns_is_in_doubt = first.with_edns && lock(&self.edns).answered.is_none();
        let udp_works = first.transport == Transport::Datagrams && lock(&self.udp).is_recent();
        let mut others = Vec::new();
        if edns_is_in_doubt {
            others.push(plain(first));
        }
        if !is_fixed && !udp_works {
            others.push(other);
            if edns_is_in_doubt {
                others.push(plain(other));
            }
        }
        others
    }

    /// A server that says that it does not understand the extension is asked again without.
    async fn put(&self, server: SocketAddr, question: &Question, mut manner: Manner) -> (Manner, io::Result<Answered>) {
        let lines = match manner.transport {
            Transport::Datagrams => &self.datagrams,
            Transport::Stream => &self.streams,
        };
        if manner.with_edns {
            match lines.ask(server, question).await {
                Ok((Verdict::WithoutEdns, _)) => manner.with_edns = false,
                result => return (manner, result),
            }
        }
        let result = if question.can_go_plain() {
            lines.ask(server, &question.without_edns()).await
        } else {
            lines.ask(server, question).await
        };
        (manner, result)
    }

    /// From the way in which it has answered when it was asked in the first one before.
    fn learn(&self, first: Manner, answered: Manner, has_edns: bool) {
        if answered.transport == Transport::Datagrams {
            *lock(&self.udp) = Experience::answer();
        } else if first.transport == Transport::Datagrams {
            *lock(&self.udp) = Experience::dislike();
        }
        if answered.with_edns {
            *lock(&self.edns) = Experience::answer();
        } else if has_edns && first.with_edns && lock(&self.edns).answered.is_none() {
            *lock(&self.edns) = Experience::dislike();
        }
    }

    /// A device that is not there, or not yet, is an error.
    fn address(&self) -> io::Result<SocketAddr> {
        let (Some(zone), std::net::IpAddr::V6(v6)) = (&self.place.zone, self.place.address) else {
            return Ok((self.place.address, PORT).into());
        };
        let index = match zone.parse() {
            Ok(index) => index,
            Err(_) => if_nametoindex(zone.as_str())?,
        };
        Ok(SocketAddrV6::new(v6, PORT, 0, index).into())
    }
}

fn is_half((_, answer): &Answered) -> bool {
    answer::is_truncated(answer)
}

fn lock(experience: &Mutex<Experience>) -> MutexGuard<'_, Experience> {
    experience.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A question that is asked in several ways; over when dropped.
struct Trial<'a>(&'a AtomicUsize);

impl<'a> Trial<'a> {
    fn begin(trials: &'a AtomicUsize) -> Option<Self> {
        let begun = Self(trials);
        (trials.fetch_add(1, Ordering::Relaxed) < TRIALS_MAX).then_some(begun)
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

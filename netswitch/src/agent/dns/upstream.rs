//! A list of name servers: who is asked, in which order, and when the next one.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::line::{Answered, Transport};
use super::name_server::Server;
use super::race::Race;
use crate::model::message::{Question, Verdict};
use crate::model::name_server::NameServer;
use crate::model::resolv_conf::Asking;

/// For one server unless options say otherwise.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);
/// For all of them unless options say otherwise: stub resolvers give up after five seconds.
const TIMEOUT: Duration = Duration::from_millis(4500);
/// How often each server is asked, as glibc does it.
const ATTEMPTS: u32 = 2;
/// Whatever options say: the client has given up.
const TIMEOUT_MAX: Duration = Duration::from_mins(1);
/// The longest datagram: no path cuts it (the DNS flag day's figure).
const DATAGRAM_MAX: u16 = 1232;

pub struct Upstream {
    servers: Vec<Server>,
    asking: Asking,
    /// Who is asked first, where they take turns.
    first: AtomicUsize,
}

impl Upstream {
    pub fn new(servers: &[NameServer], asking: Asking) -> Self {
        Self {
            servers: servers.iter().cloned().map(Server::new).collect(),
            asking,
            first: AtomicUsize::new(0),
        }
    }

    /// What the first server says that knows; or else what the first one says that does not. `None`: nobody says
    /// anything.
    pub async fn ask(&self, question: &Question, transport: Transport) -> Option<Vec<u8>> {
        let question = question.prepared(self.asking.with_edns, self.asking.trusts, DATAGRAM_MAX);
        let mut otherwise = Otherwise(None);
        match timeout(self.patience(), self.ask_in_turn(&question, transport, &mut otherwise)).await {
            Ok(Some(answer)) => Some(answer),
            _ => otherwise.0.map(|(_, answer)| answer),
        }
    }

    /// The next server is asked when one fails or is silent for too long, which may still answer.
    async fn ask_in_turn(
        &self,
        question: &Question,
        transport: Transport,
        otherwise: &mut Otherwise,
    ) -> Option<Vec<u8>> {
        let mut has_failed = vec![false; self.servers.len()];
        let mut asked = Race::new();
        let turns = self.order();
        for turn in turns.iter().cycle().take(turns.len() * self.attempts()) {
            if has_failed[*turn] {
                continue;
            }
            asked.join(self.ask_one(*turn, question, transport));
            let until = Instant::now() + self.server_timeout();
            while !has_failed[*turn]
                && let Ok(Some((server, result))) = timeout(until - Instant::now(), asked.next()).await
            {
                if let Some(answer) = otherwise.judge(server, result) {
                    return Some(answer);
                }
                has_failed[server] = true;
            }
        }
        while let Some((server, result)) = asked.next().await {
            if let Some(answer) = otherwise.judge(server, result) {
                return Some(answer);
            }
        }
        None
    }

    async fn ask_one(&self, index: usize, question: &Question, transport: Transport) -> (usize, io::Result<Answered>) {
        let is_fixed = self.asking.by_tcp_alone;
        let transport = if is_fixed { Transport::Stream } else { transport };
        (index, self.servers[index].ask(question, transport, is_fixed).await)
    }

    /// The servers by number.
    fn order(&self) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.servers.len()).collect();
        if self.asking.rotates && !order.is_empty() {
            let first = self.first.fetch_add(1, Ordering::Relaxed) % order.len();
            order.rotate_left(first);
        }
        order
    }

    fn attempts(&self) -> usize {
        self.asking.attempts.unwrap_or(ATTEMPTS) as usize
    }

    /// Each gets its turn before the client gives up.
    fn server_timeout(&self) -> Duration {
        let servers = u32::try_from(self.servers.len().max(1)).unwrap_or(u32::MAX);
        self.asking.timeout.unwrap_or(SERVER_TIMEOUT.min(TIMEOUT / servers))
    }

    fn patience(&self) -> Duration {
        if self.asking.timeout.is_none() && self.asking.attempts.is_none() {
            return TIMEOUT;
        }
        let questions = self.servers.len() * self.attempts();
        let all = self
            .server_timeout()
            .saturating_mul(u32::try_from(questions).unwrap_or(u32::MAX));
        all.min(TIMEOUT_MAX)
    }
}

/// What is said if nobody knows.
struct Otherwise(Option<(usize, Vec<u8>)>);

impl Otherwise {
    /// The client's answer, if it is one; of those that are not, that of the server which stands first is kept.
    fn judge(&mut self, server: usize, result: io::Result<Answered>) -> Option<Vec<u8>> {
        let (verdict, answer) = result.ok()?;
        if verdict != Verdict::NextServer {
            return Some(answer);
        }
        if self.0.as_ref().is_none_or(|(other, _)| server < *other) {
            self.0 = Some((server, answer));
        }
        None
    }
}

//! What the switch does not know is asked of others: the host's name servers, or those of `--dns`. Asked from
//! the host's namespace, so that a server on its loopback works. Their messages are passed on as they are.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::watch;

use super::line::Transport;
use super::surroundings::Surroundings;
use super::upstream::Upstream;
use crate::model::message::{Cache, Question, answer};
use crate::model::name_server::NameServer;
use crate::model::resolv_conf::ResolvConf;
use crate::model::{Id, directory::Forward};

/// Lists of servers that are kept ready.
const LISTS_MAX: usize = 64;
/// Networks whose answers are remembered.
const CACHES_MAX: usize = 128;

pub struct Forwarder {
    host: watch::Receiver<Arc<ResolvConf>>,
    surroundings: Surroundings,
    known: Mutex<Known>,
}

/// What is known as long as the surroundings stay as they are.
#[derive(Default)]
struct Known {
    changes: u64,
    lists: HashMap<List, Arc<Upstream>>,
    /// What networks have been told: one that asks for much makes another forget nothing.
    caches: HashMap<(Option<Arc<Id>>, List), Cache>,
    /// What is being asked, for whoever asks the same. That also ends a question that comes back to us.
    asked: HashMap<Asked, watch::Receiver<Option<Said>>>,
}

/// Servers, and how they are asked.
type List = Arc<ResolvConf>;
type Asked = (List, Transport, Vec<u8>);
/// `None`: nobody says anything.
type Said = Option<Arc<[u8]>>;

/// Who asks, and whom.
#[derive(Clone)]
pub struct Way {
    network: Option<Arc<Id>>,
    list: List,
}

impl Forwarder {
    pub fn new(host: watch::Receiver<Arc<ResolvConf>>, surroundings: Surroundings) -> Self {
        Self {
            host,
            surroundings,
            known: Mutex::default(),
        }
    }

    /// `None`: nobody is asked.
    pub fn way(&self, network: Option<&Arc<Id>>, forward: &Forward) -> Option<Way> {
        let list = match forward {
            Forward::Refused | Forward::Others => return None,
            Forward::Host => self.host.borrow().clone(),
            Forward::To(servers) => Arc::new(ResolvConf {
                servers: servers.iter().copied().map(NameServer::from).collect(),
                ..ResolvConf::default()
            }),
        };
        let network = network.cloned();
        Some(Way { network, list })
    }

    /// What is remembered, for this client.
    pub fn remembered(&self, way: &Way, question: &Question) -> Option<Vec<u8>> {
        let mut known = self.known();
        let cache = known.caches.get_mut(&(way.network.clone(), way.list.clone()))?;
        let answer = cache.find(question, Instant::now())?;
        Some(answer::for_client(answer, question))
    }

    /// What the servers say, for this client. `None`: they say nothing.
    pub async fn ask(self: &Arc<Self>, way: &Way, transport: Transport, question: &Question) -> Option<Vec<u8>> {
        let mut said = self.asked(way, transport, question);
        let said = said.wait_for(Option::is_some).await.ok()?.clone();
        Some(answer::for_client(said??.to_vec(), question))
    }

    /// Asks, unless that is under way.
    fn asked(self: &Arc<Self>, way: &Way, transport: Transport, question: &Question) -> watch::Receiver<Option<Said>> {
        let mut known = self.known();
        let key = (way.list.clone(), transport, question.key());
        if let Some(said) = known.asked.get(&key) {
            return said.clone();
        }
        let (tell, said) = watch::channel(None);
        known.asked.insert(key.clone(), said.clone());
        let (upstream, changes) = (known.upstream(&way.list), known.changes);
        drop(known);
        let (forwarder, way, question) = (self.clone(), way.clone(), question.clone());
        tokio::spawn(async move {
            let answer = upstream.ask(&question, transport).await;
            let mut known = forwarder.known();
            // what was asked in other surroundings is no news here
            if known.changes == changes {
                known.asked.remove(&key);
                if let Some(answer) = &answer {
                    known.remember(&way, &question, answer);
                }
            }
            drop(known);
            tell.send_replace(Some(answer.map(Arc::from)));
        });
        said
    }

    /// After a change of the surroundings nothing is.
    fn known(&self) -> MutexGuard<'_, Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let changes = self.surroundings.changes();
        if known.changes != changes {
            *known = Known {
                changes,
                ..Known::default()
            };
        }
        known
    }
}

impl Known {
    fn upstream(&mut self, list: &List) -> Arc<Upstream> {
        if self.lists.len() >= LISTS_MAX && !self.lists.contains_key(list) {
            self.lists.clear();
        }
        let make = || Arc::new(Upstream::new(&list.servers, list.asking()));
        self.lists.entry(list.clone()).or_insert_with(make).clone()
    }

    fn remember(&mut self, way: &Way, question: &Question, answer: &[u8]) {
        let key = (way.network.clone(), way.list.clone());
        if self.caches.len() >= CACHES_MAX && !self.caches.contains_key(&key) {
            self.caches.clear();
        }
        self.caches
            .entry(key)
            .or_default()
            .remember(question, answer, Instant::now());
    }
}

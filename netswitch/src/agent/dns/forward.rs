//! What the switch does not know is asked of others: the host's name servers, or those of `--dns`. Asked from
//! the host's namespace, so that a server on its loopback works; answers are kept as long as their TTL says.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use hickory_resolver::config::{NameServerConfig, ResolverConfig, ResolverOpts};
use hickory_resolver::net::{DnsError, NetError, runtime::TokioRuntimeProvider};
use hickory_resolver::proto::op::{Query, ResponseCode};
use hickory_resolver::proto::rr::Record;
use hickory_resolver::{Resolver, TokioResolver};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::model::directory::Forward;

/// For one server; then the others get their turn, and it once more.
const SERVER_TIMEOUT: Duration = Duration::from_secs(2);
/// For all of them: stub resolvers give up after five seconds.
const TIMEOUT: Duration = Duration::from_millis(4500);
/// Answers that are kept for each list of servers.
const CACHE: u64 = 4096;
/// Lists of `--dns` that are kept ready.
const LISTS_MAX: usize = 64;
/// Questions on one connection to a server.
const ACTIVE_MAX: usize = 1024;

/// The servers of one list; none, if it is empty.
#[derive(Clone)]
pub struct Upstream(Option<TokioResolver>);

/// Records, or why there are none.
pub struct Found {
    pub code: ResponseCode,
    pub answers: Vec<Record>,
    /// The SOA of an answer that there is nothing.
    pub authorities: Vec<Record>,
}

pub struct Forwarder {
    host: watch::Receiver<Upstream>,
    chosen: Mutex<HashMap<Vec<IpAddr>, Upstream>>,
}

impl Forwarder {
    pub fn new(host: watch::Receiver<Upstream>) -> Self {
        Self {
            host,
            chosen: Mutex::default(),
        }
    }

    pub async fn ask(&self, forward: &Forward, query: &Query) -> Found {
        let upstream = match forward {
            Forward::Refused => return Found::nothing(ResponseCode::NXDomain),
            Forward::Others => return Found::nothing(ResponseCode::Refused),
            Forward::Host => self.host.borrow().clone(),
            Forward::To(servers) => self.chosen(servers),
        };
        upstream.ask(query).await
    }

    fn chosen(&self, servers: &[IpAddr]) -> Upstream {
        let mut chosen = self.chosen.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(upstream) = chosen.get(servers) {
            return upstream.clone();
        }
        if chosen.len() >= LISTS_MAX {
            chosen.clear();
        }
        let upstream = Upstream::new(servers);
        chosen.insert(servers.to_vec(), upstream.clone());
        upstream
    }
}

impl Upstream {
    pub fn new(servers: &[IpAddr]) -> Self {
        if servers.is_empty() {
            return Self(None);
        }
        let servers = servers.iter().map(|server| NameServerConfig::udp_and_tcp(*server));
        let config = ResolverConfig::from_parts(None, Vec::new(), servers.collect());
        let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
        *builder.options_mut() = options();
        match builder.build() {
            Ok(resolver) => Self(Some(resolver)),
            Err(error) => {
                tracing::warn!(%error, "name servers that cannot be asked");
                Self(None)
            }
        }
    }

    async fn ask(&self, query: &Query) -> Found {
        let Self(Some(resolver)) = self else {
            return Found::nothing(ResponseCode::ServFail);
        };
        let asked = resolver.lookup(query.name().clone(), query.query_type());
        match timeout(TIMEOUT, asked).await {
            Ok(Ok(found)) => Found {
                code: ResponseCode::NoError,
                answers: found.answers().to_vec(),
                authorities: Vec::new(),
            },
            Ok(Err(error)) => Found::refused(error),
            Err(_) => Found::nothing(ResponseCode::ServFail),
        }
    }
}

fn options() -> ResolverOpts {
    let mut options = ResolverOpts::default();
    options.timeout = SERVER_TIMEOUT;
    options.attempts = 1;
    options.cache_size = CACHE;
    options.max_active_requests = ACTIVE_MAX;
    // the kernel's: others may be masquerade's
    options.os_port_selection = true;
    options.case_randomization = true;
    options
}

impl Found {
    const fn nothing(code: ResponseCode) -> Self {
        Self {
            code,
            answers: Vec::new(),
            authorities: Vec::new(),
        }
    }

    fn refused(error: NetError) -> Self {
        match error {
            NetError::Dns(DnsError::NoRecordsFound(none)) => {
                let ttl = none.negative_ttl;
                let soa = none.soa.map(|soa| {
                    let mut record = soa.into_record_of_rdata();
                    record.ttl = ttl.unwrap_or(record.ttl);
                    record
                });
                Self {
                    authorities: soa.into_iter().collect(),
                    ..Self::nothing(none.response_code)
                }
            }
            NetError::Dns(DnsError::ResponseCode(code)) => Self::nothing(code),
            _ => Self::nothing(ResponseCode::ServFail),
        }
    }
}

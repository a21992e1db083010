//! One question and its answer: known here, or to be asked upstream.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Edns, Message, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::BinDecodable as _;
use tokio::sync::watch;

use super::forward::{Forwarder, Way};
use super::leash::{Leashed, Teacher};
use super::limits::Client;
use super::line::Transport;
use crate::model::directory::{Directory, Forward, TIME_TO_LIVE, View};
use crate::model::message::{self, Question};

/// The longest datagram: no path cuts it (the DNS flag day's figure).
pub(super) const DATAGRAM_MAX: u16 = 1232;
/// What every client takes without EDNS (RFC 1035, 4.2.1).
const DATAGRAM_PLAIN: u16 = 512;

pub struct Answerer {
    directory: watch::Receiver<Arc<Directory>>,
    forwarder: Arc<Forwarder>,
    teacher: Teacher,
    /// A name with several addresses begins with another one each time.
    turn: AtomicUsize,
}

/// What became of a question.
pub enum Outcome {
    /// It was none.
    Ignored,
    Answered(Answer),
    /// Others may know.
    Unknown(Unknown),
}

/// The answer, and how long a datagram the client takes.
#[derive(Clone)]
pub struct Answer {
    body: Body,
    limit: u16,
}

#[derive(Clone)]
enum Body {
    /// Our own.
    Made(Box<Message>),
    /// Somebody else's, as it is.
    Passed(Vec<u8>),
}

/// What others are asked, and whom.
pub struct Unknown {
    question: Question,
    query: Query,
    way: Way,
    leashed: Arc<Leashed>,
}

impl Answerer {
    pub fn new(directory: watch::Receiver<Arc<Directory>>, forwarder: Forwarder, teacher: Teacher) -> Self {
        Self {
            directory,
            forwarder: Arc::new(forwarder),
            teacher,
            turn: AtomicUsize::new(0),
        }
    }

    /// Answers at once where the directory can, or what is remembered.
    pub fn answer(&self, client: &Client, bytes: &[u8]) -> Outcome {
        let Some(question) = Question::read(bytes) else {
            return unreadable(bytes);
        };
        let query = match query(&question) {
            Ok(query) => query,
            Err(code) => return Reply::to(&question, None).with(code),
        };
        let mut reply = Reply::to(&question, Some(&query));
        if let Err(code) = check(&question, &query) {
            return reply.with(code);
        }
        let directory = self.directory.borrow().clone();
        // a network that is gone
        let Some(view) = directory.view(client.network.as_deref(), client.address) else {
            return reply.with(ResponseCode::ServFail);
        };
        if self.fill(&mut reply.message, &directory, view, &query) {
            self.teach(&view.leashes, &query, &reply.message.answers);
            return reply.with(ResponseCode::NoError);
        }
        if view.forward == Forward::Others {
            return reply.deny(&directory, view, &query);
        }
        let may_ask = view.leashes.is_empty() || text(query.name()).is_some_and(|name| view.may_ask_for(&name));
        let way = self.forwarder.way(client.network.as_ref(), &view.forward);
        let Some(way) = way.filter(|_| may_ask) else {
            reply.message.add_authority(authority(query.name()));
            return reply.with(ResponseCode::NXDomain);
        };
        let unknown = Unknown {
            question,
            query,
            way,
            leashed: Arc::clone(&view.leashes),
        };
        match self.forwarder.remembered(&unknown.way, &unknown.question) {
            Some(answer) => Outcome::Answered(self.pass(&unknown, answer)),
            None => Outcome::Unknown(unknown),
        }
    }

    /// Whether the name is one of the switch's.
    fn fill(&self, message: &mut Message, directory: &Directory, view: &View, query: &Query) -> bool {
        let kind = query.query_type();
        let pointer = || pointer(directory, view, query.name());
        if let Some(addresses) = text(query.name()).and_then(|name| directory.addresses(view, &name)) {
            message.metadata.authoritative = true;
            let wanted = addresses.iter().filter(|address| match address {
                IpAddr::V4(_) => matches!(kind, RecordType::A | RecordType::ANY),
                IpAddr::V6(_) => matches!(kind, RecordType::AAAA | RecordType::ANY),
            });
            let mut records: Vec<Record> = wanted.map(|address| record(query.name(), *address)).collect();
            if records.is_empty() {
                // the name is there, and has none of these
                message.add_authority(authority(query.name()));
            } else {
                let turn = self.turn.fetch_add(1, Ordering::Relaxed) % records.len();
                records.rotate_left(turn);
                message.add_answers(records);
            }
            true
        } else if let Some(name) = matches!(kind, RecordType::PTR | RecordType::ANY)
            .then(pointer)
            .flatten()
        {
            message.metadata.authoritative = true;
            message.add_answer(Record::from_rdata(
                query.name().clone(),
                TIME_TO_LIVE,
                RData::PTR(PTR(name)),
            ));
            true
        } else {
            false
        }
    }

    fn teach(&self, leashed: &Leashed, query: &Query, answers: &[Record]) {
        if leashed.is_empty() || answers.is_empty() {
            return;
        }
        if let Some(name) = text(query.name()) {
            self.teacher.teach(leashed, &name, answers);
        }
    }

    /// Asks others.
    pub async fn ask(&self, unknown: Unknown, transport: Transport) -> Answer {
        let Unknown { question, way, .. } = &unknown;
        match self.forwarder.ask(way, transport, question).await {
            Some(answer) => self.pass(&unknown, answer),
            None => unknown.failed(),
        }
    }

    /// Tells leashes of what passes.
    fn pass(&self, unknown: &Unknown, bytes: Vec<u8>) -> Answer {
        if !unknown.leashed.is_empty()
            && let Ok(message) = Message::from_vec(&bytes)
        {
            self.teach(&unknown.leashed, &unknown.query, &message.answers);
        }
        Answer {
            body: Body::Passed(bytes),
            limit: limit(&unknown.question),
        }
    }
}

impl Unknown {
    /// Nobody says anything, or the client has too many questions under way.
    pub fn failed(&self) -> Answer {
        let mut reply = Reply::to(&self.question, Some(&self.query));
        reply.message.metadata.response_code = ResponseCode::ServFail;
        reply.into()
    }
}

/// An answer of our own that is being made.
struct Reply {
    message: Message,
    limit: u16,
}

impl Reply {
    fn to(question: &Question, query: Option<&Query>) -> Self {
        let mut message = Message::response(question.id(), OpCode::from_u8(question.opcode()));
        message.metadata.recursion_desired = question.is_recursion_desired();
        message.metadata.recursion_available = true;
        message.metadata.checking_disabled = question.is_checking_disabled();
        message.add_queries(query.cloned());
        if question.edns().is_some() {
            let mut edns = Edns::new();
            edns.set_max_payload(DATAGRAM_MAX);
            message.set_edns(edns);
        }
        Self {
            message,
            limit: limit(question),
        }
    }

    fn with(mut self, code: ResponseCode) -> Outcome {
        self.message.metadata.response_code = code;
        Outcome::Answered(self.into())
    }

    /// For the host: whether there is no such name, or whether others may know it.
    fn deny(mut self, directory: &Directory, view: &View, query: &Query) -> Outcome {
        let name = text(query.name());
        let is_name =
            |is: fn(&Directory, &View, &str) -> bool| name.as_ref().is_some_and(|name| is(directory, view, name));
        let is_address = || address(query.name()).is_some_and(|address| directory.is_our_address(view, address));
        let code = if is_name(Directory::is_network) {
            ResponseCode::NoError
        } else if is_name(Directory::is_ours) || is_address() {
            ResponseCode::NXDomain
        } else {
            return self.with(ResponseCode::Refused);
        };
        self.message.metadata.authoritative = true;
        self.message.add_authority(authority(query.name()));
        self.with(code)
    }
}

impl From<Reply> for Answer {
    fn from(Reply { message, limit }: Reply) -> Self {
        Self {
            body: Body::Made(Box::new(message)),
            limit,
        }
    }
}

impl Answer {
    /// One that the client takes; without the records, and saying so, if they are too long.
    pub fn datagram(self) -> Vec<u8> {
        let limit = usize::from(self.limit);
        self.bytes(limit)
    }

    /// With its length before it.
    pub fn stream(self) -> Vec<u8> {
        let bytes = self.bytes(usize::from(u16::MAX));
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        [&length.to_be_bytes()[..], &bytes].concat()
    }

    fn bytes(self, limit: usize) -> Vec<u8> {
        match self.body {
            Body::Passed(bytes) => message::answer::cut(bytes, limit),
            Body::Made(made) => {
                let whole = made.to_vec().unwrap_or_default();
                if !whole.is_empty() && whole.len() <= limit {
                    return whole;
                }
                made.truncate().to_vec().unwrap_or_default()
            }
        }
    }
}

/// How long a datagram the client takes.
fn limit(question: &Question) -> u16 {
    let asked = question.edns().map_or(DATAGRAM_PLAIN, |edns| edns.payload);
    asked.clamp(DATAGRAM_PLAIN, DATAGRAM_MAX)
}

/// What is asked.
fn query(question: &Question) -> Result<Query, ResponseCode> {
    let name = Name::from_bytes(question.name()).map_err(|_| ResponseCode::FormErr)?;
    let mut query = Query::query(name, RecordType::from(question.kind()));
    query.set_query_class(DNSClass::from(question.class()));
    Ok(query)
}

/// Whether it is of a kind that has answers here.
fn check(question: &Question, query: &Query) -> Result<(), ResponseCode> {
    if question.edns().is_some_and(|edns| edns.version != 0) {
        return Err(ResponseCode::BADVERS);
    }
    if question.opcode() != 0 {
        return Err(ResponseCode::NotImp);
    }
    match query.query_type() {
        _ if query.query_class() != DNSClass::IN => Err(ResponseCode::Refused),
        RecordType::AXFR | RecordType::IXFR => Err(ResponseCode::NotImp),
        _ => Ok(()),
    }
}

/// A header is enough to tell that the rest makes no sense.
fn unreadable(question: &[u8]) -> Outcome {
    const HEADER_LENGTH: usize = 12;
    const IS_ANSWER: u8 = 0x80;
    match question {
        [high, low, flags, ..] if question.len() >= HEADER_LENGTH && flags & IS_ANSWER == 0 => {
            let id = u16::from_be_bytes([*high, *low]);
            let message = Message::error_msg(id, OpCode::Query, ResponseCode::FormErr);
            let limit = DATAGRAM_PLAIN;
            Outcome::Answered(Reply { message, limit }.into())
        }
        _ => Outcome::Ignored,
    }
}

/// In lower case, without the dot at its end; `None` for a name that no container can have.
fn text(name: &Name) -> Option<String> {
    let mut text = String::with_capacity(name.len());
    for label in name {
        let label = std::str::from_utf8(label).ok().filter(|label| !label.contains('.'))?;
        if !text.is_empty() {
            text.push('.');
        }
        text.push_str(label);
    }
    text.make_ascii_lowercase();
    Some(text).filter(|text| !text.is_empty())
}

fn record(name: &Name, address: IpAddr) -> Record {
    let data = match address {
        IpAddr::V4(v4) => RData::A(A(v4)),
        IpAddr::V6(v6) => RData::AAAA(AAAA(v6)),
    };
    Record::from_rdata(name.clone(), TIME_TO_LIVE, data)
}

/// The address that a name like `2.0.0.10.in-addr.arpa` spells.
fn address(name: &Name) -> Option<IpAddr> {
    let network = name.parse_arpa_name().ok()?;
    (network.prefix_len() == network.max_prefix_len()).then(|| network.addr())
}

/// The name of such an address.
fn pointer(directory: &Directory, view: &View, name: &Name) -> Option<Name> {
    let found = directory.name(view, address(name)?)?;
    let mut name = Name::from_labels(found.split('.').map(str::as_bytes)).ok()?;
    name.set_fqdn(true);
    Some(name)
}

/// Says how long it may be remembered that there is nothing: not at all.
fn authority(name: &Name) -> Record {
    let soa = SOA::new(name.clone(), Name::root(), 1, 3600, 600, 86_400, TIME_TO_LIVE);
    Record::from_rdata(name.clone(), TIME_TO_LIVE, RData::SOA(soa))
}

#[cfg(test)]
mod tests;

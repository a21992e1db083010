//! One question and its answer: known here, or to be asked upstream.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, PTR, SOA};
use hickory_resolver::proto::rr::{DNSClass, Name, RData, Record, RecordType};
use tokio::sync::watch;

use super::forward::Forwarder;
use super::leash::{Leashed, Teacher};
use super::limits::Client;
use crate::model::directory::{Directory, Forward, TIME_TO_LIVE, View};

/// The longest datagram: no path cuts it (the DNS flag day's figure).
pub(super) const DATAGRAM_MAX: u16 = 1232;
/// What every client takes without EDNS (RFC 1035, 4.2.1).
const DATAGRAM_PLAIN: u16 = 512;

pub struct Answerer {
    directory: watch::Receiver<Arc<Directory>>,
    forwarder: Forwarder,
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
    Unknown(Question),
}

/// The answer, and how long a datagram the client takes.
pub struct Answer {
    message: Message,
    limit: u16,
}

/// What upstream is asked, and whom.
pub struct Question {
    answer: Answer,
    query: Query,
    forward: Forward,
    leashed: Arc<Leashed>,
}

impl Answerer {
    pub fn new(directory: watch::Receiver<Arc<Directory>>, forwarder: Forwarder, teacher: Teacher) -> Self {
        Self {
            directory,
            forwarder,
            teacher,
            turn: AtomicUsize::new(0),
        }
    }

    /// Answers at once where the directory can.
    pub fn answer(&self, client: &Client, question: &[u8]) -> Outcome {
        let Some(message) = read(question) else {
            return unreadable(question);
        };
        if message.message_type != MessageType::Query {
            return Outcome::Ignored;
        }
        let mut answer = Answer::to(&message);
        let query = match check(&message) {
            Ok(query) => query,
            Err(code) => return answer.refuse(code),
        };
        let directory = self.directory.borrow().clone();
        // a network that is gone
        let Some(view) = directory.view(client.network.as_deref(), client.address) else {
            return answer.refuse(ResponseCode::ServFail);
        };
        if self.fill(&mut answer.message, &directory, view, query) {
            self.teach(&view.leashes, query, &answer.message.answers);
            return Outcome::Answered(answer);
        }
        if view.forward == Forward::Others {
            return answer.deny(&directory, view, query);
        }
        let may_ask = view.leashes.is_empty() || text(query.name()).is_some_and(|name| view.may_ask_for(&name));
        Outcome::Unknown(Question {
            query: query.clone(),
            forward: if may_ask {
                view.forward.clone()
            } else {
                Forward::Refused
            },
            leashed: Arc::clone(&view.leashes),
            answer,
        })
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
    pub async fn ask(&self, question: Question) -> Answer {
        let Question {
            mut answer,
            query,
            forward,
            leashed,
        } = question;
        let found = self.forwarder.ask(&forward, &query).await;
        self.teach(&leashed, &query, &found.answers);
        answer.message.metadata.response_code = found.code;
        answer.message.add_answers(found.answers);
        answer.message.insert_authorities(found.authorities);
        if forward == Forward::Refused {
            answer.message.add_authority(authority(query.name()));
        }
        answer
    }
}

impl Question {
    /// For a client with too many questions under way.
    pub fn too_many(self) -> Answer {
        let mut answer = self.answer;
        answer.message.metadata.response_code = ResponseCode::ServFail;
        answer
    }
}

impl Answer {
    fn to(question: &Message) -> Self {
        let mut message = Message::response(question.id, question.op_code);
        message.metadata.recursion_desired = question.recursion_desired;
        message.metadata.recursion_available = true;
        message.metadata.checking_disabled = question.checking_disabled;
        message.add_queries(question.queries.iter().cloned());
        let mut limit = DATAGRAM_PLAIN;
        if let Some(asked) = &question.edns {
            limit = asked.max_payload().clamp(DATAGRAM_PLAIN, DATAGRAM_MAX);
            let mut edns = Edns::new();
            edns.set_max_payload(DATAGRAM_MAX);
            message.set_edns(edns);
        }
        Self { message, limit }
    }

    fn refuse(mut self, code: ResponseCode) -> Outcome {
        self.message.metadata.response_code = code;
        Outcome::Answered(self)
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
            return self.refuse(ResponseCode::Refused);
        };
        self.message.metadata.authoritative = true;
        self.message.add_authority(authority(query.name()));
        self.refuse(code)
    }

    /// One that the client takes; without the records, and saying so, if they are too long.
    pub fn datagram(&self) -> Vec<u8> {
        self.bytes(usize::from(self.limit))
    }

    /// With its length before it.
    pub fn stream(&self) -> Vec<u8> {
        let bytes = self.bytes(usize::from(u16::MAX));
        let length = u16::try_from(bytes.len()).unwrap_or(u16::MAX);
        [&length.to_be_bytes()[..], &bytes].concat()
    }

    fn bytes(&self, limit: usize) -> Vec<u8> {
        let whole = self.message.to_vec().unwrap_or_default();
        if !whole.is_empty() && whole.len() <= limit {
            return whole;
        }
        self.message.truncate().to_vec().unwrap_or_default()
    }
}

/// A message with one question, as all have.
fn read(bytes: &[u8]) -> Option<Message> {
    const ONE: [u8; 2] = 1_u16.to_be_bytes();
    // looked at first: room is made for as many as there are said to be
    match bytes.get(4..6) {
        Some(count) if count == ONE => Message::from_vec(bytes).ok(),
        _ => None,
    }
}

/// The question, if it is of a kind that has answers here.
fn check(message: &Message) -> Result<&Query, ResponseCode> {
    if message.edns.as_ref().is_some_and(|edns| edns.version() != 0) {
        return Err(ResponseCode::BADVERS);
    }
    if message.op_code != OpCode::Query {
        return Err(ResponseCode::NotImp);
    }
    let query = message.queries.first().ok_or(ResponseCode::FormErr)?;
    match query.query_type() {
        _ if query.query_class() != DNSClass::IN => Err(ResponseCode::Refused),
        RecordType::AXFR | RecordType::IXFR => Err(ResponseCode::NotImp),
        _ => Ok(query),
    }
}

/// A header is enough to tell that the rest makes no sense.
fn unreadable(question: &[u8]) -> Outcome {
    const HEADER_LENGTH: usize = 12;
    const IS_ANSWER: u8 = 0x80;
    match question {
        [high, low, flags, ..] if question.len() >= HEADER_LENGTH && flags & IS_ANSWER == 0 => {
            let id = u16::from_be_bytes([*high, *low]);
            Outcome::Answered(Answer {
                message: Message::error_msg(id, OpCode::Query, ResponseCode::FormErr),
                limit: DATAGRAM_PLAIN,
            })
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

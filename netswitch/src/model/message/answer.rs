//! What a server has said: whether it answers the question, what follows from it, and how the client gets it.

use std::time::Duration;

use super::record::{Record, Section, records, spell};
use super::{HEADER, Question, code, flag, kind, put, set_flag, u16_at, u32_at};

/// The least of an SOA that says how long nothing may be remembered, at its end (RFC 2308, 4).
const SOA_MINIMUM: usize = 4;
/// That there is nothing is remembered no longer: what was not there a moment ago may be there now.
const NOTHING_MAX: Duration = Duration::from_secs(30);
const SOMETHING_MAX: Duration = Duration::from_hours(24);

/// What an answer means for who asks servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The client's answer.
    Passes,
    /// Another server may know better.
    NextServer,
    /// The server does not understand the extension.
    WithoutEdns,
}

/// `None`: it is no answer to that question, whatever it is.
pub fn judge(question: &Question, id: u16, answer: &[u8]) -> Option<Verdict> {
    let flags = u16_at(answer, 2)?;
    if answer.len() < HEADER || u16_at(answer, 0)? != id || flags & flag::RESPONSE == 0 {
        return None;
    }
    if (flags & flag::OPCODE) >> 11 != u16::from(question.opcode()) {
        return None;
    }
    let code = flags & flag::CODE;
    let has_failed = matches!(
        code,
        code::MALFORMED | code::SERVER_FAILED | code::NOT_IMPLEMENTED | code::REFUSED
    );
    let end = match u16_at(answer, 4)? {
        1 if repeats(question, answer) => HEADER + question.asked().len(),
        // who does not understand a question may leave it out
        0 if has_failed => HEADER,
        _ => return None,
    };
    let records = records(answer, end);
    if records.is_none() && flags & flag::TRUNCATED == 0 {
        return None;
    }
    let knows_edns = || records.iter().flatten().any(|record| record.kind == kind::OPT);
    Some(match code {
        code::MALFORMED | code::NOT_IMPLEMENTED if question.can_go_plain() && !knows_edns() => Verdict::WithoutEdns,
        code::SERVER_FAILED | code::NOT_IMPLEMENTED | code::REFUSED => Verdict::NextServer,
        _ => Verdict::Passes,
    })
}

fn repeats(question: &Question, answer: &[u8]) -> bool {
    let asked = question.asked();
    let Some(repeated) = answer.get(HEADER..HEADER + asked.len()) else {
        return false;
    };
    // type and class have no case, and so must be the same
    let name = asked.len() - 4;
    repeated[..name].eq_ignore_ascii_case(&asked[..name]) && repeated[name..] == asked[name..]
}

pub fn is_truncated(answer: &[u8]) -> bool {
    u16_at(answer, 2).is_some_and(|flags| flags & flag::TRUNCATED != 0)
}

/// For the client that has asked this: with its id, names as it has spelt them (RFC 4343, 4.1), and without an
/// extension that it has not used.
pub fn for_client(mut answer: Vec<u8>, question: &Question) -> Vec<u8> {
    put(&mut answer, 0, question.id().to_be_bytes());
    if !repeats(question, &answer) {
        return answer; // the code alone
    }
    answer[HEADER..HEADER + question.name().len()].copy_from_slice(question.name());
    let Some(found) = records(&answer, HEADER + question.asked().len()) else {
        return answer;
    };
    for record in &found {
        spell(&mut answer, record.owner, question.name());
    }
    if let Some(last) = found.last()
        && question.edns().is_none()
        && last.kind == kind::OPT
        && last.section == Section::Additional
    {
        let left = found
            .iter()
            .filter(|record| record.section == Section::Additional)
            .count()
            - 1;
        answer.truncate(last.owner);
        put(&mut answer, 10, u16::try_from(left).unwrap_or_default().to_be_bytes());
    }
    answer
}

/// No longer than the client takes; without its records, and saying so, if they are too long.
pub fn cut(mut answer: Vec<u8>, limit: usize) -> Vec<u8> {
    if answer.len() <= limit {
        return answer;
    }
    let end = match u16_at(&answer, 4) {
        Some(1) => super::record::whole_name_end(&answer).map_or(HEADER, |end| end + 4),
        _ => HEADER,
    };
    let found = records(&answer, end).unwrap_or_default();
    let extension = found.into_iter().find(|record| record.kind == kind::OPT);
    let extension = extension.map(|record| answer[record.owner..record.end].to_vec());
    let extension = extension.filter(|extension| end + extension.len() <= limit);
    answer.truncate(end);
    put(&mut answer, 6, [0; 4]);
    put(&mut answer, 10, u16::from(extension.is_some()).to_be_bytes());
    set_flag(&mut answer, flag::TRUNCATED);
    answer.extend(extension.into_iter().flatten());
    answer
}

/// How long it may be kept. `None`: not at all.
pub(super) fn lasts(answer: &[u8], question: &Question) -> Option<Duration> {
    let flags = u16_at(answer, 2)?;
    if flags & flag::TRUNCATED != 0 || !repeats(question, answer) {
        return None;
    }
    let found = records(answer, HEADER + question.asked().len())?;
    let least = found.iter().filter_map(|record| record.time_to_live(answer)).min();
    let is_asked = |record: &Record| {
        record.section == Section::Answer && (record.kind == question.kind() || question.kind() == kind::ANY)
    };
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    let time = match flags & flag::CODE {
        code::NO_ERROR if found.iter().any(is_asked) => seconds(least?).min(SOMETHING_MAX),
        code::NO_ERROR | code::NO_SUCH_NAME => {
            let authorities = found.iter().filter(|record| record.section == Section::Authority);
            let soa = authorities.into_iter().find(|record| record.kind == kind::SOA)?;
            let data = soa.data(answer);
            let minimum = u32_at(data, data.len().checked_sub(SOA_MINIMUM)?)?;
            seconds(least?.min(minimum)).min(NOTHING_MAX)
        }
        _ => return None,
    };
    (!time.is_zero()).then_some(time)
}

/// The same after a while: its records have less time to live.
pub(super) fn aged(answer: &[u8], question: &Question, age: Duration) -> Vec<u8> {
    let mut answer = answer.to_vec();
    let age = u32::try_from(age.as_secs()).unwrap_or(u32::MAX);
    for record in records(&answer, HEADER + question.asked().len()).unwrap_or_default() {
        if let (Some(at), Some(time)) = (record.time_to_live_at(), record.time_to_live(&answer)) {
            put(&mut answer, at, time.saturating_sub(age).to_be_bytes());
        }
    }
    answer
}

//! What holds for every answer.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use netswitch::agent::dns::answer::{Answer, Outcome};

use crate::world::World;

/// Bytes of a message's header, which is enough to be told that the rest makes no sense.
const HEADER: usize = 12;
/// Of a datagram: what everybody takes, and what no path cuts.
const PLAIN: usize = 512;
const LONGEST: usize = 1232;

pub fn check(world: &World, bytes: &[u8]) {
    let asker = world.asker(bytes);
    let expected = world.switch.answer(asker.sandbox, bytes);
    let answer = match world.answerer.answer(&asker.client, bytes) {
        Outcome::Ignored => {
            assert!(
                bytes.len() < HEADER || bytes[2] & 0x80 != 0,
                "a question without an answer"
            );
            None
        }
        Outcome::Answered(answer) => Some(answer),
        // one half is too much for a client, the other is asked of nobody
        Outcome::Unknown(question) if bytes[1] & 1 == 0 => Some(question.too_many()),
        Outcome::Unknown(question) => {
            let asking = pin!(world.answerer.ask(question));
            match asking.poll(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(answer) => Some(answer),
                Poll::Pending => panic!("there is nobody to wait for"),
            }
        }
    };
    if let Some(answer) = &answer {
        check_answer(bytes, answer);
    }
    if let Some(expected) = expected {
        let datagram = answer.map(|answer| answer.datagram());
        assert_eq!(datagram.as_ref(), Some(&expected), "the switch says otherwise");
    }
}

fn check_answer(bytes: &[u8], answer: &Answer) {
    let (datagram, stream) = (answer.datagram(), answer.stream());
    let (length, whole) = stream.split_at(2);
    assert_eq!(usize::from(u16::from_be_bytes([length[0], length[1]])), whole.len());
    let short = Message::from_vec(&datagram).expect("a datagram that can be read");
    let long = Message::from_vec(whole).expect("a message that can be read");
    for message in [&short, &long] {
        assert_eq!(message.id.to_be_bytes(), bytes[..2]);
        assert_eq!(message.message_type, MessageType::Response);
    }
    assert!(!long.truncation, "no stream is too short");
    if short.truncation {
        assert!(whole.len() > PLAIN && short.answers.is_empty() && short.authorities.is_empty());
        assert_eq!(short.queries, long.queries);
    } else {
        assert_eq!(datagram, whole);
    }

    // the count first: room is made for as many as there are said to be
    let asked = Message::from_vec(bytes).ok().filter(|_| bytes[4..6] == [0, 1]);
    let Some(asked) = asked else {
        assert_eq!((short.response_code, datagram.len()), (ResponseCode::FormErr, HEADER));
        return;
    };
    let limit = asked
        .edns
        .as_ref()
        .map_or(PLAIN, |edns| usize::from(edns.max_payload()).clamp(PLAIN, LONGEST));
    assert!(
        datagram.len() <= limit,
        "{} bytes for a client that takes {limit}",
        datagram.len()
    );
    assert_eq!(asked.edns.is_some(), short.edns.is_some());
    assert_eq!(asked.op_code, short.op_code);
    assert_eq!(asked.recursion_desired, short.recursion_desired);
    assert_eq!(asked.queries, short.queries);
    let names = asked.queries.iter().zip(&short.queries);
    for (asked, answered) in names {
        // to the letter: resolvers compare it with what they sent
        assert!(asked.name().eq_case(answered.name()));
    }
    for record in &long.answers {
        assert_eq!((long.response_code, record.ttl), (ResponseCode::NoError, 0));
        assert_eq!(Some(&record.name), asked.queries.first().map(Query::name));
    }
}

//! What holds for every answer.

use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use netswitch::agent::dns::answer::{Answer, Outcome};
use netswitch::model::message::Question;

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
        // there is nobody to ask
        Outcome::Unknown(unknown) => Some(unknown.failed()),
    };
    if let Some(answer) = &answer {
        check_answer(bytes, answer);
    }
    if let Some(expected) = expected {
        let datagram = answer.map(Answer::datagram);
        assert_eq!(datagram.as_ref(), Some(&expected), "the switch says otherwise");
    }
}

fn check_answer(bytes: &[u8], answer: &Answer) {
    let (datagram, stream) = (answer.clone().datagram(), answer.clone().stream());
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

    let Some(asked) = Question::read(bytes) else {
        assert_eq!((short.response_code, datagram.len()), (ResponseCode::FormErr, HEADER));
        return;
    };
    let limit = asked
        .edns()
        .map_or(PLAIN, |edns| usize::from(edns.payload).clamp(PLAIN, LONGEST));
    assert!(
        datagram.len() <= limit,
        "{} bytes for a client that takes {limit}",
        datagram.len()
    );
    assert_eq!(asked.edns().is_some(), short.edns.is_some());
    assert_eq!(asked.opcode(), u8::from(short.op_code));
    assert_eq!(asked.is_recursion_desired(), short.recursion_desired);
    // to the letter: resolvers compare it with what they sent
    let name = asked.name().len();
    assert_eq!(
        datagram.get(HEADER..HEADER + name + 4),
        bytes.get(HEADER..HEADER + name + 4)
    );
    for record in &long.answers {
        assert_eq!((long.response_code, record.ttl), (ResponseCode::NoError, 0));
        assert_eq!(Some(&record.name), long.queries.first().map(Query::name));
    }
}

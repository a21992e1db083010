//! What holds for messages that pass through: any bytes at all as a server's answer, and as a client's question.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

use hickory_proto::op::Message;
use netswitch::model::message::{Cache, HEADER, Question, Verdict, answer};
use tests::question::{A, ANY, ASKED, TXT, message};

/// Who asks: plainly, with an extension, and with its name spelt in an odd way.
static QUESTIONS: LazyLock<Vec<Question>> = LazyLock::new(|| {
    let extended = |name: &str, kind: u16, flags: u8| {
        let mut bytes = message(ASKED, 0, name, kind, &[0, 0, 41, 4, 0xd0, 0, 0, flags, 0, 0, 0]);
        bytes[11] = 1;
        bytes
    };
    let all = [
        message(ASKED, 0, "www.example.test", A, &[]),
        extended("WWW.Example.TEST", TXT, 0),
        extended("a.b", ANY, 0x80),
    ];
    all.iter()
        .map(|bytes| Question::read(bytes).expect("a question"))
        .collect()
});
const LIMITS: [usize; 2] = [512, 1232];
const QR: u8 = 0x80;
const TC: u8 = 0x02;
const OPCODE: u8 = 0x78;

pub fn check(bytes: &[u8]) {
    check_question(bytes);
    for question in QUESTIONS.iter() {
        // as it came, and with what makes an answer of it
        check_answer(question, bytes);
        let Some((head, records)) = bytes.split_first_chunk::<HEADER>() else {
            continue;
        };
        let mut answer = head.to_vec();
        answer[..2].copy_from_slice(&question.id().to_be_bytes());
        answer[2] = answer[2] & !OPCODE | QR;
        answer[4..6].copy_from_slice(&[0, 1]);
        // few, so that some input has as many
        for count in [6, 8, 10] {
            answer[count] = 0;
        }
        answer.extend(question.name().to_ascii_lowercase());
        answer.extend(
            [question.kind(), question.class()]
                .iter()
                .flat_map(|value| value.to_be_bytes()),
        );
        answer.extend(records);
        check_answer(question, &answer);
    }
}

fn check_answer(question: &Question, bytes: &[u8]) {
    let Some(verdict) = answer::judge(question, question.id(), bytes) else {
        return;
    };
    let said = answer::for_client(bytes.to_vec(), question);
    assert!(said.len() <= bytes.len());
    if verdict == Verdict::Passes {
        assert_eq!(answer::judge(question, question.id(), &said), Some(verdict));
        let spelt = said.get(HEADER..HEADER + question.name().len());
        assert!(spelt == Some(question.name()) || said[4..6] == [0, 0]);
    }
    if let Ok(before) = Message::from_vec(bytes) {
        let after = Message::from_vec(&said).expect("still a message");
        let count = |message: &Message| (message.answers.len(), message.authorities.len());
        assert_eq!(count(&before), count(&after));
    }
    for limit in LIMITS {
        let cut = answer::cut(said.clone(), limit);
        assert!(cut.len() <= limit);
        assert!(cut == said || cut[2] & TC != 0);
    }
    let (mut cache, now) = (Cache::default(), Instant::now());
    cache.remember(question, bytes, now);
    if let Some(found) = cache.find(question, now) {
        // at once it is the same but for times that are none
        assert_eq!(found.len(), bytes.len());
        assert_eq!(verdict, Verdict::Passes);
        assert!(answer::judge(question, question.id(), &found).is_some());
        cache.find(question, now + Duration::from_secs(10));
        assert!(cache.find(question, now + Duration::from_secs(100_000)).is_none());
    }
}

fn check_question(bytes: &[u8]) {
    let Some(question) = Question::read(bytes) else {
        return;
    };
    assert_eq!(question.with_id(question.id()), bytes);
    for (with_edns, trusts) in [(false, false), (true, true)] {
        let sent = question.prepared(with_edns, trusts, 1232).with_id(1);
        let again = Question::read(&sent).expect("still a question");
        assert_eq!((again.name(), again.kind()), (question.name(), question.kind()));
        let plain = again.without_edns().with_id(2);
        assert!(Question::read(&plain).is_some_and(|plain| plain.edns().is_none() || !again.can_go_plain()));
    }
}

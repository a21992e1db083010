use std::time::{Duration, Instant};

use super::*;

const A: u16 = 1;
const NS: u16 = 2;
const CNAME: u16 = 5;
const TXT: u16 = 16;
const AAAA: u16 = 28;
const ASKED: u16 = 0x0100;
const ANSWERED: u16 = 0x8180;
/// The question's name.
const THE_NAME: &[u8] = &[0xc0, 12];

fn wire(name: &str) -> Vec<u8> {
    let labels = name.split('.').filter(|label| !label.is_empty());
    let mut wire: Vec<u8> = labels
        .flat_map(|label| [&[u8::try_from(label.len()).unwrap()], label.as_bytes()].concat())
        .collect();
    wire.push(0);
    wire
}

/// One question, and records by section.
fn message(flags: u16, name: &str, kind: u16, sections: [&[Vec<u8>]; 3]) -> Vec<u8> {
    let count = |section: &[Vec<u8>]| u16::try_from(section.len()).unwrap();
    let mut bytes: Vec<u8> = [0x4711, flags, 1].into_iter().flat_map(u16::to_be_bytes).collect();
    bytes.extend(sections.iter().flat_map(|section| count(section).to_be_bytes()));
    bytes.extend(wire(name));
    bytes.extend([kind, 1].into_iter().flat_map(u16::to_be_bytes));
    bytes.extend(sections.concat().concat());
    bytes
}

fn record(owner: &[u8], kind: u16, time: u32, data: &[u8]) -> Vec<u8> {
    let length = u16::try_from(data.len()).unwrap();
    let fixed = [
        &kind.to_be_bytes()[..],
        &[0, 1],
        &time.to_be_bytes(),
        &length.to_be_bytes(),
    ]
    .concat();
    [owner, &fixed, data].concat()
}

fn extension(payload: u16, flags: u16, options: &[u8]) -> Vec<u8> {
    let mut record = record(&[0], kind::OPT, u32::from(flags), options);
    put(&mut record, 3, payload.to_be_bytes());
    record
}

fn soa(time: u32, minimum: u32) -> Vec<u8> {
    let data = [&[0, 0][..], &[0; 16], &minimum.to_be_bytes()].concat();
    record(&[0], kind::SOA, time, &data)
}

fn asked(name: &str, kind: u16) -> Question {
    Question::read(&message(ASKED, name, kind, [&[], &[], &[]])).unwrap()
}

#[test]
fn a_question_is_read_and_what_is_none_is_not() {
    let whole = message(
        0x0130,
        "WWW.Example.test",
        TXT,
        [&[], &[], &[extension(4096, 0x8000, b"\0\x0a\0\0")]],
    );
    let question = Question::read(&whole).unwrap();
    assert_eq!(question.name(), wire("WWW.Example.test"));
    assert_eq!(
        (question.id(), question.kind(), question.class(), question.opcode()),
        (0x4711, TXT, 1, 0)
    );
    assert!(question.is_recursion_desired() && question.is_checking_disabled());
    let edns = question.edns().unwrap();
    assert_eq!((edns.payload, edns.version), (4096, 0));
    for length in 0..whole.len() {
        assert_eq!(Question::read(&whole[..length]), None, "{length}");
    }
    let plain = || message(ASKED, "a.test", A, [&[], &[], &[]]);
    let changed = |at: usize, value: u8| {
        let mut bytes = plain();
        bytes[at] = value;
        bytes
    };
    for (what, bytes) in [
        ("an answer", changed(2, 0x81)),
        ("two questions", changed(5, 2)),
        ("no question", changed(5, 0)),
        ("a pointer as the name", changed(HEADER, 0xc0)),
        ("a label of another kind", changed(HEADER, 0x41)),
        ("records that are not there", changed(7, 1)),
        (
            "two extensions",
            message(
                ASKED,
                "a.test",
                A,
                [&[], &[], &[extension(512, 0, &[]), extension(512, 0, &[])]],
            ),
        ),
        (
            "an extension among the answers",
            message(ASKED, "a.test", A, [&[extension(512, 0, &[])], &[], &[]]),
        ),
        (
            "a name that is too long",
            message(ASKED, &vec!["a".repeat(63); 4].join("."), A, [&[], &[], &[]]),
        ),
    ] {
        assert_eq!(Question::read(&bytes), None, "{what}");
    }
    let longest = [&*"a".repeat(63), &"b".repeat(63), &"c".repeat(63), &"d".repeat(61)].join(".");
    for name in ["", "a", &longest] {
        assert!(
            Question::read(&message(ASKED, name, A, [&[], &[], &[]])).is_some(),
            "{name}"
        );
    }
}

#[test]
fn a_server_is_asked_with_the_clients_bytes() {
    let signature = record(&[0], 250, 0, b"signed");
    for (what, sections) in [
        ("nothing", [&[][..], &[], &[]]),
        (
            "an extension with options",
            [&[], &[], &[extension(1232, 0x8000, b"\0\x0a\0\x02ab")]],
        ),
        ("a signature", [&[], &[], &[extension(4096, 0, &[]), signature.clone()]]),
        ("a serial number to begin with", [&[], &[soa(1, 1)], &[]]),
    ] {
        let bytes = message(0x0130, "Any.test", 65_400, sections);
        let question = Question::read(&bytes).unwrap();
        let sent = question.prepared(false, false, 1232).with_id(7);
        assert_eq!(sent[..2], [0, 7], "{what}");
        assert_eq!(sent[2..], bytes[2..], "{what}");
    }
}

#[test]
fn options_change_what_a_server_is_asked() {
    let plain = asked("a.test", A);
    let sent = plain.prepared(true, true, 1232).with_id(0x4711);
    let expected = message(
        ASKED | flag::AUTHENTIC,
        "a.test",
        A,
        [&[], &[], &[extension(1232, 0, &[])]],
    );
    assert_eq!(sent, expected);
    assert_eq!(
        Question::read(&sent).unwrap().without_edns().with_id(0x4711)[10..],
        plain.with_id(0)[10..]
    );
    let large = message(ASKED, "a.test", A, [&[], &[], &[extension(65_000, 0x8000, &[])]]);
    let sent = Question::read(&large)
        .unwrap()
        .prepared(true, false, 1232)
        .with_id(0x4711);
    assert_eq!(
        sent,
        message(ASKED, "a.test", A, [&[], &[], &[extension(1232, 0x8000, &[])]])
    );
}

#[test]
fn an_answer_is_one_to_the_question() {
    let question = asked("www.test", A);
    let with = |name: &str, kind: u16, flags: u16| message(flags, name, kind, [&[], &[], &[]]);
    let judged = |answer: &[u8]| answer::judge(&question, 0x4711, answer);
    for (what, flags, verdict) in [
        ("no error", ANSWERED, Verdict::Passes),
        ("malformed", ANSWERED | 1, Verdict::Passes),
        ("server failed", ANSWERED | 2, Verdict::NextServer),
        ("no such name", ANSWERED | 3, Verdict::Passes),
        ("not implemented", ANSWERED | 4, Verdict::NextServer),
        ("refused", ANSWERED | 5, Verdict::NextServer),
        ("a code that is not known", ANSWERED | 0xb, Verdict::Passes),
    ] {
        assert_eq!(judged(&with("www.test", A, flags)), Some(verdict), "{what}");
        assert_eq!(judged(&with("WwW.TeSt", A, flags)), Some(verdict), "{what}");
    }
    let mut short = with("www.test", A, ANSWERED | 5);
    short.truncate(HEADER);
    put(&mut short, 4, [0, 0]);
    assert_eq!(judged(&short), Some(Verdict::NextServer));
    put(&mut short, 2, ANSWERED.to_be_bytes());
    let mut cut = message(ANSWERED, "www.test", A, [&[record(THE_NAME, A, 1, &[1; 4])], &[], &[]]);
    cut.pop();
    for (what, answer) in [
        ("no question and no error", short),
        ("another name", with("www.tesu", A, ANSWERED)),
        ("another type", with("www.test", AAAA, ANSWERED)),
        ("a question", with("www.test", A, ASKED)),
        ("another operation", with("www.test", A, ANSWERED | 0x2000)),
        ("an end too soon", cut.clone()),
        ("less than a header", b"\x47\x11\x82\x31\0\0\x47\x11\0z".to_vec()),
        ("nothing", Vec::new()),
    ] {
        assert_eq!(judged(&answer), None, "{what}");
    }
    assert_eq!(answer::judge(&question, 0x4712, &with("www.test", A, ANSWERED)), None);
    cut[2] |= 0x02; // it says so
    assert_eq!(judged(&cut), Some(Verdict::Passes));
}

#[test]
fn a_server_without_extensions_is_asked_without() {
    let extended = message(ASKED, "a.test", A, [&[], &[], &[extension(1232, 0, &[])]]);
    let question = Question::read(&extended).unwrap();
    for (code, verdict) in [
        (1, Verdict::WithoutEdns),
        (4, Verdict::WithoutEdns),
        (2, Verdict::NextServer),
    ] {
        let answer = message(ANSWERED | code, "a.test", A, [&[], &[], &[]]);
        assert_eq!(answer::judge(&question, 0x4711, &answer), Some(verdict));
    }
    // this one knows them, and means the question
    let answer = message(ANSWERED | 1, "a.test", A, [&[], &[], &[extension(1232, 0, &[])]]);
    assert_eq!(answer::judge(&question, 0x4711, &answer), Some(Verdict::Passes));
}

#[test]
fn names_are_spelt_as_they_were_asked() {
    let spelt = asked("WWW.Example.TEST", A);
    let lower = wire("www.example.test");
    // the whole name, its first label with a pointer to the rest, a pointer, another name, one below it
    let half = [&b"\x03www"[..], &[0xc0, 16]].concat();
    let other = wire("www.example.net");
    let below = [&b"\x01a"[..], THE_NAME].concat();
    let owners: [&[u8]; 5] = [&lower, &half, THE_NAME, &other, &below];
    let records = owners.map(|owner| record(owner, A, 60, &[192, 0, 2, 1]));
    let answer = message(ANSWERED, "www.example.test", A, [&records, &[], &[]]);
    let said = answer::for_client(answer.clone(), &spelt);
    let upper = wire("WWW.Example.TEST");
    let half = [&b"\x03WWW"[..], &[0xc0, 16]].concat();
    let owners: [&[u8]; 5] = [&upper, &half, THE_NAME, &other, &below];
    let records = owners.map(|owner| record(owner, A, 60, &[192, 0, 2, 1]));
    assert_eq!(said, message(ANSWERED, "WWW.Example.TEST", A, [&records, &[], &[]]));
    // pointers that lead nowhere or round in circles
    for pointer in [[0xc0, 0xff], [0xc0, 0x22], [0xff, 0xff]] {
        let answer = message(
            ANSWERED,
            "www.example.test",
            A,
            [&[record(&pointer, A, 1, &[])], &[], &[]],
        );
        assert_eq!(answer::for_client(answer.clone(), &spelt).len(), answer.len());
    }
}

#[test]
fn an_extension_is_for_who_has_used_it() {
    let one = record(THE_NAME, A, 60, &[192, 0, 2, 1]);
    let answer = |additional: &[Vec<u8>]| message(ANSWERED, "a.test", A, [std::slice::from_ref(&one), &[], additional]);
    let glue = record(&wire("ns.test"), A, 60, &[192, 0, 2, 2]);
    let extended = answer(&[glue.clone(), extension(1232, 0, &[])]);
    assert_eq!(
        answer::for_client(extended.clone(), &asked("a.test", A)),
        answer(&[glue])
    );
    let asks = message(ASKED, "a.test", A, [&[], &[], &[extension(512, 0, &[])]]);
    assert_eq!(
        answer::for_client(extended.clone(), &Question::read(&asks).unwrap()),
        extended
    );
}

#[test]
fn what_is_too_long_is_cut_and_says_so() {
    let records = vec![record(THE_NAME, TXT, 60, &[b'x'; 100]); 6];
    let extended = [extension(1232, 0x8000, &[])];
    let answer = message(ANSWERED, "a.test", TXT, [&records, &[], &extended]);
    assert_eq!(answer::cut(answer.clone(), answer.len()), answer);
    let truncated = ANSWERED | flag::TRUNCATED;
    assert_eq!(
        answer::cut(answer, 512),
        message(truncated, "a.test", TXT, [&[], &[], &extended])
    );
    for nonsense in [vec![0xff; 600], vec![0; 600]] {
        assert!(answer::cut(nonsense, 512).len() <= 512);
    }
}

/// What is remembered after a number of seconds.
fn kept(kind: u16, code: u16, answers: &[Vec<u8>], authorities: &[Vec<u8>], after: u64) -> Option<Vec<u8>> {
    let question = asked("a.test", kind);
    let (mut cache, now) = (Cache::default(), Instant::now());
    let answer = message(ANSWERED | code, "a.test", kind, [answers, authorities, &[]]);
    cache.remember(&question, &answer, now);
    let upper = asked("A.TEST", kind);
    let found = cache.find(&upper, now + Duration::from_secs(after));
    assert!(cache.find(&asked("b.test", kind), now).is_none());
    found
}

#[test]
fn answers_are_kept_as_long_as_they_say() {
    let a = |time| record(THE_NAME, A, time, &[192, 0, 2, 1]);
    let alias = record(THE_NAME, CNAME, 20, &wire("b.test"));
    let server = record(&wire("test"), NS, 10, &wire("ns.test"));
    for (what, answers, authorities, code, seconds) in [
        ("a record", vec![a(60)], vec![], 0, 60),
        ("the least of all", vec![a(60), a(30)], vec![server.clone()], 0, 10),
        (
            "an alias and what it leads to",
            vec![alias.clone(), a(60)],
            vec![],
            0,
            20,
        ),
        ("not at all", vec![a(0)], vec![], 0, 0),
        ("the highest bit is none", vec![a(0x8000_0001)], vec![], 0, 0),
        ("no such name", vec![], vec![soa(600, 20)], 3, 20),
        ("nothing of the kind", vec![], vec![soa(15, 600)], 0, 15),
        (
            "nothing is kept half a minute at most",
            vec![],
            vec![soa(3600, 3600)],
            3,
            30,
        ),
        (
            "an alias that leads to nothing",
            vec![record(THE_NAME, CNAME, 300, &wire("b.test"))],
            vec![soa(300, 300)],
            0,
            30,
        ),
        ("nothing, and nobody says for how long", vec![], vec![], 3, 0),
        ("others are to be asked", vec![], vec![server], 0, 0),
        ("a failure", vec![], vec![soa(60, 60)], 2, 0),
        ("a refusal", vec![a(60)], vec![], 5, 0),
    ] {
        let kept = |after| kept(A, code, &answers, &authorities, after).is_some();
        assert!(seconds == 0 || kept(seconds - 1), "{what}");
        assert!(!kept(seconds), "{what}");
    }
    let found = kept(A, 0, &[a(60), alias], &[], 7).unwrap();
    let question = asked("a.test", A);
    let times: Vec<u32> = record::records(&found, HEADER + question.asked().len())
        .unwrap()
        .iter()
        .filter_map(|record| record.time_to_live(&found))
        .collect();
    assert_eq!(times, [53, 13]);
}

#[test]
fn who_asks_otherwise_is_not_answered_from_memory() {
    let now = Instant::now();
    let ask = |flags: u16, additional: &[Vec<u8>]| {
        Question::read(&message(flags, "a.test", A, [&[], &[], additional])).unwrap()
    };
    let questions = [
        ask(ASKED, &[]),
        ask(0, &[]),
        ask(ASKED | 0x10, &[]),
        ask(ASKED | 0x20, &[]),
        ask(ASKED, &[extension(1232, 0, &[])]),
        ask(ASKED, &[extension(1232, 0x8000, &[])]),
    ];
    for (index, question) in questions.iter().enumerate() {
        let mut cache = Cache::default();
        let answer = message(ANSWERED, "a.test", A, [&[record(THE_NAME, A, 60, &[1; 4])], &[], &[]]);
        cache.remember(question, &answer, now);
        for (other, asked) in questions.iter().enumerate() {
            assert_eq!(cache.find(asked, now).is_some(), index == other, "{index} {other}");
        }
    }
    // how long a datagram may be is no other question
    let mut cache = Cache::default();
    let answer = message(ANSWERED, "a.test", A, [&[record(THE_NAME, A, 60, &[1; 4])], &[], &[]]);
    cache.remember(&questions[4], &answer, now);
    assert!(cache.find(&ask(ASKED, &[extension(4096, 0, &[])]), now).is_some());
    // options are between the client and the server
    let with_cookie = ask(ASKED, &[extension(1232, 0, b"\0\x0a\0\x08abcdefgh")]);
    cache.remember(&with_cookie, &answer, now);
    assert!(cache.find(&with_cookie, now).is_none());
}

#[test]
fn memory_has_an_end_and_what_is_asked_for_stays() {
    let (mut cache, now) = (Cache::default(), Instant::now());
    let answer = |name: &str| message(ANSWERED, name, A, [&[record(THE_NAME, A, 60, &[1; 4])], &[], &[]]);
    let popular = asked("popular.test", A);
    cache.remember(&popular, &answer("popular.test"), now);
    for number in 0..50_000 {
        let name = format!("n{number}.test");
        cache.remember(&asked(&name, A), &answer(&name), now);
        assert!(cache.find(&popular, now).is_some(), "{number}");
    }
    assert!(cache.find(&asked("n0.test", A), now).is_none());
    assert!(cache.find(&asked("n49999.test", A), now).is_some());
    assert!(cache.len() < 10_000, "{}", cache.len());
}

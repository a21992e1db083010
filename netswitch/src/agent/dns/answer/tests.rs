use super::*;
use hickory_proto::op::MessageType;

use crate::agent::dns::surroundings::Surroundings;
use crate::model::resolv_conf::ResolvConf;
use crate::model::testing::World;

/// Two containers on a network of both families, a third with IPv4 alone beside many with a shared alias.
struct Asker {
    world: World,
    answerer: Answerer,
    client: Client,
    // kept, so that the answerer may read
    _published: (watch::Sender<Arc<Directory>>, watch::Sender<Arc<ResolvConf>>),
}

impl Asker {
    fn new() -> Self {
        let mut world = World::new();
        world.network6("six", &["10.6.0.0/24", "fd06::/64"]);
        world.network("four", &["10.4.0.0/16"]);
        world.internal_network("inner");
        let mut asked = World::asked_network("Open", &["10.5.0.0/24"]);
        asked.options.insert("netswitch.host_names".into(), "true".into());
        world.make(&asked).unwrap();
        world.run("client", &["six", "four"]);
        world.run("web_1", &["six"]);
        world.run("old", &["four"]);
        world.run("hidden", &["inner"]);
        world.run("shown", &["Open"]);
        for number in 0..50 {
            let mut asked = World::asked(&format!("node-{number}"), &["four"]);
            asked.networks[0].1.aliases = vec!["nodes".into()];
            world.start(&asked).unwrap();
        }
        let (publish, directory) = watch::channel(Arc::new(Directory::new(&world.state)));
        let (upstream, host) = watch::channel(Arc::default());
        let endpoint = world.endpoint("client", "six");
        Self {
            client: Client {
                network: Some(Arc::new(endpoint.network.clone())),
                address: endpoint.v4.unwrap().ip(),
            },
            answerer: Answerer::new(
                directory,
                Forwarder::new(host, Surroundings::default()),
                Teacher::default(),
            ),
            world,
            _published: (publish, upstream),
        }
    }

    fn outcome(&self, message: &Message) -> Outcome {
        self.answerer.answer(&self.client, &message.to_vec().unwrap())
    }

    fn answer(&self, message: &Message) -> Message {
        match self.outcome(message) {
            Outcome::Answered(answer) => Message::from_vec(&answer.datagram()).unwrap(),
            Outcome::Ignored | Outcome::Unknown(_) => panic!("no answer to {message}"),
        }
    }

    fn ask(&self, name: &str, kind: RecordType) -> Message {
        self.answer(&question(name, kind))
    }

    fn is_unknown(&self, name: &str, kind: RecordType) -> bool {
        matches!(self.outcome(&question(name, kind)), Outcome::Unknown(_))
    }
}

fn question(name: &str, kind: RecordType) -> Message {
    let mut message = Message::query();
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_str_relaxed(name).unwrap(), kind));
    message
}

fn data(message: &Message) -> Vec<String> {
    message.answers.iter().map(|record| record.data.to_string()).collect()
}

#[test]
fn names_have_their_addresses_and_addresses_their_names() {
    let asker = Asker::new();
    for (name, kind, expected) in [
        ("web_1.", RecordType::A, "10.6.0.3"),
        ("web_1.", RecordType::AAAA, "fd06::3"),
        ("web_1.six.", RecordType::A, "10.6.0.3"),
        ("WEB_1.Six.", RecordType::AAAA, "fd06::3"),
        ("old.", RecordType::A, "10.4.0.3"),
        ("3.0.6.10.in-addr.arpa.", RecordType::PTR, "web_1.six."),
        ("3.0.6.10.IN-ADDR.ARPA.", RecordType::PTR, "web_1.six."),
        (
            "3.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.6.0.d.f.ip6.arpa.",
            RecordType::PTR,
            "web_1.six.",
        ),
    ] {
        let answer = asker.ask(name, kind);
        assert_eq!(data(&answer), [expected], "{name} {kind}");
        assert_eq!(answer.response_code, ResponseCode::NoError);
        assert!(answer.authoritative && answer.recursion_available && answer.recursion_desired);
        // as it was asked, to the letter
        assert!(answer.queries[0].name().eq_case(&Name::from_str_relaxed(name).unwrap()));
        assert_eq!(answer.answers[0].ttl, 0);
    }
    let mut any = data(&asker.ask("web_1.", RecordType::ANY));
    any.sort();
    assert_eq!(any, ["10.6.0.3", "fd06::3"]);
}

#[test]
fn a_name_without_such_records_is_there_and_nothing_is_asked_elsewhere() {
    let asker = Asker::new();
    for kind in [
        RecordType::AAAA,
        RecordType::SRV,
        RecordType::MX,
        RecordType::TXT,
        RecordType::HTTPS,
        RecordType::NS,
    ] {
        let answer = asker.ask("old.", kind);
        assert_eq!(
            (answer.response_code, data(&answer).len()),
            (ResponseCode::NoError, 0),
            "{kind}"
        );
        assert_eq!(answer.authorities[0].record_type(), RecordType::SOA);
    }
}

#[test]
fn what_is_not_known_is_others_to_answer() {
    let asker = Asker::new();
    let long = ["a".repeat(63), "b".repeat(63), "c".repeat(63), "d".repeat(61)].join(".") + ".";
    for name in ["example.com.", "nobody.", "nobody.six.", "hidden.", ".", &long] {
        assert!(asker.is_unknown(name, RecordType::A), "{name}");
    }
    for name in [
        "0.6.10.in-addr.arpa.",
        "1.0.6.10.in-addr.arpa.",
        "x.0.6.10.in-addr.arpa.",
    ] {
        assert!(asker.is_unknown(name, RecordType::PTR), "{name}");
    }
}

#[tokio::test]
async fn without_servers_upstream_fails_and_an_internal_network_has_none() {
    let mut asker = Asker::new();
    let asked = question("example.com.", RecordType::A);
    let Outcome::Unknown(unknown) = asker.outcome(&asked) else {
        panic!("an answer");
    };
    let answer = asker.answerer.ask(unknown, Transport::Datagrams).await;
    let answer = Message::from_vec(&answer.datagram()).unwrap();
    assert_eq!(answer.response_code, ResponseCode::ServFail);
    let endpoint = asker.world.endpoint("hidden", "inner");
    asker.client = Client {
        network: Some(Arc::new(endpoint.network.clone())),
        address: endpoint.v4.unwrap().ip(),
    };
    assert_eq!(asker.answer(&asked).response_code, ResponseCode::NXDomain);
}

#[test]
fn a_shared_name_begins_with_another_address_each_time() {
    let asker = Asker::new();
    let mut message = question("nodes.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_max_payload(4096);
    message.set_edns(edns);
    let answers: Vec<Vec<String>> = (0..50).map(|_| data(&asker.answer(&message))).collect();
    let first: std::collections::BTreeSet<&String> = answers.iter().map(|answer| &answer[0]).collect();
    assert_eq!(first.len(), 50);
    assert!(answers.iter().all(|answer| answer.len() == 50));
}

#[test]
fn an_answer_is_as_long_as_the_client_takes_and_says_so() {
    let asker = Asker::new();
    // fifty addresses of sixteen bytes each
    let mut message = question("nodes.", RecordType::A);
    let answered = || match asker.outcome(&message) {
        Outcome::Answered(answer) => answer,
        Outcome::Ignored | Outcome::Unknown(_) => panic!("no answer"),
    };
    let datagram = answered().datagram();
    let short = Message::from_vec(&datagram).unwrap();
    assert!(datagram.len() <= 512 && short.truncation && short.answers.is_empty() && short.edns.is_none());
    let stream = answered().stream();
    assert_eq!(
        usize::from(u16::from_be_bytes([stream[0], stream[1]])),
        stream.len() - 2
    );
    let whole = Message::from_vec(&stream[2..]).unwrap();
    assert!(!whole.truncation && whole.answers.len() == 50);
    for (payload, whole) in [(0, false), (800, false), (1232, true), (65_535, true)] {
        let mut edns = Edns::new();
        edns.set_max_payload(payload);
        message.set_edns(edns);
        let answer = asker.answer(&message);
        assert_eq!(
            (answer.truncation, answer.answers.len() == 50),
            (!whole, whole),
            "{payload}"
        );
        assert_eq!(answer.max_payload(), 1232);
    }
}

#[test]
fn nonsense_is_refused_or_passed_over() {
    let asker = Asker::new();
    let code = |message: &Message| asker.answer(message).response_code;
    let mut message = question("web_1.", RecordType::A);
    message.metadata.op_code = OpCode::Status;
    assert_eq!(code(&message), ResponseCode::NotImp);
    let mut message = question("web_1.", RecordType::A);
    message.add_query(Query::query(Name::root(), RecordType::A));
    assert_eq!(code(&message), ResponseCode::FormErr);
    let mut message = question("web_1.", RecordType::A);
    message.queries[0].set_query_class(DNSClass::CH);
    assert_eq!(code(&message), ResponseCode::Refused);
    assert_eq!(code(&question("six.", RecordType::AXFR)), ResponseCode::NotImp);
    let mut message = question("web_1.", RecordType::A);
    let mut edns = Edns::new();
    edns.set_version(1);
    message.set_edns(edns);
    assert_eq!(u16::from(code(&message)), u16::from(ResponseCode::BADVERS));
    let mut message = question("web_1.", RecordType::A);
    message.metadata.message_type = MessageType::Response;
    assert!(matches!(asker.outcome(&message), Outcome::Ignored));
    let raw = |bytes: &[u8]| asker.answerer.answer(&asker.client, bytes);
    let whole = question("web_1.", RecordType::A).to_vec().unwrap();
    for length in 0..whole.len() {
        match raw(&whole[..length]) {
            Outcome::Ignored => assert!(length < 12, "{length}"),
            Outcome::Answered(answer) => {
                let answer = Message::from_vec(&answer.datagram()).unwrap();
                assert_eq!(answer.response_code, ResponseCode::FormErr, "{length}");
                assert_eq!(answer.id.to_be_bytes(), whole[..2]);
            }
            Outcome::Unknown(_) => panic!("{length}"),
        }
    }
}

#[test]
fn the_host_finds_full_names_of_the_networks_that_allow_it() {
    let mut asker = Asker::new();
    asker.client = Client {
        network: None,
        address: [127, 0, 0, 1].into(),
    };
    let said = |name: &str, kind: RecordType| {
        let answer = asker.ask(name, kind);
        assert_eq!(answer.authoritative, answer.response_code != ResponseCode::Refused);
        assert_eq!(
            answer.answers.is_empty(),
            answer.authorities.len() == usize::from(answer.authoritative)
        );
        (answer.response_code, data(&answer).join(" "))
    };
    let found = |text: &str| (ResponseCode::NoError, text.to_owned());
    let nothing = |code: ResponseCode| (code, String::new());
    assert_eq!(said("shown.open.", RecordType::A), found("10.5.0.2"));
    assert_eq!(said("SHOWN.Open.", RecordType::A), found("10.5.0.2"));
    assert_eq!(said("2.0.5.10.in-addr.arpa.", RecordType::PTR), found("shown.Open."));
    // there is nothing of the kind, or nothing at all
    for (name, kind) in [("shown.open.", RecordType::AAAA), ("open.", RecordType::SOA)] {
        assert_eq!(said(name, kind), nothing(ResponseCode::NoError));
    }
    for name in ["nobody.open.", "a.shown.open.", "9.0.5.10.in-addr.arpa."] {
        assert_eq!(said(name, RecordType::A), nothing(ResponseCode::NXDomain), "{name}");
    }
    // others may know
    for name in [
        "shown.",
        "web_1.",
        "web_1.six.",
        "example.com.",
        "open.example.com.",
        "2.0.6.10.in-addr.arpa.",
        ".",
    ] {
        assert_eq!(said(name, RecordType::A), nothing(ResponseCode::Refused), "{name}");
    }
}

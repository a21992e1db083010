//! Questions for the address of a name (RFC 1035, 4.1), asked by one socket that never sleeps: waking it would be work
//! of whoever answers. With nothing to hear it lets others have its CPU.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::peer::Route;
use super::traffic::{CLIENT_CPU, SECONDS};
use crate::world::process;

const PORT: u16 = 53;
/// Behind a question's number: recursion desired; one question.
const FLAGS_AND_COUNTS: [u8; 10] = [1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
/// Types A and class IN.
const ADDRESS: [u8; 4] = [0, 1, 0, 1];

/// Questions under way when as many are asked as are answered.
const WINDOW: usize = 64;
/// Between two questions at 10,000 a second.
const PACE: Duration = Duration::from_micros(100);
/// No answer takes that long.
const PATIENCE: Duration = Duration::from_secs(2);

/// Who is asked for what, and what has to come back.
pub struct Subject<'a> {
    pub route: Route<'a>,
    pub name: &'static str,
    /// The question itself comes back instead of its answer.
    pub echoes: bool,
}

impl Subject<'_> {
    /// Waits until there is an answer.
    pub fn wait(&self) -> Result<()> {
        let what = format!("{} answers for {}", self.route.address, self.name);
        process::poll(&what, Duration::from_secs(10), || {
            let attempt = self.route.client.inside(|| {
                let mut asker = Asker::new(self)?;
                asker.ask()?;
                asker.hear_within(Duration::from_millis(200)).map(drop)
            });
            Ok(attempt.is_ok())
        })
    }

    /// As many as can be: how many were answered, and how many that is per second.
    pub fn ask_for_a_while(&self, cpu: usize) -> Result<(f64, f64)> {
        self.pinned(cpu, |asker| {
            let mut answers = 0_u32;
            let start = Instant::now();
            while start.elapsed() < Duration::from_secs(SECONDS) {
                while asker.under_way < WINDOW {
                    asker.ask()?;
                }
                asker.hear_within(PATIENCE)?;
                answers += 1;
            }
            let answers = f64::from(answers);
            Ok((answers, answers / start.elapsed().as_secs_f64()))
        })
    }

    /// Microseconds from when each question was due, 10,000 a second, to its answer. One whose answer is lost has
    /// waited to the end.
    pub fn delays(&self) -> Result<Vec<f64>> {
        self.pinned(CLIENT_CPU, |asker| {
            let count = u16::try_from(u128::from(SECONDS) * 1_000_000 / PACE.as_micros())?;
            let mut delays = vec![None; count.into()];
            let start = Instant::now();
            let due = |id: u16| start + PACE * u32::from(id);
            let mut note = |heard: Option<u16>| {
                if let Some(id) = heard {
                    delays[usize::from(id)] = Some(due(id).elapsed());
                }
            };
            for id in 0..count {
                while Instant::now() < due(id) {
                    note(asker.hear()?);
                }
                asker.ask()?;
            }
            let end = Instant::now();
            while asker.under_way > 0 && end.elapsed() < PATIENCE {
                note(asker.hear()?);
            }
            ensure!(asker.under_way < usize::from(count), "no answer");
            Ok((0..count)
                .zip(delays)
                .map(|(id, delay)| delay.unwrap_or_else(|| due(id).elapsed()).as_secs_f64() * 1e6)
                .collect())
        })
    }

    fn pinned<T: Send>(&self, cpu: usize, work: impl FnOnce(&mut Asker) -> Result<T> + Send) -> Result<T> {
        self.route.client.inside(|| {
            process::pin_this_thread(cpu)?;
            work(&mut Asker::new(self)?)
        })
    }
}

/// A socket, and which questions of the last 65,536 are under way on it.
struct Asker {
    socket: UdpSocket,
    question: Vec<u8>,
    echoes: bool,
    next: u16,
    waiting: Vec<bool>,
    under_way: usize,
}

impl Asker {
    /// In the namespace of the calling thread.
    fn new(subject: &Subject) -> Result<Self> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).context("a socket for questions")?;
        socket.set_nonblocking(true)?;
        socket.connect(SocketAddr::from((subject.route.address, PORT)))?;
        Ok(Self {
            socket,
            question: question(subject.name),
            echoes: subject.echoes,
            next: 0,
            waiting: vec![false; 1 << u16::BITS],
            under_way: 0,
        })
    }

    fn ask(&mut self) -> Result<()> {
        let id = self.next;
        self.question[..2].copy_from_slice(&id.to_be_bytes());
        self.socket.send(&self.question).context("ask")?;
        // one that still waits from the last time round is lost
        if !std::mem::replace(&mut self.waiting[usize::from(id)], true) {
            self.under_way += 1;
        }
        self.next = id.wrapping_add(1);
        Ok(())
    }

    /// The number of the question whose answer is there; `None`: none is.
    fn hear(&mut self) -> Result<Option<u16>> {
        let mut message = [0; 512];
        let length = match self.socket.recv(&mut message) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error).context("hear an answer"),
        };
        let id = answered(&message[..length], &self.question, self.echoes)?;
        ensure!(
            std::mem::take(&mut self.waiting[usize::from(id)]),
            "an answer that nobody waits for"
        );
        self.under_way -= 1;
        Ok(Some(id))
    }

    fn hear_within(&mut self, patience: Duration) -> Result<u16> {
        if let Some(id) = self.hear()? {
            return Ok(id);
        }
        let start = Instant::now();
        while start.elapsed() < patience {
            thread::yield_now();
            if let Some(id) = self.hear()? {
                return Ok(id);
            }
        }
        bail!("no answer for {} ms", patience.as_millis())
    }
}

/// For the address of `name`, without a number.
fn question(name: &str) -> Vec<u8> {
    let mut message = vec![0, 0];
    message.extend(FLAGS_AND_COUNTS);
    for label in name.split('.') {
        message.extend(u8::try_from(label.len()));
        message.extend(label.as_bytes());
    }
    message.push(0);
    message.extend(ADDRESS);
    message
}

/// The number of a message that answers such a question with one record, or that is the question's echo.
fn answered(message: &[u8], question: &[u8], echoes: bool) -> Result<u16> {
    let [high, low, header @ ..] = message else {
        bail!("an answer of {} bytes", message.len());
    };
    let is_answer = if echoes {
        message.len() == question.len()
    } else {
        // QR and RCODE; the counts of questions and answers
        matches!(header, [0x80..=0xff, code, 0, 1, 0, 1, ..] if code % 16 == 0)
    };
    ensure!(
        is_answer,
        "no answer to the question: {:?}",
        &header[..header.len().min(10)]
    );
    Ok(u16::from_be_bytes([*high, *low]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_question_is_one_for_an_address() {
        let expected = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x01a\x02bc\0\0\x01\0\x01";
        assert_eq!(question("a.bc"), expected);
    }

    #[test]
    fn only_one_record_without_an_error_is_an_answer() {
        let question = question("server");
        let mut answer = question.clone();
        assert!(answered(&answer, &question, false).is_err(), "the question itself");
        answer[..8].copy_from_slice(&[7, 9, 0x85, 0x80, 0, 1, 0, 1]);
        assert_eq!(answered(&answer, &question, false).unwrap(), 0x0709);
        answer[3] = 0x83; // NXDOMAIN
        assert!(answered(&answer, &question, false).is_err());
        answer[3] = 0x80;
        answer[7] = 0;
        assert!(answered(&answer, &question, false).is_err(), "nothing found");
    }

    #[test]
    fn an_echo_is_as_long_as_its_question() {
        let question = question("server");
        assert_eq!(answered(&question, &question, true).unwrap(), 0);
        assert!(answered(&question[..20], &question, true).is_err());
    }
}

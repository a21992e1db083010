//! The lines to one server by one transport: a fresh one for each question as long as there are few, so that nobody
//! can guess where an answer is awaited, and shared ones when there are many.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::OnceCell;

use super::line::{Answered, Line, Transport};
use crate::agent::relay::descriptors;
use crate::model::message::Question;

const DATAGRAMS_MAX: usize = 256;
/// Servers take few at a time (unbound ten, dnsmasq twenty).
const STREAMS_MAX: usize = 8;
/// A server may end a stream after each answer, or just when it is asked once more.
const ATTEMPTS: usize = 3;

/// A line that is open, or about to be.
type Slot = OnceCell<Line>;

pub struct Lines {
    transport: Transport,
    most: usize,
    /// Those that a question is under way on.
    slots: Mutex<Slots>,
}

#[derive(Default)]
struct Slots {
    open: Vec<Weak<Slot>>,
    next: usize,
}

impl Lines {
    pub fn new(transport: Transport) -> Self {
        Self {
            transport,
            most: match transport {
                Transport::Datagrams => DATAGRAMS_MAX.min(descriptors() / 32).max(1),
                Transport::Stream => STREAMS_MAX,
            },
            slots: Mutex::default(),
        }
    }

    pub async fn ask(&self, server: SocketAddr, question: &Question) -> io::Result<Answered> {
        let mut left = match self.transport {
            Transport::Datagrams => 1,
            Transport::Stream => ATTEMPTS,
        };
        loop {
            let slot = self.slot();
            left -= 1;
            let line = slot.get_or_try_init(|| Line::open(server, self.transport)).await?;
            match line.ask(question).await {
                Err(_) if left > 0 => {}
                result => return result,
            }
        }
    }

    /// It ends with the last question on it.
    fn slot(&self) -> Arc<Slot> {
        let mut slots = self.slots.lock().unwrap_or_else(PoisonError::into_inner);
        let is_good = |slot: &Arc<Slot>| slot.get().is_none_or(|line| !line.is_over());
        slots.open.retain(|slot| slot.upgrade().as_ref().is_some_and(is_good));
        if slots.open.len() < self.most {
            let slot = Arc::default();
            slots.open.push(Arc::downgrade(&slot));
            return slot;
        }
        slots.next = (slots.next + 1) % slots.open.len();
        slots.open[slots.next].upgrade().unwrap_or_default()
    }
}

//! Answers that are remembered, each as long as it says.

use std::collections::HashMap;
use std::mem::take;
use std::time::{Duration, Instant};

use super::{Question, answer};

/// Longer answers are asked for again.
const ANSWER_MAX: usize = 4096;
/// Of each half: once the newer is full, the older is forgotten.
const HALF: usize = 512 << 10;
/// What an entry takes besides its bytes.
const ENTRY: usize = 128;

/// What was asked for since the older half was forgotten is in the newer one.
#[derive(Debug, Default)]
pub struct Cache {
    newer: HashMap<Vec<u8>, Kept>,
    older: HashMap<Vec<u8>, Kept>,
    /// Bytes of the newer half.
    bytes: usize,
}

#[derive(Debug)]
struct Kept {
    answer: Vec<u8>,
    since: Instant,
    lasts: Duration,
}

impl Cache {
    /// What was answered, as it is now, for any client.
    pub fn find(&mut self, question: &Question, now: Instant) -> Option<Vec<u8>> {
        let key = question.kept_as()?;
        if !self.newer.contains_key(&key) {
            let kept = self.older.remove(&key)?;
            self.insert(key.clone(), kept);
        }
        let kept = self.newer.get(&key)?;
        let age = now.saturating_duration_since(kept.since);
        if age >= kept.lasts {
            self.newer.remove(&key);
            return None;
        }
        Some(answer::aged(&kept.answer, question, age))
    }

    pub fn remember(&mut self, question: &Question, answer: &[u8], now: Instant) {
        let (Some(key), Some(lasts)) = (question.kept_as(), answer::lasts(answer, question)) else {
            return;
        };
        if answer.len() <= ANSWER_MAX {
            let kept = Kept {
                answer: answer.to_vec(),
                since: now,
                lasts,
            };
            self.insert(key, kept);
        }
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.newer.len() + self.older.len()
    }

    fn insert(&mut self, key: Vec<u8>, kept: Kept) {
        let size = key.len() + kept.answer.len() + ENTRY;
        if self.bytes + size > HALF {
            self.older = take(&mut self.newer);
            self.bytes = 0;
        }
        self.bytes += size;
        self.newer.insert(key, kept);
    }
}

//! From a policy in names to what the maps hold: classes of endpoints and addresses, and what holds between
//! two of them.
//!
//! Who is meant by the same selectors is of one class, and a class has an identity. Rules with the same
//! selectors are one bundle. A pair of classes is given the bundles that speak of it, and pairs with the same
//! bundles share a set of rulings. So the cost is that of the result; one more class adds its own pairs.

pub mod lookup;
mod prefixes;
mod rulings;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ipnetwork::IpNetwork;
use netswitch_common::{
    capacity,
    policy::{Ruling, RulingKey, flags, half, identity},
};

use super::{Policy, Rule, Selector};
use crate::api::Error;

/// Half of what the maps hold: while one epoch is written the other one holds.
const MOST_PAIRS: usize = capacity::PAIRS as usize / 2;
const MOST_RULINGS: usize = capacity::RULINGS as usize / 2;
const MOST_CIDRS: usize = capacity::CIDRS as usize / 2;

/// Who has a standing.
#[derive(Clone, Copy, Debug)]
pub enum Who<'a> {
    /// By one of its ports.
    Host,
    /// An endpoint.
    Member {
        container: &'a str,
        labels: &'a BTreeMap<String, String>,
        network: &'a str,
        /// [`flags`] of its leashes.
        leashes: u32,
    },
}

/// Numbers of selectors, of bundles: in the order in which they appear.
type Key = Arc<[u32]>;

/// What PAIRS holds: from, to, set.
pub type Pair = (u32, u32, u32);
/// What RULINGS holds: the key, how many bits of it count, the value.
pub type Entry = (RulingKey, u32, Ruling);

/// A policy under an epoch.
#[derive(Clone, Debug, Default)]
pub struct Compiled {
    policy: Arc<Policy>,
    /// 0: there is no policy, and nothing else here.
    pub epoch: u32,
    selectors: HashMap<Selector, u32>,
    /// Numbers of rules.
    bundles: Vec<Vec<u32>>,
    /// By the selector they are from, and to: the other selector, and the bundle.
    from: Vec<Vec<(u32, u32)>>,
    to: Vec<Vec<(u32, u32)>>,
    /// By identity: the selectors that mean it.
    classes: Vec<Key>,
    /// Whether it is an endpoint's; the others' pairs are nobody's.
    inside: Vec<bool>,
    /// Of endpoints.
    identities: HashMap<Key, u32>,
    /// By selector.
    members: Vec<Vec<u32>>,
    /// By their bundles.
    sets: HashMap<Key, u32>,
    set_keys: Vec<Key>,
    pub cidrs: Vec<(IpNetwork, u32)>,
    pub pairs: Vec<Pair>,
    pub rulings: Vec<Entry>,
}

/// How far a [`Compiled`] has come.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    classes: usize,
    sets: usize,
    pub pairs: usize,
    pub rulings: usize,
}

impl Compiled {
    /// Without anybody's class; epoch 0 for a policy that says nothing.
    pub fn new(policy: Arc<Policy>, epoch: u32) -> Result<Self, Error> {
        let mut compiled = Self {
            epoch,
            ..Self::default()
        };
        if epoch == 0 {
            return Ok(compiled);
        }
        let mut bundles: HashMap<(u32, u32), u32> = HashMap::new();
        for (number, rule) in &policy.rules {
            let (from, to) = (compiled.selector(&rule.from), compiled.selector(&rule.to));
            let bundle = *bundles.entry((from, to)).or_insert_with(|| {
                let bundle = count(compiled.bundles.len());
                compiled.bundles.push(Vec::new());
                compiled.from[from as usize].push((to, bundle));
                compiled.to[to as usize].push((from, bundle));
                bundle
            });
            compiled.bundles[bundle as usize].push(*number);
        }
        compiled.policy = policy;
        compiled.fixed()?;
        Ok(compiled)
    }

    /// The number of a selector of a rule.
    fn selector(&mut self, selector: &Selector) -> u32 {
        if let Some(number) = self.selectors.get(selector) {
            return *number;
        }
        let number = count(self.members.len());
        self.selectors.insert(selector.clone(), number);
        self.members.push(Vec::new());
        self.from.push(Vec::new());
        self.to.push(Vec::new());
        number
    }

    /// The classes that are always there, and those of the world's addresses.
    fn fixed(&mut self) -> Result<(), Error> {
        self.add_class(&[].into(), false)?;
        let host = self.key([Selector::Host, Selector::Any]);
        self.add_class(&host, false)?;
        let world = self.key([Selector::World, Selector::Any]);
        self.add_class(&world, false)?;
        debug_assert_eq!(count(self.classes.len()), identity::FIRST);
        let cidrs = self.selectors.iter().filter_map(|(selector, number)| match selector {
            Selector::Cidr(network) => Some((*network, *number)),
            _ => None,
        });
        for (network, within) in prefixes::nested(cidrs.collect()) {
            let identity = if within.is_empty() {
                identity::WORLD
            } else {
                self.add_class(&sorted(within.into_iter().chain(world.iter().copied())), false)?
            };
            self.cidrs.push((network, identity));
        }
        limit(self.cidrs.len(), MOST_CIDRS, "prefixes")
    }

    /// Of those that rules name: the numbers.
    fn key(&self, selectors: impl IntoIterator<Item = Selector>) -> Key {
        let numbers = selectors.into_iter();
        sorted(numbers.filter_map(|selector| self.selectors.get(&selector).copied()))
    }

    fn key_of(&self, who: &Who<'_>) -> Key {
        match who {
            Who::Host => self.key([Selector::Host, Selector::Any]),
            Who::Member {
                container,
                labels,
                network,
                ..
            } => {
                let labels = labels.iter().flat_map(|(key, value)| {
                    [None, Some(value.clone())].map(|value| Selector::Label {
                        key: key.clone(),
                        value,
                    })
                });
                let names = [
                    Selector::Any,
                    Selector::Container((*container).to_owned()),
                    Selector::Network((*network).to_owned()),
                ];
                self.key(labels.chain(names))
            }
        }
    }

    /// Makes somebody's class, unless it is there.
    pub fn admit(&mut self, who: &Who<'_>) -> Result<(), Error> {
        if self.epoch == 0 || matches!(who, Who::Host) {
            return Ok(());
        }
        let key = self.key_of(who);
        if key.is_empty() || self.identities.contains_key(&key) {
            return Ok(());
        }
        let identity = self.add_class(&key, true)?;
        self.identities.insert(key, identity);
        Ok(())
    }

    /// Identity and [`flags`] of somebody who has been admitted.
    pub fn standing(&self, who: &Who<'_>) -> (u32, u32) {
        if self.epoch == 0 {
            return (identity::NONE, 0);
        }
        let key = self.key_of(who);
        let flag = |set: bool, flag: u32| if set { flag } else { 0 };
        match who {
            Who::Host => (identity::HOST, flag(!key.is_empty(), flags::CONCERNED)),
            Who::Member {
                container,
                network,
                leashes,
                ..
            } => {
                let identity = self.identities.get(&key).copied().unwrap_or(identity::NONE);
                let (incoming, outgoing) = self.policy.denies(container, network);
                let concerned = !key.is_empty() || incoming || outgoing || *leashes != 0;
                let denies = flag(incoming, flags::DENY_IN) | flag(outgoing, flags::DENY_OUT);
                (identity, flag(concerned, flags::CONCERNED) | denies | leashes)
            }
        }
    }

    /// A class, its pairs with all that are there, and the sets that they need.
    fn add_class(&mut self, key: &Key, inside: bool) -> Result<u32, Error> {
        let identity = count(self.classes.len());
        for selector in key.iter() {
            self.members[*selector as usize].push(identity);
        }
        self.classes.push(Arc::clone(key));
        self.inside.push(inside);
        let mut bundles: BTreeMap<(u32, u32), Vec<u32>> = BTreeMap::new();
        let meets = |other: u32| inside || self.inside[other as usize];
        for selector in key.iter() {
            for (to, bundle) in &self.from[*selector as usize] {
                for other in self.members[*to as usize].iter().filter(|other| meets(**other)) {
                    bundles.entry((identity, *other)).or_default().push(*bundle);
                }
            }
            for (from, bundle) in &self.to[*selector as usize] {
                let others = self.members[*from as usize].iter();
                for other in others.filter(|other| **other != identity && meets(**other)) {
                    bundles.entry((*other, identity)).or_default().push(*bundle);
                }
            }
            limit(self.pairs.len() + bundles.len(), MOST_PAIRS, "pairs of endpoints")?;
        }
        for ((from, to), bundles) in bundles {
            let set = self.set(sorted(bundles))?;
            self.pairs.push((from, to, set));
        }
        Ok(identity)
    }

    /// The set of rulings for what these bundles say together.
    fn set(&mut self, bundles: Key) -> Result<u32, Error> {
        if let Some(set) = self.sets.get(&bundles) {
            return Ok(*set);
        }
        // of even and of odd epochs: the maps hold both for a moment
        let number = (count(half(self.epoch)) << 31) | (count(self.sets.len()) + 1);
        let numbers = bundles.iter().flat_map(|bundle| &self.bundles[*bundle as usize]);
        let rules = numbers.filter_map(|number| Some((*number, self.policy.rules.get(number)?)));
        rulings::of(rules, number, &mut self.rulings);
        limit(self.rulings.len(), MOST_RULINGS, "rulings")?;
        self.sets.insert(bundles.clone(), number);
        self.set_keys.push(bundles);
        Ok(number)
    }

    /// What a number stands for.
    pub fn rule(&self, number: u32) -> Option<&Rule> {
        self.policy.rules.get(&number)
    }

    pub fn mark(&self) -> Mark {
        Mark {
            classes: self.classes.len(),
            sets: self.set_keys.len(),
            pairs: self.pairs.len(),
            rulings: self.rulings.len(),
        }
    }

    /// As it was: forgets the classes that came since.
    pub fn rewind(&mut self, mark: Mark) {
        for key in self.classes.drain(mark.classes..).rev() {
            for selector in key.iter() {
                self.members[*selector as usize].pop();
            }
            self.identities.remove(&key);
        }
        self.inside.truncate(mark.classes);
        for key in self.set_keys.drain(mark.sets..) {
            self.sets.remove(&key);
        }
        self.pairs.truncate(mark.pairs);
        self.rulings.truncate(mark.rulings);
    }
}

/// The epoch after this one: never 0, and odd after even.
pub const fn next_epoch(epoch: u32) -> u32 {
    match epoch.wrapping_add(1) {
        0 => 2,
        next => next,
    }
}

fn sorted(numbers: impl IntoIterator<Item = u32>) -> Key {
    let mut numbers: Vec<u32> = numbers.into_iter().collect();
    numbers.sort_unstable();
    numbers.dedup();
    numbers.into()
}

/// Of what there are at most as many as a map holds.
fn count(length: usize) -> u32 {
    u32::try_from(length).unwrap_or(u32::MAX)
}

fn limit(needed: usize, most: usize, what: &str) -> Result<(), Error> {
    if needed <= most {
        return Ok(());
    }
    Err(Error::bad_request(format!(
        "the policy is too large: it takes more than {most} {what}\nhint: labels and networks in the place of single \
         containers, prefixes in the place of single addresses"
    )))
}

#[cfg(test)]
mod tests;

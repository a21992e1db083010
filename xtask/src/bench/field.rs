//! Where one scenario is played: the sites of its peers, set up side by side and measured in turns.

use std::path::Path;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use super::monitor::Told;
use super::peer::{Peer, Site};
use super::program::{self, Cost};
use super::scenario::Scenario;
use super::series::Series;
use crate::world::interrupted;

/// A scenario that is still noisy after this many rounds is called so.
const MOST_ROUNDS: usize = 21;

pub struct Field {
    scenario: Scenario,
    sites: Vec<Site>,
}

impl Field {
    /// Those `asked` for, or all of the scenario's peers; its first always, because all are judged by it.
    pub fn new(scenario: Scenario, asked: &[Peer], binary: &Path, directory: &Path) -> Result<Self> {
        let mut field = Self {
            scenario,
            sites: Vec::new(),
        };
        for (index, &peer) in scenario.peers().iter().enumerate() {
            if index == 0 || asked.is_empty() || asked.contains(&peer) {
                field.sites.extend(Site::new(peer, scenario.way(), binary, directory)?);
                interrupted()?;
            }
        }
        Ok(field)
    }

    /// All rounds.
    pub fn play(&mut self, rounds: usize) -> Result<Series> {
        let (scenario, sites) = (self.scenario, &mut self.sites);
        let mut series = Series::new(scenario, sites.iter().map(|site| site.peer));
        let bar = ProgressBar::new((rounds * sites.len()) as u64);
        bar.set_style(ProgressStyle::with_template("{prefix:>24} {bar:30} {pos}/{len} {msg}")?);
        bar.set_prefix(scenario.name());
        while series.rounds() < rounds || (series.is_noisy() && series.rounds() < MOST_ROUNDS) {
            if series.rounds() >= rounds {
                bar.inc_length(sites.len() as u64);
            }
            let mut figures = vec![0.0; sites.len()];
            for turn in 0..sites.len() {
                let index = (turn + series.rounds()) % sites.len();
                bar.set_message(sites[index].peer.name());
                figures[index] = scenario.measure(&mut sites[index])?;
                interrupted()?;
                bar.inc(1);
            }
            series.push(&figures);
        }
        bar.finish_and_clear();
        Ok(series)
    }

    /// What a datagram costs inside netswitch's programs, where the scenario sends datagrams through them.
    pub fn programs(&mut self) -> Result<Option<Vec<Cost>>> {
        let scenario = self.scenario;
        let subject = match scenario {
            Scenario::PolicyUdp64b => Peer::Netswitch10000Rules,
            Scenario::MonitorUdp64b | Scenario::MonitorNewFlows => Peer::NetswitchMonitored,
            _ => Peer::Netswitch,
        };
        let site = self.sites.iter_mut().find(|site| site.peer == subject);
        site.filter(|_| scenario.unit() == "packets/s")
            .map(|site| program::cost(|| scenario.measure(site).map(drop)))
            .transpose()
    }

    /// What listeners heard in all rounds, where there were any.
    pub fn told(&self) -> Option<Told> {
        let site = self.sites.iter().find(|site| site.peer == Peer::NetswitchMonitored);
        site.map(|site| site.told)
    }

    /// Takes everything down and says when something stayed.
    pub fn finish(self) -> Result<()> {
        self.sites.into_iter().map(Site::finish).fold(Ok(()), Result::and)
    }
}

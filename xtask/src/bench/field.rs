//! Where one scenario is played: the sites of its peers, set up side by side and measured in turns.

use std::path::Path;

use anyhow::Result;
use indicatif::{ProgressBar, ProgressStyle};

use super::Binaries;
use super::costs::Costs;
use super::monitor::Told;
use super::peer::{Peer, Site};
use super::program;
use super::scenario::Scenario;
use super::series::Series;
use super::traffic;
use crate::world::interrupted;

/// A scenario that is still noisy after this many rounds is called so.
const MOST_ROUNDS: usize = 21;

pub struct Field {
    scenario: Scenario,
    sites: Vec<Site>,
}

impl Field {
    /// Those `asked` for, or all of the scenario's peers; its first always, because all are judged by it.
    pub fn new(scenario: Scenario, asked: &[Peer], binaries: &Binaries, directory: &Path) -> Result<Self> {
        let mut field = Self {
            scenario,
            sites: Vec::new(),
        };
        for (index, &peer) in scenario.peers().iter().enumerate() {
            if index == 0 || asked.is_empty() || asked.contains(&peer) {
                field
                    .sites
                    .extend(Site::new(peer, scenario.way(), binaries, directory)?);
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

    /// What a datagram costs inside netswitch's programs, where the scenario sends datagrams through them: as many
    /// turns of every subject.
    pub fn programs(&mut self, turns: usize) -> Result<Option<Costs>> {
        let scenario = self.scenario;
        let subjects = match scenario {
            Scenario::PolicyUdp64b => [Peer::Netswitch10000Rules].as_slice(),
            Scenario::MonitorUdp64b | Scenario::MonitorNewFlows => &[Peer::NetswitchMonitored],
            _ => &[Peer::Netswitch, Peer::NetswitchBefore],
        };
        if scenario.unit() != "packets/s" {
            return Ok(None);
        }
        let mut costs = Costs::default();
        for _ in 0..turns {
            for site in self.sites.iter_mut().filter(|site| subjects.contains(&site.peer)) {
                let name = site.peer.name();
                costs.add(
                    name,
                    program::cost(site.loader()?, || scenario.measure(site).map(drop))?,
                );
                interrupted()?;
                if scenario == Scenario::Udp64b {
                    let over_v6 = program::cost(site.loader()?, || traffic::udp_64b_over_v6(&site.route()).map(drop))?;
                    costs.add(&format!("{name}, IPv6"), over_v6);
                    interrupted()?;
                }
            }
        }
        Ok(Some(costs))
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

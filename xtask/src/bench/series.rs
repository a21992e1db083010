//! The figures of one scenario, round by round, and what they say.

use super::costs::Costs;
use super::peer::Peer;
use super::scenario::Scenario;

/// Interquartile range over median above which a scenario is not yet trusted.
const NOISE: f64 = 0.10;

pub struct Series {
    pub scenario: Scenario,
    /// Where the scenario sends datagrams through eBPF programs.
    pub programs: Option<Costs>,
    figures: Vec<(Peer, Vec<f64>)>,
}

impl Series {
    pub fn new(scenario: Scenario, peers: impl IntoIterator<Item = Peer>) -> Self {
        Self {
            scenario,
            programs: None,
            figures: peers.into_iter().map(|peer| (peer, Vec::new())).collect(),
        }
    }

    /// One round: a figure per peer, in the order of the peers.
    pub fn push(&mut self, round: &[f64]) {
        for ((_, figures), figure) in self.figures.iter_mut().zip(round) {
            figures.push(*figure);
        }
    }

    pub fn rounds(&self) -> usize {
        self.figures.first().map_or(0, |(_, figures)| figures.len())
    }

    pub fn peers(&self) -> impl Iterator<Item = (Peer, &[f64])> {
        self.figures.iter().map(|(peer, figures)| (*peer, figures.as_slice()))
    }

    /// The median of `peer / against` within each round.
    pub fn ratio(&self, peer: Peer, against: Peer) -> Option<f64> {
        let (peer, against) = (self.of(peer)?, self.of(against)?);
        let ratios: Vec<f64> = peer.iter().zip(against).map(|(peer, against)| peer / against).collect();
        Some(median(&ratios))
    }

    pub fn median(&self, peer: Peer) -> Option<f64> {
        self.of(peer).map(median)
    }

    pub fn is_noisy(&self) -> bool {
        self.figures.iter().any(|(_, figures)| spread(figures) > NOISE)
    }

    fn of(&self, peer: Peer) -> Option<&[f64]> {
        self.peers()
            .find(|(other, _)| *other == peer)
            .map(|(_, figures)| figures)
    }
}

pub fn median(values: &[f64]) -> f64 {
    quantile(values, 0.5)
}

/// Interquartile range as a share of the median.
fn spread(values: &[f64]) -> f64 {
    (quantile(values, 0.75) - quantile(values, 0.25)) / median(values)
}

/// Between the two nearest values where it falls between them; NaN for none.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    #[expect(clippy::cast_precision_loss, reason = "there are few rounds")]
    let position = share * last as f64;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between 0 and the last index"
    )]
    let below = position as usize;
    let above = (below + 1).min(last);
    sorted[below] + (sorted[above] - sorted[below]) * position.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(rounds: &[[f64; 2]]) -> Series {
        let mut series = Series::new(Scenario::TcpStream, [Peer::Direct, Peer::Netswitch]);
        for round in rounds {
            series.push(round);
        }
        series
    }

    #[test]
    fn ratio_is_taken_within_each_round() {
        // the machine halves its speed in the third round: the ratio does not notice
        let series = series(&[[20.0, 19.0], [20.0, 19.0], [10.0, 9.5]]);
        assert!((series.ratio(Peer::Netswitch, Peer::Direct).unwrap() - 0.95).abs() < 1e-9);
        assert!(series.ratio(Peer::Docker, Peer::Direct).is_none());
    }

    #[test]
    fn steady_figures_are_not_noise_and_scattered_ones_are() {
        assert!(!series(&[[20.0, 19.0], [20.5, 19.2], [21.0, 19.1]]).is_noisy());
        assert!(series(&[[20.0, 12.0], [20.5, 19.2], [21.0, 25.0]]).is_noisy());
    }

    #[test]
    fn median_of_even_and_odd_counts() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(&[4.0, 1.0, 2.0, 3.0]) - 2.5).abs() < 1e-9);
    }
}

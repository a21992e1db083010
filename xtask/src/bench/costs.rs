//! What a packet costs inside the eBPF programs of several subjects that take turns.

use super::program::Cost;
use super::series::median;

/// In the order of the first turn.
#[derive(Default)]
pub struct Costs {
    figures: Vec<Figures>,
}

/// One figure a turn.
struct Figures {
    subject: String,
    program: String,
    nanoseconds: Vec<f64>,
}

/// What is said about one program of one subject.
pub struct Row<'a> {
    pub subject: &'a str,
    pub program: &'a str,
    /// Per packet: the median of all turns.
    pub nanoseconds: f64,
    /// The median of the ratios to the first subject's program of the same name within each turn.
    pub ratio: f64,
}

impl Costs {
    /// What one turn of a subject has cost.
    pub fn add(&mut self, subject: &str, costs: Vec<Cost>) {
        for cost in costs {
            let known = |figures: &&mut Figures| figures.subject == subject && figures.program == cost.name;
            match self.figures.iter_mut().find(known) {
                Some(figures) => figures.nanoseconds.push(cost.nanoseconds),
                None => self.figures.push(Figures {
                    subject: subject.into(),
                    program: cost.name,
                    nanoseconds: vec![cost.nanoseconds],
                }),
            }
        }
    }

    /// Without programs that ran in some turns only: their figures are of other turns than the rest.
    pub fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let turns = self.turns();
        let complete = move |figures: &&Figures| figures.nanoseconds.len() == turns;
        self.figures.iter().filter(complete).map(move |figures| {
            let program = |first: &&Figures| first.program == figures.program;
            let first = self.figures.iter().filter(complete).find(program).unwrap_or(figures);
            let pairs = figures.nanoseconds.iter().zip(&first.nanoseconds);
            let ratios: Vec<f64> = pairs.map(|(nanoseconds, first)| nanoseconds / first).collect();
            Row {
                subject: &figures.subject,
                program: &figures.program,
                nanoseconds: median(&figures.nanoseconds),
                ratio: median(&ratios),
            }
        })
    }

    pub fn turns(&self) -> usize {
        let turns = self.figures.iter().map(|figures| figures.nanoseconds.len());
        turns.max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(costs: &mut Costs, subject: &str, programs: &[(&str, f64)]) {
        let cost = |&(name, nanoseconds): &(&str, f64)| Cost::new(name, nanoseconds);
        costs.add(subject, programs.iter().map(cost).collect());
    }

    #[test]
    fn a_program_is_compared_with_the_first_subject_s_of_its_name_turn_by_turn() {
        let mut costs = Costs::default();
        // the machine halves its speed in the third turn: the ratio does not notice
        for speed in [1.0, 1.0, 2.0] {
            turn(&mut costs, "now", &[("a", 40.0 * speed), ("b", 10.0 * speed)]);
            turn(&mut costs, "before", &[("a", 50.0 * speed), ("c", 9.0 * speed)]);
        }
        let rows: Vec<_> = costs
            .rows()
            .map(|row| (row.subject, row.program, row.nanoseconds, row.ratio))
            .collect();
        assert_eq!(
            rows,
            [
                ("now", "a", 40.0, 1.0),
                ("now", "b", 10.0, 1.0),
                ("before", "a", 50.0, 1.25),
                ("before", "c", 9.0, 1.0)
            ]
        );
    }

    #[test]
    fn a_program_that_ran_in_one_turn_of_two_is_left_out() {
        let mut costs = Costs::default();
        turn(&mut costs, "now", &[("a", 40.0), ("b", 10.0)]);
        turn(&mut costs, "now", &[("a", 40.0)]);
        let rows: Vec<_> = costs.rows().map(|row| row.program).collect();
        assert_eq!((rows.as_slice(), costs.turns()), (&["a"][..], 2));
    }
}

//! The table as it stands in the page: a line for each sender, target and family, with a cell for each protocol.

use std::path::PathBuf;

use super::{From, To};

/// What there is nothing to ask about: a port has no echo, the engine no such network.
pub const NOTHING: &str = "–";
pub const OPEN: &str = "open";

/// A line of the table; cells by protocol, in the order of [`super::Protocol::ALL`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    pub from: From,
    pub to: To,
    pub is_v6: bool,
    /// [`OPEN`], [`NOTHING`] or the reason for which the switch drops it.
    pub switch: [String; 3],
    /// [`OPEN`], [`NOTHING`] or `closed`.
    pub engine: [String; 3],
    /// Letters of the page's notes.
    pub notes: String,
}

impl Row {
    /// Whether any of its cells is open here and not there.
    pub fn differs(&self) -> bool {
        let both = self.switch.iter().zip(&self.engine);
        both.into_iter()
            .any(|(switch, engine)| engine != NOTHING && (switch == OPEN) != (engine == OPEN))
    }

    fn line(&self) -> String {
        let family = if self.is_v6 { "v6" } else { "v4" };
        let names = [self.from.name(), self.to.name(), family];
        let cells = self.switch.iter().chain(&self.engine).map(String::as_str);
        let line: Vec<&str> = names.into_iter().chain(cells).chain([self.notes.as_str()]).collect();
        format!("| {} |", line.join(" | "))
    }
}

/// Where the page is.
pub fn path() -> PathBuf {
    concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/isolation.md").into()
}

/// Every line, in the order of the page; panics with one that cannot be read.
pub fn read(page: &str) -> Vec<Row> {
    page.lines().filter_map(row).collect()
}

/// The page with other lines in the place of its own; what does not change keeps its place.
pub fn replace(page: &str, rows: &[Row]) -> String {
    let line = |line: &str| {
        let own = row(line)?;
        let is_same = |row: &&Row| (row.from, row.to, row.is_v6) == (own.from, own.to, own.is_v6);
        rows.iter().find(is_same).map(Row::line)
    };
    page.lines()
        .map(|old| line(old).unwrap_or_else(|| old.to_owned()) + "\n")
        .collect()
}

/// `None`: no line of this table.
fn row(line: &str) -> Option<Row> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').collect();
    let cells: Vec<&str> = cells.into_iter().map(str::trim).collect();
    let from = From::ALL.into_iter().find(|from| cells[0] == from.name())?;
    let [_, to, family, a, b, c, d, e, f, notes] = cells[..] else {
        panic!("ten cells are expected: {line}");
    };
    Some(Row {
        from,
        to: To::ALL
            .into_iter()
            .find(|known| to == known.name())
            .unwrap_or_else(|| panic!("whom: {line}")),
        is_v6: match family {
            "v4" => false,
            "v6" => true,
            _ => panic!("which family: {line}"),
        },
        switch: [a, b, c].map(str::to_owned),
        engine: [d, e, f].map(str::to_owned),
        notes: notes.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use netswitch_common::verdict::DropReason;
    use std::fs;

    fn page() -> String {
        fs::read_to_string(path()).expect("the page")
    }

    #[test]
    fn the_page_has_every_line_once_and_in_order() {
        let found: Vec<_> = read(&page())
            .into_iter()
            .map(|row| (row.from, row.to, row.is_v6))
            .collect();
        let wanted = From::ALL.into_iter().flat_map(|from| {
            let each = To::ALL.into_iter();
            each.flat_map(move |to| [false, true].map(|is_v6| (from, to, is_v6)))
        });
        assert_eq!(found, wanted.collect::<Vec<_>>());
    }

    #[test]
    fn cells_say_something_that_can_be_checked() {
        for row in read(&page()) {
            for cell in &row.switch {
                let is_reason = DropReason::ALL.iter().any(|reason| reason.name() == cell);
                assert!(is_reason || [OPEN, NOTHING].contains(&cell.as_str()), "{row:?}");
            }
            for cell in &row.engine {
                assert!([OPEN, NOTHING, "closed"].contains(&cell.as_str()), "{row:?}");
            }
        }
    }

    /// Of the page: `- **a** …`.
    #[test]
    fn every_difference_has_a_note() {
        let page = page();
        let has_note = |letter: &str| page.contains(&format!("\n- **{letter}** "));
        for row in read(&page) {
            assert_eq!(row.differs(), !row.notes.is_empty(), "{row:?}");
            assert!(
                row.notes.split(", ").all(|note| note.is_empty() || has_note(note)),
                "{row:?}"
            );
        }
    }

    #[test]
    fn a_page_is_rewritten_line_by_line() {
        let page =
            "# Title\n\n| internal | LAN | v6 | internal-network | open | – | closed | closed | – | a |\n| x |\n";
        let rows = read(page);
        assert_eq!(rows.len(), 1);
        assert!(rows[0].differs());
        assert_eq!(replace(page, &rows), page);
        assert_eq!(replace(page, &[]), page);
        let other = Row {
            engine: ["open", "closed", "–"].map(str::to_owned),
            ..rows[0].clone()
        };
        assert_eq!(
            replace(page, &[other]),
            page.replace("closed | closed", "open | closed")
        );
    }
}

//! The only writer to standard output: lines, tables, JSON, `--format`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;

use serde::Serialize;
use serde_json::{Map, Value};

use super::template::{Template, TemplateError};

/// A line to standard output. A reader that has gone away is no error of ours.
pub fn line(text: &str) {
    write(&mut io::stdout().lock(), text, "\n");
}

/// Text to standard output as it is.
pub fn text(text: &str) {
    write(&mut io::stdout().lock(), text, "");
}

/// Text to standard output, of a stream that ends with its reader: whether there still is one.
pub fn stream(text: &str) -> bool {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).is_ok()
}

/// Standard output as a file, for what is no text.
pub fn output() -> io::Result<File> {
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

/// A line to standard error.
pub fn complain(text: &str) {
    write(&mut io::stderr().lock(), text, "\n");
}

/// What an answer warns of.
pub fn warnings(warnings: &[String]) {
    for warning in warnings {
        complain(&format!("WARNING: {warning}"));
    }
}

/// Text to standard error as it is.
pub fn complain_text(text: &str) {
    write(&mut io::stderr().lock(), text, "");
}

fn write(out: &mut dyn io::Write, text: &str, end: &str) {
    _ = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(end.as_bytes()))
        .and_then(|()| out.flush());
}

/// JSON with Docker's four spaces.
pub fn indented(value: &impl Serialize) -> String {
    let mut out = Vec::new();
    let formatter = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    // Writing to memory fails for no value of ours.
    _ = value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter));
    String::from_utf8_lossy(&out).into_owned()
}

/// A number of bytes as Docker shows it: `999B`, `1.23kB`, `45.6MB`.
#[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
pub fn bytes(number: u64) -> String {
    let mut value = number as f64;
    let mut units = ["kB", "MB", "GB", "TB", "PB", "EB"].into_iter();
    let mut unit = "B";
    while value >= 1000.0
        && let Some(next) = units.next()
    {
        value /= 1000.0;
        unit = next;
    }
    match unit {
        "B" => format!("{number}B"),
        _ if value < 10.0 => format!("{value:.2}{unit}"),
        _ if value < 100.0 => format!("{value:.1}{unit}"),
        _ => format!("{value:.0}{unit}"),
    }
}

/// Columns as Go's tabwriter aligns them for Docker: three spaces between, none narrower than ten.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
    let widths: Vec<usize> = (0..columns)
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            (cells.map(|cell| cell.chars().count()).max().unwrap_or_default() + 3).max(10)
        })
        .collect();
    let mut out = String::new();
    for row in rows {
        for (i, cell) in row.iter().enumerate() {
            if i + 1 == row.len() {
                out.push_str(cell);
            } else {
                // Writing to a string does not fail.
                _ = write!(out, "{cell:<width$}", width = widths[i]);
            }
        }
        out.push('\n');
    }
    out
}

/// A list that users may format: `ls`, `ps`.
pub struct Listing {
    /// Field and title of everything a template may name.
    pub titles: &'static [(&'static str, &'static str)],
    /// Fields of the plain table.
    pub columns: &'static [&'static str],
}

/// One row of a [`Listing`].
pub struct Row {
    /// In the order of `--format json`.
    pub fields: Map<String, Value>,
    /// For `.Label "name"`.
    pub labels: BTreeMap<String, String>,
}

impl Listing {
    /// `format` as the user gave it; `quiet` prints ids where it is a table.
    pub fn render(&self, format: Option<&str>, quiet: bool, rows: &[Row]) -> Result<String, TemplateError> {
        let format = format.filter(|format| !format.is_empty()).unwrap_or("table");
        let (template, with_header) = match format.strip_prefix("table") {
            Some(_) if quiet => ("{{.ID}}".to_owned(), false),
            Some("") => (self.plain(), true),
            Some(columns) => (columns.trim_matches(' ').to_owned(), true),
            None if format == "json" => ("{{json .}}".to_owned(), false),
            None => (format.to_owned(), false),
        };
        let template = Template::parse(&template.replace("\\t", "\t").replace("\\n", "\n"))?;
        let mut lines = Vec::new();
        if with_header {
            let titles: Map<String, Value> = self
                .titles
                .iter()
                .map(|(field, title)| ((*field).to_owned(), Value::from(*title)))
                .collect();
            lines.push(template.render_header(&Value::Object(titles), &label_title)?);
        }
        for row in rows {
            let label = |name: &str| row.labels.get(name).cloned().unwrap_or_default();
            lines.push(template.render_row(&Value::Object(row.fields.clone()), &label)?);
        }
        if !with_header {
            return Ok(lines.into_iter().map(|line| line + "\n").collect());
        }
        let cells: Vec<Vec<String>> = lines
            .iter()
            .map(|line| line.split('\t').map(str::to_owned).collect())
            .collect();
        Ok(table(&cells))
    }

    fn plain(&self) -> String {
        let fields: Vec<String> = self.columns.iter().map(|field| format!("{{{{.{field}}}}}")).collect();
        fields.join("\t")
    }
}

/// `com.example.rack-number` is titled `rack number`.
fn label_title(name: &str) -> String {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.replace(['-', '_'], " ")
}

/// Labels and the like, in one cell: `a=1,b=2`.
pub fn pairs(pairs: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(key, value)| format!("{key}={value}")).collect();
    pairs.join(",")
}

/// The 12 digits that users see of an id, or all of them.
pub fn id(id: &str, no_trunc: bool) -> &str {
    if no_trunc { id } else { id.get(..12).unwrap_or(id) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLOURS: Listing = Listing {
        titles: &[("ID", "COLOUR ID"), ("Name", "NAME")],
        columns: &["ID", "Name"],
    };

    fn render(format: Option<&str>, quiet: bool) -> String {
        let row = |id: &str, name: &str| Row {
            fields: [("ID".into(), id.into()), ("Name".into(), name.into())]
                .into_iter()
                .collect(),
            labels: [("com.shade-of".to_owned(), "sky".to_owned())].into(),
        };
        COLOURS
            .render(format, quiet, &[row("1", "light blue"), row("22", "red")])
            .unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn lists_print_in_every_shape() {
        let plain = "COLOUR ID   NAME\n1           light blue\n22          red\n";
        assert_eq!(render(None, false), plain);
        assert_eq!(render(Some("table"), false), plain);
        assert_eq!(render(None, true), "1\n22\n");
        assert_eq!(render(Some("{{.Name}}"), true), "light blue\nred\n");
        assert_eq!(
            render(Some("json"), false),
            "{\"ID\":\"1\",\"Name\":\"light blue\"}\n{\"ID\":\"22\",\"Name\":\"red\"}\n"
        );
        assert_eq!(
            render(Some("table {{.Name}}\\t{{.Label \"com.shade-of\"}}"), false),
            "NAME         shade of\nlight blue   sky\nred          sky\n"
        );
        assert_eq!(
            render(Some("{{.Nam}}"), false),
            "template parsing error: template: :1:2: executing \"\" at <.Nam>: map has no entry for key \"Nam\""
        );
    }
}

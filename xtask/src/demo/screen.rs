//! How the demo looks: headings, commands, what they wrote, what it proves.

use std::io::IsTerminal;

/// Characters of a line that are shown.
const WIDEST: usize = 200;

pub struct Screen {
    colour: bool,
    step: usize,
}

impl Screen {
    pub fn new() -> Self {
        Self {
            colour: std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            step: 0,
        }
    }

    /// The step's number, what it is about, and which rows of the tutorial it walks through.
    pub fn heading(&mut self, title: &str, rows: &str) {
        self.step += 1;
        let title = self.style("1;36", &format!("{:>2}  {title}", self.step));
        println!("\n{}", format!("{title}  {}", self.style("2", rows)).trim_end());
    }

    pub fn note(&self, text: &str) {
        println!("    {}", self.style("2", text));
    }

    pub fn command(&self, line: &str) {
        println!("    {} {}", self.style("32", "$"), self.style("1", line));
    }

    /// One that is typed on another machine than the host.
    pub fn command_on(&self, machine: &str, line: &str) {
        println!(
            "    {} {}",
            self.style("33", &format!("{machine}$")),
            self.style("1", line)
        );
    }

    /// At most `most` lines of it, each as far as it is readable.
    pub fn output(&self, text: &str, most: usize) {
        let lines: Vec<&str> = text.trim_end().lines().collect();
        // hiding a single line would take as much room as showing it
        let shown = if lines.len() <= most + 1 { lines.len() } else { most };
        for line in &lines[..shown] {
            match line.char_indices().nth(WIDEST) {
                Some((end, _)) => println!("    {} …", &line[..end]),
                None => println!("    {line}"),
            }
        }
        if shown < lines.len() {
            self.note(&format!("… and {} more lines", lines.len() - shown));
        }
    }

    pub fn proven(&self, what: &str) {
        println!("    {} {what}", self.style("1;32", "✓"));
    }

    pub fn broken(&self, what: &str) {
        println!("    {} {what}", self.style("1;31", "✗"));
    }

    fn style(&self, code: &str, text: &str) -> String {
        if self.colour {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.into()
        }
    }
}

/// Without the colours that a program wrote for a terminal.
pub fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(escape) = rest.find("\x1b[") {
        plain.push_str(&rest[..escape]);
        rest = &rest[escape + 2..];
        rest = rest
            .find(|letter: char| letter.is_ascii_alphabetic())
            .map_or("", |end| &rest[end + 1..]);
    }
    plain + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_taken_out_and_nothing_else() {
        assert_eq!(
            plain("\x1b[29;1m>>> Check\n\x1b[0mM: [0-5460]\x1b[0m"),
            ">>> Check\nM: [0-5460]"
        );
        assert_eq!(plain("a \x1b["), "a ");
    }
}

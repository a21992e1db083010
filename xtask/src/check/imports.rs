//! Which file of the eBPF crate imports which: in no circle, so that each can be read after those it names; and none
//! is too long to be read at once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::place;

const SOURCE: &str = "netswitch-ebpf/src";

/// Lines of a file.
const LONGEST: usize = 400;

/// A module's path from the crate's root, and what it imports, each with the first line that does.
type Graph = BTreeMap<Vec<String>, BTreeMap<Vec<String>, usize>>;

pub(super) fn run() -> Result<()> {
    let mut files = Vec::new();
    collect(&place::root().join(SOURCE), Path::new(""), &mut files)?;
    let graph = graph(&files);
    let names: BTreeMap<_, _> = files.iter().map(|file| (file.module.as_slice(), &file.name)).collect();
    let mut faults = Vec::new();
    for file in &files {
        let lines = file.text.lines().count();
        if lines > LONGEST {
            faults.push(format!("{} has {lines} lines, more than {LONGEST}", file.name));
        }
    }
    for circle in circles(&graph) {
        let members: Vec<_> = circle.iter().map(|module| names[module].as_str()).collect();
        faults.push(format!(
            "{} files import each other: {}",
            members.len(),
            members.join(", ")
        ));
        let way = shortest(&graph, &circle);
        for (from, to) in way.iter().zip(way.iter().cycle().skip(1)) {
            faults.push(format!("  {}:{} imports {}", names[from], graph[*from][*to], names[to]));
        }
    }
    ensure!(faults.is_empty(), "in {SOURCE}:\n{}", faults.join("\n"));
    Ok(())
}

struct SourceFile {
    /// Below [`SOURCE`].
    name: String,
    module: Vec<String>,
    text: String,
}

/// Every file of `folder`, which is `name` below [`SOURCE`].
fn collect(folder: &Path, name: &Path, files: &mut Vec<SourceFile>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| folder.display().to_string())? {
        let path = entry?.path();
        let name = name.join(path.file_name().unwrap_or_default());
        if path.is_dir() {
            collect(&path, &name, files)?;
        } else {
            files.push(SourceFile {
                module: module(&name),
                name: name.display().to_string(),
                text: fs::read_to_string(&path).with_context(|| path.display().to_string())?,
            });
        }
    }
    Ok(())
}

/// The module that is in the file called `name`.
fn module(name: &Path) -> Vec<String> {
    let name = name.with_extension("");
    let words = name.iter().map(|word| word.to_string_lossy().into_owned());
    words.filter(|word| !["main", "mod"].contains(&word.as_str())).collect()
}

fn graph(files: &[SourceFile]) -> Graph {
    let modules: BTreeSet<_> = files.iter().map(|file| &file.module).collect();
    let imports = |file: &SourceFile| {
        let mut imports = BTreeMap::new();
        for (mut path, line) in paths(&file.text, &file.module) {
            while !modules.contains(&path) && path.pop().is_some() {}
            if path != file.module {
                imports.entry(path).or_insert(line);
            }
        }
        imports
    };
    files.iter().map(|file| (file.module.clone(), imports(file))).collect()
}

/// The paths in `text` that start with `crate` or `super`, from the crate's root on, and the lines where they end.
fn paths(text: &str, module: &[String]) -> Vec<(Vec<String>, usize)> {
    let lines = text.lines().map(|line| line.split("//").next().unwrap_or(""));
    let code = lines.collect::<Vec<_>>().join("\n");
    let mut paths = Vec::new();
    for start in ["crate::", "super::"] {
        for (at, _) in code.match_indices(start) {
            if !code[..at].ends_with(|letter: char| letter == ':' || is_word(letter)) {
                tree(&mut &code[at..], module.to_vec(), &mut paths);
            }
        }
    }
    let line = |rest: usize| code[..code.len() - rest].lines().count();
    paths.into_iter().map(|(path, rest)| (path, line(rest))).collect()
}

/// Reads `a::{b, c::{self, D}}` off `text`, below `path`; with each path goes how much text is left.
fn tree(text: &mut &str, mut path: Vec<String>, paths: &mut Vec<(Vec<String>, usize)>) {
    loop {
        *text = text.trim_start();
        if let Some(group) = text.strip_prefix('{') {
            *text = group;
            while !text.is_empty() && !text.starts_with('}') {
                tree(text, path.clone(), paths);
                // a new name, and white space
                let end = text.find([',', '}']).unwrap_or(text.len());
                *text = text[end..].trim_start_matches(',').trim_start();
            }
            *text = text.strip_prefix('}').unwrap_or(text);
            return;
        }
        let (word, rest) = text.split_at(text.find(|letter| !is_word(letter)).unwrap_or(text.len()));
        *text = rest;
        match word {
            "crate" => path.clear(),
            "super" => drop(path.pop()),
            "self" | "" => {}
            _ => path.push(word.to_owned()),
        }
        let Some(below) = text.strip_prefix("::") else {
            paths.push((path, text.len()));
            return;
        };
        *text = below;
    }
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The largest sets of modules of which each reaches each other.
fn circles(graph: &Graph) -> BTreeSet<BTreeSet<&[String]>> {
    let reached: BTreeMap<_, _> = graph
        .keys()
        .map(|module| (module.as_slice(), reach(graph, module)))
        .collect();
    let circle = |from: &&[String]| {
        let all = reached[from].iter().copied();
        all.filter(|to| reached[to].contains(from)).collect::<BTreeSet<_>>()
    };
    reached.keys().map(circle).filter(|circle| circle.len() > 1).collect()
}

/// What `module` imports, and what that imports, and so on.
fn reach<'a>(graph: &'a Graph, module: &'a [String]) -> BTreeSet<&'a [String]> {
    let mut reached = BTreeSet::new();
    let mut waiting = vec![module];
    while let Some(module) = waiting.pop() {
        waiting.extend(graph[module].keys().map(Vec::as_slice).filter(|to| reached.insert(*to)));
    }
    reached
}

/// A shortest way round within a circle.
fn shortest<'a>(graph: &'a Graph, circle: &BTreeSet<&'a [String]>) -> Vec<&'a [String]> {
    let rounds = circle.iter().filter_map(|start| {
        let mut ways = VecDeque::from([vec![*start]]);
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop_front() {
            for to in way.last().into_iter().flat_map(|last| graph[*last].keys()) {
                if to == start {
                    return Some(way);
                }
                if seen.insert(to) {
                    ways.push_back([&way[..], &[to.as_slice()]].concat());
                }
            }
        }
        None
    });
    rounds.min_by_key(Vec::len).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, text: &str) -> SourceFile {
        SourceFile {
            name: name.to_owned(),
            module: module(Path::new(name)),
            text: text.to_owned(),
        }
    }

    fn words(path: &str) -> Vec<String> {
        path.split("::")
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect()
    }

    #[test]
    fn paths_are_read() {
        let table: [(&str, &[&str]); 12] = [
            ("use crate::maps;", &["maps"]),
            ("pub use crate::{maps, work::Work};", &["maps", "work::Work"]),
            (
                "use crate::{\n    a::{self, b::{C, d as e}, f},\n    g,\n};",
                &["a", "a::b::C", "a::b::d", "a::f", "g"],
            ),
            ("use super::{flow, number};", &["stages::flow", "stages::number"]),
            ("use super::super::maps::*;", &["maps"]),
            ("use super::*;", &["stages"]),
            ("super::outcome(1)", &["stages::outcome"]),
            (
                "let a: crate::work::Work = crate::maps::work::<u8>();",
                &["maps::work", "work::Work"],
            ),
            ("pub(crate) use self::a;", &[]),
            ("/// as [`crate::maps`] and [`super::flow`]", &[]),
            ("use core::ptr; // and crate::maps", &[]),
            ("use aya::crate::maps; my_crate::maps", &[]),
        ];
        for (text, expected) in table {
            let mut found: Vec<_> = paths(text, &words("stages::gateway"))
                .into_iter()
                .map(|(path, _)| path)
                .collect();
            found.sort();
            assert_eq!(
                found,
                expected.iter().map(|path| words(path)).collect::<Vec<_>>(),
                "{text}"
            );
        }
    }

    #[test]
    fn a_path_stands_on_the_line_where_it_ends() {
        assert_eq!(
            paths("\nuse crate::{\n    a,\n    b::C,\n};", &[]),
            [(words("a"), 3), (words("b::C"), 4)]
        );
    }

    #[test]
    fn a_circle_is_found() {
        let files = [
            file("main.rs", "mod a; use crate::a;"),
            file("a.rs", "use crate::{b::c, d};"),
            file("b/mod.rs", "pub mod c;"),
            file("b/c.rs", "use super::d; use crate::{d::E, f};"),
            file("d.rs", "use crate::a::F;"),
            file("f.rs", "use crate::f::G;"),
        ];
        let graph = graph(&files);
        let [a, c, d] = ["a", "b::c", "d"].map(words);
        let circles = circles(&graph);
        assert_eq!(circles, BTreeSet::from([BTreeSet::from([&a[..], &c, &d])]));
        assert_eq!(shortest(&graph, circles.first().unwrap()), [a, d]);
    }

    #[test]
    fn what_comes_back_to_itself_alone_is_no_circle() {
        let files = [
            file("main.rs", "use crate::{a, b};"),
            file("a.rs", "use crate::{a::C, b};"),
            file("b.rs", ""),
        ];
        assert!(circles(&graph(&files)).is_empty());
    }
}

//! Go's text templates, as far as Docker's `--format` goes, over JSON values.
//!
//! Not the `gtmpl` crate: its maps are hash maps, so that `range` and `json` would come out in a
//! different order each time, where Go sorts keys and Docker keeps the order of its fields.

mod escape;
mod evaluate;
mod functions;
mod lex;
mod number;
mod parse;
mod printf;
mod quote;
pub mod value;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::Value as Json;

use self::value::Value;

/// A parsed template.
#[derive(Debug)]
pub struct Template {
    nodes: Vec<Node>,
    /// `define` and `block`.
    defined: BTreeMap<String, Vec<Node>>,
}

/// Go's words for what is wrong with a template.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("template parsing error: template: {0}")]
pub struct TemplateError(String);

/// What `.Label "name"` answers.
pub type Label<'a> = &'a dyn Fn(&str) -> String;

impl Template {
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        parse::parse(text)
    }

    /// Renders an object.
    pub fn render(&self, dot: &Json) -> Result<String, TemplateError> {
        self.render_value(&dot.clone().into())
    }

    /// Renders an object that is more than JSON tells.
    pub fn render_value(&self, dot: &Value) -> Result<String, TemplateError> {
        evaluate::render(self, dot, None, functions::Mode::Data)
    }

    /// Renders a row of a list, which has labels.
    pub fn render_row(&self, dot: &Json, label: Label<'_>) -> Result<String, TemplateError> {
        evaluate::render(self, &dot.clone().into(), Some(label), functions::Mode::Data)
    }

    /// Renders a table's header: functions that make no sense of a title leave it alone.
    pub fn render_header(&self, titles: &Json, label: Label<'_>) -> Result<String, TemplateError> {
        evaluate::render(self, &titles.clone().into(), Some(label), functions::Mode::Header)
    }
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Print(Pipe),
    If {
        condition: Pipe,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    With {
        value: Pipe,
        then: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Range {
        over: Pipe,
        each: Vec<Node>,
        otherwise: Vec<Node>,
    },
    Break,
    Continue,
    /// Another template, over a value.
    Template {
        name: String,
        value: Option<Pipe>,
        line: usize,
    },
}

/// `$x := command | command`: each command gets the value before it as its last argument.
#[derive(Clone, Debug, PartialEq)]
struct Pipe {
    variables: Vec<String>,
    /// `=` instead of `:=`.
    assigns: bool,
    commands: Vec<Vec<Operand>>,
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Dot,
    Literal(Value),
    Variable(String),
    Function {
        name: String,
        at: (usize, usize),
    },
    Pipe(Pipe),
    Field {
        of: Box<Operand>,
        name: String,
        /// Line and byte in it where `.name` begins.
        at: (usize, usize),
    },
}

impl fmt::Display for Operand {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dot => out.write_str("."),
            Self::Literal(value) => value.json().fmt(out),
            Self::Variable(name) | Self::Function { name, .. } => out.write_str(name),
            Self::Pipe(_) => out.write_str("(…)"),
            Self::Field { of, name, .. } if **of == Self::Dot => write!(out, ".{name}"),
            Self::Field { of, name, .. } => write!(out, "{of}.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn render(template: &str) -> Result<String, String> {
        let network = json!({
            "Name": "mynet",
            "Internal": false,
            "IPAM": {"Config": [{"Subnet": "10.1.0.0/16", "Gateway": "10.1.0.1"}, {"Subnet": "fd00::/64"}]},
            "Containers": {"b2": {"Name": "two", "IPv4Address": "10.1.0.3/16"}, "a1": {"Name": "one", "IPv4Address": ""}},
            "Options": {"com.docker.network.bridge.name": "docker0", "b": "2"},
            "Labels": {},
            "Aliases": null,
            "Prefix": 16,
        });
        let template = Template::parse(template).map_err(|error| error.to_string())?;
        template.render(&network).map_err(|error| error.to_string())
    }

    #[test]
    fn templates_of_docker_users_render_as_in_docker() {
        let rows = [
            ("{{.Name}}", "mynet"),
            (
                "{{ .Name | upper }} {{title .Name}} {{lower \"ABC\"}}",
                "MYNET Mynet abc",
            ),
            (
                "{{range $id, $c := .Containers}}{{$id}}={{$c.Name}} {{end}}",
                "a1=one b2=two ",
            ),
            ("{{range .Containers}}{{.Name}},{{end}}", "one,two,"),
            (
                "{{range $i, $c := .IPAM.Config}}{{$i}}:{{.Subnet}} {{end}}",
                "0:10.1.0.0/16 1:fd00::/64 ",
            ),
            ("{{index .Options \"com.docker.network.bridge.name\"}}", "docker0"),
            ("{{(index .IPAM.Config 0).Gateway}}", "10.1.0.1"),
            ("{{with index .IPAM.Config 1}}{{.Subnet}}{{end}}", "fd00::/64"),
            (
                "{{json .IPAM.Config}}",
                r#"[{"Subnet":"10.1.0.0/16","Gateway":"10.1.0.1"},{"Subnet":"fd00::/64"}]"#,
            ),
            ("{{.Options}}", "map[b:2 com.docker.network.bridge.name:docker0]"),
            ("{{.Options.nothing}}", "<no value>"),
            ("{{index .Options \"nothing\"}}|", "|"),
            (
                "{{if .Internal}}yes{{else if eq .Prefix 16}}sixteen{{else}}no{{end}}",
                "sixteen",
            ),
            ("{{if and .Name (not .Internal)}}x{{end}}", "x"),
            ("{{len .Containers}} {{len .Name}}", "2 5"),
            ("a {{- /* comment */ -}} b", "ab"),
            ("{{range .IPAM.Config}}{{.Gateway}};{{end}}", "10.1.0.1;;"),
            ("{{range .Labels}}x{{else}}none{{end}}", "none"),
            ("{{join (split \"a,b\" \",\") \"-\"}}", "a-b"),
            ("{{$x := .Name}}{{$x}}{{println}}", "mynet\n"),
            ("{{$x := \"\"}}{{range .Containers}}{{$x = .Name}}{{end}}{{$x}}", "two"),
            (
                "{{printf \"%s/%d %q %v\" .Name .Prefix .Name .Internal}}",
                "mynet/16 \"mynet\" false",
            ),
            ("{{$.Name}} {{`raw`}} {{\"q\\\"q\"}}", "mynet raw q\"q"),
            ("{{truncate .Name 2}}{{pad .Name 1 2}}|", "my mynet  |"),
        ];
        for (template, expected) in rows {
            assert_eq!(render(template).as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn errors_are_told_in_gos_words() {
        let rows = [
            ("{{.Name", ":1: unclosed action"),
            ("{{nothing}}", ":1: function \"nothing\" not defined"),
            ("{{if .Name}}", ":1: unexpected EOF"),
            ("{{end}}", ":1: unexpected {{end}}"),
            (
                "x {{.Foo}}",
                ":1:4: executing \"\" at <.Foo>: map has no entry for key \"Foo\"",
            ),
            ("{{.Name}", ":1: bad character U+007D '}'"),
            (
                "{{index .IPAM.Config 7}}",
                ":1:2: executing \"\" at <index .IPAM.Config 7>: error calling index: index out of range: 7",
            ),
            (
                "{{.Aliases.Foo}}",
                ":1:10: executing \"\" at <.Aliases.Foo>: nil pointer evaluating interface {}.Foo",
            ),
            (
                "{{.Name.Foo}}",
                ":1:7: executing \"\" at <.Name.Foo>: can't evaluate field Foo in type interface {}",
            ),
        ];
        for (template, expected) in rows {
            let expected = format!("template parsing error: template: {expected}");
            assert_eq!(render(template), Err(expected), "{template}");
        }
    }

    #[test]
    fn headers_are_not_encoded() {
        let template = Template::parse("{{json .Name}}\t{{upper .Id}}\t{{.Label \"com.a-b\"}}").unwrap();
        let titles = json!({"Name": "NAME", "Id": "Network id"});
        let header = template.render_header(&titles, &str::to_uppercase).unwrap();
        assert_eq!(header, "NAME\tNETWORK ID\tCOM.A-B");
    }
}

//! Walks a template's tree over a value.

use super::functions::{self, Mode};
use super::printf::print;
use super::value::{Value, sorted};
use super::{Label, Node, Operand, Pipe, Template, TemplateError};

/// Templates that call each other without end are refused before they take all memory; Go has a limit, too.
const DEEPEST: usize = 200;

pub fn render(template: &Template, dot: &Value, label: Option<Label<'_>>, mode: Mode) -> Result<String, TemplateError> {
    let mut walk = Walk {
        out: String::new(),
        template,
        scopes: vec![("$".to_owned(), dot.clone())],
        depth: 0,
        label,
        mode,
    };
    walk.list(&template.nodes, dot)?;
    Ok(walk.out)
}

/// How a list of nodes ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Flow {
    On,
    /// Out of the innermost `range`.
    Break,
    /// To its next element.
    Continue,
}

struct Walk<'a> {
    out: String,
    template: &'a Template,
    /// Of templates in one another.
    depth: usize,
    /// Variables, innermost last.
    scopes: Vec<(String, Value)>,
    label: Option<Label<'a>>,
    mode: Mode,
}

impl Walk<'_> {
    fn list(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, TemplateError> {
        let outer = self.scopes.len();
        let mut flow = Flow::On;
        for node in nodes {
            flow = self.node(node, dot)?;
            if flow != Flow::On {
                break;
            }
        }
        self.scopes.truncate(outer);
        Ok(flow)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow, TemplateError> {
        // Variables declared in a block's head end with the block; those of a plain action with its list.
        let outer = self.scopes.len();
        let mut flow = Flow::On;
        match node {
            Node::Text(text) => {
                self.out.push_str(text);
                return Ok(Flow::On);
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
            Node::Print(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    self.out.push_str(&print(&value));
                }
                return Ok(Flow::On);
            }
            Node::Template { name, value, line } => {
                let value = value.as_ref().map(|pipe| self.pipe(pipe, dot)).transpose()?;
                self.call(name, &value.unwrap_or_default(), *line)?;
                self.scopes.truncate(outer);
                return Ok(Flow::On);
            }
            Node::If {
                condition,
                then,
                otherwise,
            } => {
                let holds = self.pipe(condition, dot)?.truth();
                flow = self.list(if holds { then } else { otherwise }, dot)?;
            }
            Node::With { value, then, otherwise } => {
                let value = self.pipe(value, dot)?;
                flow = if value.truth() {
                    self.list(then, &value)?
                } else {
                    self.list(otherwise, dot)?
                };
            }
            Node::Range { over, each, otherwise } => {
                let items = items(self.commands(over, dot)?)?;
                if items.is_empty() {
                    flow = self.list(otherwise, dot)?;
                }
                for (key, value) in items {
                    match over.variables.as_slice() {
                        [] => {}
                        [one] => self.scopes.push((one.clone(), value.clone())),
                        [first, second, ..] => {
                            self.scopes.push((first.clone(), key));
                            self.scopes.push((second.clone(), value.clone()));
                        }
                    }
                    let ended = self.list(each, &value)?;
                    self.scopes.truncate(outer);
                    if ended == Flow::Break {
                        break;
                    }
                }
            }
        }
        self.scopes.truncate(outer);
        Ok(flow)
    }

    /// Another template: it sees its value alone, no variables.
    fn call(&mut self, name: &str, value: &Value, line: usize) -> Result<(), TemplateError> {
        let template = self.template;
        let Some(nodes) = template.defined.get(name) else {
            return Err(TemplateError(format!(":{line}: template {name:?} not defined")));
        };
        if self.depth == DEEPEST {
            return Err(TemplateError(format!(
                ":{line}: exceeded maximum template depth ({DEEPEST})"
            )));
        }
        let scopes = std::mem::replace(&mut self.scopes, vec![("$".to_owned(), value.clone())]);
        self.depth += 1;
        let ended = self.list(nodes, value);
        self.depth -= 1;
        self.scopes = scopes;
        ended.map(drop)
    }

    /// The value of a pipeline; its variables, if it declares any, are in scope afterwards.
    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, TemplateError> {
        let value = self.commands(pipe, dot)?;
        for name in &pipe.variables {
            if pipe.assigns {
                *self.variable(name)? = value.clone();
            } else {
                self.scopes.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn commands(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, TemplateError> {
        let mut last = None;
        for command in &pipe.commands {
            last = Some(self.command(command, last, dot)?);
        }
        Ok(last.unwrap_or_default())
    }

    fn command(&mut self, command: &[Operand], last: Option<Value>, dot: &Value) -> Result<Value, TemplateError> {
        let mut arguments = Vec::new();
        for operand in &command[1..] {
            arguments.push(self.operand(operand, dot)?);
        }
        arguments.extend(last);
        let operand = &command[0];
        if let Operand::Function { name, at: (line, byte) } = operand {
            return functions::call(name, &arguments, self.mode).map_err(|problem| {
                let words: Vec<String> = command.iter().map(ToString::to_string).collect();
                let command = words.join(" ");
                TemplateError(format!(":{line}:{byte}: executing \"\" at <{command}>: {problem}"))
            });
        }
        if let (Some(label), Operand::Field { of, name, .. }) = (self.label, operand)
            && **of == Operand::Dot
            && name == "Label"
        {
            let name = arguments.first().and_then(Value::as_text).unwrap_or_default();
            return Ok(label(name).into());
        }
        if arguments.is_empty() {
            return self.operand(operand, dot);
        }
        Err(TemplateError(format!(
            ":1: can't give argument to non-function {operand}"
        )))
    }

    fn operand(&mut self, operand: &Operand, dot: &Value) -> Result<Value, TemplateError> {
        match operand {
            Operand::Dot => Ok(dot.clone()),
            Operand::Literal(value) => Ok(value.clone()),
            Operand::Variable(name) => self.variable(name).cloned(),
            Operand::Function { .. } => self.command(std::slice::from_ref(operand), None, dot),
            Operand::Pipe(pipe) => self.pipe(pipe, dot),
            Operand::Field {
                of,
                name,
                at: (line, byte),
            } => {
                let of = self.operand(of, dot)?;
                field(&of, name).map_err(|problem| {
                    TemplateError(format!(":{line}:{byte}: executing \"\" at <{operand}>: {problem}"))
                })
            }
        }
    }

    fn variable(&mut self, name: &str) -> Result<&mut Value, TemplateError> {
        let found = self.scopes.iter_mut().rev().find(|(known, _)| known == name);
        found
            .map(|(_, value)| value)
            .ok_or_else(|| TemplateError(format!(":1: undefined variable {name:?}")))
    }
}

/// Fields that are not in Docker's JSON where they are empty, and render as nothing.
const LEFT_OUT: [&str; 2] = ["Gateway", "IPRange"];

/// Docker's own fields begin with a capital letter and must exist; other keys are a user's, of a map.
fn field(of: &Value, name: &str) -> Result<Value, String> {
    match of {
        Value::Map(entries) => match entries.iter().find(|(key, _)| key == name) {
            Some((_, value)) => Ok(value.clone()),
            None if LEFT_OUT.contains(&name) => Ok("".into()),
            None if name.starts_with(char::is_uppercase) => Err(format!("map has no entry for key {name:?}")),
            None => Ok(Value::Nil),
        },
        Value::Struct(fields) => match fields.iter().find(|field| field.name == name) {
            Some(field) => Ok(field.value.clone()),
            None => Err(format!("can't evaluate field {name} in type struct")),
        },
        Value::Nil => Err(format!("nil pointer evaluating interface {{}}.{name}")),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Time(_) | Value::List(_) => {
            Err(format!("can't evaluate field {name} in type interface {{}}"))
        }
    }
}

/// What `range` goes through: a map by sorted keys.
fn items(value: Value) -> Result<Vec<(Value, Value)>, TemplateError> {
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::List(values) => Ok(values
            .into_iter()
            .enumerate()
            .map(|(i, value)| (i.into(), value))
            .collect()),
        Value::Map(entries) => Ok(sorted(&entries)
            .into_iter()
            .map(|(key, value)| (key.as_str().into(), value.clone()))
            .collect()),
        Value::Int(count) => Ok((0..count).map(|i| (Value::Int(i), Value::Int(i))).collect()),
        other @ (Value::Bool(_) | Value::Float(_) | Value::Text(_) | Value::Time(_) | Value::Struct(_)) => {
            Err(TemplateError(format!(":1: range can't iterate over {}", print(&other))))
        }
    }
}

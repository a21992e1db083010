//! Walks a template's tree over a value.

use serde_json::{Map, Value};

use super::functions::{self, Mode, print, truth};
use super::{Label, Node, Operand, Pipe, TemplateError};

pub fn render(nodes: &[Node], dot: &Value, label: Option<Label<'_>>, mode: Mode) -> Result<String, TemplateError> {
    let mut walk = Walk {
        out: String::new(),
        scopes: vec![("$".to_owned(), dot.clone())],
        label,
        mode,
    };
    walk.list(nodes, dot)?;
    Ok(walk.out)
}

struct Walk<'a> {
    out: String,
    /// Variables, innermost last.
    scopes: Vec<(String, Value)>,
    label: Option<Label<'a>>,
    mode: Mode,
}

impl Walk<'_> {
    fn list(&mut self, nodes: &[Node], dot: &Value) -> Result<(), TemplateError> {
        let outer = self.scopes.len();
        for node in nodes {
            self.node(node, dot)?;
        }
        self.scopes.truncate(outer);
        Ok(())
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<(), TemplateError> {
        // Variables declared in a block's head end with the block; those of a plain action with its list.
        let outer = self.scopes.len();
        match node {
            Node::Text(text) => {
                self.out.push_str(text);
                return Ok(());
            }
            Node::Print(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    self.out.push_str(&print(&value));
                }
                return Ok(());
            }
            Node::If {
                condition,
                then,
                otherwise,
            } => {
                let holds = truth(&self.pipe(condition, dot)?);
                self.list(if holds { then } else { otherwise }, dot)?;
            }
            Node::With { value, then, otherwise } => {
                let value = self.pipe(value, dot)?;
                if truth(&value) {
                    self.list(then, &value)?;
                } else {
                    self.list(otherwise, dot)?;
                }
            }
            Node::Range { over, each, otherwise } => {
                let items = items(self.commands(over, dot)?)?;
                if items.is_empty() {
                    self.list(otherwise, dot)?;
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
                    self.list(each, &value)?;
                    self.scopes.truncate(outer);
                }
            }
        }
        self.scopes.truncate(outer);
        Ok(())
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
            let name = arguments.first().and_then(Value::as_str).unwrap_or_default();
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
const LEFT_OUT: [&str; 3] = ["AuxiliaryAddresses", "Gateway", "IPRange"];

/// Docker's own fields begin with a capital letter and must exist; other keys are a user's, of a map.
fn field(of: &Value, name: &str) -> Result<Value, String> {
    match of {
        Value::Object(map) => match map.get(name) {
            Some(value) => Ok(value.clone()),
            None if LEFT_OUT.contains(&name) => Ok("".into()),
            None if name.starts_with(char::is_uppercase) => Err(format!("map has no entry for key {name:?}")),
            None => Ok(Value::Null),
        },
        Value::Null => Err(format!("nil pointer evaluating interface {{}}.{name}")),
        Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_) => {
            Err(format!("can't evaluate field {name} in type interface {{}}"))
        }
    }
}

/// What `range` goes through: a map by sorted keys.
fn items(value: Value) -> Result<Vec<(Value, Value)>, TemplateError> {
    match value {
        Value::Null => Ok(Vec::new()),
        Value::Array(values) => Ok(values
            .into_iter()
            .enumerate()
            .map(|(i, value)| (i.into(), value))
            .collect()),
        Value::Object(map) => Ok(sorted(&map)
            .into_iter()
            .map(|(key, value)| (key.as_str().into(), value.clone()))
            .collect()),
        other @ (Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
            Err(TemplateError(format!(":1: range can't iterate over {}", print(&other))))
        }
    }
}

pub fn sorted(map: &Map<String, Value>) -> Vec<(&String, &Value)> {
    let mut entries: Vec<_> = map.iter().collect();
    entries.sort_by_key(|(key, _)| *key);
    entries
}

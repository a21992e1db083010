//! From tokens to a tree.

use std::collections::{BTreeMap, VecDeque};
use std::iter::Peekable;
use std::vec::IntoIter;

use super::lex::{Kind, Piece, Token, pieces};
use super::value::Value;
use super::{Node, Operand, Pipe, Template, TemplateError, functions};

pub fn parse(text: &str) -> Result<Template, TemplateError> {
    let mut parser = Parser {
        pieces: pieces(text)?.into(),
        lines: 1 + text.matches('\n').count(),
        defined: BTreeMap::new(),
        ranges: 0,
        nesting: 0,
    };
    match parser.list()? {
        (nodes, None) => Ok(Template {
            nodes,
            defined: parser.defined,
        }),
        (_, Some(Stop::End(line))) => Err(error(line, "unexpected {{end}}")),
        (_, Some(Stop::Else { line, .. })) => Err(error(line, "unexpected {{else}}")),
    }
}

struct Parser {
    pieces: VecDeque<Piece>,
    lines: usize,
    /// `define` and `block`.
    defined: BTreeMap<String, Vec<Node>>,
    /// Of `range` around what is read.
    ranges: usize,
    /// Of blocks of all kinds.
    nesting: usize,
}

/// What ended a list of nodes before the template did.
enum Stop {
    End(usize),
    /// The tokens behind `else`: `if …` or nothing.
    Else {
        line: usize,
        rest: Vec<Token>,
    },
}

impl Parser {
    fn list(&mut self) -> Result<(Vec<Node>, Option<Stop>), TemplateError> {
        let mut nodes = Vec::new();
        while let Some(piece) = self.pieces.pop_front() {
            let (line, mut tokens) = match piece {
                Piece::Text(text) => {
                    nodes.push(Node::Text(text));
                    continue;
                }
                Piece::Action { line, tokens } => (line, tokens),
            };
            let keyword = tokens[0].kind.word().unwrap_or_default().to_owned();
            match keyword.as_str() {
                "end" => return Ok((nodes, Some(Stop::End(line)))),
                "else" => {
                    let rest = tokens.split_off(1);
                    return Ok((nodes, Some(Stop::Else { line, rest })));
                }
                "if" | "with" | "range" => nodes.push(self.block(&keyword, line, tokens.split_off(1))?),
                "break" | "continue" => nodes.push(self.leave(&keyword, line, &tokens)?),
                "define" | "block" | "template" => {
                    let (name, value) = named(&keyword, line, tokens.split_off(1))?;
                    if keyword != "template" {
                        self.define(&keyword, &name, line)?;
                    }
                    if keyword != "define" {
                        nodes.push(Node::Template { name, value, line });
                    }
                }
                _ => nodes.push(Node::Print(pipe(line, tokens)?)),
            }
        }
        Ok((nodes, None))
    }

    /// `break` and `continue`.
    fn leave(&self, keyword: &str, line: usize, tokens: &[Token]) -> Result<Node, TemplateError> {
        if tokens.len() > 1 {
            return Err(error(line, &format!("unexpected token in {{{{{keyword}}}}}")));
        }
        if self.ranges == 0 {
            return Err(error(line, &format!("{{{{{keyword}}}}} outside {{{{range}}}}")));
        }
        Ok(if keyword == "break" {
            Node::Break
        } else {
            Node::Continue
        })
    }

    /// What stands up to the `end` is a template of its own.
    fn define(&mut self, keyword: &str, name: &str, line: usize) -> Result<(), TemplateError> {
        if keyword == "define" && self.nesting > 0 {
            return Err(error(line, "unexpected {{define}}"));
        }
        let ranges = std::mem::take(&mut self.ranges);
        let inside = self.inside();
        self.ranges = ranges;
        let (nodes, stop) = inside?;
        match stop {
            Some(Stop::End(_)) => {}
            Some(Stop::Else { line, .. }) => return Err(error(line, "unexpected {{else}}")),
            None => return Err(error(self.lines, "unexpected EOF")),
        }
        self.defined.insert(name.to_owned(), nodes);
        Ok(())
    }

    fn inside(&mut self) -> Result<(Vec<Node>, Option<Stop>), TemplateError> {
        self.nesting += 1;
        let list = self.list();
        self.nesting -= 1;
        list
    }

    fn block(&mut self, keyword: &str, line: usize, head: Vec<Token>) -> Result<Node, TemplateError> {
        let head = pipe(line, head)?;
        let is_range = usize::from(keyword == "range");
        self.ranges += is_range;
        let inside = self.inside();
        self.ranges -= is_range;
        let (then, stop) = inside?;
        let otherwise = match stop {
            Some(Stop::End(_)) => Vec::new(),
            // `else if` is an `if` of its own that shares the `end`.
            Some(Stop::Else { line, mut rest }) if !rest.is_empty() => {
                if rest[0].kind.word() != Some(keyword) || keyword == "range" {
                    return Err(error(line, "unexpected token in else clause"));
                }
                vec![self.block(keyword, line, rest.split_off(1))?]
            }
            Some(Stop::Else { .. }) => match self.inside()? {
                (otherwise, Some(Stop::End(_))) => otherwise,
                (_, Some(Stop::Else { line, .. })) => return Err(error(line, "expected end; found {{else}}")),
                (_, None) => return Err(error(self.lines, "unexpected EOF")),
            },
            None => return Err(error(self.lines, "unexpected EOF")),
        };
        Ok(match keyword {
            "if" => Node::If {
                condition: head,
                then,
                otherwise,
            },
            "with" => Node::With {
                value: head,
                then,
                otherwise,
            },
            _ => Node::Range {
                over: head,
                each: then,
                otherwise,
            },
        })
    }
}

/// The name behind `define`, `block` or `template`, and the value, which `block` needs and `define` has none of.
fn named(keyword: &str, line: usize, mut tokens: Vec<Token>) -> Result<(String, Option<Pipe>), TemplateError> {
    let name = match tokens.first().map(|token| &token.kind) {
        Some(Kind::Literal(Value::Text(name))) => name.clone(),
        _ => return Err(error(line, &format!("unexpected token in {keyword} clause"))),
    };
    let rest = tokens.split_off(1);
    match (keyword, rest.is_empty()) {
        ("define", false) => Err(error(line, "unexpected token in define clause")),
        ("block", true) => Err(error(line, "missing value for block clause")),
        (_, true) => Ok((name, None)),
        (_, false) => Ok((name, Some(pipe(line, rest)?))),
    }
}

fn pipe(line: usize, tokens: Vec<Token>) -> Result<Pipe, TemplateError> {
    let mut tokens = tokens.into_iter().peekable();
    let pipe = pipe_until(line, &mut tokens, false)?;
    match tokens.next() {
        None => Ok(pipe),
        Some(_) => Err(error(line, "unexpected right paren")),
    }
}

type Tokens = Peekable<IntoIter<Token>>;

/// One pipeline; inside parentheses it takes the closing one along.
fn pipe_until(line: usize, tokens: &mut Tokens, nested: bool) -> Result<Pipe, TemplateError> {
    let (variables, assigns) = declaration(tokens);
    let mut commands = vec![Vec::new()];
    loop {
        match tokens.peek().map(|token| &token.kind) {
            None if nested => return Err(error(line, "unclosed left paren")),
            Some(Kind::Symbol(")")) if nested => {
                tokens.next();
                break;
            }
            None | Some(Kind::Symbol(")")) => break,
            Some(Kind::Symbol("|")) => {
                tokens.next();
                commands.push(Vec::new());
            }
            Some(_) => {
                let operand = operand(line, tokens)?;
                if let Some(command) = commands.last_mut() {
                    command.push(operand);
                }
            }
        }
    }
    if commands.iter().any(Vec::is_empty) {
        return Err(error(line, "missing value for command"));
    }
    if commands
        .iter()
        .any(|command| command[0] == Operand::Literal(Value::Nil))
    {
        return Err(error(line, "nil is not a command"));
    }
    Ok(Pipe {
        variables,
        assigns,
        commands,
    })
}

/// `$x :=`, `$k, $v :=` or `$x =`, if that is what comes.
fn declaration(tokens: &mut Tokens) -> (Vec<String>, bool) {
    let mut ahead = tokens.clone();
    let mut variables = Vec::new();
    while let Some(Kind::Variable(name)) = ahead.next().map(|token| token.kind) {
        variables.push(name);
        match ahead.next().map(|token| token.kind) {
            Some(Kind::Symbol(",")) => {}
            Some(Kind::Symbol(sign @ (":=" | "="))) => {
                *tokens = ahead;
                return (variables, sign == "=");
            }
            _ => break,
        }
    }
    (Vec::new(), false)
}

/// One operand with the fields that are glued to it.
fn operand(line: usize, tokens: &mut Tokens) -> Result<Operand, TemplateError> {
    let Some(token) = tokens.next() else {
        return Err(error(line, "missing value for command"));
    };
    let at = token.at;
    let mut operand = match token.kind {
        Kind::Dot => Operand::Dot,
        Kind::Field(name) => Operand::Field {
            of: Box::new(Operand::Dot),
            name,
            at,
        },
        Kind::Variable(name) => Operand::Variable(name),
        Kind::Literal(value) => Operand::Literal(value),
        Kind::Word(name) if functions::exists(&name) => Operand::Function { name, at },
        Kind::Word(name) => return Err(error(line, &format!("function {name:?} not defined"))),
        Kind::Symbol("(") => Operand::Pipe(pipe_until(line, tokens, true)?),
        Kind::Symbol(symbol) => return Err(error(line, &format!("unexpected {symbol:?} in operand"))),
    };
    while let Some(token) = tokens.next_if(|token| token.glued && matches!(token.kind, Kind::Field(_))) {
        if let Kind::Field(name) = token.kind {
            operand = Operand::Field {
                of: Box::new(operand),
                name,
                at: token.at,
            };
        }
    }
    Ok(operand)
}

fn error(line: usize, message: &str) -> TemplateError {
    TemplateError(format!(":{line}: {message}"))
}

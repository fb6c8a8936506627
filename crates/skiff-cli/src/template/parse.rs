//! From a template's text to its tree.

use std::collections::HashMap;
use std::ops::Range;

/// A piece of a template.
pub(super) enum Node {
    Text(String),
    Action(Pipe),
    If { pipe: Pipe, then: Vec<Node>, otherwise: Vec<Node> },
    With { pipe: Pipe, then: Vec<Node>, otherwise: Vec<Node> },
    Range { pipe: Pipe, body: Vec<Node>, otherwise: Vec<Node> },
    Template { name: String, pipe: Option<Pipe>, at: usize },
    Break,
    Continue,
}

/// Commands whose results flow from left to right, perhaps into variables.
pub(super) struct Pipe {
    pub(super) variables: Vec<String>,
    /// `=` rather than `:=`.
    pub(super) assigns: bool,
    pub(super) commands: Vec<Call>,
}

/// An operand, and the arguments when it is called.
pub(super) struct Call {
    pub(super) operands: Vec<Operand>,
    /// Where it stands in the source.
    pub(super) span: Range<usize>,
}

/// A value in the source.
pub(super) struct Operand {
    pub(super) kind: OperandKind,
    /// Fields taken from it, one after another.
    pub(super) fields: Vec<String>,
    /// Where errors say it is, which for a chain of fields is at the second.
    pub(super) at: usize,
    pub(super) span: Range<usize>,
}

/// What a chain of fields starts from.
pub(super) enum OperandKind {
    Dot,
    Nil,
    Bool(bool),
    Int(i64),
    Float(f64),
    Text(String),
    Variable(String),
    Function(String),
    Pipe(Pipe),
}

type Named = HashMap<String, Vec<Node>>;

/// Parses a whole template and the templates it defines.
pub(super) fn parse(source: &str) -> Result<(Vec<Node>, Named), String> {
    let mut parser = Parser { source, position: 0, named: HashMap::new(), loops: 0 };
    let (nodes, end) = parser.nodes()?;
    match end {
        Stop::OfInput => Ok((nodes, parser.named)),
        Stop::End => Err(parser.error("unexpected {{end}}")),
        Stop::Else(_) => Err(parser.error("unexpected {{else}}")),
    }
}

/// What ended a list of nodes.
enum Stop {
    OfInput,
    End,
    /// With what follows `else` (`if …` or `with …`), if anything.
    Else(Option<&'static str>),
}

struct Parser<'a> {
    source: &'a str,
    position: usize,
    named: Named,
    loops: usize,
}

impl Parser<'_> {
    fn error(&self, message: &str) -> String {
        let before = &self.source[..self.position.min(self.source.len())];
        format!("template: :{}: {message}", 1 + before.matches('\n').count())
    }

    fn rest(&self) -> &str {
        &self.source[self.position..]
    }

    /// Parses until `end`, `else` or the end of the input.
    fn nodes(&mut self) -> Result<(Vec<Node>, Stop), String> {
        let mut nodes = Vec::new();
        loop {
            let Some(open) = self.rest().find("{{") else {
                push_text(&mut nodes, self.rest());
                self.position = self.source.len();
                return Ok((nodes, Stop::OfInput));
            };
            let start = self.position + open;
            let mut text = &self.source[self.position..start];
            self.position = start + 2;
            let trims = self.rest().starts_with('-')
                && self.rest()[1..].starts_with([' ', '\t', '\r', '\n']);
            if trims {
                text = text.trim_end();
                self.position += 1;
            }
            push_text(&mut nodes, text);
            self.skip_spaces();
            if self.rest().starts_with("/*") {
                self.comment()?;
                continue;
            }
            if let Some(end) = self.action(&mut nodes)? {
                return Ok((nodes, end));
            }
        }
    }

    fn comment(&mut self) -> Result<(), String> {
        let Some(end) = self.rest().find("*/") else {
            return Err(self.error("unclosed comment"));
        };
        self.position += end + 2;
        self.close()
    }

    /// Parses what stands between the braces.
    fn action(&mut self, nodes: &mut Vec<Node>) -> Result<Option<Stop>, String> {
        let word = self.peek_word();
        let length = word.len();
        match word.as_str() {
            "end" => {
                self.position += length;
                self.close()?;
                return Ok(Some(Stop::End));
            }
            "else" => {
                self.position += length;
                self.skip_spaces();
                let next = match self.peek_word().as_str() {
                    "if" => Some("if"),
                    "with" => Some("with"),
                    _ => None,
                };
                if let Some(word) = next {
                    self.position += word.len();
                } else {
                    self.close()?;
                }
                return Ok(Some(Stop::Else(next)));
            }
            "if" | "with" | "range" => {
                self.position += length;
                nodes.push(self.control(&word)?);
            }
            "define" => self.define(length)?,
            "block" => nodes.push(self.block(length)?),
            "template" => nodes.push(self.template(length)?),
            "break" | "continue" if self.ends_after(length) => {
                if self.loops == 0 {
                    return Err(self.error(&format!("{{{{{word}}}}} outside {{{{range}}}}")));
                }
                self.position += length;
                self.close()?;
                nodes.push(if word == "break" { Node::Break } else { Node::Continue });
            }
            _ => {
                let pipe = self.pipe("command")?;
                self.close()?;
                nodes.push(Node::Action(pipe));
            }
        }
        Ok(None)
    }

    fn ends_after(&self, length: usize) -> bool {
        let rest = self.rest()[length..].trim_start();
        rest.starts_with("}}") || rest.starts_with("-}}")
    }

    fn control(&mut self, word: &str) -> Result<Node, String> {
        let pipe = self.pipe(word)?;
        self.close()?;
        self.loops += usize::from(word == "range");
        let (then, end) = self.nodes()?;
        self.loops -= usize::from(word == "range");
        let otherwise = match end {
            Stop::OfInput => return Err(self.error("unexpected EOF")),
            Stop::End => Vec::new(),
            // `{{else if}}` is an if in the else, ended by the same end.
            Stop::Else(Some(next)) => vec![self.control(next)?],
            Stop::Else(None) => match self.nodes()? {
                (nodes, Stop::End) => nodes,
                (_, Stop::Else(_)) => return Err(self.error("expected end; found {{else}}")),
                (_, Stop::OfInput) => return Err(self.error("unexpected EOF")),
            },
        };
        Ok(match word {
            "if" => Node::If { pipe, then, otherwise },
            "with" => Node::With { pipe, then, otherwise },
            _ => Node::Range { pipe, body: then, otherwise },
        })
    }

    fn quoted_name(&mut self, context: &str) -> Result<String, String> {
        self.skip_spaces();
        match self.rest().chars().next() {
            Some('"' | '`') => self.string(),
            _ => Err(self.error(&format!("unexpected token in {context}"))),
        }
    }

    fn body(&mut self) -> Result<Vec<Node>, String> {
        match self.nodes()? {
            (nodes, Stop::End) => Ok(nodes),
            (_, Stop::Else(_)) => Err(self.error("unexpected {{else}}")),
            (_, Stop::OfInput) => Err(self.error("unexpected EOF")),
        }
    }

    fn define(&mut self, length: usize) -> Result<(), String> {
        self.position += length;
        let name = self.quoted_name("define clause")?;
        self.close()?;
        let nodes = self.body()?;
        self.named.insert(name, nodes);
        Ok(())
    }

    fn block(&mut self, length: usize) -> Result<Node, String> {
        let at = self.position;
        self.position += length;
        let name = self.quoted_name("block clause")?;
        let pipe = Some(self.pipe("block clause")?);
        self.close()?;
        let nodes = self.body()?;
        self.named.insert(name.clone(), nodes);
        Ok(Node::Template { name, pipe, at })
    }

    fn template(&mut self, length: usize) -> Result<Node, String> {
        let at = self.position;
        self.position += length;
        let name = self.quoted_name("template clause")?;
        self.skip_spaces();
        let pipe = if self.at_close() { None } else { Some(self.pipe("template clause")?) };
        self.close()?;
        Ok(Node::Template { name, pipe, at })
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start_matches([' ', '\t', '\r', '\n']).len();
    }

    fn peek_word(&self) -> String {
        self.rest().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect()
    }

    fn at_close(&self) -> bool {
        self.rest().starts_with("}}") || self.rest().starts_with("-}}")
    }

    /// Takes the closing braces, and the space after trimming ones.
    fn close(&mut self) -> Result<(), String> {
        self.skip_spaces();
        if self.rest().starts_with("-}}") {
            self.position += 3;
            self.skip_spaces();
        } else if self.rest().starts_with("}}") {
            self.position += 2;
        } else if self.rest().is_empty() {
            return Err(self.error("unclosed action"));
        } else {
            return Err(self.unexpected("command"));
        }
        Ok(())
    }

    fn unexpected(&self, context: &str) -> String {
        if self.rest().is_empty() {
            return self.error("unclosed action");
        }
        let token: String = self.rest().chars().take(1).collect();
        self.error(&format!("unexpected {token:?} in {context}"))
    }

    /// Refuses what may not stand directly behind a field, a variable or a function.
    fn terminated(&self) -> Result<(), String> {
        let Some(next) = self.rest().chars().next() else { return Ok(()) };
        let ends = next.is_whitespace() || ".,|:()".contains(next) || self.rest().starts_with("}}");
        if ends {
            return Ok(());
        }
        Err(self.error(&format!("bad character U+{:04X} '{next}'", u32::from(next))))
    }

    fn pipe(&mut self, context: &str) -> Result<Pipe, String> {
        self.skip_spaces();
        let (variables, assigns) = self.declaration()?;
        let mut commands = Vec::new();
        loop {
            let call = self.call(context)?;
            commands.push(call);
            self.skip_spaces();
            if !self.rest().starts_with('|') {
                return Ok(Pipe { variables, assigns, commands });
            }
            self.position += 1;
        }
    }

    /// `$x :=`, `$i, $x :=` or `$x =`; rewinds when it was none of them.
    fn declaration(&mut self) -> Result<(Vec<String>, bool), String> {
        let start = self.position;
        let mut names = Vec::new();
        while self.rest().starts_with('$') {
            self.position += 1;
            let name = self.peek_word();
            self.position += name.len();
            names.push(name);
            self.skip_spaces();
            if self.rest().starts_with(":=") {
                self.position += 2;
                return Ok((names, false));
            }
            if self.rest().starts_with('=') {
                self.position += 1;
                return Ok((names, true));
            }
            if !self.rest().starts_with(',') {
                break;
            }
            self.position += 1;
            self.skip_spaces();
        }
        self.position = start;
        Ok((Vec::new(), false))
    }

    fn call(&mut self, context: &str) -> Result<Call, String> {
        self.skip_spaces();
        let start = self.position;
        let mut operands = Vec::new();
        let mut end = start;
        loop {
            self.skip_spaces();
            if self.at_close() || self.rest().starts_with(['|', ')']) {
                if operands.is_empty() {
                    let what = if context == "command" { "command" } else { context };
                    return Err(self.error(&format!("missing value for {what}")));
                }
                return Ok(Call { operands, span: start..end });
            }
            let context = if operands.is_empty() { context } else { "operand" };
            operands.push(self.operand(context)?);
            end = self.position;
        }
    }

    fn operand(&mut self, context: &str) -> Result<Operand, String> {
        let start = self.position;
        let kind = self.operand_kind(context)?;
        let first_field = self.position;
        let mut fields = Vec::new();
        let mut at = start;
        while self.rest().starts_with('.') {
            let position = self.position;
            self.position += 1;
            let name = self.peek_word();
            if name.is_empty() {
                return Err(self.unexpected("operand"));
            }
            self.position += name.len();
            self.terminated()?;
            let starts_with_dot = matches!(kind, OperandKind::Dot) && first_field == start;
            if fields.len() == usize::from(starts_with_dot) {
                at = position;
            }
            fields.push(name);
        }
        Ok(Operand { kind, fields, at, span: start..self.position })
    }

    fn operand_kind(&mut self, context: &str) -> Result<OperandKind, String> {
        let Some(first) = self.rest().chars().next() else {
            return Err(self.error("unclosed action"));
        };
        match first {
            '.' => {
                let number = self.rest()[1..].starts_with(|c: char| c.is_ascii_digit());
                if number {
                    return self.number();
                }
                // A lone dot; with a name after it the field loop takes both.
                if !self.rest()[1..].starts_with(|c: char| c.is_alphanumeric() || c == '_') {
                    self.position += 1;
                    self.terminated()?;
                }
                Ok(OperandKind::Dot)
            }
            '$' => {
                self.position += 1;
                let name = self.peek_word();
                self.position += name.len();
                self.terminated()?;
                Ok(OperandKind::Variable(name))
            }
            '"' | '`' => self.string().map(OperandKind::Text),
            '\'' => self.character(),
            '(' => {
                self.position += 1;
                let pipe = self.pipe("parenthesized pipeline")?;
                self.skip_spaces();
                if !self.rest().starts_with(')') {
                    return Err(self.error("unclosed left paren"));
                }
                self.position += 1;
                Ok(OperandKind::Pipe(pipe))
            }
            c if c.is_ascii_digit() || c == '-' || c == '+' => self.number(),
            c if c.is_alphabetic() || c == '_' => {
                let word = self.peek_word();
                self.position += word.len();
                self.terminated()?;
                match word.as_str() {
                    "true" => Ok(OperandKind::Bool(true)),
                    "false" => Ok(OperandKind::Bool(false)),
                    "nil" => Ok(OperandKind::Nil),
                    _ if super::functions::exists(&word) => Ok(OperandKind::Function(word)),
                    _ => Err(self.error(&format!("function {word:?} not defined"))),
                }
            }
            _ => Err(self.unexpected(context)),
        }
    }

    fn number(&mut self) -> Result<OperandKind, String> {
        let text: String = self
            .rest()
            .chars()
            .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '+' | '_'))
            .collect();
        self.position += text.len();
        if let Ok(value) = crate::flags::parse_integer(&text) {
            return Ok(OperandKind::Int(value));
        }
        match text.parse() {
            Ok(value) => Ok(OperandKind::Float(value)),
            Err(_) => Err(self.error(&format!("bad number syntax: {text:?}"))),
        }
    }

    fn character(&mut self) -> Result<OperandKind, String> {
        let mut characters = self.rest().chars();
        characters.next();
        match (characters.next(), characters.next()) {
            (Some(c), Some('\'')) if c != '\\' => {
                self.position += 2 + c.len_utf8();
                Ok(OperandKind::Int(i64::from(u32::from(c))))
            }
            _ => Err(self.error("unterminated character constant")),
        }
    }

    fn string(&mut self) -> Result<String, String> {
        let raw = self.rest().starts_with('`');
        let mut out = String::new();
        let mut characters = self.rest().char_indices().skip(1);
        while let Some((offset, c)) = characters.next() {
            match c {
                '`' if raw => {
                    self.position += offset + 1;
                    return Ok(out);
                }
                '"' if !raw => {
                    self.position += offset + 1;
                    return Ok(out);
                }
                '\n' if !raw => break,
                '\\' if !raw => match characters.next().map(|(_, c)| c) {
                    Some('n') => out.push('\n'),
                    Some('t') => out.push('\t'),
                    Some('r') => out.push('\r'),
                    Some(c @ ('"' | '\\' | '\'')) => out.push(c),
                    Some(c) => {
                        return Err(self.error(&format!("invalid syntax: \\{c}")));
                    }
                    None => break,
                },
                c => out.push(c),
            }
        }
        Err(self.error(if raw {
            "unterminated raw quoted string"
        } else {
            "unterminated quoted string"
        }))
    }
}

fn push_text(nodes: &mut Vec<Node>, text: &str) {
    if !text.is_empty() {
        nodes.push(Node::Text(text.to_owned()));
    }
}

//! Execution of a template's tree.

use std::ops::Range;
use std::rc::Rc;

use super::parse::{Call, Node, Operand, OperandKind, Pipe};
use super::value::{absent, kind_name};
use super::{MissingKey, Template, Value, functions};

/// How deep templates may call each other.
const DEEPEST: usize = 100;

/// Executes a template.
pub(super) fn execute(
    template: &Template,
    dot: &Value,
    missing: MissingKey,
    header: bool,
) -> Result<String, String> {
    let mut run = Run {
        template,
        missing,
        header,
        out: String::new(),
        variables: vec![(String::new(), dot.clone())],
        depth: 0,
    };
    run.nodes(&template.root, dot)?;
    Ok(run.out)
}

/// What a list of nodes leads to.
#[derive(PartialEq, Eq)]
enum Flow {
    On,
    Break,
    Continue,
}

struct Run<'a> {
    template: &'a Template,
    missing: MissingKey,
    header: bool,
    out: String,
    /// Innermost last; `$` itself has the empty name.
    variables: Vec<(String, Value)>,
    depth: usize,
}

impl Run<'_> {
    fn error(&self, at: usize, span: &Range<usize>, message: &str) -> String {
        let source = &self.template.source;
        let before = &source[..at];
        let line = 1 + before.matches('\n').count();
        let column = at - before.rfind('\n').map_or(0, |position| position + 1);
        let context = &source[span.clone()];
        format!("template: :{line}:{column}: executing \"\" at <{context}>: {message}")
    }

    fn nodes(&mut self, nodes: &[Node], dot: &Value) -> Result<Flow, String> {
        let scope = self.variables.len();
        for node in nodes {
            let flow = self.node(node, dot)?;
            if flow != Flow::On {
                self.variables.truncate(scope);
                return Ok(flow);
            }
        }
        self.variables.truncate(scope);
        Ok(Flow::On)
    }

    fn node(&mut self, node: &Node, dot: &Value) -> Result<Flow, String> {
        match node {
            Node::Text(text) => self.out.push_str(text),
            Node::Action(pipe) => {
                let value = self.pipe(pipe, dot)?;
                if pipe.variables.is_empty() {
                    value.print(&mut self.out);
                }
            }
            Node::If { pipe, then, otherwise } => {
                let scope = self.variables.len();
                let value = self.pipe(pipe, dot)?;
                let branch = if value.is_true() { then } else { otherwise };
                let flow = self.nodes(branch, dot)?;
                self.variables.truncate(scope);
                return Ok(flow);
            }
            Node::With { pipe, then, otherwise } => {
                let scope = self.variables.len();
                let value = self.pipe(pipe, dot)?;
                let flow = if value.is_true() {
                    self.nodes(then, &value)?
                } else {
                    self.nodes(otherwise, dot)?
                };
                self.variables.truncate(scope);
                return Ok(flow);
            }
            Node::Range { pipe, body, otherwise } => return self.range(pipe, body, otherwise, dot),
            Node::Template { name, pipe, at } => {
                self.call_template(name, pipe.as_ref(), *at, dot)?
            }
            Node::Break => return Ok(Flow::Break),
            Node::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    fn call_template(
        &mut self,
        name: &str,
        pipe: Option<&Pipe>,
        at: usize,
        dot: &Value,
    ) -> Result<(), String> {
        let span = at..at;
        let Some(nodes) = self.template.named.get(name) else {
            return Err(self.error(at, &span, &format!("template {name:?} not defined")));
        };
        if self.depth >= DEEPEST {
            return Err(self.error(at, &span, "exceeded maximum template depth"));
        }
        let value = match pipe {
            Some(pipe) => self.pipe(pipe, dot)?,
            None => Value::Missing,
        };
        let outer = std::mem::replace(&mut self.variables, vec![(String::new(), value.clone())]);
        self.depth += 1;
        let result = self.nodes(nodes, &value);
        self.depth -= 1;
        self.variables = outer;
        result.map(|_| ())
    }

    fn range(
        &mut self,
        pipe: &Pipe,
        body: &[Node],
        otherwise: &[Node],
        dot: &Value,
    ) -> Result<Flow, String> {
        let scope = self.variables.len();
        let value = self.commands(&pipe.commands, dot)?;
        let items: Vec<(Value, Value)> = match value {
            Value::List(items) => items
                .into_iter()
                .enumerate()
                .map(|(i, item)| (Value::Int(i as i64), item))
                .collect(),
            Value::Map(mut entries) | Value::Struct(mut entries) => {
                entries.sort_by(|a, b| a.0.cmp(&b.0));
                entries.into_iter().map(|(key, value)| (Value::Text(key), value)).collect()
            }
            Value::Int(count) => (0..count).map(|i| (Value::Int(i), Value::Int(i))).collect(),
            Value::Nil | Value::Missing => Vec::new(),
            other => {
                let call = &pipe.commands[0];
                let message = format!("range can't iterate over {}", other.printed());
                return Err(self.error(call.span.start, &call.span, &message));
            }
        };
        if items.is_empty() {
            return self.nodes(otherwise, dot);
        }
        for (key, item) in items {
            match pipe.variables.as_slice() {
                [value] => self.variables.push((value.clone(), item.clone())),
                [index, value] => {
                    self.variables.push((index.clone(), key));
                    self.variables.push((value.clone(), item.clone()));
                }
                _ => {}
            }
            let flow = self.nodes(body, &item)?;
            self.variables.truncate(scope);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(Flow::On)
    }

    /// Evaluates a pipeline and sets its variables.
    fn pipe(&mut self, pipe: &Pipe, dot: &Value) -> Result<Value, String> {
        let value = self.commands(&pipe.commands, dot)?;
        for name in &pipe.variables {
            if pipe.assigns {
                let Some(slot) = self.variables.iter_mut().rev().find(|(n, _)| n == name) else {
                    return Err(format!("template: :1: undefined variable \"${name}\""));
                };
                slot.1 = value.clone();
            } else {
                self.variables.push((name.clone(), value.clone()));
            }
        }
        Ok(value)
    }

    fn commands(&mut self, commands: &[Call], dot: &Value) -> Result<Value, String> {
        let mut piped = None;
        for call in commands {
            piped = Some(self.call(call, dot, piped)?);
        }
        Ok(piped.unwrap_or(Value::Missing))
    }

    fn call(&mut self, call: &Call, dot: &Value, piped: Option<Value>) -> Result<Value, String> {
        let (first, rest) = call.operands.split_first().expect("a call has an operand");
        if let OperandKind::Function(name) = &first.kind
            && first.fields.is_empty()
        {
            return self.function(name, call, rest, dot, piped);
        }
        let takes_arguments = !first.fields.is_empty();
        if !takes_arguments && (!rest.is_empty() || piped.is_some()) {
            let source = &self.template.source[first.span.clone()];
            let message = format!("can't give argument to non-function {source}");
            return Err(self.error(first.at, &first.span, &message));
        }
        let mut arguments = Vec::with_capacity(rest.len() + 1);
        for operand in rest {
            arguments.push(self.operand(operand, dot, &[])?);
        }
        arguments.extend(piped);
        self.operand(first, dot, &arguments)
    }

    fn function(
        &mut self,
        name: &str,
        call: &Call,
        operands: &[Operand],
        dot: &Value,
        piped: Option<Value>,
    ) -> Result<Value, String> {
        let mut arguments = Vec::with_capacity(operands.len() + 1);
        for operand in operands {
            let value = self.operand(operand, dot, &[])?;
            // `and` and `or` stop at the first argument that decides.
            let decided = (name == "and" && !value.is_true()) || (name == "or" && value.is_true());
            arguments.push(value);
            if decided {
                return Ok(arguments.pop().expect("just pushed"));
            }
        }
        arguments.extend(piped);
        let result = if self.header {
            functions::call_header(name, arguments)
        } else {
            functions::call(name, arguments)
        };
        result.map_err(|message| self.error(call.span.start, &call.span, &message))
    }

    fn operand(
        &mut self,
        operand: &Operand,
        dot: &Value,
        arguments: &[Value],
    ) -> Result<Value, String> {
        let mut value = match &operand.kind {
            OperandKind::Dot => dot.clone(),
            OperandKind::Nil => Value::Nil,
            OperandKind::Bool(value) => Value::Bool(*value),
            OperandKind::Int(value) => Value::Int(*value),
            OperandKind::Float(value) => Value::Float(*value),
            OperandKind::Text(text) => Value::Text(text.clone()),
            OperandKind::Variable(name) => {
                match self.variables.iter().rev().find(|(n, _)| n == name) {
                    Some((_, value)) => value.clone(),
                    None => return Err(format!("template: :1: undefined variable \"${name}\"")),
                }
            }
            OperandKind::Function(name) => functions::call(name, Vec::new())
                .map_err(|message| self.error(operand.at, &operand.span, &message))?,
            OperandKind::Pipe(pipe) => self.pipe(pipe, dot)?,
        };
        for (index, name) in operand.fields.iter().enumerate() {
            let last = index + 1 == operand.fields.len();
            let arguments = if last { arguments } else { &[] };
            value = self
                .field(&value, name, arguments, last)
                .map_err(|message| self.error(operand.at, &operand.span, &message))?;
        }
        Ok(value)
    }

    fn field(
        &self,
        value: &Value,
        name: &str,
        arguments: &[Value],
        last: bool,
    ) -> Result<Value, String> {
        if let Value::Object(object) = value {
            return Rc::clone(object).field(name, arguments).ok_or_else(|| {
                format!("can't evaluate field {name} in type {}", object.type_name())
            });
        }
        if !arguments.is_empty() {
            return Err(format!("{name} is not a method but has arguments"));
        }
        match value {
            Value::Map(_) => Ok(value.get(name).cloned().unwrap_or(Value::Missing)),
            Value::Struct(_) => match value.get_field(name) {
                Some(found) => Ok(found.clone()),
                None if self.missing == MissingKey::NoValue => Ok(Value::Missing),
                None => absent(name)
                    .filter(|_| last)
                    .ok_or_else(|| format!("map has no entry for key {name:?}")),
            },
            Value::Nil | Value::Missing => {
                Err(format!("nil pointer evaluating interface {{}}.{name}"))
            }
            other => Err(format!("can't evaluate field {name} in type {}", kind_name(other))),
        }
    }
}

//! The functions of templates: Go's own and those Docker adds.

use std::cmp::Ordering;

use super::Value;
use super::printf::sprintf;
use super::value::kind_name;

const NAMES: [&str; 25] = [
    "and", "or", "not", "len", "index", "slice", "print", "printf", "println", "eq", "ne", "lt",
    "le", "gt", "ge", "html", "urlquery", "json", "split", "join", "title", "lower", "upper",
    "pad", "truncate",
];

/// Whether there is a function of this name.
pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Calls a function while printing a table's head: what would change the value leaves it alone.
pub(super) fn call_header(name: &str, arguments: Vec<Value>) -> Result<Value, String> {
    match name {
        // The value is the last argument of `truncate`'s kin when piped, the first otherwise; in a
        // head it is the only text that is one.
        "json" | "split" | "join" | "title" | "lower" | "upper" | "pad" | "truncate" => {
            let text = arguments.into_iter().find(|value| matches!(value, Value::Text(_)));
            Ok(text.unwrap_or(Value::Missing))
        }
        _ => call(name, arguments),
    }
}

/// Calls a function; the error is what follows the position in Go's message.
pub(super) fn call(name: &str, arguments: Vec<Value>) -> Result<Value, String> {
    let (least, most) = match name {
        "print" | "println" => (0, usize::MAX),
        "and" | "or" | "printf" | "index" | "slice" | "html" | "urlquery" => (1, usize::MAX),
        "eq" => (1, usize::MAX),
        "ne" | "lt" | "le" | "gt" | "ge" | "split" | "join" | "truncate" => (2, 2),
        "pad" => (3, 3),
        _ => (1, 1),
    };
    let count = arguments.len();
    if count < least || count > most {
        let least =
            if most == usize::MAX { format!("at least {least}") } else { least.to_string() };
        return Err(format!("wrong number of args for {name}: want {least} got {count}"));
    }
    let failed = |message: String| format!("error calling {name}: {message}");
    match name {
        "and" | "or" => Ok(arguments.into_iter().next_back().unwrap_or(Value::Missing)),
        "not" => Ok(Value::Bool(!arguments[0].is_true())),
        "len" => length(&arguments[0]).map_err(failed),
        "index" => index(&arguments[0], &arguments[1..]).map_err(failed),
        "slice" => slice(&arguments[0], &arguments[1..]).map_err(failed),
        "print" => Ok(Value::Text(sprint(&arguments))),
        "println" => {
            let words: Vec<_> = arguments.iter().map(Value::printed).collect();
            Ok(Value::Text(words.join(" ") + "\n"))
        }
        "printf" => match &arguments[0] {
            Value::Text(format) => Ok(Value::Text(sprintf(format, &arguments[1..]))),
            other => Err(wrong_type("string", other)),
        },
        "html" => Ok(Value::Text(escape_html(&sprint(&arguments)))),
        "urlquery" => Ok(Value::Text(crate::client::encode_component(&sprint(&arguments)))),
        "eq" | "ne" | "lt" | "le" | "gt" | "ge" => compare(name, &arguments).map_err(failed),
        _ => docker_function(name, &arguments),
    }
}

fn docker_function(name: &str, arguments: &[Value]) -> Result<Value, String> {
    if name == "json" {
        let text = serde_json::to_string(&arguments[0]).map_err(|error| error.to_string())?;
        // Go escapes what rows marshal themselves, and leaves other values as they are.
        let is_row = matches!(arguments[0], Value::Object(_));
        return Ok(Value::Text(if is_row { escape_json(&text) } else { text }));
    }
    if name == "join" {
        let (Value::List(items), Value::Text(separator)) = (&arguments[0], &arguments[1]) else {
            return Err(wrong_type("[]string", &arguments[0]));
        };
        let words: Vec<_> = items.iter().map(Value::printed).collect();
        return Ok(Value::Text(words.join(separator)));
    }
    let Value::Text(text) = &arguments[0] else {
        return Err(wrong_type("string", &arguments[0]));
    };
    Ok(match name {
        "lower" => Value::Text(text.to_lowercase()),
        "upper" => Value::Text(text.to_uppercase()),
        "title" => Value::Text(title(text)),
        "split" => match &arguments[1] {
            Value::Text(separator) if separator.is_empty() => {
                Value::List(text.chars().map(Value::text).collect())
            }
            Value::Text(separator) => {
                Value::List(text.split(separator.as_str()).map(Value::text).collect())
            }
            other => return Err(wrong_type("string", other)),
        },
        "truncate" => Value::Text(text.chars().take(number(&arguments[1])?).collect()),
        _ if text.is_empty() => Value::Text(String::new()),
        _ => {
            let spaces = |value| number(value).map(|count| " ".repeat(count));
            Value::Text(format!("{}{text}{}", spaces(&arguments[1])?, spaces(&arguments[2])?))
        }
    })
}

/// Keeps JSON harmless inside of HTML; these letters occur in strings only.
fn escape_json(text: &str) -> String {
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

fn number(value: &Value) -> Result<usize, String> {
    match value {
        Value::Int(number) => Ok(usize::try_from(*number).unwrap_or(0).min(1 << 16)),
        other => Err(wrong_type("int", other)),
    }
}

fn wrong_type(expected: &str, value: &Value) -> String {
    match value {
        Value::Nil | Value::Missing => format!("invalid value; expected {expected}"),
        other => format!("wrong type for value; expected {expected}; got {}", kind_name(other)),
    }
}

/// The first letter of each word in upper case.
fn title(text: &str) -> String {
    let mut previous = ' ';
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if previous.is_alphanumeric() || previous == '_' || previous == '\'' {
            out.push(c);
        } else {
            out.extend(c.to_uppercase());
        }
        previous = c;
    }
    out
}

fn escape_html(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}

/// Go puts a space between two operands when neither is a string.
fn sprint(arguments: &[Value]) -> String {
    let mut out = String::new();
    let mut previous_text = true;
    for (index, value) in arguments.iter().enumerate() {
        let is_text = matches!(value, Value::Text(_));
        if index > 0 && !is_text && !previous_text {
            out.push(' ');
        }
        value.print(&mut out);
        previous_text = is_text;
    }
    out
}

fn length(value: &Value) -> Result<Value, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(entries) | Value::Struct(entries) => entries.len(),
        Value::Nil | Value::Missing => return Err("len of nil pointer".to_owned()),
        other => return Err(format!("len of type {}", kind_name(other))),
    };
    Ok(Value::Int(length as i64))
}

fn index(value: &Value, keys: &[Value]) -> Result<Value, String> {
    let mut value = value.clone();
    for key in keys {
        value = match (&value, key) {
            (Value::List(items), Value::Int(position)) => usize::try_from(*position)
                .ok()
                .and_then(|position| items.get(position).cloned())
                .ok_or_else(|| format!("reflect: slice index out of range: {position}"))?,
            (Value::Text(text), Value::Int(position)) => {
                let byte = usize::try_from(*position).ok().and_then(|p| text.as_bytes().get(p));
                Value::Int(i64::from(
                    *byte.ok_or_else(|| format!("index out of range: {position}"))?,
                ))
            }
            (Value::Map(entries), Value::Text(name)) => match value.get(name) {
                Some(found) => found.clone(),
                // The zero value of the map's element.
                None if entries.iter().all(|(_, v)| matches!(v, Value::Text(_))) => {
                    Value::Text(String::new())
                }
                None => Value::Missing,
            },
            (Value::Struct(_), Value::Text(name)) => {
                value.get(name).cloned().unwrap_or(Value::Missing)
            }
            (Value::Nil | Value::Missing, _) => return Err("index of nil pointer".to_owned()),
            (Value::List(_) | Value::Text(_), key) => {
                return Err(format!("cannot index slice/array with type {}", kind_name(key)));
            }
            (other, _) => return Err(format!("can't index item of type {}", kind_name(other))),
        };
    }
    Ok(value)
}

fn slice(value: &Value, bounds: &[Value]) -> Result<Value, String> {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        other => return Err(format!("can't slice item of type {}", kind_name(other))),
    };
    let mut range = [0, length];
    for (slot, bound) in range.iter_mut().zip(bounds) {
        let Value::Int(position) = bound else {
            return Err(format!("cannot index slice/array with type {}", kind_name(bound)));
        };
        *slot = usize::try_from(*position)
            .ok()
            .filter(|position| *position <= length)
            .ok_or_else(|| format!("index out of range: {position}"))?;
    }
    let [start, end] = range;
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}"));
    }
    Ok(match value {
        Value::Text(text) => {
            Value::Text(String::from_utf8_lossy(&text.as_bytes()[start..end]).into_owned())
        }
        Value::List(items) => Value::List(items[start..end].to_vec()),
        _ => Value::Missing,
    })
}

fn compare(name: &str, arguments: &[Value]) -> Result<Value, String> {
    let [first, others @ ..] = arguments else {
        return Err("missing argument for comparison".to_owned());
    };
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    if name == "eq" {
        for other in others {
            if equal(first, other)? {
                return Ok(Value::Bool(true));
            }
        }
        return Ok(Value::Bool(false));
    }
    let other = &others[0];
    if name == "ne" {
        return Ok(Value::Bool(!equal(first, other)?));
    }
    let order = order(first, other).ok_or_else(|| incompatible(first, other))?;
    Ok(Value::Bool(match name {
        "lt" => order == Ordering::Less,
        "le" => order != Ordering::Greater,
        "gt" => order == Ordering::Greater,
        _ => order != Ordering::Less,
    }))
}

fn incompatible(a: &Value, b: &Value) -> String {
    let basic = |v: &Value| {
        !matches!(v, Value::List(_) | Value::Map(_) | Value::Struct(_) | Value::Object(_))
    };
    if basic(a) && basic(b) && !matches!(a, Value::Bool(_)) {
        "incompatible types for comparison".to_owned()
    } else {
        "invalid type for comparison".to_owned()
    }
}

fn equal(a: &Value, b: &Value) -> Result<bool, String> {
    match (a, b) {
        (Value::Nil | Value::Missing, Value::Nil | Value::Missing) => Ok(true),
        (Value::Nil | Value::Missing, _) | (_, Value::Nil | Value::Missing) => Ok(false),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        _ => order(a, b).map(|o| o == Ordering::Equal).ok_or_else(|| incompatible(a, b)),
    }
}

fn order(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Uint(a), Value::Uint(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Uint(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        (Value::Uint(a), Value::Int(b)) => Some(i128::from(*a).cmp(&i128::from(*b))),
        _ => None,
    }
}

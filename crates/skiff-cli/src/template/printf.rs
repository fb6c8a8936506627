//! `printf`, with the verbs people use.

use super::Value;
use super::value::kind_name;

/// The flags, width and precision of one verb.
#[derive(Default)]
struct Spec {
    minus: bool,
    plus: bool,
    zero: bool,
    sharp: bool,
    width: usize,
    precision: Option<usize>,
}

/// Formats as Go's `fmt.Sprintf`.
pub(super) fn sprintf(format: &str, arguments: &[Value]) -> String {
    let mut out = String::new();
    let mut characters = format.chars().peekable();
    let mut arguments = arguments.iter();
    while let Some(c) = characters.next() {
        if c != '%' {
            out.push(c);
            continue;
        }
        let spec = read_spec(&mut characters, &mut arguments);
        match characters.next() {
            None => out.push_str("%!(NOVERB)"),
            Some('%') => out.push('%'),
            Some(verb) => match arguments.next() {
                None => out.push_str(&format!("%!{verb}(MISSING)")),
                Some(value) => out.push_str(&pad(&render(verb, value, &spec), &spec)),
            },
        }
    }
    let rest: Vec<_> =
        arguments.map(|value| format!("{}={}", kind_name(value), value.printed())).collect();
    if !rest.is_empty() {
        out.push_str(&format!("%!(EXTRA {})", rest.join(", ")));
    }
    out
}

fn read_spec<'a>(
    characters: &mut std::iter::Peekable<std::str::Chars>,
    arguments: &mut impl Iterator<Item = &'a Value>,
) -> Spec {
    let mut spec = Spec::default();
    while let Some(flag) = characters.next_if(|c| "-+#0 ".contains(*c)) {
        match flag {
            '-' => spec.minus = true,
            '+' => spec.plus = true,
            '0' => spec.zero = true,
            '#' => spec.sharp = true,
            _ => {}
        }
    }
    spec.width = read_number(characters, arguments).unwrap_or(0);
    if characters.next_if_eq(&'.').is_some() {
        spec.precision = Some(read_number(characters, arguments).unwrap_or(0));
    }
    spec
}

fn read_number<'a>(
    characters: &mut std::iter::Peekable<std::str::Chars>,
    arguments: &mut impl Iterator<Item = &'a Value>,
) -> Option<usize> {
    /// A width is a matter of columns; this keeps a slip of the finger from eating all memory.
    const WIDEST: usize = 1 << 16;
    if characters.next_if_eq(&'*').is_some() {
        return match arguments.next() {
            Some(Value::Int(number)) => usize::try_from(*number).ok().map(|n| n.min(WIDEST)),
            _ => None,
        };
    }
    let mut number = None;
    while let Some(digit) = characters.next_if(char::is_ascii_digit) {
        let digit = digit as usize - '0' as usize;
        number = Some((number.unwrap_or(0) * 10 + digit).min(WIDEST));
    }
    number
}

fn render(verb: char, value: &Value, spec: &Spec) -> String {
    match (verb, value) {
        ('v', Value::Text(text)) if spec.sharp => format!("{text:?}"),
        ('v', _) => signed(value, value.printed(), spec),
        ('s', Value::Text(text)) => match spec.precision {
            Some(most) => text.chars().take(most).collect(),
            None => text.clone(),
        },
        ('s', Value::List(_) | Value::Map(_) | Value::Struct(_)) => value.printed(),
        ('q', Value::Text(text)) => format!("{text:?}"),
        ('d', Value::Int(_) | Value::Uint(_)) => signed(value, value.printed(), spec),
        ('x', Value::Int(number)) => format!("{number:x}"),
        ('X', Value::Int(number)) => format!("{number:X}"),
        ('o', Value::Int(number)) => format!("{number:o}"),
        ('b', Value::Int(number)) => format!("{number:b}"),
        ('c', Value::Int(number)) => {
            u32::try_from(*number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string()
        }
        ('x', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
        ('t', Value::Bool(value)) => value.to_string(),
        ('f', Value::Float(number)) => format!("{number:.*}", spec.precision.unwrap_or(6)),
        ('g', Value::Float(_)) => value.printed(),
        ('T', _) => kind_name(value).to_owned(),
        _ => format!("%!{verb}({}={})", kind_name(value), value.printed()),
    }
}

fn signed(value: &Value, text: String, spec: &Spec) -> String {
    let number = matches!(value, Value::Int(_) | Value::Uint(_) | Value::Float(_));
    if spec.plus && number && !text.starts_with('-') { format!("+{text}") } else { text }
}

fn pad(text: &str, spec: &Spec) -> String {
    let missing = spec.width.saturating_sub(text.chars().count());
    if spec.minus {
        return format!("{text}{}", " ".repeat(missing));
    }
    if spec.zero
        && let Some(digits) = text.strip_prefix('-')
    {
        return format!("-{}{digits}", "0".repeat(missing));
    }
    format!("{}{text}", if spec.zero { "0" } else { " " }.repeat(missing))
}

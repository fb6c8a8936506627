//! Re-indenting JSON without understanding it, so that `inspect` prints every field the daemon
//! sent, in its order, with its numbers.

/// Indents a JSON text by four spaces a level, as Go's `json.Indent` does; `prefix` starts each line
/// but the first.
pub(crate) fn indent(json: &str, prefix: &str) -> String {
    let mut out = String::with_capacity(json.len() * 2);
    let mut depth = 0;
    let mut in_string = false;
    let mut escaped = false;
    // A container that was just opened gets no line of its own while it stays empty.
    let mut opened = false;
    for c in json.chars() {
        if in_string {
            out.push(c);
            in_string = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        if c.is_ascii_whitespace() {
            continue;
        }
        if opened && !matches!(c, ']' | '}') {
            depth += 1;
            new_line(&mut out, prefix, depth);
        }
        let was_opened = std::mem::replace(&mut opened, false);
        match c {
            '"' => {
                in_string = true;
                out.push(c);
            }
            '{' | '[' => {
                opened = true;
                out.push(c);
            }
            '}' | ']' => {
                if !was_opened {
                    depth -= 1;
                    new_line(&mut out, prefix, depth);
                }
                out.push(c);
            }
            ',' => {
                out.push(c);
                new_line(&mut out, prefix, depth);
            }
            ':' => out.push_str(": "),
            c => out.push(c),
        }
    }
    out
}

fn new_line(out: &mut String, prefix: &str, depth: i32) {
    out.push('\n');
    out.push_str(prefix);
    for _ in 0..depth {
        out.push_str("    ");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_indented_and_kept() {
        let json = r#"{"a":[],"b":{},"c":[1,{"d":"x: {\",\\"}],"e":1.0}"#;
        let expected = "{\n    \"a\": [],\n    \"b\": {},\n    \"c\": [\n        1,\n        {\n            \
                        \"d\": \"x: {\\\",\\\\\"\n        }\n    ],\n    \"e\": 1.0\n}";
        assert_eq!(indent(json, ""), expected);
        assert_eq!(indent("[]", ""), "[]");
    }
}

//! Regular expressions as far as name filters need them: `docker ps --filter name=^/web-[0-9]+$`.
//!
//! Known are literals, `.`, `[…]`, `^`, `$`, groups, `|`, `*`, `+`, `?` and `\d \w \s` with their
//! opposites. Matching is by sets of positions in the program (no backtracking), so no expression
//! takes more than its length times the text's.

use thiserror::Error;

/// The expression is malformed or uses what is not known here.
#[derive(Debug, Error, PartialEq, Eq)]
#[error("unsupported regular expression")]
pub struct PatternError;

/// One instruction of a compiled expression.
#[derive(Debug)]
enum Op {
    Any,
    Char(char),
    Class {
        negated: bool,
        ranges: Vec<(char, char)>,
    },
    Start,
    End,
    /// Go on at both places.
    Split(usize, usize),
    Jump(usize),
    Match,
}

/// A compiled expression.
#[derive(Debug)]
pub struct Pattern(Vec<Op>);

/// Longest expression, in instructions.
const MAX_OPS: usize = 1024;
const MAX_DEPTH: usize = 32;

impl Pattern {
    /// Compiles an expression.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        let chars: Vec<char> = text.chars().collect();
        let mut parser = Parser { chars: &chars, at: 0, depth: 0 };
        let mut ops = parser.alternatives()?;
        if parser.at != chars.len() || ops.len() > MAX_OPS {
            return Err(PatternError);
        }
        ops.push(Op::Match);
        Ok(Pattern(ops))
    }

    /// Says whether any part of the text matches.
    pub fn is_found_in(&self, text: &str) -> bool {
        let mut current: Vec<usize> = Vec::new();
        let mut next: Vec<usize> = Vec::new();
        let mut chars = text.chars();
        let mut at_start = true;
        loop {
            let ch = chars.next();
            // A match may begin anywhere.
            current.push(0);
            let mut seen = vec![false; self.0.len()];
            while let Some(pc) = current.pop() {
                if std::mem::replace(&mut seen[pc], true) {
                    continue;
                }
                match &self.0[pc] {
                    Op::Match => return true,
                    Op::Jump(to) => current.push(*to),
                    Op::Split(a, b) => current.extend([*a, *b]),
                    Op::Start if at_start => current.push(pc + 1),
                    Op::End if ch.is_none() => current.push(pc + 1),
                    Op::Start | Op::End => {}
                    op => next.extend(ch.filter(|&ch| op.takes(ch)).map(|_| pc + 1)),
                }
            }
            if ch.is_none() {
                return false;
            }
            at_start = false;
            std::mem::swap(&mut current, &mut next);
        }
    }
}

impl Op {
    fn takes(&self, ch: char) -> bool {
        match self {
            Op::Any => ch != '\n',
            Op::Char(c) => *c == ch,
            Op::Class { negated, ranges } => {
                ranges.iter().any(|&(from, to)| (from..=to).contains(&ch)) != *negated
            }
            Op::Start | Op::End | Op::Split(..) | Op::Jump(_) | Op::Match => false,
        }
    }
}

struct Parser<'a> {
    chars: &'a [char],
    at: usize,
    depth: usize,
}

/// Moves a piece of program that was compiled for address 0.
fn shift(ops: Vec<Op>, by: usize) -> impl Iterator<Item = Op> {
    ops.into_iter().map(move |op| match op {
        Op::Split(a, b) => Op::Split(a + by, b + by),
        Op::Jump(to) => Op::Jump(to + by),
        op => op,
    })
}

impl Parser<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.at).copied()
    }

    fn alternatives(&mut self) -> Result<Vec<Op>, PatternError> {
        let left = self.sequence()?;
        if self.peek() != Some('|') {
            return Ok(left);
        }
        self.at += 1;
        let right = self.alternatives()?;
        let mut ops = vec![Op::Split(1, left.len() + 2)];
        ops.extend(shift(left, 1));
        let end = ops.len() + 1 + right.len();
        ops.push(Op::Jump(end));
        let base = ops.len();
        ops.extend(shift(right, base));
        Ok(ops)
    }

    fn sequence(&mut self) -> Result<Vec<Op>, PatternError> {
        let mut ops = Vec::new();
        while let Some(ch) = self.peek() {
            if ch == '|' || ch == ')' {
                break;
            }
            let piece = self.repeated()?;
            let base = ops.len();
            ops.extend(shift(piece, base));
            if ops.len() > MAX_OPS {
                return Err(PatternError);
            }
        }
        Ok(ops)
    }

    fn repeated(&mut self) -> Result<Vec<Op>, PatternError> {
        let mut ops = self.atom()?;
        while let Some(ch @ ('*' | '+' | '?')) = self.peek() {
            self.at += 1;
            let len = ops.len();
            let mut repeated = Vec::with_capacity(len + 2);
            if ch == '+' {
                repeated.extend(ops);
                repeated.push(Op::Split(0, len + 1));
            } else {
                let star = usize::from(ch == '*');
                repeated.push(Op::Split(1, len + 1 + star));
                repeated.extend(shift(ops, 1));
                if ch == '*' {
                    repeated.push(Op::Jump(0));
                }
            }
            ops = repeated;
            if ops.len() > MAX_OPS {
                return Err(PatternError);
            }
        }
        Ok(ops)
    }

    fn atom(&mut self) -> Result<Vec<Op>, PatternError> {
        let ch = self.peek().ok_or(PatternError)?;
        self.at += 1;
        Ok(vec![match ch {
            '.' => Op::Any,
            '^' => Op::Start,
            '$' => Op::End,
            '[' => self.class()?,
            '\\' => self.escape()?,
            '(' => return self.group(),
            '*' | '+' | '?' | '{' => return Err(PatternError),
            ch => Op::Char(ch),
        }])
    }

    fn group(&mut self) -> Result<Vec<Op>, PatternError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(PatternError);
        }
        if self.chars[self.at..].starts_with(&['?', ':']) {
            self.at += 2;
        }
        let ops = self.alternatives()?;
        if self.peek() != Some(')') {
            return Err(PatternError);
        }
        self.at += 1;
        self.depth -= 1;
        Ok(ops)
    }

    fn escape(&mut self) -> Result<Op, PatternError> {
        let ch = self.peek().ok_or(PatternError)?;
        self.at += 1;
        if let Some(ranges) = shorthand(ch.to_ascii_lowercase()) {
            return Ok(Op::Class { negated: ch.is_ascii_uppercase(), ranges });
        }
        if ch.is_ascii_alphanumeric() {
            return Err(PatternError);
        }
        Ok(Op::Char(ch))
    }

    fn class(&mut self) -> Result<Op, PatternError> {
        let negated = self.peek() == Some('^');
        if negated {
            self.at += 1;
        }
        let mut ranges = Vec::new();
        loop {
            let ch = self.peek().ok_or(PatternError)?;
            self.at += 1;
            let from = match ch {
                ']' if !ranges.is_empty() => return Ok(Op::Class { negated, ranges }),
                '[' if self.peek() == Some(':') => return Err(PatternError),
                '\\' => {
                    let ch = self.peek().ok_or(PatternError)?;
                    self.at += 1;
                    if let Some(more) = shorthand(ch) {
                        ranges.extend(more);
                        continue;
                    }
                    ch
                }
                ch => ch,
            };
            let to = match self.chars.get(self.at..self.at + 2) {
                Some(&['-', to]) if to != ']' => {
                    self.at += 2;
                    to
                }
                _ => from,
            };
            if to < from {
                return Err(PatternError);
            }
            ranges.push((from, to));
        }
    }
}

fn shorthand(ch: char) -> Option<Vec<(char, char)>> {
    Some(match ch {
        'd' => vec![('0', '9')],
        'w' => vec![('0', '9'), ('A', 'Z'), ('a', 'z'), ('_', '_')],
        's' => vec![('\t', '\n'), ('\x0c', '\r'), (' ', ' ')],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_match_as_in_go() {
        for (pattern, text, expect) in [
            ("", "", true),
            ("a", "bab", true),
            ("^a$", "a", true),
            ("^a$", "ba", false),
            ("^(ab|c)+$", "abcab", true),
            ("^(ab|c)+$", "abca", false),
            ("a*b", "b", true),
            ("^a?b$", "aab", false),
            ("^[a-c_-]+$", "a-b_c", true),
            ("^[^/]+$", "a/b", false),
            (r"^\d+\.\d+$", "12.5", true),
            (r"^\w+$", "a b", false),
            (r"^\W$", "-", true),
            ("^(?:x|)y$", "y", true),
            ("x|y|^z$", "az", false),
            ("é.ü", "aé-ü", true),
        ] {
            let found = Pattern::parse(pattern).unwrap().is_found_in(text);
            assert_eq!(found, expect, "{pattern} in {text}");
        }
    }

    #[test]
    fn malformed_expressions_are_refused() {
        for pattern in ["[", "a)", "(", "*", "a{2}", "\\", "\\q", "[z-a]", &"(".repeat(100)] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_hostile_expression_takes_no_time() {
        let pattern = Pattern::parse(&"(a*)*".repeat(50)).unwrap();
        assert!(!Pattern::parse("^(a*)*b$").unwrap().is_found_in(&"a".repeat(10_000)));
        assert!(pattern.is_found_in(&"a".repeat(10_000)));
    }
}

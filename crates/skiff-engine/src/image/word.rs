//! Words of a Dockerfile instruction: quotes, escapes and variables as in a shell, pure.

/// A word with its quotes undone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) text: String,
    /// Where the first `=` outside of quotes is in `text`.
    pub(super) equals: Option<usize>,
}

/// Value of a variable.
type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Splits at white space outside of quotes.
pub(super) fn split(text: &str, lookup: Lookup<'_>) -> Result<Vec<Word>, String> {
    let mut scanner = Scanner { rest: text, lookup };
    let mut words = Vec::new();
    loop {
        scanner.rest = scanner.rest.trim_start();
        if scanner.rest.is_empty() {
            return Ok(words);
        }
        words.push(scanner.word(true)?);
    }
}

/// The whole text as one word: white space stays.
pub(super) fn expand(text: &str, lookup: Lookup<'_>) -> Result<String, String> {
    Ok(Scanner { rest: text, lookup }.word(false)?.text)
}

struct Scanner<'a> {
    rest: &'a str,
    lookup: Lookup<'a>,
}

impl Scanner<'_> {
    fn next(&mut self) -> Option<char> {
        let letter = self.rest.chars().next()?;
        self.rest = &self.rest[letter.len_utf8()..];
        Some(letter)
    }

    fn word(&mut self, ends_at_space: bool) -> Result<Word, String> {
        let mut word = Word::default();
        while let Some(letter) = self.next() {
            match letter {
                _ if ends_at_space && letter.is_whitespace() => break,
                '\'' => self.single(&mut word.text)?,
                '"' => self.double(&mut word.text)?,
                '\\' => word.text.extend(self.next()),
                '$' => self.variable(&mut word.text)?,
                '=' if word.equals.is_none() => {
                    word.equals = Some(word.text.len());
                    word.text.push('=');
                }
                _ => word.text.push(letter),
            }
        }
        Ok(word)
    }

    fn single(&mut self, text: &mut String) -> Result<(), String> {
        let (inside, rest) = self.rest.split_once('\'').ok_or_else(|| unclosed("single"))?;
        text.push_str(inside);
        self.rest = rest;
        Ok(())
    }

    fn double(&mut self, text: &mut String) -> Result<(), String> {
        loop {
            match self.next().ok_or_else(|| unclosed("double"))? {
                '"' => return Ok(()),
                '$' => self.variable(text)?,
                '\\' => match self.next().ok_or_else(|| unclosed("double"))? {
                    quoted @ ('"' | '$' | '\\') => text.push(quoted),
                    other => text.extend(['\\', other]),
                },
                letter => text.push(letter),
            }
        }
    }

    /// `$name`, `${name}`, `${name:-else}` or `${name:+instead}`; a lone dollar is itself.
    fn variable(&mut self, text: &mut String) -> Result<(), String> {
        let Some(braced) = self.rest.strip_prefix('{') else {
            let end = self.rest.find(|letter: char| !is_name(letter)).unwrap_or(self.rest.len());
            let (name, rest) = self.rest.split_at(end);
            self.rest = rest;
            match name {
                "" => text.push('$'),
                name => text.push_str(&(self.lookup)(name).unwrap_or_default()),
            }
            return Ok(());
        };
        let (inside, rest) =
            braced.split_once('}').ok_or_else(|| "syntax error: missing '}'".to_owned())?;
        self.rest = rest;
        let end = inside.find(|letter: char| !is_name(letter)).unwrap_or(inside.len());
        let (name, modifier) = inside.split_at(end);
        let value = (self.lookup)(name).filter(|value| !value.is_empty());
        let shown = match (modifier.get(..2), modifier.get(2..)) {
            _ if modifier.is_empty() && !name.is_empty() => value.unwrap_or_default(),
            (Some(":-"), Some(other)) => match value {
                Some(value) => value,
                None => expand(other, self.lookup)?,
            },
            (Some(":+"), Some(other)) => match value {
                Some(_) => expand(other, self.lookup)?,
                None => String::new(),
            },
            _ => return Err(format!("unsupported modifier in substitution: ${{{inside}}}")),
        };
        text.push_str(&shown);
        Ok(())
    }
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

fn unclosed(kind: &str) -> String {
    format!("unexpected end of statement while looking for matching {kind}-quote")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lookup(name: &str) -> Option<String> {
        (name == "A").then(|| "va lue".to_owned())
    }

    #[test]
    fn words_are_split_as_a_shell_does() {
        for (text, expect) in [
            ("", &[][..]),
            ("  a  b\tc ", &["a", "b", "c"]),
            ("'a b' \"c d\"", &["a b", "c d"]),
            (r#"a\ b "q\"$A" '$A'"#, &["a b", "q\"va lue", "$A"]),
            ("x=$A", &["x=va lue"]),
            ("${A} ${B:-else} ${A:+set}${B:+no} $ $B.", &["va lue", "else", "set", "$", "."]),
        ] {
            let found = split(text, &lookup).unwrap();
            let found: Vec<&str> = found.iter().map(|word| word.text.as_str()).collect();
            assert_eq!(found, expect, "{text:?}");
        }
    }

    #[test]
    fn only_an_unquoted_equals_sign_counts() {
        let found = split(r#"a=b=c "x=y" k"=v"#, &lookup);
        assert!(found.is_err());
        let found = split(r#"a=b=c "x=y""#, &lookup).unwrap();
        assert_eq!((found[0].equals, found[1].equals), (Some(1), None));
    }

    #[test]
    fn what_is_not_closed_is_an_error() {
        for text in ["'a", "\"a", "${A", "${A?x}", "${}"] {
            assert!(split(text, &lookup).is_err(), "{text}");
        }
    }
}

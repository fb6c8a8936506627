//! JSON text to a tree, with the leniency and the error texts of Go's scanner.

use super::MAX_DEPTH;

/// A parsed value. Numbers stay as written, because whether one fits is the target's question.
#[derive(Debug, PartialEq)]
pub(super) enum Tree {
    Null,
    Bool(bool),
    Number(String),
    String(String),
    Array(Vec<Tree>),
    Object(Vec<(String, Tree)>),
}

/// Parses one value; returns it and what follows it.
pub(super) fn parse(text: &[u8]) -> Result<(Tree, &[u8]), String> {
    let mut scanner = Scanner { text, at: 0, depth: 0 };
    scanner.skip_space();
    if scanner.at == text.len() {
        return Err("EOF".to_owned());
    }
    let tree = scanner.value()?;
    Ok((tree, &text[scanner.at..]))
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    depth: usize,
}

/// A byte as Go quotes it in its errors.
fn quoted(byte: u8) -> String {
    match byte {
        b'\'' => r"'\''".to_owned(),
        b'"' => "'\"'".to_owned(),
        b'\\' => r"'\\'".to_owned(),
        b'\n' => r"'\n'".to_owned(),
        b'\r' => r"'\r'".to_owned(),
        b'\t' => r"'\t'".to_owned(),
        0x20..=0x7e => format!("'{}'", char::from(byte)),
        0..=0x1f | 0x7f => format!(r"'\x{byte:02x}'"),
        // Go's scanner knows bytes only and shows them as Latin-1.
        _ => format!("'{}'", char::from(byte)),
    }
}

impl Scanner<'_> {
    fn skip_space(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    fn next(&mut self) -> Result<u8, String> {
        let byte = self.text.get(self.at).ok_or("unexpected EOF")?;
        self.at += 1;
        Ok(*byte)
    }

    fn refuse<T>(&self, byte: u8, context: &str) -> Result<T, String> {
        Err(format!("invalid character {} {context}", quoted(byte)))
    }

    fn value(&mut self) -> Result<Tree, String> {
        self.skip_space();
        match self.next()? {
            b'{' => self.nested(Self::object),
            b'[' => self.nested(Self::array),
            b'"' => self.string().map(Tree::String),
            b't' => self.word("true", Tree::Bool(true)),
            b'f' => self.word("false", Tree::Bool(false)),
            b'n' => self.word("null", Tree::Null),
            first @ (b'-' | b'0'..=b'9') => self.number(first),
            other => self.refuse(other, "looking for beginning of value"),
        }
    }

    fn nested(
        &mut self,
        inner: impl FnOnce(&mut Self) -> Result<Tree, String>,
    ) -> Result<Tree, String> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err("exceeded max depth".to_owned());
        }
        let tree = inner(self)?;
        self.depth -= 1;
        Ok(tree)
    }

    fn object(&mut self) -> Result<Tree, String> {
        let mut members = Vec::new();
        self.skip_space();
        match self.next()? {
            b'}' => return Ok(Tree::Object(members)),
            b'"' => {}
            other => return self.refuse(other, "looking for beginning of object key string"),
        }
        loop {
            let key = self.string()?;
            self.skip_space();
            match self.next()? {
                b':' => {}
                other => return self.refuse(other, "after object key"),
            }
            members.push((key, self.value()?));
            self.skip_space();
            match self.next()? {
                b',' => {}
                b'}' => return Ok(Tree::Object(members)),
                other => return self.refuse(other, "after object key:value pair"),
            }
            self.skip_space();
            match self.next()? {
                b'"' => {}
                other => return self.refuse(other, "looking for beginning of object key string"),
            }
        }
    }

    fn array(&mut self) -> Result<Tree, String> {
        let mut items = Vec::new();
        self.skip_space();
        if self.text.get(self.at) == Some(&b']') {
            self.at += 1;
            return Ok(Tree::Array(items));
        }
        loop {
            items.push(self.value()?);
            self.skip_space();
            match self.next()? {
                b',' => {}
                b']' => return Ok(Tree::Array(items)),
                other => return self.refuse(other, "after array element"),
            }
        }
    }

    fn word(&mut self, word: &str, tree: Tree) -> Result<Tree, String> {
        for expected in word.bytes().skip(1) {
            let byte = self.next()?;
            if byte != expected {
                let context = format!("in literal {word} (expecting {})", quoted(expected));
                return self.refuse(byte, &context);
            }
        }
        Ok(tree)
    }

    fn digits(&mut self, context: &str) -> Result<(), String> {
        match self.next()? {
            b'0'..=b'9' => {}
            other => return self.refuse(other, context),
        }
        while let Some(b'0'..=b'9') = self.text.get(self.at) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self, first: u8) -> Result<Tree, String> {
        let from = self.at - 1;
        let lead = if first == b'-' { self.next()? } else { first };
        match lead {
            b'0' => {}
            b'1'..=b'9' => {
                while let Some(b'0'..=b'9') = self.text.get(self.at) {
                    self.at += 1;
                }
            }
            other => return self.refuse(other, "in numeric literal"),
        }
        if self.text.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits("after decimal point in numeric literal")?;
        }
        if let Some(b'e' | b'E') = self.text.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = self.text.get(self.at) {
                self.at += 1;
            }
            self.digits("in exponent of numeric literal")?;
        }
        let digits = self.text[from..self.at].iter().map(|&byte| char::from(byte)).collect();
        Ok(Tree::Number(digits))
    }

    /// Reads up to the closing quote. What is no UTF-8 and lone surrogates become U+FFFD.
    fn string(&mut self) -> Result<String, String> {
        let mut bytes = Vec::new();
        loop {
            match self.next()? {
                b'"' => break,
                b'\\' => self.escape(&mut bytes)?,
                byte @ 0..=0x1f => return self.refuse(byte, "in string literal"),
                byte => bytes.push(byte),
            }
        }
        Ok(String::from_utf8(bytes)
            .unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned()))
    }

    fn escape(&mut self, bytes: &mut Vec<u8>) -> Result<(), String> {
        let byte = match self.next()? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let ch = self.unicode()?;
                bytes.extend_from_slice(ch.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            other => return self.refuse(other, "in string escape code"),
        };
        bytes.push(byte);
        Ok(())
    }

    fn hex4(&mut self) -> Result<u32, String> {
        let mut code = 0;
        for _ in 0..4 {
            let byte = self.next()?;
            match char::from(byte).to_digit(16) {
                Some(digit) => code = code << 4 | digit,
                None => return self.refuse(byte, r"in \u hexadecimal character escape"),
            }
        }
        Ok(code)
    }

    fn unicode(&mut self) -> Result<char, String> {
        let high = self.hex4()?;
        if !(0xd800..0xdc00).contains(&high) || !self.text[self.at..].starts_with(b"\\u") {
            return Ok(char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        let before = self.at;
        self.at += 2;
        let low = self.hex4()?;
        if (0xdc00..0xe000).contains(&low) {
            let code = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            return Ok(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER));
        }
        // Not a pair: the second stands for itself.
        self.at = before;
        Ok(char::REPLACEMENT_CHARACTER)
    }
}

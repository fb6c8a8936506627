//! Bytes of a container as the inside of a JSON string, escaped as Docker's json-file log does it
//! (Go's rules with HTML safety, and `\u00XX` for every control character but `\n` and `\r`).
//!
//! Invariant: the output is valid JSON whatever the input; each byte that is not part of valid
//! UTF-8 becomes one `\ufffd`. This is the hot loop of logging: most bytes need nothing, so they
//! are classified and copied 32 at a time.

/// Bytes of output that one byte of input can become.
pub(crate) const EXPANSION: usize = 6;

const HEX: &[u8; 16] = b"0123456789abcdef";
/// Bytes classified at once.
const WIDTH: usize = 32;

/// Escapes `input` into the front of `out`, which has room for [`EXPANSION`] times as many bytes.
/// Returns the number written.
pub(crate) fn escape(input: &[u8], out: &mut [u8]) -> usize {
    let mut from = 0;
    let mut to = 0;
    // Up to here `input` is known to be valid UTF-8.
    let mut valid_to = 0;
    while from < input.len() {
        let block = input[from..].first_chunk::<WIDTH>();
        let in_utf8 = from + WIDTH <= valid_to;
        if let Some(block) = block.filter(|block| is_plain(block, in_utf8)) {
            out[to..to + WIDTH].copy_from_slice(block);
            from += WIDTH;
            to += WIDTH;
            continue;
        }
        let end = input.len().min(from + WIDTH);
        while from < end {
            let byte = input[from];
            if PLAIN[usize::from(byte)] || (from < valid_to && byte >= 0x80 && byte != 0xe2) {
                out[to] = byte;
                from += 1;
                to += 1;
            } else if byte < 0x80 {
                to += escape_ascii(byte, &mut out[to..]);
                from += 1;
            } else {
                if from >= valid_to {
                    valid_to = from + valid_prefix(&input[from..]);
                }
                let valid = from < valid_to;
                let (taken, given) = escape_high(&input[from..], valid, &mut out[to..]);
                from += taken;
                to += given;
            }
        }
    }
    to
}

/// One character that is not ASCII, or one byte that is no character: taken and given lengths.
fn escape_high(rest: &[u8], valid: bool, out: &mut [u8]) -> (usize, usize) {
    let (taken, text): (usize, &[u8]) = match rest {
        _ if !valid => (1, b"\\ufffd"),
        [0xe2, 0x80, 0xa8, ..] => (3, b"\\u2028"),
        [0xe2, 0x80, 0xa9, ..] => (3, b"\\u2029"),
        // The rest of the character follows in the same way.
        _ => (1, &rest[..1]),
    };
    out[..text.len()].copy_from_slice(text);
    (taken, text.len())
}

fn escape_ascii(byte: u8, out: &mut [u8]) -> usize {
    let short = match byte {
        b'"' | b'\\' => byte,
        b'\n' => b'n',
        b'\r' => b'r',
        _ => {
            out[..4].copy_from_slice(b"\\u00");
            out[4] = HEX[usize::from(byte >> 4)];
            out[5] = HEX[usize::from(byte & 15)];
            return EXPANSION;
        }
    };
    out[0] = b'\\';
    out[1] = short;
    2
}

fn valid_prefix(bytes: &[u8]) -> usize {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.len(),
        Err(error) => error.valid_up_to(),
    }
}

/// Whether a block needs no more than a copy. Inside valid UTF-8 the only byte that is not ASCII
/// and may begin something special is 0xE2.
///
/// Without branches, so that the compiler makes a handful of vector instructions of it.
#[inline(always)]
fn is_plain(block: &[u8; WIDTH], in_utf8: bool) -> bool {
    let mut any = false;
    if in_utf8 {
        for byte in block {
            any |= special_ascii(*byte) | (*byte == 0xe2);
        }
    } else {
        for byte in block {
            any |= special_ascii(*byte) | (*byte >= 0x80);
        }
    }
    !any
}

/// ASCII that needs no more than a copy.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte: u8 = 0;
    while byte < 0x80 {
        plain[byte as usize] = !special_ascii(byte);
        byte += 1;
    }
    plain
};

#[inline(always)]
const fn special_ascii(byte: u8) -> bool {
    // `"` and `&` differ in one bit, `<` and `>` in another.
    (byte < 0x20)
        | (byte & !(b'"' ^ b'&') == b'"')
        | (byte & !(b'<' ^ b'>') == b'<')
        | (byte == b'\\')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn escaped(input: &[u8]) -> String {
        let mut out = vec![0; input.len() * EXPANSION];
        let len = escape(input, &mut out);
        out.truncate(len);
        String::from_utf8(out).unwrap()
    }

    /// The same rules one character at a time.
    fn slowly(mut input: &[u8]) -> String {
        let mut out = String::new();
        while !input.is_empty() {
            let end = input.len().min(4);
            let decoded = (1..=end).find_map(|len| std::str::from_utf8(&input[..len]).ok());
            let Some(character) = decoded.and_then(|text| text.chars().next()) else {
                out.push_str("\\ufffd");
                input = &input[1..];
                continue;
            };
            input = &input[character.len_utf8()..];
            match character {
                '"' => out.push_str("\\\""),
                '\\' => out.push_str("\\\\"),
                '\n' => out.push_str("\\n"),
                '\r' => out.push_str("\\r"),
                '\u{2028}' | '\u{2029}' | '<' | '>' | '&' | '\0'..='\x1f' => {
                    out.push_str(&format!("\\u{:04x}", u32::from(character)));
                }
                other => out.push(other),
            }
        }
        out
    }

    #[test]
    fn bytes_are_escaped_as_docker_does() {
        let cases: [(&[u8], &str); 9] = [
            (b"", ""),
            (b"plain text", "plain text"),
            (b"a\tb\x1b[0m", "a\\u0009b\\u001b[0m"),
            (b"say \"hi\" \\ \r\n", "say \\\"hi\\\" \\\\ \\r\\n"),
            (b"<a>&</a>", "\\u003ca\\u003e\\u0026\\u003c/a\\u003e"),
            ("grüße €".as_bytes(), "grüße €"),
            ("\u{2028}x\u{2029}".as_bytes(), "\\u2028x\\u2029"),
            (b"\xff\xe2\x80", "\\ufffd\\ufffd\\ufffd"),
            (b"\x7f", "\x7f"),
        ];
        for (input, expect) in cases {
            assert_eq!(escaped(input), expect);
            assert_eq!(slowly(input), expect);
        }
    }

    #[test]
    fn a_special_byte_is_found_at_every_place_of_a_block() {
        for len in 0..100 {
            for at in 0..len {
                for special in [b'"', b'\n', 0xff, 0xe2] {
                    let mut input = vec![b'x'; len];
                    input[at] = special;
                    assert_eq!(escaped(&input), slowly(&input));
                }
            }
        }
    }

    proptest! {
        #[test]
        fn any_bytes_escape_as_the_slow_rules_say(
            input in proptest::collection::vec(
                prop_oneof![
                    any::<u8>(), 0x20u8..0x7f, Just(0xe2), Just(0x80), Just(0xa8), Just(b'"'),
                ],
                0..300,
            )
        ) {
            prop_assert_eq!(escaped(&input), slowly(&input));
        }

        #[test]
        fn any_text_comes_back_from_its_json(text in "\\PC{0,200}|[\u{2020}-\u{2030}]{0,80}") {
            let json = format!("\"{}\"", escaped(text.as_bytes()));
            prop_assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }
}

//! Detach keys: the sequence that lets the user leave a container without stopping it.

/// `ctrl-p,ctrl-q`.
const DEFAULT: [u8; 2] = [0x10, 0x11];

/// Reads a sequence such as `ctrl-p,q`; an empty one is the default.
pub(crate) fn parse_keys(text: &str) -> Result<Vec<u8>, String> {
    if text.is_empty() {
        return Ok(DEFAULT.to_vec());
    }
    let mut keys = Vec::new();
    for key in text.split(',') {
        let mut characters = key.chars();
        match (characters.next(), characters.next()) {
            (Some(single), None) if single.is_ascii() => keys.push(single as u8),
            _ => keys.push(control(key).ok_or_else(|| format!("Unknown character: '{key}'"))?),
        }
    }
    Ok(keys)
}

fn control(key: &str) -> Option<u8> {
    let mut characters = key.strip_prefix("ctrl-")?.chars();
    let (Some(letter), None) = (characters.next(), characters.next()) else { return None };
    match letter {
        'a'..='z' => Some(letter as u8 - b'a' + 1),
        '@' => Some(0),
        '[' => Some(27),
        '\\' => Some(28),
        ']' => Some(29),
        '^' => Some(30),
        '_' => Some(31),
        _ => None,
    }
}

/// Watches typed bytes for the sequence.
#[derive(Debug)]
pub(crate) struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

impl DetachKeys {
    /// Watches for these keys.
    pub(crate) fn new(keys: Vec<u8>) -> Self {
        Self { keys, matched: 0 }
    }

    /// Appends to `out` what may be sent, holding back a sequence that has begun. Returns whether
    /// the sequence is complete.
    pub(crate) fn filter(&mut self, input: &[u8], out: &mut Vec<u8>) -> bool {
        for byte in input {
            if *byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    return true;
                }
                continue;
            }
            out.extend_from_slice(&self.keys[..self.matched]);
            self.matched = usize::from(*byte == self.keys[0]);
            if self.matched == 0 {
                out.push(*byte);
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequences_are_read() {
        assert_eq!(parse_keys("").unwrap(), [16, 17]);
        assert_eq!(parse_keys("ctrl-p,q").unwrap(), [16, b'q']);
        assert_eq!(parse_keys("ctrl-@,ctrl-[,a").unwrap(), [0, 27, b'a']);
        assert_eq!(parse_keys("ctrl-A").unwrap_err(), "Unknown character: 'ctrl-A'");
        assert!(parse_keys("ab").is_err());
    }

    #[test]
    fn a_begun_sequence_is_held_back_and_let_go() {
        let mut keys = DetachKeys::new(vec![16, 17]);
        let mut out = Vec::new();
        assert!(!keys.filter(b"a\x10", &mut out));
        assert_eq!(out, b"a");
        assert!(!keys.filter(b"b\x10\x10", &mut out));
        assert_eq!(out, b"a\x10b\x10");
        assert!(keys.filter(b"\x11x", &mut out));
    }
}

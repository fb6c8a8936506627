//! Finds a detach sequence (`ctrl-p,ctrl-q`) in what a client types.
//!
//! Invariant: what is passed on is exactly what came in, without a completed sequence; bytes that
//! may be the beginning of one wait until the next byte decides.

/// State of the search in one client's input.
#[derive(Debug)]
pub(super) struct DetachKeys {
    keys: Vec<u8>,
    matched: usize,
}

impl DetachKeys {
    /// `None` for an empty sequence.
    pub(super) fn new(keys: Vec<u8>) -> Option<DetachKeys> {
        (!keys.is_empty()).then_some(DetachKeys { keys, matched: 0 })
    }

    /// Appends to `passed` what is certain not to belong to a sequence. True if the sequence was
    /// completed; the rest of `typed` is dropped then.
    pub(super) fn scan(&mut self, typed: &[u8], passed: &mut Vec<u8>) -> bool {
        for &byte in typed {
            while self.matched > 0 && byte != self.keys[self.matched] {
                self.fall_back(passed);
            }
            if byte == self.keys[self.matched] {
                self.matched += 1;
                if self.matched == self.keys.len() {
                    self.matched = 0;
                    return true;
                }
            } else {
                passed.push(byte);
            }
        }
        false
    }

    /// The match ends here: pass on as much of its front as makes the rest a (shorter) match.
    fn fall_back(&mut self, passed: &mut Vec<u8>) {
        let held = &self.keys[..self.matched];
        let shorter = (0..self.matched).rev().find(|&len| held.ends_with(&self.keys[..len]));
        let kept = shorter.unwrap_or(0);
        passed.extend_from_slice(&held[..self.matched - kept]);
        self.matched = kept;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn run(keys: &[u8], typed: &[&[u8]]) -> (Vec<u8>, bool) {
        let mut scanner = DetachKeys::new(keys.to_vec()).unwrap();
        let mut passed = Vec::new();
        let detached = typed.iter().any(|bytes| scanner.scan(bytes, &mut passed));
        (passed, detached)
    }

    #[test]
    fn the_sequence_detaches_and_everything_else_passes() {
        let check = |keys: &str, typed: &[&str], passed: &str, detached| {
            let typed: Vec<&[u8]> = typed.iter().map(|piece| piece.as_bytes()).collect();
            assert_eq!(run(keys.as_bytes(), &typed), (passed.into(), detached));
        };
        check("\x10\x11", &["ls\n"], "ls\n", false);
        check("\x10\x11", &["ls\x10\x11rest"], "ls", true);
        check("\x10\x11", &["a\x10", "\x11"], "a", true);
        check("\x10\x11", &["a\x10", "b"], "a\x10b", false);
        check("\x10\x11", &["\x10\x10\x11"], "\x10", true);
        check("aab", &["aaab"], "a", true);
    }

    proptest! {
        #[test]
        fn input_is_cut_at_the_first_sequence(
            typed in proptest::collection::vec(0u8..3, 0..40),
            keys in proptest::collection::vec(0u8..3, 1..4),
            piece in 1usize..5,
        ) {
            let pieces: Vec<&[u8]> = typed.chunks(piece).collect();
            let (passed, detached) = run(&keys, &pieces);
            match typed.windows(keys.len()).position(|window| window == keys) {
                Some(at) => {
                    prop_assert!(detached);
                    prop_assert_eq!(&passed[..], &typed[..at]);
                }
                None => {
                    prop_assert!(!detached);
                    prop_assert!(typed.starts_with(&passed));
                    prop_assert!(typed.len() - passed.len() < keys.len());
                }
            }
        }
    }
}

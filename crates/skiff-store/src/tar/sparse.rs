//! Maps of sparse files: GNU's old header form and the map inside the payload (PAX 1.0).

use super::header::number;
use super::{BLOCK, Segment, TarError};

/// The most segments of one file; a map of this many takes a megabyte.
pub const SEGMENTS_MAX: usize = 1 << 16;

/// Reads `count` pairs of numbers from a GNU header or its extension block.
pub fn gnu_pairs(bytes: &[u8], count: usize, segments: &mut Vec<Segment>) -> Result<(), TarError> {
    for pair in bytes.chunks_exact(24).take(count) {
        // A pair that does not start with a digit ends the list.
        if pair[0] == 0 {
            return Ok(());
        }
        let part = |field: &[u8]| u64::try_from(number(field)?).map_err(|_| TarError::Header);
        segments.push(Segment { offset: part(&pair[..12])?, length: part(&pair[12..])? });
        if segments.len() > SEGMENTS_MAX {
            return Err(TarError::Header);
        }
    }
    Ok(())
}

/// Checks that segments ascend, end inside the file and hold exactly the stored bytes.
pub fn check(segments: &[Segment], real_size: u64, stored: u64) -> Result<(), TarError> {
    let (mut end, mut sum) = (0_u64, 0_u64);
    for segment in segments {
        if segment.offset < end {
            return Err(TarError::Header);
        }
        end = segment.offset.checked_add(segment.length).ok_or(TarError::Header)?;
        sum += segment.length;
    }
    let valid = end <= real_size && sum == stored && real_size <= i64::MAX.cast_unsigned();
    if valid { Ok(()) } else { Err(TarError::Header) }
}

/// Reads the map at the head of a PAX 1.0 payload as it grows block by block.
#[derive(Default)]
pub struct MapParser {
    numbers: Vec<u64>,
    current: Option<u64>,
    blocks: usize,
}

impl MapParser {
    /// Takes the next block; gives the map once it is complete. The rest of that block is padding.
    pub fn push(&mut self, block: &[u8; BLOCK]) -> Result<Option<Vec<Segment>>, TarError> {
        self.blocks += 1;
        if self.blocks > SEGMENTS_MAX * 40 / BLOCK {
            return Err(TarError::Header);
        }
        for byte in block {
            match byte {
                b'0'..=b'9' => {
                    let value = self.current.unwrap_or(0);
                    let digit = u64::from(byte - b'0');
                    let value = value.checked_mul(10).and_then(|v| v.checked_add(digit));
                    self.current = Some(value.ok_or(TarError::Header)?);
                }
                b'\n' => self.numbers.push(self.current.take().ok_or(TarError::Header)?),
                _ => return Err(TarError::Header),
            }
            if let Some(segments) = self.complete()? {
                return Ok(Some(segments));
            }
        }
        Ok(None)
    }

    fn complete(&self) -> Result<Option<Vec<Segment>>, TarError> {
        let Some(count) = self.numbers.first() else { return Ok(None) };
        let count = usize::try_from(*count).unwrap_or(usize::MAX);
        if count > SEGMENTS_MAX {
            return Err(TarError::Header);
        }
        if self.numbers.len() < count * 2 + 1 {
            return Ok(None);
        }
        let pair = |n: &[u64]| Segment { offset: n[0], length: n[1] };
        Ok(Some(self.numbers[1..].chunks_exact(2).map(pair).collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_must_ascend_and_fit() {
        let segment = |offset, length| Segment { offset, length };
        assert!(check(&[segment(0, 4), segment(8, 4)], 12, 8).is_ok());
        assert!(check(&[segment(8, 0)], 8, 0).is_ok());
        assert!(check(&[segment(8, 4), segment(0, 4)], 12, 8).is_err());
        assert!(check(&[segment(0, 4), segment(3, 4)], 12, 8).is_err());
        assert!(check(&[segment(0, 4)], 3, 4).is_err());
        assert!(check(&[segment(0, 4)], 4, 5).is_err());
        assert!(check(&[segment(u64::MAX, 4)], 4, 4).is_err());
    }
}

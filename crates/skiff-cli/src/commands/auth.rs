//! Logins of registries, as `config.json` stores them.

use skiff_api::AuthConfig;

use crate::context::Context;
use crate::failure::Failure;

/// The key under which Docker Hub's login is stored.
pub(crate) const HUB: &str = "https://index.docker.io/v1/";

/// The value of `X-Registry-Auth` for a registry; without a login it is an empty one.
pub(crate) fn registry_auth(context: &mut Context, domain: &str) -> Result<String, Failure> {
    let key = if domain == "docker.io" { HUB } else { domain };
    let mut login = AuthConfig::default();
    if let Some(stored) = context.config().auth(key) {
        let text = |name: &str| stored.get(name).and_then(|v| v.as_str()).unwrap_or("").to_owned();
        login.identity_token = text("identitytoken");
        key.clone_into(&mut login.server_address);
        let decoded = decode(&text("auth")).and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some((user, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) {
            user.clone_into(&mut login.username);
            password.trim_end_matches('\0').clone_into(&mut login.password);
        }
    }
    let json = serde_json::to_vec(&login).map_err(|error| Failure::new(error.to_string()))?;
    Ok(encode_url(&json))
}

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Base64 with padding.
pub(crate) fn encode(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let word = [0, 1, 2].map(|i| u32::from(*chunk.get(i).unwrap_or(&0)));
        let word = word[0] << 16 | word[1] << 8 | word[2];
        for position in 0..4 {
            if position <= chunk.len() {
                let digit = (word >> (18 - 6 * position)) & 63;
                out.push(char::from(STANDARD[digit as usize]));
            } else {
                out.push('=');
            }
        }
    }
    out
}

/// Base64 in the alphabet for headers and URLs.
pub(crate) fn encode_url(bytes: &[u8]) -> String {
    encode(bytes).replace('+', "-").replace('/', "_")
}

/// Reads base64 in either alphabet.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut word, mut bits) = (0u32, 0);
    for byte in text.trim_end_matches('=').bytes() {
        let byte = match byte {
            b'-' => b'+',
            b'_' => b'/',
            other => other,
        };
        let digit = STANDARD.iter().position(|known| *known == byte)?;
        word = word << 6 | digit as u32;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((word >> bits) as u8);
            word &= (1 << bits) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_goes_both_ways() {
        for (plain, coded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")]
        {
            assert_eq!(encode(plain.as_bytes()), coded);
            assert_eq!(decode(coded).unwrap(), plain.as_bytes());
        }
        assert_eq!(encode_url(&[0xfb, 0xff]), "-_8=");
        assert_eq!(decode("-_8=").unwrap(), [0xfb, 0xff]);
        assert!(decode("a!").is_none());
    }
}

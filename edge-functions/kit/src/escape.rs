//! Percent-encoding (RFC 3986, section 2.1).

use std::borrow::Cow;

/// Why a piece of a URI cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EscapeError {
    /// A `%` without two hexadecimal digits after it.
    Malformed,
    /// The decoded bytes are not UTF-8.
    NotUtf8,
}

impl EscapeError {
    /// What to tell a client.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "a percent sign is not followed by two hexadecimal digits",
            Self::NotUtf8 => "the percent-encoded bytes are not UTF-8",
        }
    }
}

/// Decodes `%XX`; every other byte stands for itself.
pub fn decode(text: &str) -> Result<Cow<'_, str>, EscapeError> {
    if !text.contains('%') {
        return Ok(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'%' {
            decoded.push(byte);
            rest = tail;
            continue;
        }
        let (&[high, low], after) = tail.split_first_chunk().ok_or(EscapeError::Malformed)?;
        decoded.push(digit(high)? << 4 | digit(low)?);
        rest = after;
    }
    String::from_utf8(decoded).map(Cow::Owned).map_err(|_| EscapeError::NotUtf8)
}

fn digit(byte: u8) -> Result<u8, EscapeError> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        b'A'..=b'F' => Ok(byte - b'A' + 10),
        _ => Err(EscapeError::Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_or_refused() {
        for (text, expected) in [
            ("plain", Ok("plain")),
            ("%E9%9D%a2", Ok("面")),
            ("a%2Fb", Ok("a/b")),
            ("a+b", Ok("a+b")),
            ("%", Err(EscapeError::Malformed)),
            ("%2", Err(EscapeError::Malformed)),
            ("%zz", Err(EscapeError::Malformed)),
            ("%+1", Err(EscapeError::Malformed)),
            ("%ff", Err(EscapeError::NotUtf8)),
        ] {
            assert_eq!(decode(text).as_deref().map_err(|error| *error), expected, "{text:?}");
        }
    }
}

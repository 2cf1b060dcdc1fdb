//! Signatures of webhooks: `Tiffin-Signature: t=<ms>,v1=<hex>`, an HMAC-SHA-256 over the time stamp and
//! the body, so that a recorded webhook cannot be played again later or changed.

use crate::auth::keys::Keys;
use crate::{hex, limits};
use subtle::ConstantTimeEq as _;

/// The header that carries the signature.
pub const HEADER: &str = "tiffin-signature";

const PURPOSE: &str = "webhook";

/// Why a webhook is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// There is none, or it does not read `t=<ms>,v1=<hex>`.
    #[error("the Tiffin-Signature header is missing or malformed")]
    Malformed,
    /// It was signed too long ago, or in the future.
    #[error("the signature's time stamp is out of the tolerance")]
    OutOfTime,
    /// It was made with another secret or over another body.
    #[error("the signature does not match the body")]
    Mismatch,
}

/// The header value for a body sent at `at_ms` by `provider`.
pub fn sign(keys: &Keys, provider: &str, body: &[u8], at_ms: i64) -> String {
    format!("t={at_ms},v1={}", digest(keys, provider, body, at_ms))
}

/// Checks a header value against the body that came with it.
pub fn verify(
    keys: &Keys,
    provider: &str,
    header: Option<&str>,
    body: &[u8],
    now_ms: i64,
) -> Result<(), SignatureError> {
    let (at, given) = header
        .and_then(|value| value.strip_prefix("t="))
        .and_then(|value| value.split_once(",v1="))
        .ok_or(SignatureError::Malformed)?;
    let at_ms: i64 = at.parse().map_err(|_| SignatureError::Malformed)?;
    let expected = digest(keys, provider, body, at_ms);
    if !bool::from(expected.as_bytes().ct_eq(given.as_bytes())) {
        return Err(SignatureError::Mismatch);
    }
    if at_ms.abs_diff(now_ms) > limits::WEBHOOK_TOLERANCE_MS.unsigned_abs() {
        return Err(SignatureError::OutOfTime);
    }
    Ok(())
}

fn digest(keys: &Keys, provider: &str, body: &[u8], at_ms: i64) -> String {
    let tag = keys.tag(PURPOSE, &[provider.as_bytes(), at_ms.to_string().as_bytes(), body]);
    hex::encode(&tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_signed_body_in_its_time_from_its_sender_is_believed() {
        let keys = Keys::from_parts([1; 32], [2; 32]);
        let now_ms = 1_800_000_000_000;
        let header = sign(&keys, "sandbox", b"paid", now_ms);
        let check = |provider, header: Option<&str>, body: &[u8], at_ms| {
            verify(&keys, provider, header, body, at_ms)
        };
        assert_eq!(check("sandbox", Some(&header), b"paid", now_ms), Ok(()));
        assert_eq!(check("sandbox", Some(&header), b"paid", now_ms + 300_000), Ok(()));
        let late = check("sandbox", Some(&header), b"paid", now_ms + 300_001);
        assert_eq!(late, Err(SignatureError::OutOfTime));
        for (provider, value, body) in [
            ("sandbox", header.as_str(), b"PAID".as_slice()),
            ("other", header.as_str(), b"paid"),
            ("sandbox", &header.replace("t=1", "t=2"), b"paid"),
            ("sandbox", &header[..header.len() - 1], b"paid"),
        ] {
            assert_eq!(check(provider, Some(value), body, now_ms), Err(SignatureError::Mismatch));
        }
        for value in [None, Some(""), Some("t=x,v1=00"), Some("v1=00"), Some("t=1")] {
            assert_eq!(check("sandbox", value, b"paid", now_ms), Err(SignatureError::Malformed));
        }
    }
}

//! Tokens whose signatures were verified lately: a diner sends the same one with every request, and a signature
//! costs more to verify than the rest of a request's way to the engine.
//!
//! Invariants: only genuine tokens are kept, by their whole text; whether one holds now is asked each time; the
//! keys of a process never change.

use super::keys::Keys;
use crate::limits;
use moka::sync::Cache;
use std::sync::Arc;
use tiffin_api::token::{Examined, Principal, TokenError};

/// The tokens.
#[derive(Debug)]
pub struct Tokens(Cache<String, Arc<Examined>>);

impl Default for Tokens {
    fn default() -> Self {
        Self(Cache::new(limits::TOKENS_KEPT))
    }
}

impl Tokens {
    /// The principal of a token that holds now.
    pub fn verify(&self, keys: &Keys, token: &str, now_ms: i64) -> Result<Principal, TokenError> {
        if let Some(examined) = self.0.get(token) {
            return examined.at(now_ms).cloned();
        }
        let examined = keys.verifier().examine(token)?;
        let principal = examined.at(now_ms)?.clone();
        self.0.insert(token.to_owned(), Arc::new(examined));
        Ok(principal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiffin_api::id::UserId;

    const NOW_MS: i64 = 1_795_608_000_000;

    #[test]
    fn a_kept_token_still_expires_and_another_one_is_still_verified() {
        let keys = Keys::from_parts([1; 32], [2; 32]);
        let tokens = Tokens::default();
        let diner = Principal::new(UserId::from_raw(7), &[]);
        let token = keys.sign_token(&diner, NOW_MS, 60);
        for _ in 0..2 {
            assert_eq!(tokens.verify(&keys, &token, NOW_MS).unwrap(), diner);
        }
        let late_ms = NOW_MS + 10 * 60_000;
        assert!(matches!(tokens.verify(&keys, &token, late_ms), Err(TokenError::Expired)));
        let (rest, signature) = token.rsplit_once('.').unwrap();
        let forged = format!("{rest}.{}", signature.chars().rev().collect::<String>());
        for _ in 0..2 {
            assert!(tokens.verify(&keys, &forged, NOW_MS).is_err());
        }
    }
}

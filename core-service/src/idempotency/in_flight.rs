//! The keys that this process is working on: a second request with the same key is told to wait instead
//! of queueing for the writer.
//!
//! This only sheds load. Correctness rests on the record in the business transaction: without this set,
//! the second request would wait for the first one's commit and replay its answer.

use crate::limits;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// The set of claimed scopes, at most [`limits::IDEMPOTENCY_IN_FLIGHT`].
#[derive(Debug, Clone, Default)]
pub struct InFlight(Arc<Mutex<HashSet<String>>>);

/// Why a scope cannot be claimed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Another request holds it.
    InFlight,
    /// The set is full.
    Full,
}

/// Holds a scope until it is dropped.
#[derive(Debug)]
pub struct Claim {
    set: InFlight,
    scope: String,
}

impl InFlight {
    /// Takes a scope that nobody holds.
    pub fn claim(&self, scope: &str) -> Result<Claim, Refusal> {
        let mut scopes = self.lock();
        if scopes.contains(scope) {
            return Err(Refusal::InFlight);
        }
        if scopes.len() >= limits::IDEMPOTENCY_IN_FLIGHT {
            return Err(Refusal::Full);
        }
        scopes.insert(scope.to_owned());
        Ok(Claim { set: self.clone(), scope: scope.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashSet<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.set.lock().remove(&self.scope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scope_is_held_once_and_freed_on_drop() {
        let set = InFlight::default();
        let claim = set.claim("a").unwrap();
        assert_eq!(set.claim("a").unwrap_err(), Refusal::InFlight);
        assert!(set.claim("b").is_ok());
        drop(claim);
        assert!(set.claim("a").is_ok());
    }

    #[test]
    fn the_set_is_bounded() {
        let set = InFlight::default();
        let claims: Vec<_> = (0..limits::IDEMPOTENCY_IN_FLIGHT)
            .map(|n| set.claim(&n.to_string()).unwrap())
            .collect();
        assert_eq!(set.claim("one more").unwrap_err(), Refusal::Full);
        drop(claims);
    }
}

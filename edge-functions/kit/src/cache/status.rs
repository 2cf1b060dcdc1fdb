//! How an answer was come by, as `Cache-Status` (RFC 9211) tells it. The table stands in the parent
//! module.

use super::settle::Failure;

/// How an answer was come by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// From here, without waiting for the core.
    Hit {
        /// Why the core was not waited for although it should be: it failed a moment ago.
        failure: Option<Failure>,
    },
    /// The host knows that there is no such thing.
    Denied,
    /// From here, after the core was asked and failed.
    StaleIfError(Failure),
    /// The core was asked and confirmed what was here.
    Revalidated,
    /// The core sent it.
    Fetched {
        /// Whether a stale entry was here.
        replaced: bool,
        /// The core's status.
        status: u16,
    },
    /// Nothing is here, and the core was asked and failed.
    Unavailable(Failure),
}

impl Status {
    /// The header's value. `ttl_s` is the freshness left to what is answered, if it is an entry.
    pub fn header(self, cache: &str, ttl_s: Option<i64>) -> String {
        let ttl = ttl_s.map(|ttl_s| format!("; ttl={ttl_s}")).unwrap_or_default();
        match self {
            Self::Hit { failure: None } => format!("{cache}; hit{ttl}"),
            Self::Hit { failure: Some(failure) } => {
                format!("{cache}; hit{ttl}; detail={}", failure.detail())
            }
            Self::Denied => format!("{cache}; hit; detail=unknown-id"),
            Self::StaleIfError(failure) => {
                let status = forward_status(failure);
                format!("{cache}; fwd=stale{status}{ttl}; detail={}", failure.detail())
            }
            Self::Revalidated => format!("{cache}; fwd=stale; fwd-status=304{ttl}; stored"),
            Self::Fetched { replaced, status } => {
                let reason = if replaced { "stale" } else { "miss" };
                format!("{cache}; fwd={reason}; fwd-status={status}{ttl}; stored")
            }
            Self::Unavailable(failure) => {
                let status = forward_status(failure);
                format!("{cache}; fwd=miss{status}; detail={}", failure.detail())
            }
        }
    }
}

fn forward_status(failure: Failure) -> String {
    match failure {
        Failure::Status(status) => format!("; fwd-status={status}"),
        Failure::Unreachable | Failure::TooLarge => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_has_its_own_words() {
        for (status, ttl_s, expected) in [
            (Status::Hit { failure: None }, Some(4), "t; hit; ttl=4"),
            (
                Status::Hit { failure: Some(Failure::Unreachable) },
                Some(-90),
                "t; hit; ttl=-90; detail=core-unreachable",
            ),
            (
                Status::StaleIfError(Failure::Unreachable),
                Some(-12),
                "t; fwd=stale; ttl=-12; detail=core-unreachable",
            ),
            (
                Status::StaleIfError(Failure::Status(500)),
                Some(-12),
                "t; fwd=stale; fwd-status=500; ttl=-12; detail=core-error",
            ),
            (Status::Denied, None, "t; hit; detail=unknown-id"),
            (Status::Revalidated, Some(5), "t; fwd=stale; fwd-status=304; ttl=5; stored"),
            (
                Status::Fetched { replaced: false, status: 200 },
                Some(5),
                "t; fwd=miss; fwd-status=200; ttl=5; stored",
            ),
            (
                Status::Fetched { replaced: true, status: 404 },
                Some(30),
                "t; fwd=stale; fwd-status=404; ttl=30; stored",
            ),
            (
                Status::Unavailable(Failure::TooLarge),
                None,
                "t; fwd=miss; detail=core-answer-too-large",
            ),
        ] {
            assert_eq!(status.header("t", ttl_s), expected);
        }
    }
}

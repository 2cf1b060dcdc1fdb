//! What the person at the terminal sees while something takes long.
//!
//! Everything goes to stderr, so that stdout carries only results that may be piped.

use std::time::{Duration, Instant};

use anyhow::Result;

/// Does `work` under a headline and says how long it took. A failure is left to the caller to tell.
pub(crate) fn step<T>(name: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    eprintln!("==> {name}");
    let started = Instant::now();
    let value = work()?;
    eprintln!("    done in {}", seconds(started.elapsed()));
    Ok(value)
}

/// A remark inside a step.
pub(crate) fn note(text: &str) {
    eprintln!("    {text}");
}

/// A duration as people read it: `0.4 s`, `12.3 s`, `3 min 05 s`.
pub(crate) fn seconds(duration: Duration) -> String {
    let whole_s = duration.as_secs();
    if whole_s < 60 {
        format!("{:.1} s", duration.as_secs_f64())
    } else {
        format!("{} min {:02} s", whole_s / 60, whole_s % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_well() {
        assert_eq!(seconds(Duration::from_millis(420)), "0.4 s");
        assert_eq!(seconds(Duration::from_millis(12_345)), "12.3 s");
        assert_eq!(seconds(Duration::from_secs(185)), "3 min 05 s");
    }
}

//! How much processor time a process has used, from `/proc/<pid>/stat` (proc(5)); nothing elsewhere.

use std::fs;

/// `USER_HZ`: what `/proc` counts in on every Linux of today.
const TICKS_PER_S: f64 = 100.0;

/// Seconds of processor time that a process has used since its start; `None` where `/proc` does not tell.
pub fn seconds(pid: u32) -> Option<f64> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// Fields 14 and 15, `utime` and `stime`; the second field is a name in parentheses that may hold anything.
fn parse(stat: &str) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(11);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some((user + system) / TICKS_PER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_confuses_nobody() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(parse(stat), Some(3.0));
        assert_eq!(parse("garbage"), None);
    }

    #[test]
    fn our_own_time_grows() {
        let pid = std::process::id();
        let Some(before) = seconds(pid) else { return };
        let started = std::time::Instant::now();
        while started.elapsed().as_millis() < 60 {
            std::hint::spin_loop();
        }
        assert!(seconds(pid).unwrap() > before);
    }
}

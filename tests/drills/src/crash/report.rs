//! What a person reads at the end.

use super::journal::{Entry, Killed, Pages};
use super::schedule::{Counts, Target};
use std::fmt::Write as _;
use std::time::Duration;

/// Counts of the answers, by what was asked and what was said.
pub fn answers(entries: &[Entry]) -> String {
    let count = |path: &str, wanted: fn(&Entry) -> bool| {
        entries.iter().filter(|entry| entry.call.path.ends_with(path) && wanted(entry)).count()
    };
    let succeeded: fn(&Entry) -> bool = |entry| entry.status < 400;
    let refused: fn(&Entry) -> bool = |entry| entry.status >= 400;
    let one = |name: &str, path: &str| {
        format!("{name} {} and {} refused", count(path, succeeded), count(path, refused))
    };
    let parts =
        [one("orders", "/orders"), one("payments", "/payments"), one("cancellations", "/cancel")];
    parts.join("; ")
}

/// The kills, and how long each took to get over.
pub fn kills(pages: &Pages) -> String {
    let mut text = String::new();
    let counts = Counts::of(pages.kills.iter().map(|killed| &killed.kill));
    _ = writeln!(text, "  kills: {} ({counts})", pages.kills.len());
    _ = writeln!(text, "  from a kill to the first success of a request that began after it:");
    for target in Target::ALL {
        let alone = |killed: &&Killed| killed.kill.targets == [target];
        let alone: Vec<_> = pages.kills.iter().filter(alone).collect();
        _ = writeln!(text, "    {:<12} {}", target.to_string(), recovery(&alone));
    }
    let two: Vec<_> = pages.kills.iter().filter(|killed| killed.kill.targets.len() > 1).collect();
    _ = writeln!(text, "    {:<12} {}", "two at once", recovery(&two));
    text
}

/// The time beyond the pause for which it was kept down, at best, in the median and at worst.
fn recovery(kills: &[&Killed]) -> String {
    let mut beyond: Vec<Duration> = kills
        .iter()
        .filter_map(|killed| Some(killed.recovered?.saturating_sub(killed.kill.pause)))
        .collect();
    beyond.sort_unstable();
    let (Some(best), Some(worst)) = (beyond.first(), beyond.last()) else {
        return format!("{} kills", kills.len());
    };
    let ms = |duration: &Duration| duration.as_millis();
    let middle = &beyond[beyond.len() / 2];
    format!(
        "{} kills; beyond the pause: best {} ms, median {} ms, worst {} ms",
        kills.len(),
        ms(best),
        ms(middle),
        ms(worst)
    )
}

/// One line for each kill, in order.
pub fn kill_lines(pages: &Pages) -> String {
    let line = |killed: &Killed| {
        let recovered = match killed.recovered {
            Some(after) => format!("{:>6} ms", after.as_millis()),
            None => " never".to_owned(),
        };
        let pause_ms = killed.kill.pause.as_millis();
        let name = killed.kill.to_string();
        format!("    {name:<16} down for {pause_ms:>4} ms; first success after {recovered}\n")
    };
    pages.kills.iter().map(line).collect()
}

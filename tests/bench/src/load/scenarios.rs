//! Which scenarios of a benchmark are run: all, or those that `--only` names; and whose turn it is in a round.

use anyhow::bail;

/// Says of a scenario's name whether it is wanted: all are if `only` names none.
///
/// # Errors
/// `only` names one that is not `known`.
pub fn wanted(only: &[String], known: &[&str]) -> anyhow::Result<impl Fn(&str) -> bool> {
    if let Some(unknown) = only.iter().find(|name| !known.contains(&name.as_str())) {
        bail!("--only {unknown}: the scenarios are {}", known.join(", "));
    }
    Ok(|name: &str| {
        debug_assert!(known.contains(&name), "{name} is no scenario");
        only.is_empty() || only.iter().any(|one| one == name)
    })
}

/// All systems, each round beginning with another one: what slows the machine for a while slows no system more.
pub fn in_turn<T>(systems: &[T], round: u32) -> impl Iterator<Item = &T> {
    let first = round as usize % systems.len().max(1);
    systems.iter().cycle().skip(first).take(systems.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 2] = ["sweep", "latency"];

    #[test]
    fn a_misspelt_scenario_is_named() {
        let error = wanted(&["latnecy".to_owned()], &KNOWN).err().map(|error| error.to_string());
        assert_eq!(error.as_deref(), Some("--only latnecy: the scenarios are sweep, latency"));
    }

    #[test]
    fn no_name_is_every_name() {
        let all = wanted(&[], &KNOWN).unwrap();
        assert!(all("sweep") && all("latency"));
        let only = ["sweep".to_owned()];
        let one = wanted(&only, &KNOWN).unwrap();
        assert!(one("sweep") && !one("latency"));
    }

    #[test]
    fn each_round_begins_with_another_and_has_all() {
        let of = |round| in_turn(&["a", "b", "c"], round).copied().collect::<String>();
        assert_eq!([1, 2, 3].map(of), ["bca", "cab", "abc"]);
        assert_eq!(in_turn::<u8>(&[], 1).count(), 0);
    }
}

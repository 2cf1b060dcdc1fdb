//! Which scenarios of a benchmark are run: all, or those that `--only` names.

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
}

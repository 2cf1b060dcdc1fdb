//! What the reports of all benchmarks share: medians, the [`machine`] that was measured on, and the plain parts of a
//! text, [`markdown`], and of a plot, [`svg`].

pub mod machine;
pub mod markdown;
pub mod svg;

use anyhow::Context as _;
use serde::Serialize;
use std::fs;
use std::path::Path;

/// Writes a report into a folder: `name.json`, `name.md` and `name.svg`.
///
/// # Errors
/// A file cannot be written; the message names it.
pub fn write(
    folder: &Path,
    name: &str,
    report: &impl Serialize,
    markdown: &str,
    svg: &str,
) -> anyhow::Result<()> {
    let json = serde_json::to_string_pretty(report)? + "\n";
    for (ending, text) in [("json", json.as_str()), ("md", markdown), ("svg", svg)] {
        let file = folder.join(format!("{name}.{ending}"));
        fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(())
}

/// Groups what has the same key, both in the order of what came first.
pub fn groups<T, K: PartialEq>(items: &[T], key: impl Fn(&T) -> K) -> Vec<Vec<&T>> {
    let mut groups: Vec<Vec<&T>> = Vec::new();
    for item in items {
        match groups.iter_mut().find(|group| key(group[0]) == key(item)) {
            Some(group) => group.push(item),
            None => groups.push(vec![item]),
        }
    }
    groups
}

/// The middle one, or the mean of the two in the middle; `None` of none.
pub fn median(values: impl IntoIterator<Item = f64>) -> Option<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    let upper = values.get(values.len() / 2)?;
    let lower = values[(values.len() - 1) / 2];
    Some((lower + upper) / 2.0)
}

/// `above` by `below`, to three digits after the point; `None` where either is missing or nothing.
pub fn ratio(above: Option<f64>, below: Option<f64>) -> Option<f64> {
    below.filter(|below| *below > 0.0).and_then(|below| Some(round(above? / below, 3)))
}

/// `value` with so many digits after the point.
pub fn round(value: f64, digits: i32) -> f64 {
    let scale = 10_f64.powi(digits);
    (value * scale).round() / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_take_the_middle() {
        assert_eq!(median([]), None);
        assert_eq!(median([3.0]), Some(3.0));
        assert_eq!(median([9.0, 1.0]), Some(5.0));
        assert_eq!(median([9.0, 1.0, 2.0]), Some(2.0));
    }

    #[test]
    fn groups_keep_the_order_of_their_first() {
        let grouped = groups(&[3, 10, 5, 12, 21], |number| number % 2);
        assert_eq!(grouped, [vec![&3, &5, &21], vec![&10, &12]]);
    }

    #[test]
    fn nothing_is_divided_by_nothing() {
        assert_eq!(ratio(Some(1.0), Some(3.0)), Some(0.333));
        assert_eq!(ratio(Some(1.0), Some(0.0)), None);
        assert_eq!(ratio(Some(1.0), None), None);
        assert_eq!(ratio(None, Some(1.0)), None);
    }
}

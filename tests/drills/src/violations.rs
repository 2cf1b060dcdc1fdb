//! What broke a rule, counted by rule; of each rule the first few cases are told.

use crate::limits;
use std::collections::BTreeMap;
use std::fmt;

/// Broken rules.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Violations(BTreeMap<&'static str, Cases>);

#[derive(Debug, Default, Clone, PartialEq, Eq)]
struct Cases {
    count: usize,
    told: Vec<String>,
}

impl Violations {
    /// Notes a case of a broken rule.
    pub fn note(&mut self, rule: &'static str, what: impl Into<String>) {
        let cases = self.0.entry(rule).or_default();
        cases.count += 1;
        if cases.told.len() < limits::CASES_TOLD {
            cases.told.push(what.into());
        }
    }

    /// Notes a case unless the rule holds.
    pub fn unless(&mut self, holds: bool, rule: &'static str, what: impl FnOnce() -> String) {
        if !holds {
            self.note(rule, what());
        }
    }

    /// Adds what others found.
    pub fn merge(&mut self, other: Self) {
        for (rule, cases) in other.0 {
            let own = self.0.entry(rule).or_default();
            own.count += cases.count;
            own.told.extend(cases.told);
            own.told.truncate(limits::CASES_TOLD);
        }
    }

    /// Whether every rule holds.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How often a rule was broken.
    pub fn count(&self, rule: &str) -> usize {
        self.0.get(rule).map_or(0, |cases| cases.count)
    }

    /// How often any was.
    pub fn len(&self) -> usize {
        self.0.values().map(|cases| cases.count).sum()
    }
}

impl fmt::Display for Violations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (rule, cases) in &self.0 {
            writeln!(f, "  broken {} times: {rule}", cases.count)?;
            cases.told.iter().try_for_each(|case| writeln!(f, "    {case}"))?;
            if cases.count > cases.told.len() {
                writeln!(f, "    … and {} more", cases.count - cases.told.len())?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_few_are_told() {
        let mut all = Violations::default();
        assert!(all.is_empty());
        for n in 0..100 {
            all.note("a rule", format!("case {n}"));
        }
        let mut other = Violations::default();
        other.unless(true, "another", || unreachable!());
        other.unless(false, "a rule", || "one more".to_owned());
        all.merge(other);
        assert_eq!((all.count("a rule"), all.len()), (101, 101));
        let text = all.to_string();
        assert!(text.contains("broken 101 times: a rule") && text.contains("case 0\n"));
        assert_eq!(text.lines().count(), 2 + limits::CASES_TOLD);
    }
}

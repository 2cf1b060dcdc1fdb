//! Values of application variables, and which source wins: the command line, then the environment
//! (`SPIN_VARIABLE_<NAME>`), then the manifest's default.

use std::collections::BTreeMap;

use super::check::{Fault, Faults};
use super::{raw, template};

/// Where values come from, beside the manifest.
#[derive(Debug, Clone, Default)]
pub struct VariableSource {
    /// `--variable name=value`, by name.
    pub given: BTreeMap<String, String>,
    /// The environment variables, by full name.
    pub environment: BTreeMap<String, String>,
}

impl VariableSource {
    /// `given` on the command line, and this process's environment.
    pub fn from_process(given: BTreeMap<String, String>) -> Self {
        // A value that is not UTF-8 cannot be a variable's: Spin's are strings.
        let environment = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with(PREFIX))
            .collect();
        Self { given, environment }
    }
}

const PREFIX: &str = "SPIN_VARIABLE_";

fn environment_name(name: &str) -> String {
    format!("{PREFIX}{}", name.to_ascii_uppercase())
}

/// The application's variables with their values; none where one is missing, which is said once and not of every template.
#[derive(Debug)]
pub(super) struct Variables(BTreeMap<String, Option<String>>);

impl Variables {
    pub(super) fn resolve(
        declared: BTreeMap<String, raw::Variable>,
        source: &VariableSource,
        faults: &mut Faults,
    ) -> Self {
        for name in source.given.keys().filter(|name| !declared.contains_key(*name)) {
            let message = format!("--variable sets {name:?}, which the manifest does not declare");
            faults.add("variables", message);
        }
        let mut values = BTreeMap::new();
        for (name, variable) in declared {
            let place = format!("variables.{name}");
            if let Err(message) = check_name(&name) {
                faults.add(&place, message);
            }
            if variable.required == variable.default.is_some() {
                let message = "must either be `required = true` or have a `default`, not both";
                faults.add(&place, message);
            }
            let value = (source.given.get(&name))
                .or_else(|| source.environment.get(&environment_name(&name)))
                .cloned()
                .or(variable.default);
            if value.is_none() && variable.required {
                let message = format!(
                    "the required variable has no value; set {} or pass --variable {name}=VALUE",
                    environment_name(&name)
                );
                faults.add(&place, message);
            }
            values.insert(name, value);
        }
        Self(values)
    }

    /// Resolves the template `text`, found at `place`.
    pub(super) fn fill(&self, text: &str, place: &str) -> Result<String, Fault> {
        template::resolve(text, |name| {
            let unknown = || format!("the template names {name:?}, which [variables] does not");
            self.0.get(name).cloned().map(Option::unwrap_or_default).ok_or_else(unknown)
        })
        .map_err(|message| Fault::new(place, message))
    }
}

/// A variable's name as Spin demands it.
///
/// # Errors
/// The rule that is broken, in one sentence.
pub(crate) fn check_name(name: &str) -> Result<(), String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !starts_well || !name.chars().all(allowed) || name.ends_with('_') || name.contains("__") {
        return Err(format!(
            "{name:?} is no variable name: lower-case words of letters and digits, joined by single \
             underscores"
        ));
    }
    Ok(())
}

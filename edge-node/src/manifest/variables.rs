//! Values of application variables, and which source wins: the command line, then the environment
//! (`SPIN_VARIABLE_<NAME>`), then the manifest's default.

use std::collections::BTreeMap;

use super::check::{Fault, Faults, is_words};
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

/// The application's variables.
pub(super) struct Variables(BTreeMap<String, Variable>);

struct Variable {
    /// None where it is missing, which is said once and not of every template.
    value: Option<String>,
    is_secret: bool,
}

/// A text of the manifest with its templates filled.
pub(super) struct Filled {
    /// As it was written.
    pub(super) template: String,
    /// What it comes to.
    pub(super) value: String,
    /// Some of that is a secret: it is for the guest and for nobody's eyes.
    pub(super) is_secret: bool,
}

impl Filled {
    /// Whether it is a template at all.
    pub(super) fn is_template(&self) -> bool {
        self.template.contains("{{")
    }
}

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
            if let Err(message) = check_declared_name(&name) {
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
            values.insert(name, Variable { value, is_secret: variable.secret });
        }
        Self(values)
    }

    /// Resolves the template, found at `place`.
    pub(super) fn fill(&self, template: String, place: &str) -> Result<Filled, Fault> {
        let mut is_secret = false;
        let value = template::resolve(&template, |name| {
            let unknown = || format!("the template names {name:?}, which [variables] does not");
            let variable = self.0.get(name).ok_or_else(unknown)?;
            is_secret |= variable.is_secret;
            Ok(variable.value.clone().unwrap_or_default())
        })
        .map_err(|message| Fault::new(place, message))?;
        Ok(Filled { template, value, is_secret })
    }
}

/// A variable's name as Spin demands it of a manifest: each word begins with a letter.
///
/// # Errors
/// The rule that is broken, in one sentence.
pub(super) fn check_declared_name(name: &str) -> Result<(), String> {
    if is_words(name, '_') && !name.contains(|c: char| c.is_ascii_uppercase()) {
        return Ok(());
    }
    Err(format!(
        "{name:?} is no variable name: lower-case words that begin with a letter, joined by single underscores"
    ))
}

/// A variable's name as Spin lets a guest ask for it.
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

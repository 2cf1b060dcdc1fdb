//! `runtime-config.toml`: what the machine brings, where `spin.toml` is what the application needs.
//!
//! The file is Spin's (<https://spinframework.dev/dynamic-configuration>), and so are its rules: a top-level table that
//! Spin does not know is an error, a field that a store's type has no use for is not, a relative path starts at the
//! file's own folder, and a label other than `default` must be defined. Here and not in Spin:
//! - `type = "memory"`, which is also what `default` is when nothing defines it: a cache that lives as long as the node.
//!   Spin's own default is a SQLite file under `.spin`; a node at the edge keeps nothing unless it is told to.
//! - Spin's other store types are refused; its tables for what this host does not offer are passed over with a warning.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::diagnostic::{ConfigError, Diagnostic};
use crate::document::Document;

/// The label that needs no definition.
const DEFAULT_LABEL: &str = "default";

/// Where one store's data are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StoreConfig {
    /// In the node's memory.
    Memory,
    /// In this SQLite file.
    Sqlite(PathBuf),
    /// On the Redis server of this URL.
    Redis(String),
}

/// What the file says.
#[derive(Debug, Default)]
pub(crate) struct RuntimeConfig {
    stores: BTreeMap<String, StoreConfig>,
    /// What is of no use here.
    pub(crate) warnings: Vec<Diagnostic>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    key_value_store: BTreeMap<String, RawStore>,
    // Spin's, and of no use here.
    state_dir: Option<toml::Value>,
    log_dir: Option<toml::Value>,
    sqlite_database: Option<toml::Value>,
    llm_compute: Option<toml::Value>,
    client_tls: Option<toml::Value>,
    outbound_http: Option<toml::Value>,
    config_provider: Option<toml::Value>,
    variable_provider: Option<toml::Value>,
    variables_provider: Option<toml::Value>,
}

#[derive(Deserialize)]
struct RawStore {
    #[serde(rename = "type")]
    kind: String,
    path: Option<PathBuf>,
    url: Option<String>,
    #[serde(flatten)]
    more: BTreeMap<String, toml::Value>,
}

impl RuntimeConfig {
    /// Reads the file, if there is one.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub(crate) fn load(path: Option<&Path>) -> Result<Self, ConfigError> {
        let Some(path) = path else { return Ok(Self::default()) };
        let document = Document::load(path, "--runtime-config-file").map_err(ConfigError)?;
        Self::read(&document, path.parent().unwrap_or(Path::new("")))
    }

    fn read(document: &Document, dir: &Path) -> Result<Self, ConfigError> {
        let mut found = Vec::new();
        let mut stores = BTreeMap::new();
        if let Some(mut raw) = document.read::<Raw>(&mut found) {
            for (label, store) in std::mem::take(&mut raw.key_value_store) {
                if let Some(store) = store.check(&label, document, dir, &mut found) {
                    stores.insert(label, store);
                }
            }
            found.extend(raw.unused().map(|(table, why)| document.warning(table, why)));
        }
        ConfigError::among(&found)?;
        Ok(Self { stores, warnings: found })
    }

    /// Where the data of `label` are; none if nothing says so.
    pub(crate) fn store(&self, label: &str) -> Option<&StoreConfig> {
        let default = (label == DEFAULT_LABEL).then_some(&StoreConfig::Memory);
        self.stores.get(label).or(default)
    }
}

impl Raw {
    /// Tables that are there and not used, with what to do about it.
    fn unused(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        const NO_USE: &str = "is Spin's own; this host has no use for it";
        const VARIABLES: &str = "is not supported; set SPIN_VARIABLE_<NAME> or pass --variable";
        [
            ("state_dir", &self.state_dir, NO_USE),
            ("log_dir", &self.log_dir, NO_USE),
            ("sqlite_database", &self.sqlite_database, NO_USE),
            ("llm_compute", &self.llm_compute, NO_USE),
            ("client_tls", &self.client_tls, NO_USE),
            ("outbound_http", &self.outbound_http, NO_USE),
            ("config_provider", &self.config_provider, VARIABLES),
            ("variable_provider", &self.variable_provider, VARIABLES),
            ("variables_provider", &self.variables_provider, VARIABLES),
        ]
        .into_iter()
        .filter_map(|(table, value, why)| value.is_some().then_some((table, why)))
    }
}

impl RawStore {
    /// Notes what is wrong in `found`; none if that is an error.
    fn check(
        self,
        label: &str,
        document: &Document,
        dir: &Path,
        found: &mut Vec<Diagnostic>,
    ) -> Option<StoreConfig> {
        let at = |field: &str| format!("key_value_store.{label}.{field}");
        let mut unused: Vec<&str> = self.more.keys().map(String::as_str).collect();
        let mut ignore = |field: &'static str, is_there: bool| {
            if is_there {
                unused.push(field);
            }
        };
        let store = match self.kind.as_str() {
            "memory" => {
                ignore("path", self.path.is_some());
                ignore("url", self.url.is_some());
                Some(StoreConfig::Memory)
            }
            "spin" => {
                ignore("url", self.url.is_some());
                // Without a path Spin keeps such a store in memory too.
                let file = self.path.map(|path| StoreConfig::Sqlite(dir.join(path)));
                Some(file.unwrap_or(StoreConfig::Memory))
            }
            "redis" => {
                ignore("path", self.path.is_some());
                if self.url.is_none() {
                    let message = "needs a `url`, as in \"redis://127.0.0.1:6379\"";
                    found.push(document.error(&format!("key_value_store.{label}"), message));
                }
                self.url.map(StoreConfig::Redis)
            }
            other => {
                let message =
                    format!("{other:?} is not supported; use \"spin\", \"redis\" or \"memory\"");
                found.push(document.error(&at("type"), message));
                return None;
            }
        };
        for field in unused {
            let message = format!("has no meaning for a store of type {:?}", self.kind);
            found.push(document.warning(&at(field), message));
        }
        store
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::{RuntimeConfig, StoreConfig};
    use crate::diagnostic::ConfigError;
    use crate::document::Document;

    fn read(text: &str) -> Result<RuntimeConfig, ConfigError> {
        let document =
            Document::parse("r.toml".to_owned(), text.to_owned()).map_err(ConfigError)?;
        RuntimeConfig::read(&document, Path::new("dir"))
    }

    #[test]
    fn stores_are_where_the_file_says() {
        let config = read(
            "[key_value_store.default]\ntype = \"spin\"\npath = \"kv.db\"\n\
             [key_value_store.absolute]\ntype = \"spin\"\npath = \"/kv.db\"\n\
             [key_value_store.passing]\ntype = \"spin\"\n\
             [key_value_store.shared]\ntype = \"redis\"\nurl = \"redis://host\"\n\
             [key_value_store.cache]\ntype = \"memory\"",
        )
        .unwrap();
        for (label, expected) in [
            ("default", Some(StoreConfig::Sqlite("dir/kv.db".into()))),
            ("absolute", Some(StoreConfig::Sqlite("/kv.db".into()))),
            ("passing", Some(StoreConfig::Memory)),
            ("shared", Some(StoreConfig::Redis("redis://host".to_owned()))),
            ("cache", Some(StoreConfig::Memory)),
            ("nothing", None),
        ] {
            assert_eq!(config.store(label), expected.as_ref(), "{label}");
        }
        assert_eq!(config.warnings, []);
        assert_eq!(RuntimeConfig::default().store("default"), Some(&StoreConfig::Memory));
    }

    #[test]
    fn every_error_is_said_with_its_place() {
        let error = read(
            "surprise = 1\n[key_value_store.a]\ntype = \"redis\"\n[key_value_store.b]\ntype = \"aws_dynamo\"\n",
        )
        .unwrap_err();
        let lines: Vec<_> = error.0.iter().map(ToString::to_string).collect();
        assert!(lines[0].starts_with("r.toml:1:1: unknown field `surprise`"), "{lines:?}");
        assert_eq!(
            lines[1..],
            [
                "r.toml:2:18: key_value_store.a: needs a `url`, as in \"redis://127.0.0.1:6379\"",
                "r.toml:5:1: key_value_store.b.type: \"aws_dynamo\" is not supported; use \"spin\", \"redis\" or \
                 \"memory\"",
            ]
        );
    }

    #[test]
    fn what_spin_takes_and_we_do_not_use_is_a_warning() {
        let config = read(
            "state_dir = \"x\"\n[[variables_provider]]\ntype = \"vault\"\n\
             [key_value_store.a]\ntype = \"memory\"\nurl = \"u\"\nother = 1",
        )
        .unwrap();
        let places: Vec<_> = config.warnings.iter().map(|one| one.place.as_str()).collect();
        assert_eq!(
            places,
            ["key_value_store.a.other", "key_value_store.a.url", "state_dir", "variables_provider",]
        );
    }
}

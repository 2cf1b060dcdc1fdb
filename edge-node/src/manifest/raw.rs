//! The manifest as it is written: the fields of Spin's schema and no others.
//!
//! Shape only. What a field means, and whether this host supports it, is `check`'s business.
//! Schema: <https://spinframework.dev/manifest-reference>.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserializer, MapAccess, Visitor};

pub(super) type Tools = BTreeMap<String, toml::Table>;

/// What says which manifest it is; nothing else is looked at before.
#[derive(Debug, Deserialize)]
pub(super) struct Version {
    pub(super) spin_manifest_version: Option<toml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Manifest {
    #[expect(dead_code, reason = "its value was looked at before the rest")]
    pub(super) spin_manifest_version: u32,
    pub(super) application: Application,
    #[serde(default)]
    pub(super) variables: BTreeMap<String, Variable>,
    pub(super) trigger: Triggers,
    #[serde(default)]
    pub(super) component: BTreeMap<String, Component>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "fields that Spin accepts and this host has no use for")]
pub(super) struct Application {
    pub(super) name: String,
    #[serde(default)]
    pub(super) version: String,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    pub(super) authors: Vec<String>,
    #[serde(default)]
    pub(super) targets: Vec<toml::Value>,
    #[serde(default)]
    pub(super) trigger: ApplicationTriggers,
    #[serde(default)]
    pub(super) tool: Tools,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplicationTriggers {
    #[serde(default)]
    pub(super) http: ApplicationHttp,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ApplicationHttp {
    pub(super) base: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "a description is for people")]
pub(super) struct Variable {
    pub(super) description: Option<String>,
    #[serde(default)]
    pub(super) required: bool,
    pub(super) default: Option<String>,
    #[serde(default)]
    pub(super) secret: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Triggers {
    #[serde(default)]
    pub(super) http: Vec<HttpTrigger>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HttpTrigger {
    #[serde(default)]
    pub(super) id: String,
    pub(super) route: TextOr<PrivateRoute>,
    pub(super) component: Option<TextOr<Box<Component>>>,
    pub(super) static_response: Option<StaticResponse>,
    pub(super) executor: Option<Executor>,
    #[serde(default)]
    pub(super) components: toml::Table,
    #[serde(default)]
    pub(super) dependencies: toml::Table,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PrivateRoute {
    pub(super) private: bool,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StaticResponse {
    pub(super) status_code: Option<u16>,
    #[serde(default)]
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Executor {
    #[serde(rename = "type")]
    pub(super) kind: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "fields that Spin accepts and this host has no use for")]
pub(super) struct Component {
    pub(super) source: TextOr<toml::Table>,
    #[serde(default)]
    pub(super) description: String,
    #[serde(default)]
    pub(super) variables: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) files: Vec<toml::Value>,
    #[serde(default)]
    pub(super) exclude_files: Vec<String>,
    #[serde(default)]
    pub(super) allowed_http_hosts: Vec<String>,
    #[serde(default)]
    pub(super) allowed_outbound_hosts: Vec<String>,
    #[serde(default)]
    pub(super) key_value_stores: Vec<String>,
    #[serde(default)]
    pub(super) sqlite_databases: Vec<String>,
    #[serde(default)]
    pub(super) ai_models: Vec<String>,
    pub(super) targets: Option<Vec<toml::Value>>,
    pub(super) build: Option<Build>,
    #[serde(default)]
    pub(super) tool: Tools,
    pub(super) dependencies_inherit_configuration: Option<bool>,
    #[serde(default)]
    pub(super) dependencies: BTreeMap<String, TextOr<Dependency>>,
    #[serde(default)]
    pub(super) profile: BTreeMap<String, Profile>,
}

/// One dependency in its long form; the short one is a version.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Dependency {
    pub(super) version: Option<String>,
    pub(super) registry: Option<String>,
    pub(super) package: Option<String>,
    pub(super) path: Option<String>,
    pub(super) url: Option<String>,
    pub(super) digest: Option<String>,
    pub(super) component: Option<String>,
    pub(super) export: Option<String>,
    pub(super) inherit_configuration: Option<toml::Value>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "building is the developer's tool's business")]
pub(super) struct Build {
    pub(super) command: Commands,
    pub(super) workdir: Option<String>,
    #[serde(default)]
    pub(super) watch: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged, expecting = "a command or a list of them")]
#[expect(dead_code, reason = "building is the developer's tool's business")]
pub(super) enum Commands {
    One(String),
    Many(Vec<String>),
}

/// What `spin build --profile` puts in the place of a component's own fields.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "building is the developer's tool's business")]
pub(super) struct Profile {
    pub(super) source: Option<TextOr<toml::Table>>,
    #[serde(default)]
    pub(super) environment: BTreeMap<String, String>,
    #[serde(default)]
    pub(super) dependencies: BTreeMap<String, TextOr<Dependency>>,
    pub(super) build: Option<ProfileBuild>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "building is the developer's tool's business")]
pub(super) struct ProfileBuild {
    pub(super) command: Commands,
}

/// A field that is either a string or a table. Unlike an untagged enum it keeps the table's own
/// errors: which field is unknown, and where.
#[derive(Debug)]
pub(super) enum TextOr<T> {
    Text(String),
    Table(T),
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for TextOr<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Either<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Either<T> {
            type Value = TextOr<T>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string or a table")
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(TextOr::Text(text.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
                T::deserialize(MapAccessDeserializer::new(map)).map(TextOr::Table)
            }
        }

        deserializer.deserialize_any(Either(PhantomData))
    }
}

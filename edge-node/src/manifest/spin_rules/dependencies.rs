//! `[component.X.dependencies]`: which imports other components satisfy. That they do is tested with real components
//! in `tests/node/composition.rs`; which names mean which imports, in `manifest/dependencies.rs`.

use super::*;

const VALIDATED: Source = Code("crates/manifest/src/schema/v2.rs");
const NORMALIZED: Source = Code("crates/manifest/src/normalize.rs");
const FROM_APPLICATION: Source =
    Docs("writing-apps#dependencies-from-a-component-in-the-application");
const NO_FETCH: &str = "a node at the edge starts from what is on its disk, whoever else is down";

fn with(lines: &str) -> String {
    component(&format!("[component.a.dependencies]\n{lines}"))
}

pub(super) fn rows() -> Vec<Row> {
    let refused = |rule, source, lines: &str, words| row(rule, source, with(lines), Refused(words));
    vec![
        row(
            "a dependency may be a file",
            Docs("writing-apps#dependencies-from-a-local-component"),
            with("\"x:y/z\" = { path = \"b.wasm\", export = \"e:f/g\" }"),
            Good,
        ),
        row(
            "a dependency may be a component of the application",
            FROM_APPLICATION,
            with("\"x:y\" = { component = \"c\" }")
                + "[component.c]\nsource = \"c.wasm\"\n[component.c.build]\ncommand = \"make\"\n",
            Good,
        ),
        refused(
            "a dependency may be a version",
            Docs("writing-apps#dependencies-from-a-registry"),
            "\"x:y\" = \">=1\"",
            "a version from a registry is not supported",
        )
        .differs(NO_FETCH),
        refused(
            "a dependency may be a package",
            Docs("writing-apps#dependencies-from-a-registry"),
            "\"x:y\" = { version = \"1\", package = \"p:q\" }",
            "a package from a registry is not supported",
        )
        .differs(NO_FETCH),
        refused(
            "a dependency may be behind a URL",
            Docs("writing-apps#dependencies-from-a-url"),
            "\"x:y\" = { url = \"https://x\", digest = \"sha256:0\" }",
            "a url is not supported",
        )
        .differs(NO_FETCH),
        refused(
            "a dependency has a source",
            VALIDATED,
            "\"x:y\" = {}",
            "needs either a `path` or a `component`",
        ),
        refused(
            "a dependency has one source",
            VALIDATED,
            "\"x:y\" = { path = \"b\", component = \"c\" }",
            "needs either a `path`",
        ),
        refused(
            "unknown: of a dependency",
            VALIDATED,
            "\"x:y\" = { path = \"b\", surprise = 1 }",
            "unknown field `surprise`",
        ),
        refused(
            "the left side is the name of imports",
            Code("docs/content/sips/020-component-dependencies.md"),
            "\"x y\" = { path = \"b\" }",
            "is no name of a dependency",
        ),
        refused(
            "an export cannot stand for a whole package",
            VALIDATED,
            "\"x:y\" = { path = \"b\", export = \"e\" }",
            "`export` needs an interface",
        ),
        refused(
            "no two dependencies speak of one import",
            VALIDATED,
            "\"x:y\" = { path = \"b\" }\n\"x:y/z\" = { path = \"c\" }",
            "the same imports as \"x:y\"",
        ),
        refused(
            "the component must be there",
            NORMALIZED,
            "\"x:y\" = { component = \"c\" }",
            "names the component \"c\", which the manifest lacks",
        ),
        refused(
            "a component is not its own dependency",
            NORMALIZED,
            "\"x:y\" = { component = \"a\" }",
            "configuration of its own",
        ),
        row(
            "a component with grants is no dependency",
            FROM_APPLICATION,
            with("\"x:y\" = { component = \"c\" }")
                + "[component.c]\nsource = \"c\"\nkey_value_stores = [\"default\"]\n",
            Refused("configuration of its own, which would be ignored: key_value_stores"),
        ),
        row(
            "grants are inherited by name, one by one",
            Docs("writing-apps#granting-specific-capabilities"),
            with("\"x:y\" = { path = \"b\", inherit_configuration = [\"files\", \"variables\"] }"),
            Good,
        ),
        row(
            "a grant that there is not is passed over",
            Docs("writing-apps#granting-specific-capabilities"),
            with("\"x:y\" = { path = \"b\", inherit_configuration = [\"files\", \"typo\"] }"),
            Warned("there is no field \"typo\" to inherit"),
        ),
        refused(
            "grants are all, none or a list",
            Docs("writing-apps#granting-all-or-no-capabilities"),
            "\"x:y\" = { path = \"b\", inherit_configuration = 1 }",
            "must be true, false or",
        ),
        row(
            "grants are for one or for all, not both",
            NORMALIZED,
            with("\"x:y\" = { path = \"b\", inherit_configuration = true }").replace(
                "[component.a.dep",
                "dependencies_inherit_configuration = false\n[component.a.dep",
            ),
            Refused("use one or the other"),
        ),
    ]
}

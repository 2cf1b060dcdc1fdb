//! Which fields there are, what they must be, and what happens to those that are not.

use super::*;

const SCHEMA: Source = Code("crates/manifest/src/schema/v2.rs");
const REFERENCE: Source = Docs("manifest-reference#the-component-table");
const OF_HTTP: Source = Docs("manifest-reference#additional-fields-for-triggerhttp-tables");
const NORMALIZED: Source = Code("crates/manifest/src/normalize.rs");

pub(super) fn rows() -> Vec<Row> {
    let mut rows = versions();
    rows.extend(accepted());
    rows.extend(unknown());
    rows.extend(malformed());
    rows.extend(unsupported());
    rows.extend(inline());
    rows
}

fn versions() -> Vec<Row> {
    let version = |version: &str| component("").replacen('2', version, 1);
    vec![
        row("the least that a manifest has", Docs("manifest-reference#manifest-format"), component(""), Good),
        row(
            "a manifest of version 1 is converted",
            Code("crates/manifest/src/compat.rs"),
            "spin_version = \"1\"\nname = \"t\"\nversion = \"1\"\ntrigger = { type = \"http\", base = \"/\" }\n\
             [[component]]\nid = \"a\"\nsource = \"a.wasm\"\n[component.trigger]\nroute = \"/\"\n"
                .replace("spin_version", "spin_manifest_version"),
            Refused("only version 2 is supported, not \"1\"; `spin doctor` rewrites"),
        )
        .differs("its grants were wider (every database, both schemes of a host): whoever runs it should see them written"),
        row(
            "there is no version 3",
            Code("crates/manifest/src/lib.rs"),
            version("3"),
            Refused("spin_manifest_version: only version 2 is supported, not 3"),
        ),
        row(
            "the version is a number",
            Docs("manifest-reference#manifest-fields"),
            version("\"2\""),
            Refused("only version 2 is supported, not \"2\""),
        ),
        row(
            "the version must be there",
            Docs("manifest-reference#manifest-fields"),
            component("").replacen("spin_manifest_version = 2\n", "", 1),
            Refused("missing field `spin_manifest_version`"),
        ),
    ]
}

fn accepted() -> Vec<Row> {
    let application = "version = \"1.0.0\"\ndescription = \"d\"\nauthors = [\"a\"]\ntargets = [\"spin-up:4.0\"]\n";
    vec![
        row(
            "what an application says of itself",
            Docs("manifest-reference#the-application-table"),
            component("").replacen("name = \"t\"\n", &format!("name = \"t\"\n{application}"), 1),
            Good,
        ),
        row(
            "the deprecated base may be /",
            Code("crates/trigger-http/src/lib.rs"),
            more("[application.trigger.http]\nbase = \"/\""),
            Good,
        ),
        row(
            "any other base must be written in the routes",
            Code("crates/trigger-http/src/lib.rs"),
            more("[application.trigger.http]\nbase = \"/base\""),
            Refused("only \"/\" is supported"),
        ),
        row(
            "what a component may have",
            REFERENCE,
            component(
                "description = \"d\"\nexclude_files = [\"x\"]\nallowed_outbound_hosts = []\ntargets = [\"spin-up:4.0\"]\n\
                 key_value_stores = [\"default\"]\nenvironment = { A = \"b\" }",
            ),
            Good,
        ),
        row(
            "how a component is built is its developer's business",
            Docs("manifest-reference#the-componentidbuild-table"),
            component("[component.a.build]\ncommand = \"make\"\nworkdir = \"w\"\nwatch = [\"x\"]"),
            Good,
        ),
        row(
            "it may take several commands",
            Code("crates/manifest/src/schema/common.rs"),
            component("[component.a.build]\ncommand = [\"one\", \"two\"]"),
            Good,
        ),
        row(
            "profiles override without being asked for only what they name",
            Docs("manifest-reference#the-componentidprofilename-table"),
            component(
                "[component.a.profile.debug]\nsource = \"debug.wasm\"\nenvironment = { A = \"b\" }\n\
                 [component.a.profile.debug.build]\ncommand = \"make debug\"",
            ),
            Good,
        ),
        row(
            "tools may note what they like",
            SCHEMA,
            component(
                "[component.a.tool.other]\nanything = { goes = true }\n[application.tool.other]\nx = 1",
            ),
            Good,
        ),
        row(
            "a trigger may have an id and an executor",
            OF_HTTP,
            trigger(
                "id = \"one\"\nroute = \"/\"\ncomponent = \"a\"\nexecutor = { type = \"spin\" }",
            ),
            Good,
        ),
        row(
            "stores are named in kebab-case or snake_case",
            SCHEMA,
            component("key_value_stores = [\"my-store\", \"my_store\"]"),
            Refused("nothing says where \"my-store\" is kept"),
        ),
        row(
            "a label in other cases is none",
            SCHEMA,
            component("key_value_stores = [\"no label\"]"),
            Refused("\"no label\" is no store label"),
        ),
        row(
            "only the store default needs no definition",
            Docs("dynamic-configuration#multiple-and-non-default-key-value-stores"),
            component("key_value_stores = [\"extra\"]"),
            Refused("nothing says where \"extra\" is kept"),
        ),
        row(
            "a store that is not granted is closed",
            Docs("writing-apps#granting-storage-permissions-to-components"),
            component("key_value_stores = []").replace("\"/\"", "\"/...\""),
            Answers(&[("/kv?store=default&op=get&key=k", "AccessDenied")]),
        ),
        row(
            "several components may have one source",
            Docs("writing-apps#the-component-source"),
            more(
                "[[trigger.http]]\nroute = \"/b\"\ncomponent = \"b\"\n[component.b]\nsource = \"GUEST\"",
            ),
            Targets(&["a", "b"]),
        ),
        row(
            "several triggers may name one component",
            Docs("writing-apps#the-trigger-fields"),
            more("[[trigger.http]]\nroute = \"/b\"\ncomponent = \"a\""),
            Targets(&["a", "a"]),
        ),
    ]
}

fn unknown() -> Vec<Row> {
    let refused =
        |rule, source, manifest| row(rule, source, manifest, Refused("unknown field `surprise`"));
    vec![
        refused("unknown: at the top", SCHEMA, format!("surprise = 1\n{}", component(""))),
        refused(
            "unknown: of the application",
            SCHEMA,
            component("").replacen("name = ", "surprise = 1\nname = ", 1),
        ),
        refused(
            "unknown: of the application's trigger",
            Code("crates/trigger-http/src/lib.rs"),
            more("[application.trigger.http]\nsurprise = 1"),
        ),
        refused(
            "unknown: of a variable",
            Code("crates/manifest/src/schema/common.rs"),
            more("[variables]\nv = { default = \"\", surprise = 1 }"),
        ),
        refused(
            "unknown: of a trigger",
            Code("crates/http/src/config.rs"),
            trigger("route = \"/\"\ncomponent = \"a\"\nsurprise = 1"),
        ),
        refused(
            "unknown: of a private route",
            Code("crates/routes/src/lib.rs"),
            trigger("route = { private = true, surprise = 1 }\ncomponent = \"a\""),
        ),
        refused("unknown: of a component", SCHEMA, component("surprise = 1")),
        refused(
            "unknown: of an inline component",
            SCHEMA,
            trigger("route = \"/\"\ncomponent = { source = \"a.wasm\", surprise = 1 }"),
        ),
        refused(
            "unknown: of a build",
            Code("crates/manifest/src/schema/common.rs"),
            component("[component.a.build]\ncommand = \"\"\nsurprise = 1"),
        ),
        refused(
            "unknown: of a profile",
            SCHEMA,
            component("[component.a.profile.debug]\nsurprise = 1"),
        ),
        refused(
            "unknown: of a static response, which Spin passes over",
            Code("crates/http/src/config.rs"),
            trigger("route = \"/\"\nstatic_response = { surprise = 1 }"),
        )
        .differs("a field that is misspelt would be lost without a word"),
    ]
}

fn malformed() -> Vec<Row> {
    vec![
        row(
            "an application has a trigger",
            Docs("manifest-reference#manifest-fields"),
            format!("{HEAD}[trigger]\n{COMPONENT}"),
            Refused("nothing to serve"),
        ),
        row(
            "a trigger names a component that is there",
            Docs("manifest-reference#common-fields-for-all-triggertype-tables"),
            format!("{HEAD}{TRIGGER}"),
            Refused("names the component \"a\", which the manifest lacks"),
        ),
        row(
            "a trigger has a component or a static response",
            Code("crates/http/src/config.rs"),
            trigger("route = \"/\""),
            Refused("needs a `component` or a `static_response`"),
        ),
        row(
            "a trigger has not both",
            OF_HTTP,
            trigger("route = \"/\"\ncomponent = \"a\"\nstatic_response = {}"),
            Refused("may have only one"),
        ),
        row(
            "a trigger has a route",
            OF_HTTP,
            trigger("component = \"a\""),
            Refused("missing field `route`"),
        ),
        row(
            "components are named in kebab-case",
            Docs("manifest-reference#the-component-table"),
            more("[component.no_kebab]\nsource = \"x\""),
            Refused("\"no_kebab\" is no component id"),
        ),
        row(
            "words of a name begin with a letter",
            Code("crates/serde/src/id.rs"),
            more("[component.a-1]\nsource = \"x\""),
            Refused("\"a-1\" is no component id"),
        ),
        row(
            "words of a name are of one case",
            Code("crates/serde/src/id.rs"),
            more("[component.Ab]\nsource = \"x\""),
            Refused("\"Ab\" is no component id"),
        ),
        row(
            "a component has a source",
            REFERENCE,
            more("[component.b]"),
            Refused("missing field `source`"),
        ),
        row(
            "commands are texts",
            Code("crates/manifest/src/schema/common.rs"),
            component("[component.a.build]\ncommand = 1"),
            Refused("a command or a list of them"),
        ),
    ]
}

fn unsupported() -> Vec<Row> {
    const NOT_HERE: &str =
        "this host does not offer it, and an error beats a guest that fails later";
    vec![
        row(
            "a component may come from a URL",
            Docs("writing-apps#the-component-source"),
            component("").replace("\"GUEST\"", "{ url = \"u\", digest = \"d\" }"),
            Refused("component.a.source: a url or registry source is not supported; use a file"),
        )
        .differs("a node at the edge starts from what is on its disk, whoever else is down"),
        row(
            "files may be mounted",
            REFERENCE,
            component("files = [\"x\"]"),
            Refused("component.a.files: is not"),
        )
        .differs(NOT_HERE),
        row(
            "there are SQLite databases",
            Docs("sqlite-api-guide#granting-sqlite-database-permissions-to-components"),
            component("sqlite_databases = [\"default\"]"),
            Refused("component.a.sqlite_databases: is not supported"),
        )
        .differs(NOT_HERE),
        row(
            "there are language models",
            Docs("serverless-ai-api-guide#configuration"),
            component("ai_models = [\"x\"]"),
            Refused("component.a.ai_models: is not supported"),
        )
        .differs(NOT_HERE),
        row(
            "hosts may be allowed as in version 1",
            REFERENCE,
            component("allowed_http_hosts = [\"x\"]"),
            Refused("component.a.allowed_http_hosts: is not supported; use allowed_outbound_hosts"),
        )
        .differs("Spin deprecates it too, and each entry stands for two"),
        row(
            "a trigger may run a Wagi module",
            Docs("http-trigger#http-with-wagi-webassembly-gateway-interface"),
            trigger("route = \"/\"\ncomponent = \"a\"\nexecutor = { type = \"wagi\" }"),
            Refused("executor \"wagi\" is not supported"),
        )
        .differs("Spin deprecates it too"),
        row(
            "there are triggers other than HTTP",
            Docs("manifest-reference#additional-fields-for-triggerredis-tables"),
            more("[[trigger.redis]]\nchannel = \"c\"\ncomponent = \"a\""),
            Refused("unknown field `redis`"),
        )
        .differs("a trigger that never fires is no service"),
        row(
            "triggers other than HTTP have settings",
            Docs("manifest-reference#the-applicationtriggerredis-table"),
            more("[application.trigger.redis]\naddress = \"redis://host\""),
            Refused("unknown field `redis`"),
        )
        .differs("there are no such triggers here to set anything for"),
        row(
            "a trigger may have middleware",
            SCHEMA,
            trigger("route = \"/\"\ncomponent = \"a\"\ncomponents = { middleware = \"b\" }"),
            Refused("`components` and `dependencies` of a trigger are not supported"),
        )
        .differs(NOT_HERE),
    ]
}

/// Other components call an inline one by its id.
fn inline() -> Vec<Row> {
    let inline = |route: &str, id: &str| {
        format!(
            "[[trigger.http]]\n{id}route = \"{route}\"\ncomponent = {{ source = \"i.wasm\" }}\n"
        )
    };
    let taken = "[[trigger.http]]\nid = \"x\"\nroute = \"/3\"\ncomponent = \"http-trigger2-component\"\n\
                 [component.http-trigger2-component]\nsource = \"x.wasm\"\n";
    let named = |text: &str| format!("{HEAD}{text}");
    vec![
        row(
            "an inline component is named after its trigger",
            NORMALIZED,
            named(&inline("/1", "id = \"first\"\n")),
            Targets(&["first-component"]),
        ),
        row(
            "a trigger without an id is numbered",
            NORMALIZED,
            named(&inline("/1", "")),
            Targets(&["http-trigger1-component"]),
        ),
        row(
            "a number that is taken is passed over",
            NORMALIZED,
            named(&[inline("/1", "id = \"http-trigger1\"\n"), inline("/2", "")].concat()),
            Targets(&["http-trigger1-component", "http-trigger2-component"]),
        ),
        row(
            "a name that is taken is replaced by a number",
            NORMALIZED,
            named(&[inline("/1", ""), inline("/2", ""), taken.to_owned()].concat()),
            Targets(&["http-trigger1-component", "inline-component1", "http-trigger2-component"]),
        ),
        row(
            "a trigger whose id is no name leaves a number",
            NORMALIZED,
            named(&inline("/1", "id = \"no id of words\"\n")),
            Targets(&["inline-component1"]),
        ),
    ]
}

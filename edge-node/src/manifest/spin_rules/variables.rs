//! Variables, secrets, templates and the environment.

use super::*;

const ADDED: Source = Docs("variables#adding-variables-to-your-applications");
const PROVIDED: Source = Docs("variables#providing-variable-values");
const TEMPLATE: Source = Code("crates/expressions/src/template.rs");
const NAMES: Source = Code("crates/serde/src/id.rs");

/// A manifest with this table of variables, whose component `a` has these.
fn app(variables: &str, of_component: &str) -> String {
    component(&format!("[variables]\n{variables}\n[component.a.variables]\n{of_component}"))
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = declared();
    rows.extend(values());
    rows.extend(templates());
    rows.extend(asked_for());
    rows
}

fn declared() -> Vec<Row> {
    let name = |name: &str| app(&format!("{name} = {{ default = \"\" }}"), "");
    vec![
        row(
            "a variable has a default or is required",
            ADDED,
            app("v = {}", ""),
            Refused("variables.v: must either be `required = true` or have a `default`"),
        ),
        row(
            "a variable is not both",
            Code("crates/loader/src/local.rs"),
            app("v = { required = true, default = \"\" }", ""),
            Refused("not both"),
        ),
        row(
            "a description, and whether it is a secret, may be said",
            Docs("manifest-reference#the-variables-table"),
            app("v = { description = \"d\", default = \"\", secret = true, required = false }", ""),
            Good,
        ),
        row(
            "a default is a text",
            Docs("manifest-reference#the-variables-table"),
            app("v = { default = 1 }", ""),
            Refused("invalid type: integer"),
        ),
        row("names are words joined by underscores", NAMES, name("a1_b_c2"), Good),
        row("names: no capitals", NAMES, name("aX"), Refused("\"aX\" is no variable name")),
        row("names: no hyphens", NAMES, name("a-b"), Refused("\"a-b\" is no variable name")),
        row("names: no empty words", NAMES, name("a__b"), Refused("\"a__b\" is no variable name")),
        row(
            "names: nothing after the last underscore",
            NAMES,
            name("a_"),
            Refused("\"a_\" is no variable name"),
        ),
        row(
            "names: no word begins with a digit",
            NAMES,
            name("a_1"),
            Refused("\"a_1\" is no variable name"),
        ),
        row(
            "a component's variables are named likewise",
            Code("crates/manifest/src/schema/v2.rs"),
            app("", "a_1 = \"\""),
            Refused("component.a.variables.a_1: \"a_1\" is no variable name"),
        ),
    ]
}

fn values() -> Vec<Row> {
    let city = || app("city = { default = \"Bern\" }", "v = \"{{ city }}\"");
    let required = || app("a_b = { required = true }", "v = \"{{ a_b }}\"");
    vec![
        row("without a value the default holds", ADDED, city(), Variables(&[("v", "Bern")])),
        row(
            "the environment overrides the default",
            Docs("variables#providing-variable-values-from-the-environment"),
            required(),
            Variables(&[("v", "set")]),
        )
        .environment("SPIN_VARIABLE_A_B", "set"),
        row(
            "so does the command line",
            Docs("variables#providing-variable-values-on-the-command-line"),
            required(),
            Variables(&[("v", "given")]),
        )
        .given("a_b", "given"),
        row(
            "the command line comes before the environment",
            PROVIDED,
            city(),
            Variables(&[("v", "given")]),
        )
        .given("city", "given")
        .environment("SPIN_VARIABLE_CITY", "set")
        .differs("Spin says of the environment that nothing comes before it; of two, what was typed is what was meant"),
        row(
            "a required variable needs a value",
            PROVIDED,
            required(),
            Refused("set SPIN_VARIABLE_A_B or pass --variable a_b=VALUE"),
        ),
        row(
            "it needs one even if nobody uses it",
            Code("crates/trigger/src/cli/variable.rs"),
            app("v = { required = true }", ""),
            Refused("variables.v: the required variable has no value"),
        ),
        row("an empty value is a value", PROVIDED, required(), Variables(&[("v", "")])).given("a_b", ""),
        row(
            "a value for what is not declared is of no use",
            PROVIDED,
            city(),
            Refused("--variable sets \"town\", which the manifest does not declare"),
        )
        .given("town", "Bern")
        .differs("Spin passes over it; it is a name misspelt"),
        row(
            "what the environment sets beside is not looked at",
            Docs("dynamic-configuration#environment-variable-provider"),
            city(),
            Good,
        )
        .environment("SPIN_VARIABLE_TOWN", "Bern"),
        row(
            "a secret is treated as sensitive",
            Docs("manifest-reference#the-variables-table"),
            app("token = { required = true, secret = true }", "")
                + "[component.b]\nsource = \"b\"\nallowed_outbound_hosts = [\"http://{{ token }}:x\"]\n",
            Hidden("\"http://{{ token }}:x\" is no allowed host", "hush"),
        )
        .given("token", "hush"),
    ]
}

fn templates() -> Vec<Row> {
    let template = |template: &str| {
        app(
            "host = { default = \"core\" }\nport = { default = \"81\" }",
            &format!("v = \"{template}\""),
        )
    };
    vec![
        row("a value need not be a template", ADDED, template("v1"), Variables(&[("v", "v1")])),
        row(
            "a template may hold text and several expressions",
            ADDED,
            template("http://{{ host }}:{{port}}/v1"),
            Variables(&[("v", "http://core:81/v1")]),
        ),
        row(
            "expressions may touch",
            TEMPLATE,
            template("{{host}}{{ port }}"),
            Variables(&[("v", "core81")]),
        ),
        row(
            "spaces in the braces do not count",
            TEMPLATE,
            template("{{   host}}"),
            Variables(&[("v", "core")]),
        ),
        row("one brace is text", TEMPLATE, template("{ host }"), Variables(&[("v", "{ host }")])),
        row(
            "braces that only close are text",
            TEMPLATE,
            template("host }}"),
            Variables(&[("v", "host }}")]),
        ),
        row(
            "braces that open must close",
            TEMPLATE,
            template("{{ host"),
            Refused("opens {{ and does not close it"),
        ),
        row("an empty text is a template", TEMPLATE, template(""), Variables(&[("v", "")])),
        row(
            "an expression names a variable that is declared",
            Code("crates/expressions/src/lib.rs"),
            template("{{ none }}"),
            Refused("component.a.variables.v: the template names \"none\""),
        ),
        row(
            "an expression is a name and nothing more",
            Code("crates/expressions/src/lib.rs"),
            template("{{ host.x }}"),
            Refused("the template names \"host.x\""),
        ),
        row(
            "only variables of the application may be named",
            Docs("manifest-reference#using-variables-in-the-manifest"),
            app("", "v = \"1\"\nw = \"{{ v }}\""),
            Refused("component.a.variables.w: the template names \"v\""),
        ),
        row(
            "a value is not read as a template again",
            Code("crates/expressions/src/lib.rs"),
            template("{{ host }}"),
            Variables(&[("v", "{{ port }}")]),
        )
        .given("host", "{{ port }}"),
        row(
            "an environment is no template",
            Docs("manifest-reference#using-variables-in-the-manifest"),
            component("environment = { MODE = \"{{ host }}\" }").replace("\"/\"", "\"/...\""),
            Answers(&[("/env", "\nMODE={{ host }}")]),
        ),
    ]
}

fn asked_for() -> Vec<Row> {
    let manifest =
        app("city = { default = \"Bern\" }", "town = \"{{ city }}\"").replace("\"/\"", "\"/...\"");
    vec![
        row(
            "a component reads its own variables",
            Docs("variables#using-variables-from-applications"),
            manifest.clone(),
            Answers(&[("/var?name=town", "200\n"), ("/var?name=town", "\nBern")]),
        ),
        row(
            "those of the application are not its own",
            ADDED,
            manifest.clone(),
            Answers(&[("/var?name=city", "Undefined")]),
        ),
        row(
            "it may ask for names only",
            Code("crates/factor-variables/src/host.rs"),
            manifest.clone(),
            Answers(&[("/var?name=no-name", "InvalidName"), ("/var?name=a_1", "Undefined")]),
        ),
        row(
            "the environment is the manifest's and nothing of the host's",
            Docs("writing-apps#adding-environment-variables-to-components"),
            manifest.replace("[variables]", "environment = { PET = \"CAT\" }\n[variables]"),
            Answers(&[("/env", "}\nPET=CAT\n(end)")]),
        ),
    ]
}

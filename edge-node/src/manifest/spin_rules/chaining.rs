//! Requests to other components of the application, and to its own routes, as a running node answers them.

use super::*;

const CHAINING: Source = Docs("http-outbound#local-service-chaining");
const CODE: Source = Code("crates/outbound-networking-config/src/allowed_hosts.rs");
const CHAINED: Source = Code("crates/trigger-http/src/outbound_http.rs");
const DENIED: &str = "HttpRequestDenied";

/// A component `a` that may send requests to these, a private one, `inner`, and a public one, `c`.
fn chain(entries: &[&str]) -> String {
    format!(
        "{HEAD}[[trigger.http]]\nroute = \"/a/...\"\ncomponent = \"a\"\n\
         [[trigger.http]]\nroute = {{ private = true }}\ncomponent = \"inner\"\n\
         [[trigger.http]]\nroute = \"/c/...\"\ncomponent = \"c\"\n\
         {COMPONENT}allowed_outbound_hosts = {entries:?}\n\
         [component.inner]\nsource = \"GUEST\"\n[component.c]\nsource = \"GUEST\"\n"
    )
}

pub(super) fn rows() -> Vec<Row> {
    let inner = || chain(&["http://inner.spin.internal"]);
    vec![
        row(
            "a private component is reached by its name",
            Docs("http-trigger#private-endpoints"),
            inner(),
            Answers(&[
                ("/inner/ok", "404\n"),
                ("/a/fetch?url=http://inner.spin.internal/ok", "200\n"),
                ("/a/fetch?url=http://inner.spin.internal/ok", "\nok"),
            ]),
        ),
        row(
            "a public one too, past its route",
            CHAINING,
            chain(&["http://c.spin.internal"]),
            Answers(&[
                ("/a/fetch?url=http://c.spin.internal/ok", "\nok"),
                ("/a/fetch?url=http://c.spin.internal/x/echo", "\nspin-path-info: /x/echo\n"),
            ]),
        ),
        row(
            "who is called by another is told so",
            CHAINED,
            inner(),
            Answers(&[
                ("/a/fetch?url=http://inner.spin.internal/x/echo", "\nspin-path-info: /x/echo\n"),
                ("/a/fetch?url=http://inner.spin.internal/x/echo", "\nspin-matched-route: /...\n"),
                ("/a/fetch?url=http://inner.spin.internal/x/echo", "\nspin-component-route: \n"),
                (
                    "/a/fetch?url=http://inner.spin.internal/x/echo",
                    "\nspin-client-addr: 0.0.0.0:0\n",
                ),
            ]),
        ),
        row(
            "chaining must be granted, component by component",
            CHAINING,
            inner(),
            Answers(&[
                ("/a/fetch?url=http://c.spin.internal/ok", DENIED),
                ("/c/fetch?url=http://inner.spin.internal/ok", DENIED),
            ]),
        ),
        row(
            "chaining may be over https, without any certificate",
            CHAINING,
            chain(&["https://inner.spin.internal"]),
            Answers(&[("/a/fetch?url=https://inner.spin.internal/ok", "\nok")]),
        ),
        row(
            "the granted scheme is the one to ask by",
            CODE,
            inner(),
            Answers(&[("/a/fetch?url=https://inner.spin.internal/ok", DENIED)]),
        ),
        row(
            "so is the port",
            CODE,
            chain(&["http://inner.spin.internal:81"]),
            Answers(&[
                ("/a/fetch?url=http://inner.spin.internal:81/ok", "\nok"),
                ("/a/fetch?url=http://inner.spin.internal/ok", DENIED),
            ]),
        ),
        row(
            "a wildcard allows every component",
            CHAINING,
            chain(&["http://*.spin.internal"]),
            Answers(&[
                ("/a/fetch?url=http://inner.spin.internal/ok", "\nok"),
                ("/a/fetch?url=http://c.spin.internal/ok", "\nok"),
                ("/a/fetch?url=http://a.spin.internal/ok", "\nok"),
            ]),
        ),
        row(
            "a wildcard means the components that there are",
            CODE,
            chain(&["http://*.spin.internal"]),
            Sends(
                &["http://inner.spin.internal/", "http://a.spin.internal/"],
                &[
                    "http://nobody.spin.internal/",
                    "http://x.inner.spin.internal/",
                    "http://spin.internal/",
                    "/own",
                ],
            ),
        ),
        row(
            "a component that is not there cannot be asked",
            CHAINED,
            chain(&["http://nobody.spin.internal"]),
            Answers(&[("/a/fetch?url=http://nobody.spin.internal/ok", "DestinationNotFound")]),
        )
        .differs("Spin traps the guest; an error is something that it can handle"),
        row(
            "own routes are asked at self.alt",
            Docs("http-outbound#intra-application-http-requests-by-route"),
            chain(&["http://self"]),
            Answers(&[
                ("/a/fetch?url=http://self.alt/c/ok", "\nok"),
                ("/a/fetch?url=http://self.alt/c/x/echo", "\nspin-path-info: /x/echo\n"),
                ("/a/fetch?url=http://self.alt/inner/ok", "404\n"),
                ("/c/fetch?url=http://self.alt/c/ok", DENIED),
            ]),
        ),
    ]
}

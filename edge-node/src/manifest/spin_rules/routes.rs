//! Which trigger answers a path, and what its component is told of the way.

use super::*;

const ROUTES: Source = Docs("http-trigger#http-trigger-routes");
const OVERLAPS: Source = Docs("http-trigger#resolving-overlapping-routes");
const TOLD: Source = Docs("http-trigger#additional-request-information");
const RESERVED: Source = Docs("http-trigger#reserved-routes");
const CODE: Source = Code("crates/routes/src/lib.rs");

/// A manifest with these routes, all to one component.
fn routes(routes: &[&str]) -> String {
    let trigger =
        |route: &&str| format!("[[trigger.http]]\nroute = {route:?}\ncomponent = \"a\"\n");
    format!("{HEAD}{COMPONENT}{}", routes.iter().map(trigger).collect::<String>())
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = matching();
    rows.extend(precedence());
    rows.extend(told());
    rows.extend(not_for_components());
    rows
}

fn matching() -> Vec<Row> {
    vec![
        row(
            "an exact route matches itself alone",
            ROUTES,
            routes(&["/cart"]),
            Routes(&[
                ("/cart", "/cart"),
                ("/cart/checkout", ""),
                ("/", ""),
                ("/cartoon", ""),
                ("/CART", ""),
            ]),
        ),
        row(
            "a single-segment wildcard matches one segment",
            ROUTES,
            routes(&["/users/:userid/edit"]),
            Routes(&[
                ("/users/1/edit", "/users/:userid/edit"),
                ("/users/alice/edit", "/users/:userid/edit"),
                ("/users", ""),
                ("/users/1", ""),
                ("/users/1/edit/cart", ""),
            ]),
        ),
        row(
            "a trailing wildcard matches its prefix and all under it",
            ROUTES,
            routes(&["/users/..."]),
            Routes(&[
                ("/users", "/users/..."),
                ("/users/1", "/users/..."),
                ("/users/1/edit", "/users/..."),
                ("/usersandmore", ""),
                ("/", ""),
            ]),
        ),
        row(
            "the route /... matches everything",
            ROUTES,
            routes(&["/..."]),
            Routes(&[("/", "/..."), ("/a", "/..."), ("/a/b/", "/..."), ("/favicon.ico", "/...")]),
        ),
        row(
            "a star at the end is a trailing wildcard",
            CODE,
            routes(&["/foo/*"]),
            Routes(&[("/foo/bar", "/foo/*")]),
        ),
        row(
            "a route need not begin with a slash",
            CODE,
            routes(&["foo"]),
            Routes(&[("/foo", "foo")]),
        ),
        row(
            "a slash at the end of a route or a path does not count",
            CODE,
            routes(&["/foo/", "/bar"]),
            Routes(&[("/foo", "/foo/"), ("/foo/", "/foo/"), ("/bar/", "/bar")]),
        ),
        row(
            "a wildcard has a name",
            CODE,
            routes(&["/a/:"]),
            Refused("\"/a/:\" is not well-formed"),
        ),
        row(
            "a star has no name",
            CODE,
            routes(&["/a/*name"]),
            Refused("\"/a/*name\" is not well-formed"),
        ),
        row(
            "a star before the end is taken, and every request to it panics",
            CODE,
            routes(&["/a/*/b"]),
            Refused("a wildcard may only be its last segment"),
        )
        .differs("it is said at the start instead"),
    ]
}

fn precedence() -> Vec<Row> {
    const STORES: [&str; 6] =
        ["/...", "/v1/...", "/v1/stores", "/v1/stores/:id", "/v1/stores/:id/menu", "/v1/:any"];
    const FOUND: Expect = Routes(&[
        ("/", "/..."),
        ("/anything/else", "/..."),
        ("/v1", "/v1/..."),
        ("/v1/orders/7", "/v1/..."),
        ("/v1/stores", "/v1/stores"),
        ("/v1/stores/", "/v1/stores"),
        ("/v1/stores/7", "/v1/stores/:id"),
        ("/v1/stores/7/menu", "/v1/stores/:id/menu"),
        ("/v1/stores/7/menu/more", "/v1/..."),
        ("/v1/orders", "/v1/:any"),
    ]);
    let mut backwards = STORES;
    backwards.reverse();
    vec![
        row(
            "the longest matching prefix wins",
            OVERLAPS,
            routes(&["/users/...", "/users/admin", "/..."]),
            Routes(&[
                ("/users/1", "/users/..."),
                ("/users/admin", "/users/admin"),
                ("/users/admin/x", "/users/..."),
                ("/cart", "/..."),
            ]),
        ),
        row(
            "an exact segment wins over a wildcard",
            OVERLAPS,
            routes(&["/:a", "/foo"]),
            Routes(&[("/foo", "/foo")]),
        ),
        row(
            "the first segments decide",
            OVERLAPS,
            routes(&["/:a/bar", "/foo/..."]),
            Routes(&[("/foo/bar", "/foo/..."), ("/x/bar", "/:a/bar")]),
        ),
        row("six routes, as they come", OVERLAPS, routes(&STORES), FOUND),
        row("the order of triggers does not count", CODE, routes(&backwards), FOUND),
        row(
            "of two equal routes the later wins",
            CODE,
            routes(&["/a", "/a"]),
            Warned("the route \"/a\" is there twice; the later wins"),
        ),
    ]
}

fn told() -> Vec<Row> {
    let stores = routes(&["/users/:userid/cart/..."]);
    vec![
        row(
            "a component is told how a request came to it",
            TOLD,
            stores.clone(),
            Answers(&[
                ("/users/1/cart/items/echo?q=1", "\nspin-path-info: /items/echo\n"),
                ("/users/1/cart/items/echo", "\nspin-full-url: http://127.0.0.1:"),
                ("/users/1/cart/items/echo", "\nspin-path-match-userid: 1\n"),
                ("/users/1/cart/items/echo", "\nspin-matched-route: /users/:userid/cart/...\n"),
                (
                    "/users/1/cart/items/echo",
                    "\nspin-raw-component-route: /users/:userid/cart/...\n",
                ),
                ("/users/1/cart/items/echo", "\nspin-component-route: /users/:userid/cart\n"),
                ("/users/1/cart/items/echo", "\nspin-client-addr: 127.0.0.1:"),
            ]),
        ),
        row(
            "the path beyond the route keeps its slashes",
            CODE,
            routes(&["/echo/..."]),
            Answers(&[
                ("/echo/x/echo", "\nspin-path-info: /x/echo\n"),
                ("/echo", "\nspin-path-info: \n"),
            ]),
        ),
        row(
            "what a wildcard matched is told as it came",
            CODE,
            routes(&["/:a/echo"]),
            Answers(&[("/%20/echo", "\nspin-path-match-a: %20\n")]),
        ),
        row(
            "the base path is always /",
            Code("crates/trigger-http/src/headers.rs"),
            routes(&["/..."]),
            Answers(&[("/echo", "\nspin-base-path: /\n")]),
        ),
    ]
}

fn not_for_components() -> Vec<Row> {
    let fixed = |answer: &str| {
        format!("{HEAD}[[trigger.http]]\nroute = \"/...\"\nstatic_response = {answer}\n")
    };
    let reserved = routes(&["/..."]);
    vec![
        row(
            "a private route has no path",
            Docs("http-trigger#private-endpoints"),
            trigger("route = { private = true }\ncomponent = \"a\""),
            Routes(&[("/", ""), ("/a", ""), ("/private", "")]),
        ),
        row(
            "a route is private or a path",
            CODE,
            trigger("route = { private = false }\ncomponent = \"a\""),
            Refused("{ private = true }"),
        ),
        row(
            "health is the host's to tell",
            RESERVED,
            reserved.clone(),
            Answers(&[("/.well-known/spin/health", "200\n")]),
        ),
        row(
            "other reserved paths are not found",
            RESERVED,
            reserved.clone(),
            Answers(&[("/.well-known/spin/ok", "404\n")]),
        ),
        row(
            "info tells of the application",
            RESERVED,
            reserved,
            Answers(&[("/.well-known/spin/info", "404\n")]),
        )
        .differs("what runs here is told on the admin port, not to every client"),
        row(
            "a route under the reserved ones is never reached",
            RESERVED,
            routes(&["/.well-known/spin/mine"]),
            Warned("is the host's own and never reached"),
        ),
        row(
            "only what is under the reserved prefix is reserved",
            CODE,
            routes(&["/.well-known/spin", "/.well-known/spindle/..."]),
            Routes(&[
                ("/.well-known/spin", "/.well-known/spin"),
                ("/.well-known/spindle/x", "/.well-known/spindle/..."),
            ]),
        ),
        row(
            "a static response has status, headers and body",
            Docs("http-trigger#static-responses-with-the-http-trigger"),
            fixed(
                "{ status_code = 302, headers = { location = \"/users/bob\" }, body = \"moved\" }",
            ),
            Answers(&[
                ("/bob", "302\n"),
                ("/bob", "\"location\": \"/users/bob\""),
                ("/bob", "moved"),
            ]),
        ),
        row(
            "each of them may be left out",
            Docs("manifest-reference#additional-fields-for-triggerhttp-tables"),
            fixed("{}"),
            Answers(&[("/", "200\n")]),
        ),
        row(
            "a status is one of HTTP's",
            Code("crates/http/src/config.rs"),
            fixed("{ status_code = 99 }"),
            Refused("no HTTP status"),
        )
        .differs("Spin finds out when the first request comes"),
        row(
            "a header is one of HTTP's",
            Code("crates/http/src/config.rs"),
            fixed("{ headers = { \"a b\" = \"\" } }"),
            Refused("static_response.headers.a b is no HTTP header"),
        )
        .differs("Spin finds out when the first request comes"),
        row(
            "a content-length is its body's",
            Code("crates/http/src/config.rs"),
            fixed("{ headers = { Content-Length = \"7\" }, body = \"eight ch\" }"),
            Refused("static_response.headers.Content-Length is not the body's length, which is 8"),
        )
        .differs("Spin sends what is written, and the connection breaks"),
        row(
            "a content-length that is its body's is good",
            Code("crates/http/src/config.rs"),
            fixed("{ headers = { content-length = \"5\" }, body = \"short\" }"),
            Answers(&[("/", "200\n"), ("/", "short")]),
        ),
        row(
            "a status is one of a whole answer",
            Code("crates/http/src/config.rs"),
            fixed("{ status_code = 103 }"),
            Refused("none of a whole answer"),
        )
        .differs("Spin finds out when the first request comes"),
    ]
}

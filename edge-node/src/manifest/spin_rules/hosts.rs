//! Where a component may send requests: `allowed_outbound_hosts`.

use super::*;

const GRANTED: Source = Docs("http-outbound#granting-http-permissions-to-components");
const NETWORK: Source = Docs("writing-apps#granting-networking-permissions-to-components");
const REFERENCE: Source = Docs("manifest-reference#the-component-table");
const BY_ROUTE: Source = Docs("http-outbound#intra-application-http-requests-by-route");
const CODE: Source = Code("crates/outbound-networking-config/src/allowed_hosts.rs");

/// A manifest whose component `a` may send requests to these.
fn hosts(entries: &[&str]) -> String {
    component(&format!(
        "allowed_outbound_hosts = {entries:?}\n[variables]\nurl = {{ default = \"http://core:3001\" }}\n\
         host = {{ default = \"\" }}"
    ))
}

pub(super) fn rows() -> Vec<Row> {
    let mut rows = names();
    rows.extend(addresses());
    rows.extend(templates());
    rows.extend(to_itself());
    rows.extend(malformed());
    rows
}

fn names() -> Vec<Row> {
    vec![
        row(
            "nothing is allowed that is not granted",
            GRANTED,
            component(""),
            Sends(&[], &["http://core/", "/own"]),
        ),
        row(
            "an empty list grants nothing",
            REFERENCE,
            hosts(&[]),
            Sends(&[], &["http://core/", "/own"]),
        ),
        row(
            "a host with a port is allowed on that port",
            GRANTED,
            hosts(&["https://one.example", "http://core:3001"]),
            Sends(
                &["https://one.example/x", "http://core:3001/v1"],
                &["http://core/", "http://core:3002/", "http://other/"],
            ),
        ),
        row(
            "without a port it is the scheme's own",
            GRANTED,
            hosts(&["http://core"]),
            Sends(&["http://core/", "http://core:80/"], &["http://core:81/", "http://core:443/"]),
        ),
        row(
            "the scheme counts",
            NETWORK,
            hosts(&["https://core"]),
            Sends(&["https://core/"], &["http://core/", "http://core:443/"]),
        ),
        row(
            "a host's case does not count",
            CODE,
            hosts(&["http://Core"]),
            Sends(&["http://cORE/"], &[]),
        ),
        row(
            "any subdomain of a domain",
            GRANTED,
            hosts(&["http://*.Example.com"]),
            Sends(
                &["http://a.example.com/", "http://a.b.example.com/x"],
                &[
                    "http://example.com/",
                    "http://myexample.com/",
                    "http://a.example.com:81/",
                    "http://example.com.evil/",
                ],
            ),
        ),
        row(
            "any port",
            NETWORK,
            hosts(&["http://core:*"]),
            Sends(&["http://core/", "http://core:1/"], &["https://core/", "http://core2/"]),
        ),
        row(
            "any scheme",
            REFERENCE,
            hosts(&["*://core:81"]),
            Sends(&["http://core:81/", "https://core:81/"], &["http://core/"]),
        ),
        row(
            "any host",
            GRANTED,
            hosts(&["https://*:*"]),
            Sends(&["https://any/", "https://10.0.0.1:1/", "https://[::1]/"], &["http://any/"]),
        ),
        row(
            "any host on the scheme's own port",
            CODE,
            hosts(&["http://*"]),
            Sends(&["http://any/"], &["http://any:81/"]),
        ),
        row(
            "anything at all",
            NETWORK,
            hosts(&["*://*:*"]),
            Sends(&["http://any:1/", "https://[::1]/", "/own", "http://self.alt/own"], &[]),
        ),
        row(
            "a range of ports without its end",
            CODE,
            hosts(&["http://core:3000..3002"]),
            Sends(
                &["http://core:3000/", "http://core:3001/"],
                &["http://core:3002/", "http://core:2999/"],
            ),
        ),
        row(
            "a slash at the end does not count",
            CODE,
            hosts(&["http://core/", "http://core:81/", "http://*.example.com/"]),
            Sends(
                &["http://core/x", "http://core:81/", "http://a.example.com/"],
                &["http://core:82/"],
            ),
        ),
        row(
            "hosts of databases may stand beside",
            NETWORK,
            hosts(&["redis://redis.example.com", "postgres://db:5432", "mysql://db", "mqtt://m"]),
            Sends(&[], &["http://db/", "http://redis.example.com:6379/"]),
        ),
        row(
            "a name of other than ASCII letters is taken as its xn-- form",
            CODE,
            hosts(&["http://büch.er"]),
            Refused("no well-formed host"),
        )
        .differs("requests come with the xn-- form, so that is what the manifest should show"),
    ]
}

fn addresses() -> Vec<Row> {
    vec![
        row(
            "an address",
            CODE,
            hosts(&["http://127.0.0.1:3001"]),
            Sends(
                &["http://127.0.0.1:3001/"],
                &["http://127.0.0.2:3001/", "http://127.0.0.1/", "http://localhost:3001/"],
            ),
        ),
        row(
            "an address of IPv6 stands in brackets",
            CODE,
            hosts(&["http://[::1]", "http://[2001:db8::1]:8000..9000"]),
            Sends(
                &["http://[::1]/", "http://[::1]:80/", "http://[2001:db8::1]:8080/"],
                &["http://[::1]:81/", "http://[::2]/"],
            ),
        ),
        row(
            "one without brackets is none",
            CODE,
            hosts(&["http://::1"]),
            Refused("\"http://::1\" has no well-formed host"),
        ),
        row(
            "a block of addresses",
            GRANTED,
            hosts(&["http://192.168.1.0/24", "*://10.1.2.3/8:80"]),
            Sends(
                &["http://192.168.1.7/", "http://10.9.8.7/"],
                &["http://192.168.2.1/", "http://192.168.1.7:81/", "http://name/", "http://[::1]/"],
            ),
        ),
        row(
            "a block of IPv6",
            CODE,
            hosts(&["http://2001:db8::/32", "http://ff00::/8:81"]),
            Sends(
                &["http://[2001:db8:abcd::1]/x", "http://[ff02::1]:81/"],
                &["http://[2001:db9::1]/", "http://10.0.0.1/"],
            ),
        ),
        row(
            "a block of everything",
            CODE,
            hosts(&["http://0.0.0.0/0"]),
            Sends(&["http://1.2.3.4/"], &["http://[::1]/", "http://name/"]),
        ),
        row(
            "short forms of an address mean the same",
            CODE,
            hosts(&["http://127.0.0.1"]),
            Sends(&["http://127.0.0.1/"], &["http://127.1/", "http://2130706433/"]),
        )
        .differs(
            "not every resolver takes them for an address: what is allowed should not hang on that",
        ),
    ]
}

fn templates() -> Vec<Row> {
    vec![
        row(
            "an entry may be a template",
            Docs("http-outbound#configuration-based-permissions"),
            hosts(&["{{ url }}"]),
            Sends(&["http://core:3001/"], &["http://core/"]),
        ),
        row(
            "its value is what counts at the start",
            ADDED_AT_LOAD,
            hosts(&["{{ url }}"]),
            Sends(&["http://other:1/"], &["http://core:3001/"]),
        )
        .given("url", "http://other:1"),
        row(
            "a part of an entry may be a template",
            CODE,
            hosts(&["http://{{ host }}:81"]),
            Sends(&["http://core:81/"], &["http://core/"]),
        )
        .given("host", "core"),
        row(
            "a template that comes to nothing grants nothing",
            CODE,
            hosts(&["{{ host }}", "http://{{ host }}", "https://{{ host }}", "http://three"]),
            Sends(&["http://three/"], &["http://core/", "/own"]),
        ),
        row(
            "a template that comes to no host is refused",
            CODE,
            hosts(&["http://{{ host }}"]),
            Refused("\"http://no host\" has no well-formed host"),
        )
        .given("host", "no host"),
        row(
            "a template names a variable that is declared (hosts)",
            Code("crates/expressions/src/lib.rs"),
            hosts(&["http://{{ none }}"]),
            Refused("component.a.allowed_outbound_hosts: the template names \"none\""),
        ),
    ]
}

const ADDED_AT_LOAD: Source = Docs("manifest-reference#using-variables-in-the-manifest");

fn to_itself() -> Vec<Row> {
    const OWN: Expect = Sends(&["/own", "http://self.alt/own"], &["http://self/", "http://core/"]);
    vec![
        row("self allows the application's own routes", BY_ROUTE, hosts(&["http://self"]), OWN),
        row("self.alt does as well", BY_ROUTE, hosts(&["https://self.alt"]), OWN),
        row("the port of self does not count", CODE, hosts(&["http://self:81"]), OWN),
        row(
            "a scheme other than HTTP's does",
            CODE,
            hosts(&["redis://self"]),
            Sends(&[], &["/own"]),
        ),
        row(
            "self with a slash is a host of that name",
            CODE,
            hosts(&["http://self/"]),
            Sends(&["http://self/"], &["/own", "http://self.alt/"]),
        ),
        row(
            "all subdomains of anything are not the application",
            CODE,
            hosts(&["http://*.alt"]),
            Sends(&["http://b.alt/"], &["/own", "http://self.alt/"]),
        ),
    ]
}

fn malformed() -> Vec<Row> {
    [
        ("an entry has a scheme", "core", "must be <scheme>://<host>"),
        ("a star alone is no entry", "*", "must be <scheme>://<host>"),
        ("allowing all has another form", "insecure:allow-all", "must be <scheme>://<host>"),
        ("an empty entry is none", "", "must be <scheme>://<host>"),
        ("an entry has a host", "http://", "no well-formed host"),
        ("an entry has no path", "http://core/path", "has a path"),
        ("nor one after a port", "http://core:80/path", "has a path"),
        ("nor one of slashes", "http://core//", "has a path"),
        ("nor one after a block", "http://10.0.0.0/8/x", "has a path"),
        ("a port is a number", "http://core:port", "not a number"),
        ("a port has 16 bits", "http://core:99999", "not a number"),
        ("so has the end of a range", "http://core:80..70000", "not a number"),
        ("a range has an end", "http://core:80..", "not a number"),
        ("there is one port", "http://core:80:90", "no well-formed host"),
        ("a scheme without a port of its own needs one", "ftp://core", "needs a port"),
        ("so does any scheme", "*://core", "needs a port"),
        ("a scheme is of letters", "h2://core:1", "other than letters"),
        ("a star is a whole label at the front", "http://a.*.com", "'*'"),
        ("a star is no part of a label", "http://*com", "'*'"),
        ("one star is enough", "http://*.*.com", "'*'"),
        ("a star is before a domain", "http://*.", "'*'"),
        ("and not before an address", "http://*.127.0.0.1", "'*'"),
        ("any host takes no slash", "http://*/", "'*'"),
        ("there are no lists of hosts", "http://{a,b}", "no well-formed host"),
        ("brackets close", "http://[::1", "no well-formed host"),
        ("nothing follows them", "http://[::1]x", "not a number"),
        ("brackets hold no block", "http://[::1]/128", "has a path"),
    ]
    .into_iter()
    .map(|(rule, entry, reason)| row(rule, CODE, hosts(&[entry]), Refused(reason)))
    .collect()
}

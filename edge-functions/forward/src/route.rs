//! Which requests are passed on, and which of them need a token.
//!
//! The path that goes to the core is built anew from the decoded segments. Only segments of unreserved
//! characters pass, so that edge and core cannot read one path in two ways (`/v1/%61dmin`,
//! `/v1/../admin`).

use crate::limits::QUERY_MAX_BYTES;
use http::{Method, Uri};
use tiffin_kit::answer::{Answer, require_read};
use tiffin_kit::{escape, path, query};

/// The methods that are passed on.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// What a request must bring to be passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Public,
    /// A token that verifies.
    Token,
}

/// A request that has a door.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Path and query at the core.
    pub target: String,
    /// What the request must bring.
    pub access: Access,
}

/// Finds the door. The error is the answer to give.
pub fn route(method: &Method, uri: &Uri) -> Result<Route, Box<Answer>> {
    let segments = path::segments(uri.path())?;
    let segments: Vec<&str> = segments.iter().map(AsRef::as_ref).collect();
    if !segments.iter().all(|segment| is_plain(segment)) {
        return Err(path::not_found().into());
    }
    if !METHODS.contains(method) {
        let allow = METHODS.map(|method| method.to_string()).join(", ");
        return Err(Box::new(Answer::method_not_allowed(&allow)));
    }
    let access = access(method, &segments)?;
    let mut target = format!("/{}", segments.join("/"));
    if let Some(query) = uri.query() {
        check_query(query)?;
        target.push('?');
        target.push_str(query);
    }
    Ok(Route { target, access })
}

fn access(method: &Method, segments: &[&str]) -> Result<Access, Box<Answer>> {
    match segments {
        ["openapi.json"] => require_read(method).map(|()| Access::Public),
        // The host's own.
        [".well-known", "spin", ..] => Err(path::not_found().into()),
        [".well-known", _, ..] => require_read(method).map(|()| Access::Public),
        // The core team and the edges come by another door.
        ["v1", first, ..]
            if ["admin", "internal"].iter().any(|it| first.eq_ignore_ascii_case(it)) =>
        {
            Err(path::not_found().into())
        }
        ["v1", "quotes"] | ["v1", "webhooks", "payments", _] if *method == Method::POST => {
            Ok(Access::Public)
        }
        // A browser asks before it sends a token; the core says what the route has.
        ["v1", _, ..] if *method == Method::OPTIONS => Ok(Access::Public),
        ["v1", _, ..] => Ok(Access::Token),
        _ => Err(path::not_found().into()),
    }
}

/// One or more unreserved characters (RFC 3986, section 2.3) or colons, and no dots alone.
fn is_plain(segment: &str) -> bool {
    let unreserved = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:".contains(&byte);
    !matches!(segment, "" | "." | "..") && segment.bytes().all(unreserved)
}

fn check_query(text: &str) -> Result<(), Box<Answer>> {
    if text.len() > QUERY_MAX_BYTES {
        return Err(query::bad(format!("the query is longer than {QUERY_MAX_BYTES} bytes")).into());
    }
    escape::decode(text)
        .map(|_| ())
        .map_err(|error| query::bad(format!("in the query, {}", error.as_str())).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn routed(method: &str, uri: &str) -> Result<(String, Access), u16> {
        let uri = uri.parse().unwrap();
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        match route(&method, &uri) {
            Ok(Route { target, access }) => Ok((target, access)),
            Err(answer) => Err(answer.status.as_u16()),
        }
    }

    #[test]
    fn a_few_doors_are_open_and_the_others_need_a_token() {
        use Access::*;
        for (method, uri, access) in [
            ("GET", "/openapi.json", Public),
            ("HEAD", "/openapi.json", Public),
            ("GET", "/.well-known/jwks.json", Public),
            ("POST", "/v1/quotes", Public),
            ("POST", "/v1/webhooks/payments/sandbox", Public),
            ("OPTIONS", "/v1/orders", Public),
            ("OPTIONS", "/v1/orders/42/payments", Public),
            ("GET", "/v1/quotes", Token),
            ("PUT", "/v1/webhooks/payments/sandbox", Token),
            ("POST", "/v1/webhooks/payments", Token),
            ("POST", "/v1/quotes/1", Token),
            ("POST", "/v1/orders", Token),
            ("GET", "/v1/orders/42?x=%20", Token),
            ("PATCH", "/v1/deliveries/9", Token),
        ] {
            assert_eq!(routed(method, uri), Ok((uri.to_owned(), access)), "{method} {uri}");
        }
    }

    #[test]
    fn other_doors_are_not_there() {
        for (method, uri, status) in [
            ("GET", "/v1/admin", 404),
            ("POST", "/v1/admin/import", 404),
            ("GET", "/v1/Admin/audit", 404),
            ("GET", "/v1/%61dmin/audit", 404),
            ("GET", "/v1/internal/feed", 404),
            ("GET", "/internal/feed", 404),
            ("GET", "/v1/orders/../admin/audit", 400),
            ("GET", "/v1/%2e%2e/internal", 400),
            ("GET", "/v1//admin", 404),
            ("GET", "/v1/orders%2F1", 400),
            ("GET", "/v1/orders/%0d%0a", 400),
            ("GET", "/v1/orders/%E9%9D%A2", 404),
            ("GET", "/v1", 404),
            ("GET", "/", 404),
            ("GET", "/.well-known/spin/health", 404),
            ("GET", "/healthz", 404),
            ("POST", "/openapi.json", 405),
            ("TRACE", "/v1/orders", 405),
            ("BREW", "/v1/orders", 405),
            ("GET", "/v1/orders/%zz", 400),
            ("GET", "/v1/orders?cursor=%", 400),
        ] {
            assert_eq!(routed(method, uri), Err(status), "{method} {uri}");
        }
        let long = format!("/v1/orders?{}", "a".repeat(QUERY_MAX_BYTES + 1));
        assert_eq!(routed("GET", &long), Err(400));
    }

    #[test]
    fn one_path_has_one_form_at_the_core() {
        for uri in ["/v1/orders/4%32", "/v1/orders/42/", "/v1/%6frders/42"] {
            assert_eq!(
                routed("GET", uri),
                Ok(("/v1/orders/42".to_owned(), Access::Token)),
                "{uri}"
            );
        }
    }
}

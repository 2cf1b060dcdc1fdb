//! What is refused, and what is taken out, before a request goes any further.

use std::borrow::Cow;

use http::header::{COOKIE, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderName, HeaderValue, Method, Uri, Version};
use tiffin_api::host::is_host;
use tiffin_api::path::canonical;
use tiffin_api::singleton::doubled;

use crate::hop;
use crate::limits;
use crate::problem::Problem;
use crate::site::strip_spin_headers;

/// The target of a request about the server as a whole.
pub(crate) const SERVER: &str = "*";

/// Makes a client's request fit for the application: absolute URI, clean headers. Its body is not
/// looked at.
///
/// # Errors
/// The problem to answer with.
pub(super) fn clean(head: &mut Parts, scheme: Scheme) -> Result<(), Problem> {
    if matches!(head.method, Method::CONNECT | Method::TRACE) {
        return Err(Problem::MethodNotSupported);
    }
    let target = head.uri.path_and_query().map_or("", PathAndQuery::as_str);
    if target.len() > limits::MAX_TARGET_BYTES {
        return Err(Problem::TargetTooLong);
    }
    if head.headers.len() > limits::MAX_HEADERS || head_bytes(head) > limits::MAX_HEAD_BYTES {
        return Err(Problem::HeadTooLarge);
    }
    // Source: RFC 9110, section 9.3.7.
    let is_whole_server = head.method == Method::OPTIONS && target == SERVER;
    if !target.starts_with('/') && !is_whole_server {
        return Err(Problem::RouteNotFound);
    }
    if head.headers.get_all(TRANSFER_ENCODING).iter().any(|coding| !is_chunked(coding))
        || head.headers.get_all(TRANSFER_ENCODING).iter().count() > 1
    {
        return Err(Problem::TransferCoding);
    }
    if let Some(field) = doubled(head.headers.iter().map(|(name, _)| name.as_str())) {
        return Err(Problem::Doubled(field));
    }
    head.uri = absolute(head, scheme)?;
    if !is_whole_server {
        canonicalize(&mut head.uri)?;
    }
    speak_http1(head);
    strip_spin_headers(&mut head.headers);
    hop::strip(&mut head.headers);
    Ok(())
}

/// About as many as came over the wire.
fn head_bytes(head: &Parts) -> usize {
    let target = head.uri.path_and_query().map_or(0, |target| target.as_str().len());
    let line = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    target + head.headers.iter().map(line).sum::<usize>()
}

/// Gives a URI's path its one spelling: routes, what is kept and what is purged go by it. The query is left alone:
/// which of its parts are the same only the function knows, and its answer's tags say what it is about.
///
/// # Errors
/// The problem of a path that has none.
pub(crate) fn canonicalize(uri: &mut Uri) -> Result<(), Problem> {
    let path = match canonical(uri.path()) {
        Ok(Cow::Borrowed(_)) => return Ok(()),
        Ok(Cow::Owned(path)) => path,
        Err(reason) => return Err(Problem::BadPath(reason)),
    };
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path,
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.parse().map_err(|_| Problem::BadTarget)?);
    *uri = Uri::from_parts(parts).map_err(|_| Problem::BadTarget)?;
    Ok(())
}

/// The one coding that is understood. hyper looks at the last coding of a list only.
fn is_chunked(coding: &HeaderValue) -> bool {
    coding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked")
}

/// Functions are told of a request as HTTP/1 has it, however it came: with a `Host`, and cookies on one line.
/// Source: RFC 9113, sections 8.2.3 and 8.3.1; where a target names a host, that is the one (RFC 9112, section 3.2.2).
fn speak_http1(head: &mut Parts) {
    let authority = head.uri.authority().map(Authority::as_str);
    let is_old = head.version < Version::HTTP_11 && !head.headers.contains_key(HOST);
    if let Some(Ok(host)) = authority.filter(|_| !is_old).map(HeaderValue::try_from)
        && head.headers.get(HOST) != Some(&host)
    {
        head.headers.insert(HOST, host);
    }
    let lines: Vec<&[u8]> =
        head.headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if lines.len() > 1
        && let Ok(cookies) = HeaderValue::try_from(lines.join(&b"; "[..]))
    {
        head.headers.insert(COOKIE, cookies);
    }
}

fn absolute(head: &Parts, scheme: Scheme) -> Result<Uri, Problem> {
    let host = host(head)?;
    // Of two names one would be checked and the other believed. Source: RFC 9113, section 8.3.1.
    if head.version == Version::HTTP_2
        && let (Some(host), Some(authority)) = (&host, head.uri.authority())
        && host != authority
    {
        return Err(Problem::BadHost);
    }
    let authority = head.uri.authority().cloned().or(host);
    // HTTP/1.0 has no Host.
    let authority = authority.unwrap_or_else(|| Authority::from_static("localhost"));
    // Among others, nobody logs in to a host, and some who read an authority take the user for the host.
    if !is_host(authority.as_str()) {
        return Err(Problem::BadHost);
    }
    let mut parts = head.uri.clone().into_parts();
    parts.scheme = Some(scheme);
    parts.authority = Some(authority);
    Uri::from_parts(parts).map_err(|_| Problem::BadTarget)
}

/// What the `Host` header says. Source: RFC 9112, section 3.2.
fn host(head: &Parts) -> Result<Option<Authority>, Problem> {
    let mut hosts = head.headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => {
            let host = Authority::try_from(host.as_bytes()).map_err(|_| Problem::BadHost)?;
            if is_host(host.as_str()) { Ok(Some(host)) } else { Err(Problem::BadHost) }
        }
        (None, _) if head.version < Version::HTTP_11 => Ok(None),
        // Its place is `:authority` now.
        (None, _) if head.version == Version::HTTP_2 && head.uri.authority().is_some() => Ok(None),
        _ => Err(Problem::BadHost),
    }
}

#[cfg(test)]
mod tests {
    use super::canonicalize;
    use http::Uri;

    #[test]
    fn a_uri_gets_the_one_spelling_of_its_path_and_keeps_the_rest() {
        for (uri, expected) in [
            ("http://h:81/a/b?x=%41#", Some("http://h:81/a/b?x=%41")),
            ("http://h:81/%61/%62?x=%41", Some("http://h:81/a/b?x=%41")),
            ("https://h/%e2%82%ac?", Some("https://h/%E2%82%AC?")),
            ("/%61%2F", None),
            ("/a/%2e%2e/b?c", None),
            ("/a%", None),
        ] {
            let mut found: Uri = uri.parse().unwrap();
            let found = canonicalize(&mut found).map(|()| found.to_string()).ok();
            assert_eq!(found.as_deref(), expected, "{uri}");
        }
    }
}

//! A request's path, split and decoded.
//!
//! Functions route by this alone: the `spin-*` headers say the same thing, but on a careless host a
//! client can set them. A path without a canonical form is refused here too: not every host does it.

use crate::escape;
use crate::limits::{PATH_MAX_BYTES, PATH_MAX_SEGMENTS};
use std::borrow::Cow;
use tiffin_api::path::canonical;
use tiffin_api::{ErrorCode, Problem};

/// The decoded segments of a path; one slash at the end makes no difference.
pub fn segments(path: &str) -> Result<Vec<Cow<'_, str>>, Box<Problem>> {
    let refuse = |detail: String| Box::new(Problem::new(ErrorCode::BadRequest, detail));
    if path.len() > PATH_MAX_BYTES {
        return Err(refuse(format!("the path is longer than {PATH_MAX_BYTES} bytes")));
    }
    canonical(path).map_err(|reason| refuse(reason.to_string()))?;
    let inner = path.strip_prefix('/').unwrap_or(path);
    let inner = inner.strip_suffix('/').unwrap_or(inner);
    if inner.bytes().filter(|byte| *byte == b'/').count() >= PATH_MAX_SEGMENTS {
        return Err(refuse(format!("the path has more than {PATH_MAX_SEGMENTS} segments")));
    }
    inner
        .split('/')
        .map(escape::decode)
        .collect::<Result<_, _>>()
        .map_err(|error| refuse(format!("in the path, {}", error.as_str())))
}

/// The problem of a path that leads nowhere.
pub fn not_found() -> Box<Problem> {
    Box::new(Problem::new(ErrorCode::RouteNotFound, "no route has this path"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_split_and_then_decoded() {
        assert_eq!(segments("/v1/stores").unwrap(), ["v1", "stores"]);
        assert_eq!(segments("/v1/stores/").unwrap(), ["v1", "stores"]);
        assert_eq!(segments("/v1//stores").unwrap(), ["v1", "", "stores"]);
        assert_eq!(segments("/v1/%61%20b/%E9%9D%A2").unwrap(), ["v1", "a b", "面"]);
    }

    #[test]
    fn a_bad_path_is_a_bad_request() {
        let deep = "/a".repeat(PATH_MAX_SEGMENTS + 1);
        let long = "a".repeat(PATH_MAX_BYTES + 1);
        for path in
            ["/v1/%zz", "/v1/%ff", "/v1/a%2Fb", "/v1/%2e%2e/x", "v1", deep.as_str(), long.as_str()]
        {
            assert_eq!(segments(path).unwrap_err().code, ErrorCode::BadRequest, "{path}");
        }
    }
}

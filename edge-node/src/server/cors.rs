//! Pages of other origins: which may read answers, and what their preflights are told.
//!
//! A preflight goes to its function like any OPTIONS, without a token, and the function's `Allow` says which methods the
//! route has; what is said to the browser is added here, behind the cache, so that what is stored is the same for
//! all. A function that speaks of these things itself has the last word. Without configured origins nothing is added.
//! The rules are [`tiffin_api::cors`]'s.

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
    ACCESS_CONTROL_REQUEST_METHOD, ALLOW, CONTENT_LENGTH, CONTENT_TYPE, ORIGIN, VARY,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode};
use tiffin_api::cors::{
    EXPOSED_HEADERS, PREFLIGHT_VARY, allowed_headers, allowed_origin, is_listed, is_origin,
};
use wasmtime_wasi_http::WasiBody;

use crate::body::full;
use crate::limits;
use crate::problem::METHODS;

/// Which pages may read answers.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct CorsOptions {
    /// An origin whose pages may use the API from a browser: https://shop.example, or * for any. May be repeated; in the
    /// variable, by commas. Without it, none but the node's own.
    #[arg(long = "cors-origin", value_name = "ORIGIN", env = "EDGE_CORS_ORIGINS", value_delimiter = ',',
          value_parser = parse_origin)]
    pub origins: Vec<String>,
}

fn parse_origin(text: &str) -> Result<String, &'static str> {
    if is_origin(text) {
        return Ok(text.to_owned());
    }
    Err(
        "an origin is a scheme and a host in lower case, and a port if need be: https://shop.example",
    )
}

/// What a request of a page asks for.
pub(super) struct Asked {
    /// What `Access-Control-Allow-Origin` will say; none where the origin may not read.
    allowed: Option<HeaderValue>,
    preflight: Option<Preflight>,
}

struct Preflight {
    method: String,
    headers: String,
}

impl CorsOptions {
    /// Whether answers are to say anything.
    pub(super) fn is_on(&self) -> bool {
        !self.origins.is_empty()
    }

    /// Reads a request; none if there is nothing to say.
    pub(super) fn read(&self, method: &Method, headers: &HeaderMap) -> Option<Asked> {
        if !self.is_on() {
            return None;
        }
        let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let origin = text(ORIGIN);
        let allowed = origin.and_then(|origin| allowed_origin(&self.origins, origin));
        let allowed = allowed.and_then(|allowed| HeaderValue::from_str(allowed).ok());
        let requested = text(ACCESS_CONTROL_REQUEST_METHOD);
        let preflight = requested.filter(|_| *method == Method::OPTIONS && origin.is_some());
        let preflight = preflight.map(|method| Preflight {
            method: method.to_owned(),
            headers: text(ACCESS_CONTROL_REQUEST_HEADERS).unwrap_or_default().to_owned(),
        });
        Some(Asked { allowed, preflight })
    }
}

impl Asked {
    /// Adds to an answer what the page's browser is to know.
    pub(super) fn answer(self, response: &mut Response<WasiBody>) {
        let headers = response.headers_mut();
        if headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN) {
            return;
        }
        let vary = if self.preflight.is_some() { PREFLIGHT_VARY } else { "Origin" };
        headers.append(VARY, HeaderValue::from_static(vary));
        let Some(allowed) = self.allowed else { return };
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, allowed);
        match self.preflight {
            Some(preflight) => preflight.answer(response),
            None => {
                let exposed = HeaderValue::from_static(EXPOSED_HEADERS);
                headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
            }
        }
    }
}

impl Preflight {
    /// Tells the browser what the route has, if it has a route.
    fn answer(self, response: &mut Response<WasiBody>) {
        let is_there =
            response.status().is_success() || response.status() == StatusCode::METHOD_NOT_ALLOWED;
        if !is_there {
            return;
        }
        let allow = response.headers().get(ALLOW).and_then(|allow| allow.to_str().ok());
        let allow = allow.unwrap_or(METHODS).to_owned();
        *response.status_mut() = StatusCode::NO_CONTENT;
        *response.body_mut() = full("");
        let headers = response.headers_mut();
        headers.remove(CONTENT_TYPE);
        headers.remove(CONTENT_LENGTH);
        // What the route does not have, the browser refuses by this list.
        let methods = if is_listed(&allow, &self.method) { self.method } else { allow };
        for (name, value) in [
            (ACCESS_CONTROL_ALLOW_METHODS, methods),
            (ACCESS_CONTROL_ALLOW_HEADERS, allowed_headers(&self.headers)),
            (ACCESS_CONTROL_MAX_AGE, limits::CORS_MAX_AGE.as_secs().to_string()),
        ] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(name, value);
            }
        }
    }
}

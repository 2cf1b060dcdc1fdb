//! The API's description. Handlers say what is particular to them; what follows from how requests are read
//! is added here, once, for every operation: tokens, idempotency keys, bodies, and a busy core.

use crate::limits;
use tiffin_api::problem::CONTENT_TYPE;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::response::{Response, ResponseBuilder};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{Content, OpenApi, Ref, RefOr};

const JSON: &str = "application/json";

#[derive(utoipa::OpenApi)]
#[openapi(info(
    title = "Tiffin core",
    description = "Menus, quotes, orders and payments. Amounts are integers in minor units; ids are \
        decimal strings; instants are milliseconds since the Unix epoch. Refusals are RFC 9457 \
        problem documents with a stable `code`.",
    license(name = "MIT OR Apache-2.0")
))]
struct ApiDoc;

/// The description before any route is in it.
pub fn start() -> OpenApi {
    <ApiDoc as utoipa::OpenApi>::openapi()
}

/// Adds what every operation shares; to be called when every route is in.
pub fn complete(api: &mut OpenApi) {
    let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).bearer_format("JWT").build();
    let components = api.components.get_or_insert_default();
    components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    for operation in api.paths.paths.values_mut().flat_map(operations) {
        add_common_refusals(operation);
        for (status, response) in &mut operation.responses.responses {
            if let RefOr::T(response) = response {
                finish(status, response);
            }
        }
    }
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let PathItem { get, put, post, delete, patch, .. } = path;
    [get, put, post, delete, patch].into_iter().flatten()
}

/// The refusals that the extractors and layers give, told from what the operation takes.
fn add_common_refusals(operation: &mut Operation) {
    let takes = |wanted: fn(&Parameter) -> bool| {
        let mut parameters = operation.parameters.iter().flatten();
        parameters.any(|parameter| matches!(parameter, RefOr::T(parameter) if wanted(parameter)))
    };
    let keyed = takes(|parameter| parameter.name == "Idempotency-Key");
    // A signature covers a body's bytes: its media type is not looked at.
    let signed = takes(|parameter| parameter.name == "Tiffin-Signature");
    let queried = takes(|parameter| matches!(parameter.parameter_in, ParameterIn::Query));
    let secured = operation.security.as_ref().is_some_and(|schemes| !schemes.is_empty());
    let has_body = operation.request_body.is_some();
    for (applies, status, codes) in [
        (queried, "400", "bad-request"),
        (has_body, "400", "malformed-json"),
        (keyed, "400", "idempotency-key-missing, idempotency-key-invalid"),
        (secured, "401", "unauthenticated, token-expired"),
        (keyed, "409", "idempotency-in-flight"),
        (has_body, "413", "body-too-large"),
        (has_body && !signed, "415", "unsupported-media-type"),
        (keyed, "422", "idempotency-key-reused"),
        (true, "503", "unavailable"),
    ] {
        if applies {
            add_refusal(operation, status, codes);
        }
    }
}

/// Names the codes under a status, beside those that the operation names itself.
fn add_refusal(operation: &mut Operation, status: &str, codes: &str) {
    let responses = &mut operation.responses.responses;
    let response = responses.entry(status.to_owned()).or_insert_with(|| {
        let problem = Content::new(Some(Ref::from_schema_name("Problem")));
        ResponseBuilder::new().content(CONTENT_TYPE, problem).build().into()
    });
    let RefOr::T(response) = response else { return };
    for code in codes.split(", ") {
        let said = &mut response.description;
        if !said.contains(code) {
            let comma = if said.is_empty() { "" } else { ", " };
            said.push_str(&format!("{comma}{code}"));
        }
    }
}

/// What an answer's status says about its media type and headers.
fn finish(status: &str, response: &mut Response) {
    if response.description.is_empty() {
        let reason = http::StatusCode::from_bytes(status.as_bytes()).ok();
        let reason = reason.and_then(|status| status.canonical_reason());
        response.description = reason.unwrap_or(status).to_owned();
    }
    if status.starts_with(['4', '5']) {
        let content = std::mem::take(&mut response.content);
        let renamed = |kind: String| if kind == JSON { CONTENT_TYPE.to_owned() } else { kind };
        response.content =
            content.into_iter().map(|(kind, content)| (renamed(kind), content)).collect();
    }
    let header = |description: String| -> Header {
        HeaderBuilder::new().description(Some(description)).build()
    };
    match status {
        "401" if response.description.contains("unauthenticated") => {
            let challenge = header("Bearer, with an error if a token was sent".to_owned());
            response.headers.insert("WWW-Authenticate".to_owned(), challenge.into());
        }
        "429" | "503" => {
            let (least_s, most_s) = (limits::RETRY_AFTER_S, limits::RETRY_AFTER_MOST_S);
            let wait = header(match status {
                "429" => format!("seconds, {least_s} to {most_s}"),
                _ => format!("seconds, {least_s}"),
            });
            response.headers.insert("Retry-After".to_owned(), wait.into());
        }
        _ => {}
    }
}

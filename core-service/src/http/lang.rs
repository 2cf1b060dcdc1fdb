//! The language of an answer: the `lang` parameter, else Accept-Language, else what the document is
//! written in.

use super::error::ApiError;
use super::extract::Query;
use axum::extract::FromRequestParts;
use axum::response::Response;
use http::HeaderValue;
use http::header::{ACCEPT_LANGUAGE, CONTENT_LANGUAGE, VARY};
use http::request::Parts;
use serde::Deserialize;
use tiffin_api::text::Lang;
use tiffin_api::{ErrorCode, Problem};

/// The language that a request asks for, if it asks for one that is served.
#[derive(Debug, Clone, Copy)]
pub struct AskedLang {
    lang: Option<Lang>,
    /// Whether the address names it: then no header has a say.
    by_address: bool,
}

#[derive(Deserialize)]
struct LangQuery {
    lang: Option<String>,
}

impl<S: Send + Sync> FromRequestParts<S> for AskedLang {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(LangQuery { lang }) = Query::from_request_parts(parts, state).await?;
        if let Some(tag) = lang {
            return match Lang::from_tag(&tag) {
                Some(lang) => Ok(Self { lang: Some(lang), by_address: true }),
                None => {
                    let served = Lang::ALL.map(Lang::as_str).join(", ");
                    let detail = format!("lang is one of {served}");
                    Err(Problem::new(ErrorCode::BadRequest, detail).into())
                }
            };
        }
        let accepted = parts.headers.get(ACCEPT_LANGUAGE).and_then(|value| value.to_str().ok());
        Ok(Self { lang: accepted.and_then(Lang::negotiate), by_address: false })
    }
}

impl AskedLang {
    /// The language asked for, else the given one.
    pub fn unwrap_or(self, own: Lang) -> Lang {
        self.lang.unwrap_or(own)
    }

    /// Tells caches and readers how the answer came by its language; `lang` is absent where an answer
    /// holds more than one.
    pub fn label(self, response: &mut Response, lang: Option<Lang>) {
        let headers = response.headers_mut();
        if let Some(lang) = lang {
            headers.insert(CONTENT_LANGUAGE, HeaderValue::from_static(lang.as_str()));
        }
        if !self.by_address {
            headers.append(VARY, HeaderValue::from_name(ACCEPT_LANGUAGE));
        }
    }
}

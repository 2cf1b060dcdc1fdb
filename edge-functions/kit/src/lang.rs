//! Which language a request wants.

use crate::query::{self, Query};
use http::HeaderMap;
use http::header::ACCEPT_LANGUAGE;
use tiffin_api::Problem;
use tiffin_api::text::Lang;

/// The language of an answer when the request wants none that is served.
pub const DEFAULT: Lang = Lang::En;

/// A language, and whether the request's headers had a say in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Choice {
    /// The language.
    pub lang: Lang,
    /// Whether it came from `Accept-Language`, so that the answer varies with that header.
    pub negotiated: bool,
}

/// Takes the query parameter `lang`, else the best of `Accept-Language`, else [`DEFAULT`].
pub fn choose(query: &Query, headers: &HeaderMap) -> Result<Choice, Box<Problem>> {
    if let Some(text) = query.get("lang") {
        let lang = Lang::ALL.into_iter().find(|lang| lang.as_str() == text);
        return lang
            .map(|lang| Choice { lang, negotiated: false })
            .ok_or_else(|| query::bad("lang must be en or zh"));
    }
    // Several lines are one list (RFC 9110, section 5.3).
    let lines = headers.get_all(ACCEPT_LANGUAGE).into_iter().filter_map(|it| it.to_str().ok());
    let accepted = lines.collect::<Vec<_>>().join(",");
    let lang = Lang::negotiate(&accepted).unwrap_or(DEFAULT);
    Ok(Choice { lang, negotiated: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_parameter_wins_over_the_header() {
        for (query, accept, expected) in [
            ("lang=zh", &["en"][..], Some((Lang::Zh, false))),
            ("lang=fr", &["en"], None),
            ("lang=", &[], None),
            ("", &["fr, zh;q=0.5"], Some((Lang::Zh, true))),
            ("", &["fr", "en;q=0.5", "zh"], Some((Lang::Zh, true))),
            ("", &["fr"], Some((Lang::En, true))),
            ("", &[], Some((Lang::En, true))),
        ] {
            let parsed = Query::parse(Some(query), &["lang"]).unwrap();
            let mut headers = HeaderMap::new();
            for line in accept {
                headers.append(ACCEPT_LANGUAGE, HeaderValue::from_static(line));
            }
            let chosen =
                choose(&parsed, &headers).ok().map(|choice| (choice.lang, choice.negotiated));
            assert_eq!(chosen, expected, "{query:?} {accept:?}");
        }
    }
}

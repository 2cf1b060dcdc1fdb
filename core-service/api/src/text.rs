//! Text in more than one language.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A language tag that Tiffin serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Lang {
    /// English.
    En,
    /// Chinese, simplified.
    Zh,
}

impl Lang {
    /// Every language, in the order in which they are tried as a fallback.
    pub const ALL: [Self; 2] = [Self::En, Self::Zh];

    /// The BCP 47 primary subtag.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::En => "en",
            Self::Zh => "zh",
        }
    }

    /// Reads a BCP 47 tag by its primary subtag: `zh-Hans-CN` is [`Lang::Zh`].
    pub fn from_tag(tag: &str) -> Option<Self> {
        let primary = tag.split(['-', '_']).next()?.trim();
        Self::ALL.into_iter().find(|lang| primary.eq_ignore_ascii_case(lang.as_str()))
    }

    /// The best language for an `Accept-Language` value (RFC 9110, section 12.5.4), if any is served.
    ///
    /// Ranges with a weight of zero are refused; equal weights go to the earlier range.
    pub fn negotiate(accept_language: &str) -> Option<Self> {
        let mut best: Option<(u32, Self)> = None;
        for range in accept_language.split(',') {
            let mut pieces = range.split(';');
            let Some(lang) = pieces.next().and_then(Self::from_tag) else { continue };
            let weight = pieces
                .find_map(|piece| piece.trim().strip_prefix("q=").map(weight_permille))
                .unwrap_or(1000);
            if weight > 0 && best.is_none_or(|(best_weight, _)| weight > best_weight) {
                best = Some((weight, lang));
            }
        }
        best.map(|(_, lang)| lang)
    }
}

/// A quality value as thousandths; anything malformed counts as refused.
fn weight_permille(text: &str) -> u32 {
    let (whole, fraction) = text.trim().split_once('.').unwrap_or((text.trim(), ""));
    let padded = format!("{fraction:0<3}");
    match (whole, padded.get(..3).and_then(|digits| digits.parse::<u32>().ok())) {
        ("1", Some(0)) => 1000,
        ("0", Some(thousandths)) => thousandths,
        _ => 0,
    }
}

/// The same text in one or more languages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(transparent)]
pub struct Localized(BTreeMap<Lang, String>);

impl Localized {
    /// The text in `lang`, else in the first language it has.
    pub fn get(&self, lang: Lang) -> &str {
        self.0.get(&lang).or_else(|| self.0.values().next()).map_or("", String::as_str)
    }

    /// The languages it has, with their texts.
    pub fn iter(&self) -> impl Iterator<Item = (Lang, &str)> {
        self.0.iter().map(|(lang, text)| (*lang, text.as_str()))
    }

    /// Whether no language is given.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<(Lang, String)> for Localized {
    fn from_iter<I: IntoIterator<Item = (Lang, String)>>(pairs: I) -> Self {
        Self(pairs.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accept_language_is_negotiated_by_weight() {
        for (header, expected) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Some(Lang::Zh)),
            ("en;q=0.5, zh;q=0.7", Some(Lang::Zh)),
            ("fr, en;q=0.3", Some(Lang::En)),
            ("en;q=0, zh;q=0.001", Some(Lang::Zh)),
            ("EN-us", Some(Lang::En)),
            ("fr", None),
            ("", None),
            ("en;q=banana", None),
            (";;;,,,", None),
        ] {
            assert_eq!(Lang::negotiate(header), expected, "{header:?}");
        }
    }

    #[test]
    fn a_missing_language_falls_back_to_one_that_is_there() {
        let name: Localized = [(Lang::Zh, "面".to_owned())].into_iter().collect();
        assert_eq!(name.get(Lang::En), "面");
    }
}

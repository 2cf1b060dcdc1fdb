//! A request's query: `name=value` pairs in the form encoding.
//!
//! A parameter that a route does not know is passed over, so that it cannot split a cache key either.
//! One that it knows must stand once and be readable, because guessing would answer another question.

use crate::escape;
use crate::limits::{QUERY_MAX_BYTES, QUERY_MAX_PARAMETERS};
use std::str::FromStr;
use tiffin_api::{ErrorCode, Problem};

/// The known parameters of a query, decoded.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Query {
    pairs: Vec<(&'static str, String)>,
}

impl Query {
    /// Reads the parameters named in `known`; others are checked for their encoding only.
    pub fn parse(query: Option<&str>, known: &[&'static str]) -> Result<Self, Box<Problem>> {
        let query = query.unwrap_or_default();
        if query.len() > QUERY_MAX_BYTES {
            return Err(bad(format!("the query is longer than {QUERY_MAX_BYTES} bytes")));
        }
        let mut parsed = Self::default();
        for (index, piece) in query.split('&').filter(|piece| !piece.is_empty()).enumerate() {
            if index >= QUERY_MAX_PARAMETERS {
                return Err(bad(format!("more than {QUERY_MAX_PARAMETERS} query parameters")));
            }
            let (name, value) = piece.split_once('=').unwrap_or((piece, ""));
            let (name, value) = (decode(name)?, decode(value)?);
            let Some(known_name) = known.iter().find(|known| **known == name) else { continue };
            if parsed.get(known_name).is_some() {
                return Err(bad(format!("the query parameter {known_name} stands twice")));
            }
            parsed.pairs.push((known_name, value));
        }
        Ok(parsed)
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// The number in a parameter, which must lie in `range`.
    pub fn number<T>(
        &self,
        name: &str,
        range: std::ops::RangeInclusive<T>,
    ) -> Result<Option<T>, Box<Problem>>
    where
        T: FromStr + PartialOrd + std::fmt::Display,
    {
        let Some(text) = self.get(name) else { return Ok(None) };
        // `parse` takes a plus sign, which has no meaning here.
        let number = if text.starts_with('+') { None } else { text.parse().ok() };
        match number.filter(|number| range.contains(number)) {
            Some(number) => Ok(Some(number)),
            None => Err(bad(format!(
                "{name} must be a whole number from {} to {}",
                range.start(),
                range.end()
            ))),
        }
    }
}

/// The problem of a request that cannot be read.
pub fn bad(detail: impl Into<String>) -> Box<Problem> {
    Box::new(Problem::new(ErrorCode::BadRequest, detail))
}

fn decode(text: &str) -> Result<String, Box<Problem>> {
    let spaced = text.replace('+', " ");
    escape::decode(&spaced)
        .map(std::borrow::Cow::into_owned)
        .map_err(|error| bad(format!("in the query, {}", error.as_str())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(query: &str) -> Result<Query, ErrorCode> {
        Query::parse(Some(query), &["limit", "lang"]).map_err(|problem| problem.code)
    }

    #[test]
    fn known_parameters_are_read_and_others_passed_over() {
        let query = parse("utm=x&lang=z%68&&limit=+5").unwrap();
        assert_eq!(query.get("lang"), Some("zh"));
        assert_eq!(query.get("limit"), Some(" 5"));
        assert_eq!(query.get("utm"), None);
        assert_eq!(parse("").unwrap(), Query::default());
        assert_eq!(parse("utm=1&utm=2").unwrap(), Query::default());
    }

    #[test]
    fn unreadable_queries_are_bad_requests() {
        let many = "a&".repeat(QUERY_MAX_PARAMETERS + 1);
        let long = "a".repeat(QUERY_MAX_BYTES + 1);
        for query in ["lang=%", "%zz=1", "lang=en&lang=en", "lang=%ff", many.as_str(), &long] {
            assert_eq!(parse(query), Err(ErrorCode::BadRequest), "{query}");
        }
    }

    #[test]
    fn numbers_are_whole_and_in_range() {
        for (text, expected) in [
            ("limit=1", Some(1)),
            ("limit=100", Some(100)),
            ("limit=0", None),
            ("limit=101", None),
            ("limit=", None),
            ("limit=%2B5", None),
            ("limit=5x", None),
            ("limit=1e1", None),
        ] {
            let number = parse(text).unwrap().number("limit", 1..=100).ok().flatten();
            assert_eq!(number, expected, "{text}");
        }
        assert_eq!(parse("").unwrap().number("limit", 1..=100), Ok(None));
    }
}

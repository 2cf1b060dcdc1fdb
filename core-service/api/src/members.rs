//! Documents in which every member stands once.
//!
//! A parser that fills a map lets the last of two members win and says nothing, and the next reader may take the
//! first (RFC 8259, section 4): a tax class that stands twice would be sold at a rate that nobody meant. So every
//! document that somebody sends is searched before it is read, wherever its members end up, also those that nobody
//! reads.

use crate::problem::pointer_token;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use std::collections::BTreeSet;
use std::fmt;

/// Where in a JSON document a member stands twice in one object, by its unescaped name: the first such place as a
/// JSON Pointer (RFC 6901). An error if the text is not JSON.
pub fn doubled(document: &[u8]) -> Result<Option<String>, serde_json::Error> {
    let mut search = Search::default();
    let mut reader = serde_json::Deserializer::from_slice(document);
    Value(&mut search).deserialize(&mut reader)?;
    reader.end()?;
    Ok(search.found)
}

/// Where the search is, and what it has found first.
#[derive(Default)]
struct Search {
    pointer: String,
    found: Option<String>,
}

impl Search {
    /// Goes into a part of the document and comes back.
    fn within<T>(&mut self, token: &str, go: impl FnOnce(&mut Self) -> T) -> T {
        let outside = self.pointer.len();
        self.pointer.push('/');
        self.pointer.push_str(token);
        let gone = go(self);
        self.pointer.truncate(outside);
        gone
    }
}

/// Any value, searched as it is read.
struct Value<'a>(&'a mut Search);

impl<'de> DeserializeSeed<'de> for Value<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_> {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        for index in 0_u64.. {
            let next = |search: &mut Search| items.next_element_seed(Value(search));
            if self.0.within(&index.to_string(), next)?.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        // Ordered, because a hashed set would ask the host of a function for randomness.
        let mut seen = BTreeSet::new();
        while let Some(Name(name)) = members.next_key()? {
            let token = pointer_token(&name);
            let first = seen.insert(name);
            self.0.within(&token, |search| {
                if !first && search.found.is_none() {
                    search.found = Some(search.pointer.clone());
                }
                members.next_value_seed(Value(search))
            })?;
        }
        Ok(())
    }
}

/// The name of a member, unescaped.
#[derive(serde::Deserialize)]
#[serde(transparent)]
struct Name(String);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_member_that_stands_twice_is_found_wherever_it_is() {
        for (document, expected) in [
            ("{}", None),
            ("[]", None),
            ("7", None),
            (r#"{"a":1,"A":1,"a ":1,"":2}"#, None),
            (r#"{"a":{"b":1},"b":{"b":1}}"#, None),
            (r#"[{"a":1},{"a":1}]"#, None),
            (r#"{"a":1,"a":1}"#, Some("/a")),
            (r#"{"a":1,"b":null,"\u0061":2}"#, Some("/a")),
            (r#"{"\ud83c\udf5c":1,"🍜":2}"#, Some("/🍜")),
            (r#"{"":1,"":2}"#, Some("/")),
            (r#"{"a/b~":1,"a/b~":2}"#, Some("/a~1b~0")),
            (r#"{"x":[[{"deep":[0,{"y":1,"y":{}}]}]]}"#, Some("/x/0/0/deep/1/y")),
            (r#"{"first":{"p":1,"p":2},"first":3}"#, Some("/first/p")),
            (r#"{"a":{"q":0},"a":{"q":1,"q":2}}"#, Some("/a")),
        ] {
            assert_eq!(doubled(document.as_bytes()).unwrap().as_deref(), expected, "{document}");
        }
    }

    #[test]
    fn what_is_not_json_is_an_error_and_never_taken_for_single() {
        let deep = "[".repeat(100_000);
        for text in
            ["", "{", r#"{"a":1}x"#, r#"{"a":1,}"#, r#"{a:1}"#, r#"{"a":"\ud800"}"#, deep.as_str()]
        {
            assert!(doubled(text.as_bytes()).is_err(), "{:.20}", text);
        }
        assert!(doubled(b"{\"a\":\"\xff\"}").is_err());
    }

    proptest! {
        #[test]
        fn what_a_map_would_lose_is_found(names in prop::collection::vec("[a-c\\\\/~é]{0,2}", 0..8)) {
            let quoted: Vec<_> =
                names.iter().map(|name| serde_json::to_string(name).unwrap() + ":[true]").collect();
            let document = format!("{{\"in\":{{{}}}}}", quoted.join(","));
            let single = names.iter().collect::<BTreeSet<_>>().len() == names.len();
            prop_assert_eq!(doubled(document.as_bytes()).unwrap().is_none(), single);
        }
    }
}

//! Dictionaries of structured fields, as far as their values matter to a cache. Pure. Source: RFC 9651, section 4.2.

/// A member's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    Boolean(bool),
    Integer(i64),
    /// Of a type that no directive has: a string, a token, a decimal, bytes, a date, a list.
    Other,
}

/// The digits that a number may have.
const MAX_DIGITS: usize = 15;

/// Reads a dictionary; none for what is not one. Of a name that is there twice the last one counts. What parameters say is
/// passed over.
pub(super) fn dictionary(text: &str) -> Option<Vec<(String, Value)>> {
    let mut list: Vec<(String, Value)> = Vec::new();
    let mut rest = text.trim_matches(' ');
    while !rest.is_empty() {
        let (name, after) = key(rest)?;
        let (value, after) = match after.strip_prefix('=') {
            Some(after) => item_or_list(after)?,
            None => (Value::Boolean(true), after),
        };
        rest = parameters(after)?.trim_start_matches([' ', '\t']);
        list.retain(|(known, _)| known != name);
        list.push((name.to_owned(), value));
        if !rest.is_empty() {
            rest = rest.strip_prefix(',')?.trim_start_matches([' ', '\t']);
            if rest.is_empty() {
                return None;
            }
        }
    }
    Some(list)
}

fn key(text: &str) -> Option<(&str, &str)> {
    let is_first = |c: char| c.is_ascii_lowercase() || c == '*';
    let is_next = |c: char| is_first(c) || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
    text.starts_with(is_first).then_some(())?;
    Some(text.split_at(text.find(|c| !is_next(c)).unwrap_or(text.len())))
}

fn item_or_list(text: &str) -> Option<(Value, &str)> {
    let Some(mut rest) = text.strip_prefix('(') else { return item(text) };
    loop {
        rest = rest.trim_start_matches(' ');
        if let Some(after) = rest.strip_prefix(')') {
            return Some((Value::Other, after));
        }
        rest = parameters(item(rest)?.1)?;
        // Between two members there is a space.
        if !rest.starts_with([' ', ')']) {
            return None;
        }
    }
}

/// A bare item, by its first character.
fn item(text: &str) -> Option<(Value, &str)> {
    let (first, rest) = (text.chars().next()?, text.get(1..).unwrap_or_default());
    match first {
        '-' | '0'..='9' => number(text),
        '"' => Some((Value::Other, string(rest)?)),
        '%' => {
            let (inner, after) = rest.strip_prefix('"')?.split_once('"')?;
            let is_sound = inner.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            is_sound.then_some((Value::Other, after))
        }
        ':' => {
            let (bytes, after) = rest.split_once(':')?;
            let is_part = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
            bytes.bytes().all(is_part).then_some((Value::Other, after))
        }
        '?' => match rest.split_at_checked(1)? {
            ("1", after) => Some((Value::Boolean(true), after)),
            ("0", after) => Some((Value::Boolean(false), after)),
            _ => None,
        },
        '@' => match number(rest)? {
            (Value::Integer(_), after) => Some((Value::Other, after)),
            _ => None,
        },
        'a'..='z' | 'A'..='Z' | '*' => {
            let is_part = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~:/".contains(c);
            Some((Value::Other, text.trim_start_matches(is_part)))
        }
        _ => None,
    }
}

/// An integer, or a decimal: of that only where it ends.
fn number(text: &str) -> Option<(Value, &str)> {
    let is_digit = |c: char| c.is_ascii_digit();
    let digits_at = usize::from(text.starts_with('-'));
    let after = text[digits_at..].trim_start_matches(is_digit);
    let end = text.len() - after.len();
    if end == digits_at || end - digits_at > MAX_DIGITS {
        return None;
    }
    let Some(fraction) = after.strip_prefix('.') else {
        return Some((Value::Integer(text[..end].parse().ok()?), after));
    };
    let rest = fraction.trim_start_matches(is_digit);
    let is_sound = end - digits_at <= 12 && (1..=3).contains(&(fraction.len() - rest.len()));
    is_sound.then_some((Value::Other, rest))
}

/// What follows a string, whose first quote is passed.
fn string(text: &str) -> Option<&str> {
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        match byte {
            b'"' => return text.get(at + 1..),
            b'\\' if !matches!(bytes.next(), Some((_, b'"' | b'\\'))) => return None,
            b' '..=b'~' => {}
            _ => return None,
        }
    }
    None
}

/// What follows an item's parameters.
fn parameters(mut text: &str) -> Option<&str> {
    while let Some(after) = text.strip_prefix(';') {
        let (_, after) = key(after.trim_start_matches(' '))?;
        text = match after.strip_prefix('=') {
            Some(after) => item(after)?.1,
            None => after,
        };
    }
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::Value::{self, Boolean, Integer, Other};
    use super::dictionary;

    fn read(text: &str) -> Option<Vec<(String, Value)>> {
        dictionary(text)
    }

    #[test]
    fn every_type_of_value_is_told_from_the_others() {
        for (value, expected) in [
            ("1", Integer(1)),
            ("-999999999999999", Integer(-999_999_999_999_999)),
            ("0042", Integer(42)),
            ("1.5", Other),
            ("-123456789012.125", Other),
            ("?1", Boolean(true)),
            ("?0", Boolean(false)),
            ("\"\"", Other),
            ("\"a, b;c \\\" \\\\\"", Other),
            ("token:/x", Other),
            ("*", Other),
            (":aGVsbG8=:", Other),
            ("@1659578233", Other),
            ("%\"f%c3%bc\"", Other),
            ("()", Other),
            ("( 1 \"a\";q=1  b )", Other),
            ("1;a;b=2;c=\"x\"", Integer(1)),
        ] {
            let text = format!("k={value}, next");
            let expected = [("k".to_owned(), expected), ("next".to_owned(), Boolean(true))];
            assert_eq!(read(&text).as_deref(), Some(&expected[..]), "{value}");
        }
        let twice = read("a=1,b=2 ,\ta=3").unwrap();
        assert_eq!(twice, [("b".to_owned(), Integer(2)), ("a".to_owned(), Integer(3))]);
        assert_eq!(read("  "), Some(Vec::new()));
    }

    #[test]
    fn what_is_no_dictionary_is_none() {
        for text in [
            "A=1",
            "a=",
            "a = 1",
            "a=1,",
            ",a=1",
            "a=1 b=2",
            "a=1;",
            "a=1;B",
            "a=1x",
            "a=--1",
            "a=-",
            "a=1.",
            "a=1.2345",
            "a=1234567890123.0",
            "a=1234567890123456",
            "a=?2",
            "a=?",
            "a=\"x",
            "a=\"\\x\"",
            "a=\"\u{e9}\"",
            "a=:a",
            "a=:a b:",
            "a=@1.5",
            "a=(1",
            "a=(1,2)",
            "a=(1\"x\")",
            "a=\u{e9}",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

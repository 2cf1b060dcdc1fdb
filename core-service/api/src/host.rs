//! What a `Host` may say, the same at edge and core.
//!
//! Source: `uri-host [ ":" port ]`, RFC 9110, section 7.2, and RFC 3986, section 3.2.2; an empty host is none (RFC 9110,
//! section 4.2.1). Stricter in two places: a comma is refused, because somebody may have joined two lines by it, and so
//! are addresses of a future that has not come.

use std::net::Ipv6Addr;

/// Bytes of a host's name. Source: RFC 1035, section 3.1.
const NAME_MAX_BYTES: usize = 255;

/// Whether `text` is a host with or without a port.
pub fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let Some((address, port)) = rest.split_once(']') else { return false };
            if address.parse::<Ipv6Addr>().is_err() {
                return false;
            }
            (None, port)
        }
        None => {
            let end = text.find(':').unwrap_or(text.len());
            let (host, port) = text.split_at(end);
            (Some(host), port)
        }
    };
    host.is_none_or(is_name) && is_port(port)
}

/// A registered name, or an IPv4 address, which looks like one.
fn is_name(host: &str) -> bool {
    let mut rest = host.as_bytes();
    let is_bounded = (1..=NAME_MAX_BYTES).contains(&rest.len());
    while let Some((&byte, after)) = rest.split_first() {
        rest = match byte {
            b'%' => match after.split_first_chunk() {
                Some((digits @ &[_, _], after)) if digits.iter().all(u8::is_ascii_hexdigit) => {
                    after
                }
                _ => return false,
            },
            _ if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+;=".contains(&byte) => after,
            _ => return false,
        };
    }
    is_bounded
}

/// Nothing, or a colon and a port; after the colon there may be nothing.
fn is_port(text: &str) -> bool {
    let Some(port) = text.strip_prefix(':') else { return text.is_empty() };
    port.is_empty()
        || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_are_names_and_addresses_with_or_without_a_port() {
        for text in [
            "shop.example",
            "shop.example:8443",
            "Shop.Example.",
            "core_1",
            "x:",
            "10.0.0.7:80",
            "[::1]",
            "[fe80::1]:65535",
            "%e9",
            "a-b.c~d",
        ] {
            assert!(is_host(text), "{text}");
        }
        let long = "a".repeat(NAME_MAX_BYTES + 1);
        for text in [
            "", ":80", "a:x", "a:-1", "a:+1", "a:65536", "a:80:80", "a b", "a,b", "a@b", "a/b",
            "a?b", "a#b", "::1", "[::1", "[::1]x", "[::1]:x", "[]", "[v1.a]", "é", "a%2", "a%zz",
            "a\\b", "<a>", &long,
        ] {
            assert!(!is_host(text), "{text}");
        }
    }
}

//! Compressed forms of stored bodies: which one a request prefers, and how it is made. Pure.

use std::io::{self, Write as _};

use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue};

use crate::limits;

/// A content coding.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    Identity,
    Gzip,
    Zstd,
    Brotli,
}

/// Those that are made, best first: of two that a client likes equally the smaller wins.
pub(super) const MADE: [Coding; 3] = [Coding::Brotli, Coding::Zstd, Coding::Gzip];

/// Each is chosen so that a body of 100 kB takes some milliseconds.
const BROTLI_QUALITY: u32 = 5;
const BROTLI_WINDOW_BITS: u32 = 20;
const ZSTD_LEVEL: i32 = 6;
const GZIP_LEVEL: u32 = 6;

impl Coding {
    /// Its name in `Content-Encoding`, and what it adds to an entity tag.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Brotli => "br",
        }
    }

    /// Its place in lists of all of them.
    pub(super) const fn index(self) -> usize {
        self as usize
    }

    /// What a request prefers. Source: RFC 9110, section 12.5.3; what is not named is acceptable only as it
    /// is, and a request that accepts nothing gets that too.
    pub(super) fn preferred(request: &HeaderMap) -> Self {
        let mut named: [Option<u16>; 4] = [None; 4];
        let (mut any, mut is_asked) = (None, false);
        for line in request.get_all(ACCEPT_ENCODING) {
            for part in line.to_str().unwrap_or_default().split(',') {
                let mut part = part.split(';');
                let name = part.next().unwrap_or_default().trim().to_ascii_lowercase();
                let weight = weight(part);
                let coding = match name.as_str() {
                    "*" => {
                        any = Some(weight);
                        continue;
                    }
                    "gzip" | "x-gzip" => Self::Gzip,
                    "zstd" => Self::Zstd,
                    "br" => Self::Brotli,
                    "identity" => Self::Identity,
                    _ => continue,
                };
                named[coding.index()] = Some(weight);
                is_asked = true;
            }
        }
        if !is_asked && any.is_none() {
            return Self::Identity;
        }
        let weight_of = |coding: Self| named[coding.index()].or(any).unwrap_or(0);
        let mut best = (Self::Identity, named[Self::Identity.index()].unwrap_or(0).max(1));
        // From the last to the first, so that the first of equals wins.
        for coding in MADE.into_iter().rev() {
            if weight_of(coding) >= best.1 {
                best = (coding, weight_of(coding));
            }
        }
        best.0
    }

    /// The body in this coding.
    ///
    /// # Errors
    /// When the library fails, which it does only without memory.
    pub(super) fn compress(self, body: &[u8]) -> io::Result<Vec<u8>> {
        let out = Vec::with_capacity(body.len() / 2);
        match self {
            Self::Identity => Ok(body.to_vec()),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(out, Compression::new(GZIP_LEVEL));
                encoder.write_all(body)?;
                encoder.finish()
            }
            Self::Zstd => zstd::bulk::compress(body, ZSTD_LEVEL),
            Self::Brotli => {
                let buffer_bytes = 1 << 14;
                let (quality, bits) = (BROTLI_QUALITY, BROTLI_WINDOW_BITS);
                let mut encoder = brotli::CompressorWriter::new(out, buffer_bytes, quality, bits);
                encoder.write_all(body)?;
                Ok(encoder.into_inner())
            }
        }
    }
}

/// A quality value in thousandths; what cannot be read is not wanted.
fn weight<'a>(parameters: impl Iterator<Item = &'a str>) -> u16 {
    let quality = parameters
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let Some((_, quality)) = quality else { return 1_000 };
    let (whole, fraction) = quality.trim().split_once('.').unwrap_or((quality.trim(), ""));
    let digits = fraction.bytes().chain(std::iter::repeat(b'0')).take(3);
    let is_sound = fraction.len() <= 3 && fraction.bytes().all(|byte| byte.is_ascii_digit());
    let thousandths = digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    match whole {
        "1" if is_sound && thousandths == 0 => 1_000,
        "0" if is_sound => thousandths,
        _ => 0,
    }
}

/// Whether a body gains by being compressed, and nobody objects.
pub(super) fn is_compressible(headers: &HeaderMap, body_bytes: usize) -> bool {
    let text = |value: Option<&HeaderValue>| {
        value.and_then(|value| value.to_str().ok()).unwrap_or_default().to_ascii_lowercase()
    };
    let media_type = text(headers.get(CONTENT_TYPE));
    let essence = media_type.split(';').next().unwrap_or_default().trim();
    let is_text = essence.starts_with("text/")
        || essence.ends_with("+json")
        || essence.ends_with("+xml")
        || matches!(
            essence,
            "application/json"
                | "application/javascript"
                | "application/xml"
                | "application/wasm"
                | "application/x-ndjson"
        );
    let transforms = headers.get_all(CACHE_CONTROL).iter();
    is_text
        && body_bytes >= limits::MIN_COMPRESSED_BODY_BYTES
        && !headers.contains_key(CONTENT_ENCODING)
        && !transforms.map(|value| text(Some(value))).any(|value| value.contains("no-transform"))
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use http::HeaderMap;

    use super::{Coding, MADE, is_compressible};
    use crate::limits;

    #[test]
    fn the_best_of_what_a_client_likes_most() {
        use Coding::{Brotli, Gzip, Identity, Zstd};
        for (accepted, expected) in [
            (None, Identity),
            (Some(""), Identity),
            (Some("gzip"), Gzip),
            (Some("x-gzip"), Gzip),
            (Some("gzip, deflate, br, zstd"), Brotli),
            (Some("gzip, zstd"), Zstd),
            (Some("GZIP;Q=1, br;q=0.5"), Gzip),
            (Some("br;q=0.5, gzip;q=0.501"), Gzip),
            (Some("br;q=0, *"), Zstd),
            (Some("*"), Brotli),
            (Some("*;q=0"), Identity),
            (Some("*;q=0, gzip"), Gzip),
            (Some("identity"), Identity),
            (Some("identity, gzip;q=0.5"), Identity),
            (Some("identity;q=0.5, gzip;q=0.5"), Gzip),
            (Some("identity;q=0, deflate"), Identity),
            (Some("gzip;q=0"), Identity),
            (Some("gzip;q=2"), Identity),
            (Some("gzip;q=0.0001"), Identity),
            (Some("deflate"), Identity),
            (Some("gzip;q=0.001"), Gzip),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(accepted) = accepted {
                headers.insert("accept-encoding", accepted.parse().unwrap());
            }
            assert_eq!(Coding::preferred(&headers), expected, "{accepted:?}");
        }
    }

    #[test]
    fn what_is_compressed_comes_back_whole() {
        let body: Vec<u8> = (0..9_000_u32).flat_map(|n| (n / 7).to_string().into_bytes()).collect();
        for coding in MADE {
            let compressed = coding.compress(&body).unwrap();
            assert!(compressed.len() < body.len() / 2, "{coding:?}: {}", compressed.len());
            let mut restored = Vec::new();
            match coding {
                Coding::Gzip => {
                    flate2::read::GzDecoder::new(&compressed[..]).read_to_end(&mut restored)
                }
                Coding::Zstd => {
                    zstd::Decoder::new(&compressed[..]).unwrap().read_to_end(&mut restored)
                }
                Coding::Brotli => {
                    brotli::Decompressor::new(&compressed[..], 4_096).read_to_end(&mut restored)
                }
                Coding::Identity => unreachable!("it is not made"),
            }
            .unwrap();
            assert_eq!(restored, body, "{coding:?}");
        }
    }

    #[test]
    fn only_long_text_that_nobody_packed_is_compressed() {
        let long = limits::MIN_COMPRESSED_BODY_BYTES;
        for (lines, bytes, expected) in [
            (vec![("content-type", "application/json")], long, true),
            (vec![("content-type", "application/json")], long - 1, false),
            (vec![("content-type", "Text/HTML; charset=utf-8")], long, true),
            (vec![("content-type", "application/problem+json")], long, true),
            (vec![("content-type", "image/png")], long, false),
            (vec![], long, false),
            (vec![("content-type", "text/css"), ("content-encoding", "gzip")], long, false),
            (vec![("content-type", "text/css"), ("cache-control", "No-Transform")], long, false),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in &lines {
                headers.insert(*name, value.parse().unwrap());
            }
            assert_eq!(is_compressible(&headers, bytes), expected, "{lines:?} {bytes}");
        }
    }
}

//! Where a request's body ends, so that the lane can look at what follows it. Pure.
//!
//! Stricter than hyper, never laxer: of what both take, both see the same end. What is not taken here leaves the
//! connection to hyper. Source: RFC 9112, sections 6 and 7.1.

use http::HeaderMap;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};

/// Hexadecimal digits of a chunk's size.
const MAX_SIZE_DIGITS: u8 = 15;

/// What is left of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// So many bytes.
    Length(u64),
    /// Chunks, read as far as this.
    Chunked(Chunks),
}

/// What comes next in a chunked body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chunks {
    /// The size of a chunk, of which so many digits were seen.
    Size { bytes: u64, digits: u8 },
    /// What may follow a size on its line.
    Extension { bytes: u64 },
    /// The end of the size's line.
    SizeEnd { bytes: u64 },
    /// So many bytes of a chunk.
    Data { bytes: u64 },
    /// The end of a chunk, before and within its line break.
    DataEnd { is_within: bool },
    /// A line after the last chunk; whether it has anything yet.
    Trailer { is_empty: bool },
    /// The end of such a line.
    TrailerEnd { is_last: bool },
    /// Nothing.
    Done,
}

/// No body that this understands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

impl Framing {
    /// How the body of a request ends; `Length(0)` without one.
    ///
    /// # Errors
    /// It says it in a way that others may understand otherwise.
    pub(super) fn of(headers: &HeaderMap) -> Result<Self, Malformed> {
        let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
        let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
        match ((lengths.next(), lengths.next()), (codings.next(), codings.next())) {
            ((None, _), (None, _)) => Ok(Self::Length(0)),
            ((Some(length), None), (None, _)) => {
                let length = length.to_str().map_err(|_| Malformed)?;
                // `parse` takes a plus sign.
                let is_number = length.bytes().all(|byte| byte.is_ascii_digit());
                length.parse().ok().filter(|_| is_number).map(Self::Length).ok_or(Malformed)
            }
            ((None, _), (Some(coding), None))
                if coding.as_bytes().eq_ignore_ascii_case(b"chunked") =>
            {
                Ok(Self::Chunked(Chunks::Size { bytes: 0, digits: 0 }))
            }
            _ => Err(Malformed),
        }
    }

    pub(super) fn is_done(self) -> bool {
        matches!(self, Self::Length(0) | Self::Chunked(Chunks::Done))
    }

    /// Goes on over `input`. Returns how much of it is of the body.
    pub(super) fn advance(&mut self, input: &[u8]) -> Result<usize, Malformed> {
        match self {
            Self::Length(left) => {
                let taken = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
                *left -= taken as u64;
                Ok(taken)
            }
            Self::Chunked(chunks) => {
                let mut taken = 0;
                while taken < input.len() && *chunks != Chunks::Done {
                    taken += chunks.step(&input[taken..])?;
                }
                Ok(taken)
            }
        }
    }
}

impl Chunks {
    /// One byte, or all that there is of a chunk's data. `input` is not empty.
    fn step(&mut self, input: &[u8]) -> Result<usize, Malformed> {
        let byte = input[0];
        *self = match (*self, byte) {
            (Self::Data { bytes }, _) => {
                let taken = usize::try_from(bytes).unwrap_or(usize::MAX).min(input.len());
                let bytes = bytes - taken as u64;
                *self = match bytes {
                    0 => Self::DataEnd { is_within: false },
                    _ => Self::Data { bytes },
                };
                return Ok(taken);
            }
            (Self::Size { bytes, digits: 1.. }, b'\r') => Self::SizeEnd { bytes },
            (Self::Size { bytes, digits: 1.. }, b';') => Self::Extension { bytes },
            (Self::Size { bytes, digits }, _) if digits < MAX_SIZE_DIGITS => {
                let digit = char::from(byte).to_digit(16).ok_or(Malformed)?;
                Self::Size { bytes: bytes << 4 | u64::from(digit), digits: digits + 1 }
            }
            (Self::Extension { bytes }, b'\r') => Self::SizeEnd { bytes },
            (Self::Extension { bytes }, b' '..=b'~' | b'\t') => Self::Extension { bytes },
            (Self::SizeEnd { bytes: 0 }, b'\n') => Self::Trailer { is_empty: true },
            (Self::SizeEnd { bytes }, b'\n') => Self::Data { bytes },
            (Self::DataEnd { is_within: false }, b'\r') => Self::DataEnd { is_within: true },
            (Self::DataEnd { is_within: true }, b'\n') => Self::Size { bytes: 0, digits: 0 },
            (Self::Trailer { is_empty }, b'\r') => Self::TrailerEnd { is_last: is_empty },
            (Self::Trailer { .. }, b' '..=b'~' | b'\t') => Self::Trailer { is_empty: false },
            (Self::TrailerEnd { is_last: true }, b'\n') => Self::Done,
            (Self::TrailerEnd { is_last: false }, b'\n') => Self::Trailer { is_empty: true },
            _ => return Err(Malformed),
        };
        Ok(1)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;
    use http::header::{CONTENT_LENGTH, HeaderName, TRANSFER_ENCODING};

    use super::{Framing, Malformed};

    fn framing(lines: &[(HeaderName, &str)]) -> Result<Framing, Malformed> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value.parse().unwrap());
        }
        Framing::of(&headers)
    }

    #[test]
    fn only_one_plain_word_says_where_a_body_ends() {
        assert_eq!(framing(&[]), Ok(Framing::Length(0)));
        assert_eq!(framing(&[(CONTENT_LENGTH, "17")]), Ok(Framing::Length(17)));
        assert!(matches!(framing(&[(TRANSFER_ENCODING, "Chunked")]), Ok(Framing::Chunked(_))));
        for lines in [
            &[(CONTENT_LENGTH, "+1")][..],
            &[(CONTENT_LENGTH, "")],
            &[(CONTENT_LENGTH, "18446744073709551616")],
            &[(CONTENT_LENGTH, "1"), (CONTENT_LENGTH, "1")],
            &[(CONTENT_LENGTH, "1"), (TRANSFER_ENCODING, "chunked")],
            &[(TRANSFER_ENCODING, "chunked"), (TRANSFER_ENCODING, "chunked")],
            &[(TRANSFER_ENCODING, "gzip, chunked")],
        ] {
            assert_eq!(framing(lines), Err(Malformed), "{lines:?}");
        }
    }

    /// However it is cut, a body ends where it ends.
    #[test]
    fn a_body_ends_where_it_says() {
        let chunked = [(TRANSFER_ENCODING, "chunked")];
        for (lines, body) in [
            (&[(CONTENT_LENGTH, "5")][..], "hello"),
            (&chunked, "0\r\n\r\n"),
            (&chunked, "5\r\nhello\r\n0\r\n\r\n"),
            (&chunked, "a;x=\"y\"\r\n0123456789\r\n00A\r\n\r\n\r\n\r\n\r\n\r\n\r\n000\r\n\r\n"),
            (&chunked, "1\r\nx\r\n0\r\na: b\r\nc: d\r\n\r\n"),
        ] {
            let all = format!("{body}GET / HTTP/1.1\r\n");
            for piece in 1..=all.len() {
                let mut framing = framing(lines).unwrap();
                let mut rest = all.as_bytes();
                while !framing.is_done() {
                    let taken = framing.advance(&rest[..piece.min(rest.len())]).unwrap();
                    assert!(taken > 0);
                    rest = &rest[taken..];
                }
                assert_eq!(rest, b"GET / HTTP/1.1\r\n", "{body:?} by {piece}");
            }
        }
    }

    #[test]
    fn what_others_may_read_otherwise_is_left_to_hyper() {
        for body in [
            "\r\n",
            "x\r\n",
            " 1\r\n",
            "1 \r\nx\r\n",
            "1\nx\n",
            "1\r\nxy\r\n",
            "1\r\nx\n",
            "-1\r\n",
            "0\r\na: b\n\r\n",
            "0\r\n\n",
            "1;a\nb\r\n",
            "1\rx",
            "fffffffffffffffff\r\n",
        ] {
            let mut framing = framing(&[(TRANSFER_ENCODING, "chunked")]).unwrap();
            assert_eq!(framing.advance(body.as_bytes()), Err(Malformed), "{body:?}");
        }
    }
}

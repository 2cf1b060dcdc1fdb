//! What a guest may do to its host. None of these ends by itself with a good answer.

use spin_sdk::http::Result;
use spin_sdk::wasip3::clocks::monotonic_clock::wait_for;
use spin_sdk::wasip3::http::types::{Fields, Response};
use spin_sdk::wasip3::{spawn, wit_future, wit_stream};

type Answer = Result<Response>;

const MILLISECOND: u64 = 1_000_000;

/// Computes without end.
pub(crate) fn spin_forever() -> Answer {
    let mut turns = 0_u64;
    loop {
        turns = std::hint::black_box(turns.wrapping_add(1));
    }
}

/// Takes memory, and touches it, until the host says no.
pub(crate) fn hog() -> Answer {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    loop {
        blocks.push(std::hint::black_box(vec![1_u8; 1 << 20]));
    }
}

/// Answers with a gigabyte of headers, or what the host takes of them.
pub(crate) fn headers() -> Answer {
    let fields = Fields::new();
    let value = vec![b'v'; 64 << 10];
    for number in 0..(1 << 14) {
        // A refusal does not make it give up.
        let _ = fields.append(&format!("x-{number}"), &value);
    }
    Ok(empty(fields))
}

/// Keeps a gigabyte of headers with the host, each set of them within its bounds.
pub(crate) fn hoard() -> Answer {
    let mut hoard = Vec::new();
    for _ in 0..(1 << 14) {
        let fields = Fields::new();
        let _ = fields.append("x", &vec![b'v'; 64 << 10]);
        hoard.push(fields);
    }
    Ok(empty(Fields::new()))
}

/// Answers with a body that comes byte by byte and does not end.
pub(crate) fn drip() -> Answer {
    let (mut body, reader) = wit_stream::new();
    let (trailers, end) = wit_future::new(|| Ok(None));
    let (response, _sent) = Response::new(Fields::new(), Some(reader), end);
    spawn(async move {
        // Without trailers the body has no end.
        let _trailers = trailers;
        while body.write_all(vec![b'.']).await.is_empty() {
            wait_for(100 * MILLISECOND).await;
        }
    });
    Ok(response)
}

/// Answers, and then holds on to its instance.
pub(crate) fn linger() -> Answer {
    spawn(wait_for(60_000 * MILLISECOND));
    Ok(empty(Fields::new()))
}

fn empty(fields: Fields) -> Response {
    let (_, end) = wit_future::new(|| Ok(None));
    Response::new(fields, None, end).0
}

//! What a full cache takes of the machine, in a process of its own: nothing else then grows beside it.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt as _;

use super::Cache;
use crate::body::full;
use crate::edition::Edition;
use crate::metrics::Metrics;
use crate::site::Answered;
use crate::trace::Trace;

/// The limit of the caches that are filled.
const LIMIT_BYTES: usize = 32 << 20;
/// How much more is stored than there is place for: what is thrown out leaves gaps.
const ROUNDS: usize = 2;
/// Where the process that fills one finds what with.
const BODY_BYTES: &str = "TIFFIN_TEST_CACHE_BODY_BYTES";

#[test]
fn a_full_cache_takes_the_memory_that_it_may() {
    let all = ["100", "800", "4000 text", "30000", "100000", "100 900 5000 60000 text"];
    let children = all.map(|bodies| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "cache::memory_tests::fill", "--ignored", "--nocapture"]);
        child.env(BODY_BYTES, bodies).stdout(Stdio::piped()).stderr(Stdio::piped());
        (bodies, child.spawn().unwrap())
    });
    for (bodies, child) in children {
        let child = child.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&child.stdout).into_owned();
        let grown = said.lines().find_map(|line| line.split_once("grew by ")?.1.parse().ok());
        let grown_bytes: usize = grown.unwrap_or_else(|| {
            panic!("{bodies}: {said}{}", String::from_utf8_lossy(&child.stderr))
        });
        println!("{bodies}: {grown_bytes} of {LIMIT_BYTES}");
        let allowed = LIMIT_BYTES * 4 / 5..LIMIT_BYTES * 6 / 5;
        assert!(allowed.contains(&grown_bytes), "{bodies}: {grown_bytes} of {LIMIT_BYTES}");
    }
}

/// Fills a cache with bodies of some lengths in turn, asked for as they are or, if `text` is said, in a coding.
#[test]
#[ignore = "the other test runs it, in a process of its own"]
fn fill() {
    // One thread compresses: each keeps some megabytes to do it with, which are not the cache's.
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    runtime.max_blocking_threads(1).enable_all().build().unwrap().block_on(fill_here());
}

async fn fill_here() {
    let asked = std::env::var(BODY_BYTES).unwrap();
    let lengths: Vec<usize> = asked.split(' ').filter_map(|it| it.parse().ok()).collect();
    let is_text = asked.ends_with("text");
    let mean_bytes = lengths.iter().sum::<usize>() / lengths.len() + 500;
    let cache = Cache::of_bytes(LIMIT_BYTES as u64, Arc::new(Metrics::new()));
    let edition = Edition::new("menu".into());
    // What is there once whatever the cache is does not count.
    let small = Cache::of_bytes(1 << 20, Arc::new(Metrics::new()));
    for number in 0..200 {
        ask(&small, number, lengths[number % lengths.len()], is_text, &edition).await;
    }
    drop(small);
    let before = resident_bytes();
    for number in 0..ROUNDS * LIMIT_BYTES / mean_bytes {
        ask(&cache, number, lengths[number % lengths.len()], is_text, &edition).await;
    }
    cache.measure();
    tokio::time::sleep(Duration::from_millis(50)).await;
    cache.measure();
    println!("grew by {}", resident_bytes().saturating_sub(before));
}

async fn ask(cache: &Arc<Cache>, number: usize, length: usize, is_text: bool, of: &Arc<Edition>) {
    let uri = format!("http://shop.example/v1/stores/{number}/menu?language=en");
    let request = Request::get(uri).header("accept-encoding", "br, gzip").body(()).unwrap();
    let head = request.into_parts().0;
    let of = Arc::clone(of);
    let fetch = move |_| async move {
        // Neither the same each time nor so that it packs well.
        let body: Vec<u8> =
            (0..length).map(|at| b"abcdefghijklmnopqrstuvwxy"[at * (number + at) % 25]).collect();
        let kind = if is_text { "application/json" } else { "image/webp" };
        let response = Response::builder()
            .header("content-type", kind)
            .header("cache-control", "public, max-age=600, stale-while-revalidate=60")
            .header("etag", format!("\"{number:016x}\""))
            .header("vary", "accept-language")
            .header("surrogate-key", format!("store:{number} menu:{number} all"))
            .header("x-tiffin-version", number.to_string())
            .body(full(Bytes::from(body)));
        Answered::of(response.unwrap(), Some(of), Some("/v1/stores/:id/menu".into()))
    };
    let trace = Trace::from_headers(&http::HeaderMap::new());
    let answered = cache.fill(head, full(Bytes::new()), &trace, fetch).await;
    answered.response.into_body().collect().await.unwrap();
}

/// Memory of this process that is there.
fn resident_bytes() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").unwrap();
    pages.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4_096
}

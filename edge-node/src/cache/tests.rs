//! The cache as a whole, with a function that is a closure. Time is the runtime's own, and passes as soon as nothing
//! else can happen.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::BodyExt as _;
use tokio::time::{Instant, sleep};
use wasmtime_wasi_http::WasiBody;

use super::{Cache, Purge};
use crate::body::full;
use crate::edition::Edition;
use crate::limits;
use crate::metrics::Metrics;
use crate::problem::Problem;
use crate::site::Answered;
use crate::trace::Trace;

type Lines<'a> = &'a [(&'a str, &'a str)];
type Script = dyn Fn(&Request<()>) -> (u16, Vec<(&'static str, String)>, String) + Send + Sync;

/// A function that is asked over the cache.
struct World {
    cache: Arc<Cache>,
    script: Mutex<Arc<Script>>,
    calls: AtomicUsize,
    under_way: AtomicUsize,
    most_under_way: AtomicUsize,
    takes_ms: AtomicUsize,
}

/// An answer, read to its end.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
    word: &'static str,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A function that answers with these headers; its body counts its calls from one.
fn world(headers: Lines<'_>) -> Arc<World> {
    let world = Arc::new(World {
        cache: Cache::new(Arc::new(Metrics::new())),
        script: Mutex::new(Arc::new(|_: &Request<()>| (200, Vec::new(), String::new()))),
        calls: AtomicUsize::new(0),
        under_way: AtomicUsize::new(0),
        most_under_way: AtomicUsize::new(0),
        takes_ms: AtomicUsize::new(0),
    });
    world.says(200, headers);
    world
}

impl World {
    fn says(&self, status: u16, headers: Lines<'_>) {
        const NAMES: [&str; 10] = [
            "connection",
            "x-mine",
            "cache-control",
            "etag",
            "age",
            "vary",
            "surrogate-key",
            "set-cookie",
            "content-type",
            "cache-status",
        ];
        let known = |name: &str| *NAMES.iter().find(|known| **known == name).unwrap();
        let headers: Vec<_> = headers.iter().map(|(n, v)| (known(n), (*v).to_owned())).collect();
        self.runs(move |_| (status, headers.clone(), String::new()));
    }

    /// An empty body stands for the number of the call.
    fn runs<F>(&self, script: F)
    where
        F: Fn(&Request<()>) -> (u16, Vec<(&'static str, String)>, String) + Send + Sync + 'static,
    {
        *self.script.lock().unwrap() = Arc::new(script);
    }

    fn takes(&self, time: Duration) {
        self.takes_ms.store(usize::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }

    async fn call(self: Arc<Self>, request: Request<WasiBody>) -> Answered {
        let number = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let under_way = self.under_way.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_under_way.fetch_max(under_way, Ordering::SeqCst);
        let script = Arc::clone(&self.script.lock().unwrap());
        // What it says is settled when it is asked, as if it read a database then.
        let (status, headers, body) = script(&request.map(|_| ()));
        let body = if body.is_empty() { number.to_string() } else { body };
        let takes_ms = self.takes_ms.load(Ordering::SeqCst) as u64;
        if takes_ms > 0 {
            sleep(Duration::from_millis(takes_ms)).await;
        }
        self.under_way.fetch_sub(1, Ordering::SeqCst);
        if status == 0 {
            return Answered::problem(Problem::FunctionFailed, &trace());
        }
        let mut response = Response::builder().status(status);
        for (name, value) in headers {
            response = response.header(name, value);
        }
        let body = if status == 304 { String::new() } else { body };
        Answered::of(
            response.body(full(body)).unwrap(),
            Some(Edition::new("a".into())),
            Some("/a/...".into()),
        )
    }

    async fn send(self: &Arc<Self>, method: Method, path: &str, headers: Lines<'_>) -> Answer {
        let mut request = Request::builder().method(method).uri(format!("http://host{path}"));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let head = request.body(()).unwrap().into_parts().0;
        let trace = trace();
        let fetch = |world: Arc<Self>| move |request| world.call(request);
        let hit = self.cache.hit(&head, false, &trace, fetch(Arc::clone(self))).await;
        let answered = match hit {
            Some(answered) => answered,
            None => {
                let body = full(Bytes::new());
                self.cache.fill(head, body, &trace, fetch(Arc::clone(self))).await
            }
        };
        let word = answered.cache.unwrap();
        let (head, body) = answered.response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body, word }
    }

    async fn get(self: &Arc<Self>, headers: Lines<'_>) -> Answer {
        self.send(Method::GET, "/path", headers).await
    }

    async fn many(self: &Arc<Self>, count: usize, headers: Lines<'_>) -> Vec<Answer> {
        futures::future::join_all((0..count).map(|_| self.get(headers))).await
    }
}

fn trace() -> Trace {
    Trace::from_headers(&HeaderMap::new())
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_fresh_is_answered_without_asking() {
    let world = world(&[("cache-control", "max-age=5"), ("surrogate-key", "a b")]);
    let first = world.get(&[]).await;
    assert_eq!(first.header("cache-status"), "edge-node; fwd=miss; fwd-status=200; ttl=5; stored");
    seconds(4).await;
    let second = world.get(&[]).await;
    assert_eq!((second.text(), second.header("age")), ("1", "4"));
    assert_eq!(second.header("cache-status"), "edge-node; hit; ttl=1");
    assert_eq!(second.word, "hit");
    assert!(!second.header("date").is_empty());
    for answer in [first, second] {
        assert_eq!(answer.header("surrogate-key"), "", "it is not for clients");
        assert_eq!(answer.header("content-length"), "1");
    }
    seconds(1).await;
    let third = world.get(&[]).await;
    assert_eq!(third.text(), "2");
    assert_eq!(third.header("cache-status"), "edge-node; fwd=stale; fwd-status=200; ttl=5; stored");
}

#[tokio::test(start_paused = true)]
async fn lifetimes_of_levels_do_not_add_up() {
    let lower = ("cache-status", "lower; hit; ttl=1");
    let world = world(&[("cache-control", "max-age=5"), ("age", "4"), lower]);
    assert_eq!(world.get(&[]).await.header("age"), "4");
    sleep(Duration::from_millis(999)).await;
    let hit = world.get(&[]).await;
    assert_eq!((hit.header("age"), world.calls()), ("4", 1));
    assert_eq!(hit.header("cache-status"), "lower; hit; ttl=1, edge-node; hit; ttl=0");
    sleep(Duration::from_millis(1)).await;
    assert_eq!(world.get(&[]).await.text(), "2");
}

#[tokio::test(start_paused = true)]
async fn of_many_who_ask_at_once_one_fetches() {
    let world = world(&[("cache-control", "max-age=5")]);
    world.takes(Duration::from_secs(1));
    for round in ["1", "2"] {
        let answers = world.many(256, &[]).await;
        assert!(answers.iter().all(|answer| answer.text() == round), "{answers:?}");
        let collapsed = answers.iter().filter(|answer| answer.word == "collapsed").count();
        assert_eq!((collapsed, world.calls().to_string().as_str()), (255, round));
        seconds(5).await;
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_to_be_shared_is_fetched_side_by_side_and_remembered() {
    let world = world(&[("cache-control", "no-store")]);
    world.takes(Duration::from_secs(1));
    for (round_s, calls) in [(2, 20), (1, 40), (1, 60)] {
        let begin = Instant::now();
        let answers = world.many(20, &[]).await;
        let bodies: std::collections::BTreeSet<_> = answers.iter().map(Answer::text).collect();
        assert_eq!((bodies.len(), world.calls()), (20, calls), "nobody got another's");
        assert_eq!(begin.elapsed().as_secs(), round_s, "only the first time anybody waits");
    }
    assert_eq!(world.most_under_way.load(Ordering::SeqCst), 20);
    // Once it may be shared, it is.
    world.says(200, &[("cache-control", "max-age=60")]);
    world.get(&[]).await;
    assert_eq!(world.get(&[]).await.word, "hit");
}

#[tokio::test(start_paused = true)]
async fn a_slow_leader_is_not_waited_for_for_ever() {
    let world = world(&[("cache-control", "max-age=60")]);
    world.takes(limits::COLLAPSE_PATIENCE * 3);
    let leader = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.get(&[]).await }
    });
    seconds(1).await;
    world.takes(Duration::ZERO);
    let begin = Instant::now();
    assert_eq!(world.get(&[]).await.text(), "2");
    assert_eq!(begin.elapsed(), limits::COLLAPSE_PATIENCE);
    assert_eq!(leader.await.unwrap().text(), "1");
    assert_eq!(world.get(&[]).await.text(), "2", "of two fetches the one that began later stays");
}

#[tokio::test(start_paused = true)]
async fn a_fetch_outlives_the_client_that_set_it_off() {
    let world = world(&[("cache-control", "max-age=60")]);
    world.takes(Duration::from_secs(2));
    let leader = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.get(&[]).await }
    });
    seconds(1).await;
    leader.abort();
    let follower = world.get(&[]).await;
    assert_eq!((follower.text(), follower.word), ("1", "collapsed"));
    assert_eq!(world.get(&[]).await.word, "hit");
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_remembered_though_nobody_waited_for_it() {
    let world = world(&[("cache-control", "max-age=5, stale-if-error=600")]);
    world.get(&[]).await;
    seconds(5).await;
    world.says(503, &[]);
    world.takes(Duration::from_secs(2));
    let leader = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.get(&[]).await }
    });
    seconds(1).await;
    leader.abort();
    sleep(Duration::from_millis(1_500)).await;
    let begin = Instant::now();
    assert_eq!((world.get(&[]).await.word, world.calls()), ("stale", 2));
    assert_eq!(begin.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_is_to_be_stored_is_fetched_whole() {
    let world = world(&[]);
    world.runs(|request| {
        let is_whole = !request.headers().contains_key("if-none-match");
        let headers = [("cache-control", "max-age=60"), ("etag", "\"1\"")];
        let headers = headers.map(|(name, value)| (name, value.to_owned())).to_vec();
        (if is_whole { 200 } else { 304 }, headers, "whole".to_owned())
    });
    let held = world.get(&[("if-none-match", "\"1\"")]).await;
    assert_eq!((held.status, held.word), (304, "miss"));
    let whole = world.get(&[]).await;
    assert_eq!((whole.text(), whole.word), ("whole", "hit"));
}

#[tokio::test(start_paused = true)]
async fn credentials_are_neither_shared_nor_waited_for() {
    for credentials in [("authorization", "Bearer x"), ("cookie", "a=b")] {
        let world = world(&[("cache-control", "max-age=60")]);
        world.takes(Duration::from_secs(1));
        let mine = world.many(5, &[credentials]).await;
        let bodies: std::collections::BTreeSet<_> = mine.iter().map(Answer::text).collect();
        assert_eq!((bodies.len(), world.calls()), (5, 5));
        // Nothing was stored of them, nor did they teach the cache that nobody can share.
        let others = world.many(10, &[]).await;
        assert!(others.iter().all(|answer| answer.text() == "6"), "{others:?}");
        let refused = world.get(&[credentials]).await;
        assert_eq!(refused.text(), "7", "what is not public is not theirs");
        assert!(refused.header("cache-status").contains("fwd=request"), "{refused:?}");
        assert_eq!(world.get(&[]).await.text(), "6");
    }
}

#[tokio::test(start_paused = true)]
async fn a_public_answer_is_for_all() {
    let world = world(&[("cache-control", "public, max-age=60")]);
    let token = ("authorization", "Bearer x");
    assert_eq!(world.get(&[token]).await.text(), "1");
    for headers in [&[][..], &[token], &[("cookie", "a=b")]] {
        assert_eq!(world.get(headers).await.text(), "1");
    }
}

#[tokio::test(start_paused = true)]
async fn variants_are_told_apart_also_by_those_who_wait() {
    let world = world(&[]);
    world.takes(Duration::from_secs(1));
    world.runs(|request| {
        let language = request.headers()["accept-language"].to_str().unwrap().to_owned();
        let headers = [("cache-control", "max-age=5"), ("vary", "Accept-Language")];
        (200, headers.map(|(name, value)| (name, value.to_owned())).to_vec(), language)
    });
    let ask = async |language: &'static str| {
        let answer = world.get(&[("accept-language", language)]).await;
        assert_eq!(answer.text(), language);
        answer
    };
    for calls in [2, 4] {
        let begin = Instant::now();
        let all = (0..60).map(|n| ask(if n % 2 == 0 { "en" } else { "zh" }));
        futures::future::join_all(all).await;
        assert_eq!(world.calls(), calls);
        // Once it is known what they vary by, variants do not wait for each other.
        assert_eq!(begin.elapsed().as_secs(), if calls == 2 { 2 } else { 1 });
        seconds(5).await;
    }
    ask("en").await;
    assert!(ask("fr").await.header("cache-status").contains("fwd=vary-miss"));
    // One URI has only so many.
    world.takes(Duration::ZERO);
    for n in 0..limits::MAX_CACHE_VARIANTS {
        world.get(&[("accept-language", &n.to_string())]).await;
    }
    let calls = world.calls();
    world.get(&[("accept-language", "0")]).await;
    assert_eq!(world.calls(), calls, "the newest stay");
    ask("en").await;
    assert_eq!(world.calls(), calls + 1, "the oldest goes");
}

#[tokio::test(start_paused = true)]
async fn stale_while_revalidate_answers_at_once_and_refreshes_once() {
    let control = ("cache-control", "max-age=5, stale-while-revalidate=30");
    let world = world(&[control, ("etag", "\"1\"")]);
    world.get(&[]).await;
    world.takes(Duration::from_secs(1));
    seconds(8).await;
    let begin = Instant::now();
    let answers = world.many(100, &[("cookie", "a=b"), ("authorization", "x")]).await;
    assert!(answers.iter().all(|answer| answer.word == "miss"), "not public: theirs are fetched");
    let calls = world.calls();
    let begin_stale = Instant::now();
    let answers = world.many(100, &[]).await;
    assert!(answers.iter().all(|answer| answer.text() == "1" && answer.word == "stale"));
    assert_eq!(answers[0].header("cache-status"), "edge-node; hit; ttl=-4");
    assert_eq!(begin_stale.elapsed(), Duration::ZERO);
    assert_eq!(begin.elapsed().as_secs(), 1);
    seconds(2).await;
    assert_eq!(world.calls(), calls + 1);
    assert_eq!(world.get(&[]).await.word, "hit");
    // Past the window it is waited for.
    seconds(36).await;
    assert_eq!(world.get(&[]).await.word, "miss");
}

#[tokio::test(start_paused = true)]
async fn a_refresh_asks_for_news_only_and_tells_nothing_of_who_set_it_off() {
    let world = world(&[]);
    world.runs(|request| {
        let has = |name| request.headers().contains_key(name);
        let control = "public, max-age=5, stale-while-revalidate=30".to_owned();
        assert!(!has("if-modified-since"));
        if has("if-none-match") {
            assert_eq!(request.headers()["if-none-match"], "\"1\"");
            assert!(!has("cookie") && !has("authorization"));
            return (
                304,
                vec![("cache-control", control), ("x-new", "1".to_owned())],
                String::new(),
            );
        }
        (200, vec![("cache-control", control), ("etag", "\"1\"".to_owned())], String::new())
    });
    world.get(&[]).await;
    seconds(6).await;
    let credentials = [("cookie", "a=b"), ("authorization", "x")];
    assert_eq!(world.get(&credentials).await.word, "stale");
    seconds(1).await;
    let confirmed = world.get(&[]).await;
    assert_eq!((confirmed.text(), confirmed.word, world.calls()), ("1", "hit", 2));
    assert_eq!((confirmed.header("x-new"), confirmed.header("age")), ("1", "1"));
    // The same in the foreground.
    seconds(50).await;
    let confirmed = world.get(&[]).await;
    assert_eq!(
        (confirmed.text(), confirmed.header("cache-status")),
        ("1", "edge-node; fwd=stale; fwd-status=304; ttl=5; stored")
    );
}

#[tokio::test(start_paused = true)]
async fn stale_if_error_stands_in_for_its_window() {
    for (status, forwarded) in [(503, "; fwd-status=503"), (500, "; fwd-status=500"), (0, "")] {
        let world = world(&[("cache-control", "max-age=5, stale-if-error=60")]);
        world.get(&[]).await;
        world.says(status, &[]);
        seconds(15).await;
        let begin = Instant::now();
        world.takes(Duration::from_secs(1));
        let answers = world.many(50, &[]).await;
        assert!(answers.iter().all(|answer| answer.status == 200 && answer.text() == "1"));
        assert_eq!((world.calls(), begin.elapsed().as_secs()), (2, 1));
        let expected = format!("edge-node; fwd=stale{forwarded}; ttl=-11; detail=stale-if-error");
        assert_eq!(answers[0].header("cache-status"), expected);
        // For a moment nobody waits for it again.
        let resting = world.get(&[]).await;
        assert_eq!(
            resting.header("cache-status"),
            "edge-node; hit; ttl=-11; detail=stale-if-error"
        );
        seconds(2).await;
        assert_eq!((world.get(&[]).await.status, world.calls()), (200, 3));
        seconds(50).await;
        let status = if status == 0 { 500 } else { status };
        assert_eq!(world.get(&[]).await.status, status, "the window is over");
        // It comes back by itself.
        world.says(200, &[("cache-control", "max-age=5")]);
        assert_eq!(world.get(&[]).await.status, 200);
    }
    let strict = world(&[("cache-control", "max-age=5, must-revalidate, stale-if-error=60")]);
    strict.get(&[]).await;
    strict.says(503, &[]);
    seconds(6).await;
    assert_eq!(strict.get(&[]).await.status, 503);
}

#[tokio::test(start_paused = true)]
async fn after_a_purge_nobody_sees_what_was_before() {
    let control = ("cache-control", "max-age=600, stale-while-revalidate=60, stale-if-error=600");
    for (kind, tags) in
        [(Purge::Hard, Some("menu:7")), (Purge::Soft, Some("menu:7")), (Purge::Hard, None)]
    {
        let world = world(&[control, ("surrogate-key", "store:7 menu:7")]);
        world.get(&[]).await;
        let purge = || match tags {
            Some(tag) => world.cache.purge([tag], kind),
            None => world.cache.purge_all(kind),
        };
        world.cache.purge(["menu:8"], Purge::Hard);
        assert_eq!(world.get(&[]).await.word, "hit");
        purge();
        assert_eq!(world.get(&[]).await.text(), "2");
        purge();
        world.says(503, &[]);
        let down = world.get(&[]).await;
        match kind {
            Purge::Hard => assert_eq!(down.status, 503, "not even for an error"),
            Purge::Soft => assert_eq!((down.status, down.text()), (200, "2")),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_purge_during_a_fill_wins() {
    let world = world(&[("cache-control", "max-age=600"), ("surrogate-key", "t")]);
    world.takes(Duration::from_secs(2));
    let early = tokio::spawn({
        let world = Arc::clone(&world);
        async move { world.get(&[]).await }
    });
    seconds(1).await;
    world.cache.purge(["t"], Purge::Hard);
    // Who asks from here on joins the fetch in progress, but not its answer.
    let late = world.many(10, &[]).await;
    assert!(late.iter().all(|answer| answer.text() == "2"), "{late:?}");
    assert_eq!(early.await.unwrap().text(), "1", "it had asked before");
    assert_eq!((world.get(&[]).await.text(), world.calls()), ("2", 2));
}

#[tokio::test(start_paused = true)]
async fn a_write_purges_its_uri() {
    let world = world(&[("cache-control", "max-age=600")]);
    world.get(&[]).await;
    world.send(Method::GET, "/other", &[]).await;
    let calls = world.calls();
    world.says(409, &[]);
    world.send(Method::POST, "/path", &[]).await;
    assert_eq!(world.get(&[]).await.word, "hit", "nothing was changed");
    world.says(200, &[("cache-control", "max-age=600")]);
    let written = world.send(Method::POST, "/path", &[]).await;
    assert_eq!(written.header("cache-status"), "edge-node; fwd=method; fwd-status=200");
    assert_eq!(world.get(&[]).await.word, "miss");
    assert_eq!(world.send(Method::GET, "/other", &[]).await.word, "hit");
    assert_eq!(world.calls(), calls + 3);
}

#[tokio::test(start_paused = true)]
async fn heads_conditions_and_codings_are_met_from_the_store() {
    let world = world(&[]);
    let body = "{\"menu\":\"noodles\"}".repeat(100);
    let sent = body.clone();
    world.runs(move |_| {
        let headers = [
            ("cache-control", "max-age=60"),
            ("etag", "\"v1\""),
            ("content-type", "application/json"),
        ];
        (200, headers.map(|(name, value)| (name, value.to_owned())).to_vec(), sent.clone())
    });
    let plain = world.get(&[]).await;
    assert_eq!((plain.text(), plain.header("vary")), (body.as_str(), "Accept-Encoding"));
    assert_eq!((plain.header("etag"), plain.header("content-encoding")), ("\"v1\"", ""));
    for (accepted, coding, tag) in [
        ("gzip", "gzip", "\"v1;gzip\""),
        ("zstd", "zstd", "\"v1;zstd\""),
        ("gzip, br", "br", "\"v1;br\""),
    ] {
        let accepted = ("accept-encoding", accepted);
        let coded = world.get(&[accepted]).await;
        assert_eq!((coded.header("content-encoding"), coded.header("etag")), (coding, tag));
        assert!(coded.body.len() < body.len() / 2);
        assert_eq!(coded.header("content-length"), coded.body.len().to_string());
        let head = world.send(Method::HEAD, "/path", &[accepted]).await;
        assert_eq!(
            (head.body.len(), head.header("content-length")),
            (0, coded.header("content-length"))
        );
        for shown in [tag, "\"v1\""] {
            let held = world.get(&[accepted, ("if-none-match", shown)]).await;
            assert_eq!((held.status, held.body.len(), held.header("etag")), (304, 0, shown));
            assert_eq!((held.header("content-encoding"), held.header("content-length")), ("", ""));
            assert_eq!(held.header("vary"), "Accept-Encoding");
        }
        let changed = world.get(&[accepted, ("if-none-match", "\"v0\"")]).await;
        assert_eq!(changed.status, 200);
    }
    assert_eq!(world.calls(), 1);
    // A new fetch of the same bytes keeps what was made of them, and a client's condition is no part of it.
    seconds(60).await;
    let held = world.get(&[("if-none-match", "\"v1\""), ("accept-encoding", "br")]).await;
    assert_eq!((held.status, world.calls()), (304, 2));
    assert_eq!(world.get(&[]).await.text(), body);
}

#[tokio::test(start_paused = true)]
async fn what_is_left_to_the_function() {
    let world = world(&[("cache-control", "max-age=60"), ("etag", "\"1\"")]);
    world.get(&[]).await;
    for (method, headers, status) in [
        (
            Method::GET,
            &[("if-match", "\"1\"")][..],
            "edge-node; fwd=bypass; fwd-status=200; detail=condition",
        ),
        (Method::OPTIONS, &[], "edge-node; fwd=bypass; fwd-status=200; detail=method"),
    ] {
        let calls = world.calls();
        let answer = world.send(method, "/path", headers).await;
        assert_eq!((answer.header("cache-status"), answer.word), (status, "bypass"));
        assert_eq!(world.calls(), calls + 1);
    }
    assert_eq!(world.get(&[]).await.text(), "1");
    let head = world.send(Method::HEAD, "/new", &[]).await;
    assert_eq!(head.word, "miss");
    assert_eq!(world.send(Method::GET, "/new", &[]).await.word, "miss", "HEAD stores nothing");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_stored_passes_whole() {
    let long = "x".repeat(limits::MAX_CACHED_BODY_BYTES + 1);
    let tags = (0..=limits::MAX_TAGS_PER_ENTRY).map(|n| format!("t{n} ")).collect::<String>();
    let control = || ("cache-control", "max-age=60".to_owned());
    for (name, value, body, detail) in [
        ("x-any", "1".to_owned(), long, "length"),
        ("surrogate-key", tags, "short".to_owned(), "tags"),
        ("set-cookie", "a=b".to_owned(), "short".to_owned(), "set-cookie"),
        ("vary", "*".to_owned(), "short".to_owned(), "vary"),
    ] {
        let world = world(&[]);
        let sent = body.clone();
        world.runs(move |_| (200, vec![control(), (name, value.clone())], sent.clone()));
        for calls in [1, 2] {
            let answer = world.get(&[]).await;
            assert_eq!(answer.text(), body, "{detail}");
            assert!(answer.header("cache-status").ends_with(detail), "{answer:?}");
            assert_eq!(answer.header("surrogate-key"), "");
            assert_eq!(world.calls(), calls);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn conditions_are_met_also_for_what_is_not_stored() {
    let world = world(&[("cache-control", "no-store"), ("etag", "\"1\"")]);
    let held = world.get(&[("if-none-match", "\"1\"")]).await;
    assert_eq!((held.status, held.header("etag"), held.body.len()), (304, "\"1\"", 0));
    // From then on the function gets them itself.
    world.runs(|request| {
        (
            304,
            vec![("etag", request.headers()["if-none-match"].to_str().unwrap().to_owned())],
            String::new(),
        )
    });
    assert_eq!(world.get(&[("if-none-match", "\"2\"")]).await.header("etag"), "\"2\"");
}

#[tokio::test(start_paused = true)]
async fn parts_come_from_a_stored_whole() {
    let world = world(&[]);
    let long = "0123456789".repeat(200);
    world.runs(move |request| {
        let is_asked_again = request.headers().contains_key("if-none-match");
        assert!(!is_asked_again || !request.headers().contains_key("range"), "{request:?}");
        let control = "max-age=60, stale-while-revalidate=60".to_owned();
        let headers = [("cache-control", control), ("etag", "\"v\"".to_owned())];
        let kind = ("content-type", "application/json".to_owned());
        (200, headers.into_iter().chain([kind]).collect(), long.clone())
    });
    let missed = world.get(&[("range", "bytes=0-4")]).await;
    assert_eq!((missed.status, missed.body.len()), (200, 2_000), "the function's own matter");
    assert!(missed.header("cache-status").ends_with("fwd=bypass; fwd-status=200; detail=range"));
    assert_eq!(world.get(&[]).await.status, 200);
    let coded = ("accept-encoding", "br");
    for (lines, status, body, range) in [
        (&[("range", "bytes=2-5"), coded][..], 206, "2345", "bytes 2-5/2000"),
        (&[("range", "bytes=-3")], 206, "789", "bytes 1997-1999/2000"),
        (&[("range", "bytes=1998-"), ("if-range", "\"v\"")], 206, "89", "bytes 1998-1999/2000"),
        (&[("range", "bytes=2000-")], 416, "", "bytes */2000"),
        (&[("range", "bytes=2-5"), ("if-none-match", "\"v\"")], 304, "", ""),
    ] {
        let answer = world.get(lines).await;
        assert_eq!((answer.status, answer.text()), (status, body), "{lines:?}");
        assert_eq!(answer.header("content-range"), range, "{lines:?}");
        assert_eq!(answer.header("content-encoding"), "", "{lines:?}");
        let length = if status == 304 { String::new() } else { body.len().to_string() };
        assert_eq!(answer.header("content-length"), length, "{lines:?}");
        assert_eq!(answer.word, "hit");
    }
    for lines in [
        &[("range", "bytes=0-1,4-5")][..],
        &[("range", "bytes=2-5"), ("if-range", "\"w\"")],
        &[("range", "lines=1-2")],
    ] {
        let answer = world.get(lines).await;
        assert_eq!((answer.status, answer.body.len()), (200, 2_000), "{lines:?}");
    }
    let head = world.send(Method::HEAD, "/path", &[("range", "bytes=2-5")]).await;
    assert_eq!((head.status, head.header("content-length")), (200, "2000"));
    assert_eq!(world.calls(), 2);
    seconds(61).await;
    assert_eq!(world.get(&[("range", "bytes=2-5")]).await.text(), "2345");
    seconds(1).await;
    assert_eq!(world.get(&[("range", "bytes=0-0")]).await.header("age"), "1", "refreshed whole");
    assert_eq!(world.calls(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_connection_names_is_not_stored() {
    let world = world(&[
        ("cache-control", "max-age=60"),
        ("connection", "close, X-Mine"),
        ("x-mine", "1"),
        ("etag", "\"1\""),
    ]);
    for _ in 0..2 {
        let answer = world.get(&[]).await;
        assert_eq!((answer.header("x-mine"), answer.header("connection")), ("", ""));
        assert_eq!(answer.header("etag"), "\"1\"");
    }
    assert_eq!(world.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_is_stored_is_measured() {
    let world = world(&[("cache-control", "max-age=60"), ("surrogate-key", "t")]);
    for path in ["/1", "/2"] {
        world.send(Method::GET, path, &[]).await;
    }
    world.cache.purge(["t", "u"], Purge::Soft);
    world.cache.measure();
    let metrics = world.cache.metrics.text().unwrap();
    for line in [
        "edge_cache_uris 2",
        "edge_cache_fetches_total 2",
        r#"edge_cache_purges_total{kind="soft"} 2"#,
        r#"edge_cache_requests_total{outcome="miss"} 2"#,
    ] {
        assert!(metrics.contains(line), "{line}\n{metrics}");
    }
    let bytes = metrics.lines().find_map(|line| line.strip_prefix("edge_cache_stored_bytes "));
    assert!(bytes.unwrap().parse::<usize>().unwrap() > 2 * limits::CACHE_SLOT_OVERHEAD_BYTES);
}

/// Readers and a writer race on real threads: whoever asks after a purge was acknowledged sees what it was about, or
/// something later; by hits, confirmations, refreshes and fetches of others alike.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_reader_is_shown_less_than_was_acknowledged() {
    let world = world(&[]);
    let version = Arc::new(AtomicUsize::new(1));
    world.runs({
        let version = Arc::clone(&version);
        move |request| {
            let version = version.load(Ordering::SeqCst).to_string();
            let tag = format!("\"{version}\"");
            let shown = request.headers().get("if-none-match");
            let status = if shown.is_some_and(|shown| *shown == tag) { 304 } else { 200 };
            let control = "max-age=600, stale-while-revalidate=600, stale-if-error=600".to_owned();
            let headers = [("cache-control", control), ("surrogate-key", "t".to_owned())];
            let headers = headers.into_iter().chain([("etag", tag)]).collect();
            (status, headers, version)
        }
    });
    let acknowledged = Arc::new(AtomicUsize::new(1));
    let is_over = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let read = |world: Arc<World>| {
        let (acknowledged, is_over) = (Arc::clone(&acknowledged), Arc::clone(&is_over));
        async move {
            let mut reads = 0;
            while !is_over.load(Ordering::SeqCst) {
                let least = acknowledged.load(Ordering::SeqCst);
                let seen: usize = world.get(&[]).await.text().parse().unwrap();
                assert!(seen >= least, "{seen} was shown, {least} was acknowledged");
                reads += 1;
                tokio::task::yield_now().await;
            }
            reads
        }
    };
    let readers: Vec<_> = (0..16).map(|_| tokio::spawn(read(Arc::clone(&world)))).collect();
    for number in 2..400 {
        // Now and then nothing changes, so that there is something to confirm.
        if number % 3 != 0 {
            version.store(number, Ordering::SeqCst);
        }
        let current = version.load(Ordering::SeqCst);
        let kind = if number % 2 == 0 { Purge::Hard } else { Purge::Soft };
        world.cache.purge(["t"], kind);
        acknowledged.store(current, Ordering::SeqCst);
        sleep(Duration::from_micros(500)).await;
    }
    is_over.store(true, Ordering::SeqCst);
    let mut reads = 0;
    for reader in readers {
        reads += reader.await.unwrap();
    }
    assert!(reads > world.calls(), "{reads} reads, {} fetches", world.calls());
}

/// On real threads, with a function that answers at once: who looked before the answer was stored and comes to the flight
/// after it landed does not fly again.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_latecomer_to_a_landed_flight_fetches_nothing() {
    let world = world(&[("cache-control", "max-age=600"), ("surrogate-key", "t")]);
    for round in 1..=3000 {
        let crowd = (0..32).map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.get(&[]).await })
        });
        for answer in futures::future::join_all(crowd).await {
            assert_eq!(answer.unwrap().text(), round.to_string());
        }
        assert_eq!(world.calls(), round);
        world.cache.purge(["t"], Purge::Soft);
    }
}

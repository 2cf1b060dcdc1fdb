//! Numbers without gaps, whatever the order of commits and however many relays; readers that miss nothing.

use super::reader::{Place, Reader};
use super::{relay, store};
use crate::app::testing::{self, TestApp};
use crate::clock::Clock as _;
use crate::db::outbox::{self, News, Topic};
use crate::limits;
use bytes::Bytes;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const PATIENCE: Duration = Duration::from_secs(20);

/// Leaves news of each subject, all of it in one transaction.
async fn publish(core: &TestApp, subjects: impl Iterator<Item = i64>) {
    let mut tx = core.db.write().await.unwrap();
    let news: Vec<_> = subjects.map(news_of).collect();
    outbox::publish(&mut tx, &core.ids, &news, core.clock.now_ms()).await.unwrap();
    tx.commit().await.unwrap();
}

/// Leaves so many packs of one piece of news each.
async fn publish_packs(core: &TestApp, packs: i64) {
    let mut tx = core.db.write().await.unwrap();
    for subject in 0..packs {
        let now_ms = core.clock.now_ms();
        outbox::publish(&mut tx, &core.ids, &[news_of(subject)], now_ms).await.unwrap();
    }
    tx.commit().await.unwrap();
}

fn news_of(subject: i64) -> News {
    News::new(Topic::OrderChanged, subject, &subject).unwrap()
}

async fn number_all(core: &TestApp) {
    while relay::run_once(core).await.unwrap() {}
}

/// Reads the feed as a reader does, page by page, and returns the subjects in order.
async fn read_on(core: &TestApp, cursor: &mut i64) -> Vec<i64> {
    let page = store::page(&mut core.db.read().await.unwrap(), *cursor).await.unwrap();
    let mut subjects = Vec::new();
    for pack in &page.packs {
        for (seq, news) in pack.above(*cursor).unwrap() {
            *cursor += 1;
            assert_eq!(seq, *cursor, "no number is left out, none appears below one that was seen");
            subjects.push(news.subject_id.parse().unwrap());
        }
    }
    assert!(*cursor <= page.head);
    subjects
}

#[tokio::test]
async fn a_row_is_numbered_when_it_is_committed() {
    let core = testing::app().await;
    if core.db.dialect() == crate::db::Dialect::Sqlite {
        // One writer at a time: there is no other transaction to pass by.
        return;
    }
    let mut slow = core.db.write().await.unwrap();
    outbox::publish(&mut slow, &core.ids, &[news_of(1)], 0).await.unwrap();
    publish(&core, 2..=3).await;
    timeout(Duration::from_secs(2), number_all(&core))
        .await
        .expect("nobody waits for the slow one");
    let mut cursor = 0;
    assert_eq!(read_on(&core, &mut cursor).await, [2, 3]);
    slow.commit().await.unwrap();
    number_all(&core).await;
    assert_eq!(read_on(&core, &mut cursor).await, [1], "its lower id does not put it back");
}

#[tokio::test]
async fn numbers_have_no_gaps_under_concurrent_commits_and_two_relays() {
    const WRITERS: i64 = 12;
    const COMMITS: i64 = 20;
    const ROWS: i64 = 3;
    let core = Arc::new(testing::app().await);
    let stop = CancellationToken::new();
    let relays: Vec<_> =
        (0..2).map(|_| tokio::spawn(relay::run(Arc::clone(&core.app), stop.clone()))).collect();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let core = Arc::clone(&core);
        writers.spawn(async move {
            for commit in 0..COMMITS {
                let first = (writer * COMMITS + commit) * ROWS;
                publish(&core, first..first + ROWS).await;
                core.feed.ring();
            }
        });
    }
    let everything = async {
        let (mut cursor, mut read) = (0, Vec::new());
        while read.len() < usize::try_from(WRITERS * COMMITS * ROWS).unwrap() {
            read.extend(read_on(&core, &mut cursor).await);
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        read
    };
    let read = timeout(PATIENCE, everything).await.expect("everything is numbered");
    writers.join_all().await;
    assert_eq!(read.len(), read.iter().collect::<BTreeSet<_>>().len(), "each row once");
    let mut conn = core.db.read().await.unwrap();
    assert_eq!(store::look(&mut conn).await.unwrap(), (WRITERS * COMMITS * ROWS, false));
    assert_eq!(core.feed.head(), WRITERS * COMMITS * ROWS);
    drop(conn);
    stop.cancel();
    for relay in relays {
        relay.await.unwrap();
    }
}

#[tokio::test]
async fn a_full_batch_is_followed_by_another() {
    let core = testing::app().await;
    publish_packs(&core, limits::RELAY_BATCH + 1).await;
    let backlog = store::backlog(&mut core.db.read().await.unwrap(), i64::MAX).await.unwrap();
    assert_eq!(backlog, limits::RELAY_BATCH + 1);
    assert!(relay::run_once(&core).await.unwrap(), "full");
    assert_eq!(core.feed.head(), limits::RELAY_BATCH);
    assert!(!relay::run_once(&core).await.unwrap());
    assert_eq!(core.feed.head(), limits::RELAY_BATCH + 1);
    assert!(
        core.metrics.render().contains("tiffin_core_feed_head 129"),
        "{}",
        core.metrics.render()
    );
}

/// First and last numbers of the packs in the feed.
async fn packs(core: &TestApp) -> Vec<(i64, i64)> {
    sqlx::query_as("SELECT first_seq, seq FROM feed ORDER BY seq")
        .fetch_all(&mut *core.db.read().await.unwrap())
        .await
        .unwrap()
}

#[tokio::test]
async fn a_transaction_with_more_news_than_a_pack_holds_leaves_several_in_order() {
    let core = testing::app().await;
    let pack = limits::OUTBOX_PACK_EVENTS as i64;
    publish(&core, 0..1).await;
    publish(&core, 0..2 * pack + 3).await;
    let backlog = store::backlog(&mut core.db.read().await.unwrap(), i64::MAX).await.unwrap();
    assert_eq!(backlog, 2 * pack + 4, "news is counted, not packs");
    number_all(&core).await;
    let numbered = [(1, 1), (2, pack + 1), (pack + 2, 2 * pack + 1), (2 * pack + 2, 2 * pack + 4)];
    assert_eq!(packs(&core).await, numbered);
    let (mut cursor, mut subjects) = (1, Vec::new());
    while cursor < core.feed.head() {
        subjects.extend(read_on(&core, &mut cursor).await);
    }
    assert!(subjects.into_iter().eq(0..2 * pack + 3));
}

#[tokio::test]
async fn pruning_takes_the_oldest_and_leaves_no_hole() {
    let core = testing::app().await;
    let stop = CancellationToken::new();
    publish_packs(&core, limits::FEED_PRUNE_PACKS + 5).await;
    core.clock.advance(limits::FEED_KEEP_MS / 2);
    publish_packs(&core, 5).await;
    number_all(&core).await;
    let span = async || store::span(&mut core.db.read().await.unwrap()).await.unwrap();
    relay::prune_once(&core, &stop).await.unwrap();
    assert_eq!(span().await.oldest, Some(1), "nothing is too old");
    core.clock.advance(limits::FEED_KEEP_MS / 2 + 1);
    relay::prune_once(&core, &stop).await.unwrap();
    assert_eq!(span().await.oldest, Some(limits::FEED_PRUNE_PACKS + 6));

    let too_many = span().await.head - 2;
    while store::prune(&core.db, 0, too_many).await.unwrap() {}
    assert_eq!(span().await.oldest, Some(too_many + 1));
    assert!(!store::prune(&core.db, 0, 0).await.unwrap());
}

#[tokio::test]
async fn packs_are_pruned_whole() {
    let core = testing::app().await;
    for _ in 0..3 {
        publish(&core, 0..10).await;
    }
    number_all(&core).await;
    for (up_to_seq, left) in [(9, 3), (10, 2), (19, 2), (25, 1), (30, 0)] {
        while store::prune(&core.db, 0, up_to_seq).await.unwrap() {}
        let packs = packs(&core).await;
        assert_eq!(packs.len(), left, "up to {up_to_seq}");
        let span = store::span(&mut core.db.read().await.unwrap()).await.unwrap();
        assert_eq!(span.oldest, packs.first().map(|(first, _)| *first));
        assert_eq!(span.head, 30);
    }
}

#[test]
fn a_position_is_lost_when_its_next_row_is_gone_or_its_ledger_is_another() {
    let kept = store::Span { oldest: Some(11), head: 20 };
    let none_kept = store::Span { oldest: None, head: 20 };
    for (span, cursor, misses) in [
        (kept, 9, true),
        (kept, 10, false),
        (kept, 20, false),
        (kept, 21, true),
        (none_kept, 19, true),
        (none_kept, 20, false),
        (store::Span { oldest: None, head: 0 }, 0, false),
    ] {
        assert_eq!(span.misses(cursor), misses, "{span:?} at {cursor}");
    }
}

async fn open(core: &TestApp, after: Option<i64>) -> (Reader, mpsc::Receiver<Bytes>) {
    let place = Place::take(&core.app).unwrap();
    Reader::open(Arc::clone(&core.app), place, after).await.unwrap()
}

/// The numbers of the events that came, until `last` is among them.
async fn numbers_until(chunks: &mut mpsc::Receiver<Bytes>, last: i64) -> Vec<i64> {
    let mut seen = Vec::new();
    while seen.last() != Some(&last) {
        let chunk = timeout(PATIENCE, chunks.recv()).await.expect("more is to come").unwrap();
        let text = String::from_utf8(chunk.to_vec()).unwrap();
        let ids = text.lines().filter_map(|line| line.strip_prefix("id: "));
        seen.extend(ids.map(|id| id.parse::<i64>().unwrap()));
    }
    seen
}

#[tokio::test]
async fn a_slow_reader_holds_little_and_misses_nothing() {
    let core = testing::app().await;
    let rows = limits::FEED_PAGE * 20;
    publish(&core, 0..rows).await;
    number_all(&core).await;
    let (reader, mut chunks) = open(&core, Some(0)).await;
    let reading = tokio::spawn(reader.run());
    while chunks.len() < limits::FEED_CHUNKS {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert_eq!(chunks.len(), limits::FEED_CHUNKS, "what waits for it is bounded");
    assert_eq!(numbers_until(&mut chunks, rows).await, (1..=rows).collect::<Vec<_>>());

    drop(chunks);
    timeout(PATIENCE, reading).await.expect("its client is gone").unwrap();
    assert_eq!(core.feed.places.available_permits(), limits::FEED_READERS, "the place is free");
}

#[tokio::test]
async fn a_client_that_takes_nothing_loses_its_place() {
    let core = testing::app().await;
    let (reader, chunks) = open(&core, None).await;
    // From here on nothing asks the database, and time passes by itself.
    tokio::time::pause();
    while chunks.len() < limits::FEED_CHUNKS {
        reader.send("more".to_owned()).await.unwrap();
    }
    let started = tokio::time::Instant::now();
    assert!(reader.send("too much".to_owned()).await.is_err());
    assert!(started.elapsed() >= limits::FEED_STALL);
}

#[tokio::test]
async fn a_reader_that_is_pruned_away_under_way_is_reset() {
    let core = testing::app().await;
    publish_packs(&core, 10).await;
    number_all(&core).await;
    let (reader, mut chunks) = open(&core, Some(2)).await;
    while store::prune(&core.db, 0, 8).await.unwrap() {}
    let stop = core.feed.stop.clone();
    let reading = tokio::spawn(reader.run());
    let hello = chunks.recv().await.unwrap();
    assert!(!String::from_utf8_lossy(&hello).contains("reset"), "it was not lost when it came");
    let reset = chunks.recv().await.unwrap();
    assert_eq!(&*reset, b"id: 10\nevent: reset\ndata: {\"head\":10}\n\n");
    publish(&core, 10..11).await;
    number_all(&core).await;
    assert_eq!(numbers_until(&mut chunks, 11).await, [11]);
    stop.cancel();
    timeout(Duration::from_secs(1), reading).await.expect("it ends at the stop").unwrap();
}

#[tokio::test]
async fn a_reader_goes_on_in_the_middle_of_a_pack_and_hears_each_event_as_ever() {
    let core = testing::app().await;
    publish(&core, 71..76).await;
    number_all(&core).await;
    for after in 0..5 {
        let (reader, mut chunks) = open(&core, Some(after)).await;
        let reading = tokio::spawn(reader.run());
        chunks.recv().await.unwrap();
        let chunk = timeout(PATIENCE, chunks.recv()).await.unwrap().unwrap();
        let event = |seq: i64| {
            let (subject, now_ms) = (70 + seq, testing::NOW_MS);
            format!(
                "id: {seq}\nevent: order.changed\ndata: {{\"seq\":{seq},\
                 \"topic\":\"order.changed\",\"subject_id\":\"{subject}\",\
                 \"payload\":{subject},\"created_at_ms\":{now_ms}}}\n\n"
            )
        };
        let expected: String = (after + 1..=5).map(event).collect();
        assert_eq!(String::from_utf8_lossy(&chunk), expected);
        drop(chunks);
        timeout(PATIENCE, reading).await.expect("its client is gone").unwrap();
    }
}

#[tokio::test]
async fn a_hole_in_the_feed_ends_in_a_reset() {
    let core = testing::app().await;
    // A narrow one within a page, and a wide one beyond it.
    for wide in [false, true] {
        let before = core.feed.head();
        publish(&core, 0..3).await;
        publish(&core, 0..limits::FEED_PAGE * if wide { 2 } else { 0 } + 1).await;
        publish(&core, 0..1).await;
        number_all(&core).await;
        let head = core.feed.head();
        let mut tx = core.db.write().await.unwrap();
        let hole = sqlx::query("DELETE FROM feed WHERE seq > ? AND seq < ?");
        hole.bind(before + 3).bind(head).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        let (reader, mut chunks) = open(&core, Some(before)).await;
        let reading = tokio::spawn(reader.run());
        chunks.recv().await.unwrap();
        let seen = numbers_until(&mut chunks, head).await;
        assert_eq!(seen, [before + 1, before + 2, before + 3, head]);
        drop(chunks);
        timeout(PATIENCE, reading).await.expect("its client is gone").unwrap();
    }
}

#[tokio::test]
async fn a_pack_that_does_not_hold_what_it_counts_is_sent_to_nobody() {
    let core = testing::app().await;
    publish(&core, 0..3).await;
    number_all(&core).await;
    let mut tx = core.db.write().await.unwrap();
    sqlx::query("UPDATE feed SET payload = '[]'").execute(&mut *tx).await.unwrap();
    tx.commit().await.unwrap();
    let (reader, mut chunks) = open(&core, Some(0)).await;
    timeout(PATIENCE, reader.run()).await.expect("the reader is let go");
    chunks.recv().await.expect("a greeting");
    assert_eq!(chunks.recv().await, None);
}

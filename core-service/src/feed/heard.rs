//! What this core hears of the relays of others, over the fast store.
//!
//! A number that was heard is a hint and no more: the fast store may lose it, repeat it or lie. So the readers are
//! shown what the ledger says, and numbers that are known already cost nothing. Hearing nothing costs time, at most
//! [`limits::RELAY_POLL`](crate::limits::RELAY_POLL).

use super::{CHANNEL, store};
use crate::app::App;
use crate::db::DbError;
use crate::fast::{FastStore as _, Heard};
use tokio_util::sync::CancellationToken;

/// Shows the readers what other cores number, until `stop`.
pub(super) async fn listen(app: &App, stop: &CancellationToken) {
    let mut channel = app.fast.subscribe(CHANNEL);
    while let Some(Some(heard)) = stop.run_until_cancelled(channel.recv()).await {
        let known = match heard {
            Heard::Message(head) => says(&head).is_some_and(|head| head <= app.feed.head()),
            Heard::Gap => false,
        };
        if known {
            continue;
        }
        if let Err(error) = look(app).await {
            tracing::debug!(%error, "the relay will look where the feed stands");
        }
    }
}

fn says(message: &[u8]) -> Option<i64> {
    std::str::from_utf8(message).ok()?.parse().ok()
}

async fn look(app: &App) -> Result<(), DbError> {
    let (head, _) = store::look(&mut *app.db.read().await?).await?;
    app.feed.show(head);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::testing::{self, TestApp};
    use crate::db::outbox::{self, News, Topic};
    use crate::fast::FastStore;
    use crate::fast::memory::Memory;
    use crate::fast::redis::Redis;
    use crate::feed::reader::{Place, Reader};
    use crate::feed::relay;
    use crate::ids::IdGenerator;
    use crate::limits;
    use std::sync::Arc;
    use std::time::Duration;
    use tokio::time::timeout;

    const PATIENCE: Duration = Duration::from_secs(20);

    /// Two cores of the house's ledger with one fast store.
    fn pair(house: &TestApp, fast: Arc<dyn FastStore>) -> [Arc<App>; 2] {
        let ids = |node| IdGenerator::new(house.clock.clone(), node);
        [house.replica(ids(2), fast.clone()), house.replica(ids(3), fast)]
    }

    async fn publish(core: &App) {
        let news = [News::new(Topic::OrderChanged, 1, &()).unwrap()];
        let mut edit = core.edit().await.unwrap();
        outbox::publish(&mut edit, &core.ids, &news, core.clock.now_ms()).await.unwrap();
        edit.commit().await.unwrap();
    }

    /// Waits until a core knows that `head` was given.
    async fn knows(core: &App, head: i64) {
        let mut shown = core.feed.head.subscribe();
        let known = timeout(PATIENCE, shown.wait_for(|shown| *shown == head)).await;
        known.unwrap_or_else(|_| panic!("{} instead of {head}", core.feed.head())).unwrap();
    }

    #[tokio::test]
    async fn a_reader_of_one_core_hears_what_another_one_numbers_without_looking_for_it() {
        let house = testing::app().await;
        let mut stores: Vec<Arc<dyn FastStore>> = vec![Arc::new(Memory::new(house.clock.clone()))];
        if let Ok(url) = std::env::var("TIFFIN_TEST_REDIS_URL") {
            stores.push(Arc::new(Redis::open(&url).unwrap()));
        }
        let mut head = 0;
        for fast in stores {
            // The other core's relay does not run: all that it knows it has heard.
            let ([numbering, reading], stop) = (pair(&house, fast), CancellationToken::new());
            let (told, until) = (Arc::clone(&reading), stop.clone());
            let listening = tokio::spawn(async move { listen(&told, &until).await });
            let mut number = async || {
                publish(&numbering).await;
                relay::run_once(&numbering).await.unwrap();
                head += 1;
                head
            };
            // The first may be seen because the subscription has just begun; from then on it stands.
            knows(&reading, number().await).await;
            let place = Place::take(&reading).unwrap();
            let (reader, mut chunks) =
                Reader::open(Arc::clone(&reading), place, None).await.unwrap();
            let reader = tokio::spawn(reader.run());
            chunks.recv().await.expect("a greeting");
            for _ in 0..3 {
                let head = number().await;
                let chunk = timeout(PATIENCE, chunks.recv()).await.expect("it is told").unwrap();
                let said = String::from_utf8_lossy(&chunk);
                assert!(said.starts_with(&format!("id: {head}\n")), "{said}");
            }
            stop.cancel();
            listening.await.unwrap();
            drop(chunks);
            reader.await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_channel_that_lies_shows_nothing_that_the_ledger_does_not_say() {
        let house = testing::app().await;
        let fast: Arc<dyn FastStore> = Arc::new(Memory::new(house.clock.clone()));
        let ([numbering, reading], stop) = (pair(&house, fast.clone()), CancellationToken::new());
        let (told, until) = (Arc::clone(&reading), stop.clone());
        let listening = tokio::spawn(async move { listen(&told, &until).await });
        for head in 1..4 {
            for lie in ["999999", "-1", "0", "", "one more", "9223372036854775807"] {
                fast.publish(CHANNEL, lie.into()).await.unwrap();
            }
            publish(&numbering).await;
            relay::run_once(&numbering).await.unwrap();
            // Had a lie been believed, the truth would be old.
            knows(&reading, head).await;
        }
        stop.cancel();
        listening.await.unwrap();
    }

    #[tokio::test]
    async fn without_a_fast_store_each_core_looks_by_itself() {
        let house = testing::app().await;
        let [numbering, reading] =
            pair(&house, Arc::new(Redis::open("redis://127.0.0.1:1").unwrap()));
        let stop = CancellationToken::new();
        let relays =
            [&numbering, &reading].map(|core| tokio::spawn(relay::run(core.clone(), stop.clone())));
        for head in 1..=i64::from(limits::FAST_FAILURES) + 2 {
            publish(&numbering).await;
            knows(&numbering, head).await;
            knows(&reading, head).await;
        }
        stop.cancel();
        for relay in relays {
            timeout(PATIENCE, relay).await.expect("it ends at the stop").unwrap();
        }
    }
}

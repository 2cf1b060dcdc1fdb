//! Menus on a real ledger and whatever fast store there is: in process, on a server, gone, or lying.

use super::*;
use crate::app::testing::{TestApp, app};
use crate::catalog::testing::{Client, file, item_row, rows};
use crate::fast::memory::Memory;
use crate::fast::redis::Redis;
use futures::future::join_all;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;
use tiffin_api::import::Row;
use tiffin_api::token::Role;

/// A time for calls that no busy machine exceeds.
const PATIENT: Duration = Duration::from_secs(10);

/// The fast stores that there are: in process, and the server that `TIFFIN_TEST_REDIS_URL` names.
fn fast_stores(app: &TestApp) -> Vec<Arc<dyn FastStore>> {
    let server = std::env::var("TIFFIN_TEST_REDIS_URL").ok();
    let redis = server.map(|url| Arc::new(Redis::open_within(&url, PATIENT).unwrap()) as _);
    let memory: Arc<dyn FastStore> = Arc::new(Memory::new(app.clock.clone()));
    [memory].into_iter().chain(redis).collect()
}

fn menus(app: &TestApp, fast: &Arc<dyn FastStore>) -> Menus {
    Menus::new(Arc::clone(fast), app.clock.clone(), Arc::clone(&app.keys))
}

async fn store_id(client: &Client) -> StoreId {
    let list = client.get("/v1/stores").await.json;
    list["stores"][0]["id"].as_str().unwrap().parse().unwrap()
}

/// A core with one store, at a time and so with an id that no other test has: the server may be shared, and may
/// remember earlier runs.
async fn world() -> (TestApp, Client, StoreId) {
    let app = app().await;
    app.clock.advance(i64::try_from(RandomState::new().hash_one("fresh") >> 28).unwrap());
    let client = Client::of(&app, &[Role::Admin]);
    assert_eq!(client.import(file(&rows("noodles"))).await.status, 200);
    let id = store_id(&client).await;
    (app, client, id)
}

/// The merchant gives the first dish another price.
async fn reprice(client: &Client, price_minor: i64) {
    let mut laksa = item_row("noodles", "soups", "laksa");
    laksa.price_minor = price_minor;
    assert_eq!(client.import(file(&[Row::Item(Box::new(laksa))])).await.status, 200);
}

/// An order takes units away.
async fn take(app: &TestApp, item: i64, units: i64) {
    let mut tx = app.db.write().await.unwrap();
    sqlx::query(
        "UPDATE stock SET available = available - ?, reserved = reserved + ? WHERE item_id = ?",
    )
    .bind(units)
    .bind(units)
    .bind(item)
    .execute(&mut *tx)
    .await
    .unwrap();
    tx.commit().await.unwrap();
}

/// (version, price of the first dish, units of it) as a diner is shown them.
async fn shown(menus: &Menus, app: &TestApp, id: StoreId) -> (i64, i64, i64) {
    let menu = menus.read(&app.db, id).await.unwrap().unwrap();
    let laksa = &menu.items[0];
    (menu.store.version, laksa.row.price_minor, laksa.available)
}

/// Reads so far of one outcome.
fn count(menus: &Menus, outcome: &'static str) -> u64 {
    menus.reads.get_or_create(&Labels { outcome }).get()
}

#[tokio::test]
async fn a_kept_menu_is_the_ledgers_own_and_changes_with_its_version_at_once() {
    let (app, client, id) = world().await;
    for fast in fast_stores(&app) {
        let menus = menus(&app, &fast);
        let version = shown(&menus, &app, id).await.0;
        let price = shown(&menus, &app, id).await.1;
        let (hits, misses) = (count(&menus, "hit"), count(&menus, "miss"));
        assert_eq!((hits, misses), (1, 1));
        let whole = store::find_menu(&mut app.db.read().await.unwrap(), id).await.unwrap();
        assert_eq!(menus.read(&app.db, id).await.unwrap(), whole);

        reprice(&client, price + 100).await;
        let (now, next, _) = shown(&menus, &app, id).await;
        assert_eq!((now, next), (version + 1, price + 100));
        assert_eq!((count(&menus, "miss"), count(&menus, "bypass")), (2, 0));
    }
}

#[tokio::test]
async fn the_stock_is_never_kept() {
    let (app, _, id) = world().await;
    for fast in fast_stores(&app) {
        let menus = menus(&app, &fast);
        let (_, _, before) = shown(&menus, &app, id).await;
        let item = menus.read(&app.db, id).await.unwrap().unwrap().items[0].id.raw();
        take(&app, item, 2).await;
        assert_eq!(shown(&menus, &app, id).await.2, before - 2);
        assert_eq!(count(&menus, "miss"), 1, "the merchant's words were kept");
    }
}

#[tokio::test]
async fn of_many_who_miss_at_once_one_asks_the_ledger() {
    let (app, _, id) = world().await;
    for fast in fast_stores(&app) {
        let menus = menus(&app, &fast);
        let all = join_all((0..40).map(|_| menus.read(&app.db, id))).await;
        assert!(all.iter().all(|menu| menu.as_ref().unwrap().is_some()));
        assert_eq!((count(&menus, "miss"), count(&menus, "hit")), (1, 39));
    }
}

#[tokio::test]
async fn without_a_fast_store_the_ledger_answers() {
    let (app, _, id) = world().await;
    // Nobody listens there.
    let gone: Arc<dyn FastStore> = Arc::new(Redis::open("redis://127.0.0.1:1").unwrap());
    let menus = menus(&app, &gone);
    let whole = store::find_menu(&mut app.db.read().await.unwrap(), id).await.unwrap();
    for _ in 0..2 {
        assert_eq!(menus.read(&app.db, id).await.unwrap(), whole);
    }
    assert_eq!((count(&menus, "miss"), count(&menus, "hit")), (2, 0));
    assert_eq!(menus.read(&app.db, StoreId::from_raw(5)).await.unwrap(), None);
}

#[tokio::test]
async fn what_the_fast_store_makes_up_is_not_believed_and_is_replaced() {
    let (app, _, id) = world().await;
    for fast in fast_stores(&app) {
        let menus = menus(&app, &fast);
        let truth = shown(&menus, &app, id).await;
        let key = format!("menu:{id}:{}", truth.0);
        let kept = fast.cache_get(&key).await.unwrap().expect("it was kept");
        let cheaper =
            String::from_utf8_lossy(&kept).replace("\"price_minor\":1250", "\"price_minor\":0001");
        assert_ne!(cheaper.as_bytes(), kept);
        // The words of one store under the key of another: sealed, but not for that one.
        let elsewhere =
            [menus.tag(StoreId::from_raw(1), truth.0, b"{}").as_slice(), b"{}"].concat();
        let entry = |value: &[u8]| [&kept[..13], value].concat();
        let mut flipped = kept.to_vec();
        *flipped.last_mut().unwrap() ^= 1;
        for lie in [
            b"nonsense".to_vec(),
            entry(b""),
            entry(b"short"),
            entry(b"{\"store\":1}{\"store\":1}{\"store\":1}{\"store\":1}"),
            entry(&elsewhere),
            cheaper.into_bytes(),
            flipped,
        ] {
            fast.cache_put(&key, Bytes::from(lie), PATIENT).await.unwrap();
            assert_eq!(shown(&menus, &app, id).await, truth);
            assert_eq!(
                fast.cache_get(&key).await.unwrap().map(|kept| kept.len()),
                Some(kept.len())
            );
            let misses = count(&menus, "miss");
            assert_eq!(shown(&menus, &app, id).await, truth);
            assert_eq!(count(&menus, "miss"), misses, "it was replaced");
        }
        assert_eq!(count(&menus, "bypass"), 0);
    }
}

#[tokio::test]
async fn a_menu_that_changes_between_two_looks_is_not_kept_under_the_old_version() {
    let (app, client, id) = world().await;
    for fast in fast_stores(&app) {
        let menus = menus(&app, &fast);
        let (version, price, _) = shown(&menus, &app, id).await;
        fast.cache_drop(&format!("menu:{id}:{version}")).await.unwrap();
        reprice(&client, price + 1).await;
        // As a request goes on that saw the version before the edit, and looks for the rest after it.
        assert_eq!(menus.rows(&app.db, id, version).await.unwrap(), None);
        assert_eq!(fast.cache_get(&format!("menu:{id}:{version}")).await.unwrap(), None);
        assert_eq!(shown(&menus, &app, id).await.1, price + 1);
    }
}

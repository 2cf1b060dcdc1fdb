//! Imports and reads on a real ledger.

use super::import::apply;
use super::known::{load_known, still_holds};
use super::*;
use crate::app::testing::{NOW_MS, TestApp, app};
use crate::catalog::testing::{category_row, file, item_row, rows, store_row};
use crate::catalog::upload::{self, Known};
use crate::clock::Clock as _;
use crate::db::outbox;
use std::collections::BTreeMap;
use tiffin_api::import::{ImportCounts, ImportReport, Row};

/// Loads sound rows.
async fn load(app: &TestApp, rows: &[Row]) -> ImportReport {
    let (upload, faults) = upload::read(file(rows).as_bytes());
    assert!(faults.is_empty(), "{faults:?}");
    let mut tx = app.db.write().await.unwrap();
    let known = load_known(&mut tx, &upload.store_refs()).await.unwrap();
    let unresolved = upload.unresolved(&known);
    assert!(unresolved.is_empty(), "{unresolved:?}");
    let batches = upload.into_batches();
    let report = apply(&mut tx, &app.ids, batches, known, app.clock.now_ms()).await.unwrap();
    tx.commit().await.unwrap();
    report
}

async fn only_store(app: &TestApp) -> StoredStore {
    let (stores, more) = list_stores(&mut app.db.read().await.unwrap(), None, 10).await.unwrap();
    assert!(stores.len() == 1 && !more);
    stores[0].clone()
}

async fn menu(app: &TestApp) -> StoredMenu {
    let id = only_store(app).await.id;
    find_menu(&mut app.db.read().await.unwrap(), id).await.unwrap().unwrap()
}

/// Topics of the outbox with how often each stands there, and in how many packs.
async fn news(app: &TestApp) -> (BTreeMap<String, usize>, usize) {
    let mut conn = app.db.read().await.unwrap();
    let packs: Vec<String> =
        sqlx::query_scalar("SELECT payload FROM outbox").fetch_all(&mut *conn).await.unwrap();
    let mut topics = BTreeMap::new();
    for news in packs.iter().flat_map(|pack| outbox::unpack(pack).unwrap()) {
        *topics.entry(news.topic.to_owned()).or_default() += 1;
    }
    (topics, packs.len())
}

const fn counts(created: u64, updated: u64, unchanged: u64) -> ImportCounts {
    ImportCounts { created, updated, unchanged }
}

#[tokio::test]
async fn a_new_store_comes_with_its_menu_its_stock_and_its_news() {
    let app = app().await;
    let report = load(&app, &rows("noodles")).await;
    assert_eq!(report.stores, counts(1, 0, 0));
    assert_eq!(report.categories, counts(1, 0, 0));
    assert_eq!(report.items, counts(2, 0, 0));
    assert_eq!(report.deals, counts(1, 0, 0));
    let menu = menu(&app).await;
    assert_eq!((menu.store.version, &menu.store.row), (1, &store_row("noodles")));
    assert_eq!(menu.categories, [category_row("noodles", "soups")]);
    let items: Vec<_> =
        menu.items.iter().map(|item| (item.row.r#ref.as_str(), item.available)).collect();
    assert_eq!(items, [("laksa", 10), ("pho", 10)]);
    let said = [("deal.changed".to_owned(), 1), ("store.changed".to_owned(), 1)];
    assert_eq!(news(&app).await, (said.into(), 1), "in one pack");
}

#[tokio::test]
async fn the_same_file_again_writes_nothing() {
    let app = app().await;
    load(&app, &rows("noodles")).await;
    let (before, news_before) = (menu(&app).await, news(&app).await);
    app.clock.advance(1_000);
    let report = load(&app, &rows("noodles")).await;
    assert_eq!(report.stores, counts(0, 0, 1));
    assert_eq!(report.categories, counts(0, 0, 1));
    assert_eq!(report.items, counts(0, 0, 2));
    assert_eq!(report.deals, counts(0, 0, 1));
    assert_eq!(menu(&app).await, before);
    assert_eq!(news(&app).await, news_before);
}

#[tokio::test]
async fn an_edit_bumps_the_version_once_and_leaves_the_stock_alone() {
    let app = app().await;
    load(&app, &rows("noodles")).await;
    let id = menu(&app).await.items[0].id;
    let mut tx = app.db.write().await.unwrap();
    sqlx::query("UPDATE stock SET available = 3, reserved = 7 WHERE item_id = ?")
        .bind(id.raw())
        .execute(&mut *tx)
        .await
        .unwrap();
    tx.commit().await.unwrap();

    let mut laksa = item_row("noodles", "soups", "laksa");
    (laksa.price_minor, laksa.stock) = (1_400, 99);
    let rows = [
        Row::Category(category_row("noodles", "sides")),
        Row::Item(Box::new(laksa)),
        Row::Item(Box::new(item_row("noodles", "sides", "rolls"))),
    ];
    let report = load(&app, &rows).await;
    assert_eq!((report.stores, report.items), (counts(0, 0, 0), counts(1, 1, 0)));
    let menu = menu(&app).await;
    assert_eq!(menu.store.version, 2);
    let items: Vec<_> = menu
        .items
        .iter()
        .map(|item| (item.row.r#ref.as_str(), item.row.price_minor, item.available))
        .collect();
    assert_eq!(items, [("laksa", 1_400, 3), ("pho", 1_250, 10), ("rolls", 1_250, 10)]);
    assert_eq!(menu.items[0].id, id, "an item that exists keeps its id");
    let sections: Vec<_> = menu.categories.iter().map(|row| row.r#ref.as_str()).collect();
    assert_eq!(sections, ["soups", "sides"]);
    let said = [("deal.changed".to_owned(), 1), ("store.changed".to_owned(), 2)];
    assert_eq!(news(&app).await, (said.into(), 2));
}

#[tokio::test]
async fn the_stock_of_an_item_that_exists_is_not_read() {
    let app = app().await;
    load(&app, &rows("noodles")).await;
    let before = menu(&app).await;
    let mut laksa = item_row("noodles", "soups", "laksa");
    laksa.stock = 99;
    let report = load(&app, &[Row::Item(Box::new(laksa.clone()))]).await;
    assert_eq!(report.items, counts(0, 0, 1));
    assert_eq!(menu(&app).await, before);

    laksa.price_minor = 1_400;
    let report = load(&app, &[Row::Item(Box::new(laksa))]).await;
    assert_eq!(report.items, counts(0, 1, 0));
    let after = &menu(&app).await.items[0];
    assert_eq!((after.row.price_minor, after.row.stock, after.available), (1_400, 10, 10));
}

#[tokio::test]
async fn an_import_notices_what_others_have_written_since_its_check() {
    let app = app().await;
    load(&app, &rows("noodles")).await;
    let mut conn = app.db.read().await.unwrap();
    let refs = ["noodles", "dumplings"].into();
    let mut known = load_known(&mut conn, &refs).await.unwrap();
    assert!(still_holds(&mut conn, &refs, &known).await.unwrap());
    load(&app, &rows("dumplings")).await;
    assert!(!still_holds(&mut conn, &refs, &known).await.unwrap(), "a store is new");
    for sql in [
        "UPDATE stores SET version = version + 1 WHERE ref = 'noodles'",
        "UPDATE deals SET version = version + 1",
    ] {
        known = load_known(&mut conn, &refs).await.unwrap();
        assert!(still_holds(&mut conn, &refs, &known).await.unwrap());
        let mut tx = app.db.write().await.unwrap();
        sqlx::query(sql).execute(&mut *tx).await.unwrap();
        tx.commit().await.unwrap();
        assert!(!still_holds(&mut conn, &refs, &known).await.unwrap(), "{sql}");
    }
    known.remove("dumplings");
    assert!(!still_holds(&mut conn, &["noodles"].into(), &Known::new()).await.unwrap());
}

#[tokio::test]
async fn more_records_than_one_statement_takes_are_loaded_and_known() {
    let app = app().await;
    let many = crate::limits::STATEMENT_ROWS + 1;
    let stores = (0..many).map(|n| Row::Store(Box::new(store_row(&format!("s{n}")))));
    let section = Row::Category(category_row("s0", "soups"));
    let items =
        (0..many).map(|n| Row::Item(Box::new(item_row("s0", "soups", &format!("soup-{n}")))));
    let all: Vec<_> = stores.chain([section]).chain(items).collect();
    let count = u64::try_from(many).unwrap();
    let first = load(&app, &all).await;
    assert_eq!((first.stores, first.items), (counts(count, 0, 0), counts(count, 0, 0)));
    let again = load(&app, &all).await;
    assert_eq!((again.stores, again.items), (counts(0, 0, count), counts(0, 0, count)));
    let mut conn = app.db.read().await.unwrap();
    let (stores, _) = list_stores(&mut conn, None, 1).await.unwrap();
    let menu = find_menu(&mut conn, stores[0].id).await.unwrap().unwrap();
    let shown = menu.items.iter().enumerate();
    assert!(shown.clone().all(|(n, item)| item.row.r#ref == format!("soup-{n}")));
    assert_eq!(shown.count(), many);
}

#[tokio::test]
async fn a_stores_own_row_is_edited_and_a_menu_takes_the_files_order() {
    let app = app().await;
    let mut rows = rows("noodles");
    load(&app, &rows).await;
    let Row::Store(store) = &mut rows[0] else { panic!("the first row is the store") };
    store.address = "Oranienstraße 2, Berlin".to_owned();
    rows.swap(2, 3);
    let report = load(&app, &rows).await;
    assert_eq!((report.stores, report.items), (counts(0, 1, 0), counts(0, 2, 0)));
    let menu = menu(&app).await;
    assert_eq!(
        (menu.store.version, menu.store.row.address.as_str()),
        (2, "Oranienstraße 2, Berlin")
    );
    let order: Vec<_> = menu.items.iter().map(|item| item.row.r#ref.as_str()).collect();
    assert_eq!(order, ["pho", "laksa"]);
}

#[tokio::test]
async fn a_deal_that_has_ended_is_scheduled_again_without_touching_the_store() {
    let app = app().await;
    load(&app, &rows("noodles")).await;
    app.clock.advance(2 * 3_600_000);
    let report = load(&app, &rows("noodles")).await;
    assert_eq!(report.deals, counts(0, 1, 0));
    let store = only_store(&app).await;
    assert_eq!(store.version, 1);
    let mut conn = app.db.read().await.unwrap();
    let deals = crate::deals::store::of_stores(&mut conn, &[store.id]).await.unwrap();
    assert_eq!(deals[0].window.start_ms, NOW_MS + 2 * 3_600_000 + 60_000);
    assert_eq!(deals[0].version, 2);
}

#[tokio::test]
async fn pricing_gets_only_what_the_store_sells() {
    let app = app().await;
    load(&app, &[rows("noodles"), rows("dumplings")].concat()).await;
    let mut conn = app.db.read().await.unwrap();
    let (stores, _) = list_stores(&mut conn, None, 10).await.unwrap();
    let [ours, theirs] = [stores[0].id, stores[1].id];
    let our_item = find_menu(&mut conn, ours).await.unwrap().unwrap().items[1].clone();
    let their_item = find_menu(&mut conn, theirs).await.unwrap().unwrap().items[0].id;
    let asked = [our_item.id, their_item, our_item.id, ItemId::from_raw(5)];
    let data = load_for_pricing(&mut conn, ours, &asked).await.unwrap().unwrap();
    assert_eq!(data.store, stores[0].row);
    assert_eq!(data.items, [(our_item.id, our_item.row)].into());
    let none = load_for_pricing(&mut conn, ours, &[]).await.unwrap().unwrap();
    assert_eq!((none.store, none.items.len()), (data.store, 0));
    let mut tx = app.db.write().await.unwrap();
    assert!(load_for_pricing(&mut tx, theirs, &asked).await.unwrap().is_some());
    tx.rollback().await.unwrap();
    let nowhere = StoreId::from_raw(5);
    assert_eq!(load_for_pricing(&mut conn, nowhere, &asked).await.unwrap(), None);
}

#[tokio::test]
async fn pages_of_stores_meet_without_a_gap() {
    let app = app().await;
    let all: Vec<_> = ["a", "b", "c", "d", "e"].iter().flat_map(|key| rows(key)).collect();
    load(&app, &all).await;
    let mut conn = app.db.read().await.unwrap();
    let (mut seen, mut after, mut pages) = (Vec::new(), None, 0);
    loop {
        let (stores, more) = list_stores(&mut conn, after, 2).await.unwrap();
        seen.extend(stores.iter().map(|stored| stored.row.r#ref.clone()));
        after = stores.last().map(|stored| stored.id);
        pages += 1;
        if !more {
            break;
        }
    }
    assert_eq!((seen.concat().as_str(), pages), ("abcde", 3));
}

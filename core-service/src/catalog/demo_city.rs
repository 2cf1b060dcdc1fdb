//! The demo city and the format's description under `infra/`, held to what they promise.

use super::testing::{Client, Reply};
use super::upload;
use super::view::store_open_at;
use crate::app::testing::{NOW_MS, app};
use std::collections::BTreeSet;
use tiffin_api::catalog::FulfilmentKind;
use tiffin_api::deal::{DealList, DealPhase};
use tiffin_api::import::{ItemRow, Row, StoreRow};
use tiffin_api::text::{Lang, Localized};
use tiffin_api::token::Role;

const CITY: &str = include_str!("../../../infra/demo-city.jsonl");
const README: &str = include_str!("../../../infra/README.md");
const HOUR_MS: i64 = 3_600_000;

fn rows() -> Vec<Row> {
    CITY.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stores(rows: &[Row]) -> Vec<&StoreRow> {
    let stores = rows.iter().filter_map(|row| match row {
        Row::Store(store) => Some(store.as_ref()),
        Row::Category(_) | Row::Item(_) | Row::Deal(_) => None,
    });
    stores.collect()
}

fn items(rows: &[Row]) -> Vec<&ItemRow> {
    let items = rows.iter().filter_map(|row| match row {
        Row::Item(item) => Some(item.as_ref()),
        Row::Store(_) | Row::Category(_) | Row::Deal(_) => None,
    });
    items.collect()
}

fn texts(row: &Row) -> Vec<&Localized> {
    match row {
        Row::Store(store) => vec![&store.name],
        Row::Category(category) => vec![&category.name],
        Row::Deal(deal) => vec![&deal.title],
        Row::Item(item) => {
            let groups = item.modifier_groups.iter();
            let inside = groups.flat_map(|group| {
                std::iter::once(&group.name).chain(group.options.iter().map(|option| &option.name))
            });
            [&item.name, &item.description].into_iter().chain(inside).collect()
        }
    }
}

#[test]
fn every_text_is_there_in_every_language() {
    for row in rows() {
        for text in texts(&row) {
            let languages: Vec<_> = text.iter().map(|(lang, _)| lang).collect();
            assert_eq!(languages, Lang::ALL, "{text:?} of {row:?}");
        }
    }
}

#[test]
fn the_city_is_large_and_varied() {
    let rows = rows();
    let (stores, items) = (stores(&rows), items(&rows));
    assert!(stores.len() >= 12, "{}", stores.len());
    assert!(items.len() >= 240, "{}", items.len());
    let zones: BTreeSet<_> = stores.iter().map(|store| &store.time_zone).collect();
    let currencies: BTreeSet<_> = stores.iter().map(|store| store.currency.to_string()).collect();
    assert!(zones.len() >= 3 && currencies.len() >= 3, "{zones:?} {currencies:?}");
    assert!(stores.iter().any(|store| !store.tax.inclusive));
    assert!(stores.iter().any(|store| store.tax.inclusive));
    assert!(stores.iter().any(|store| !store.exceptions.is_empty()));
    assert!(items.iter().any(|item| !item.served.is_empty()));
    let groups: Vec<_> = items.iter().flat_map(|item| &item.modifier_groups).collect();
    assert!(groups.iter().any(|group| group.required));
    assert!(groups.iter().any(|group| !group.required && group.max > 1));
}

#[test]
fn the_first_store_and_another_one_are_always_open_with_ample_stock() {
    let rows = rows();
    let always = |store: &&&StoreRow| {
        (0..8 * 24).all(|hour| store_open_at(store, NOW_MS + hour * HOUR_MS))
            && store.exceptions.is_empty()
    };
    let stores = stores(&rows);
    assert!(stores.iter().filter(always).count() >= 2);
    let first = stores[0];
    assert!(always(&&first));
    assert!(first.fulfilment.contains(&FulfilmentKind::Pickup));
    assert!(first.fulfilment.contains(&FulfilmentKind::Delivery));
    let category = rows.iter().find_map(|row| match row {
        Row::Category(category) if category.store == first.r#ref => Some(&category.r#ref),
        Row::Store(_) | Row::Category(_) | Row::Item(_) | Row::Deal(_) => None,
    });
    let in_front: Vec<_> = items(&rows)
        .into_iter()
        .filter(|item| item.store == first.r#ref && Some(&item.category) == category)
        .collect();
    assert!(in_front.len() >= 3);
    assert!(in_front.iter().all(|item| item.stock >= 1_000 && item.served.is_empty()));
}

#[test]
fn a_deal_is_cheaper_than_its_item() {
    let rows = rows();
    for row in &rows {
        let Row::Deal(deal) = row else { continue };
        let item = items(&rows)
            .into_iter()
            .find(|item| item.store == deal.store && item.r#ref == deal.item)
            .unwrap();
        assert!(deal.price_minor < item.price_minor, "{}", deal.r#ref);
    }
}

#[tokio::test]
async fn the_city_loads_and_loads_again_without_a_change() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    let first = client.import(CITY).await;
    assert_eq!(first.status, 200, "{}", first.json);
    let counts = |reply: &Reply, what: &str| -> Vec<u64> {
        let kinds = ["stores", "categories", "items", "deals"];
        kinds.iter().map(|kind| reply.json[kind][what].as_u64().unwrap()).collect()
    };
    let again = client.import(CITY).await;
    assert_eq!(counts(&again, "unchanged"), counts(&first, "created"));
    assert_eq!([counts(&again, "created"), counts(&again, "updated")], [[0; 4], [0; 4]]);

    let list = client.get("/v1/stores").await;
    let stores = list.json["stores"].as_array().unwrap();
    let mut shown = 0;
    for store in stores {
        let id = store["id"].as_str().unwrap();
        let menu = client.get(&format!("/v1/stores/{id}/menu?lang=zh")).await;
        let categories = menu.json["categories"].as_array().unwrap();
        shown += categories.iter().map(|c| c["items"].as_array().unwrap().len()).sum::<usize>();
    }
    assert_eq!(shown, items(&rows()).len());
    assert_eq!(stores[0]["name"], "Kiez Night Kitchen");
}

#[tokio::test]
async fn deals_of_every_phase_follow_the_import() {
    let app = app().await;
    let client = Client::of(&app, &[Role::Admin]);
    client.import(CITY).await;
    let list: DealList = serde_json::from_value(client.get("/v1/deals").await.json).unwrap();
    assert!(list.deals.len() >= 6);
    let phases: Vec<_> = list.deals.iter().map(|deal| deal.phase_at(NOW_MS)).collect();
    for phase in [DealPhase::Running, DealPhase::Warming, DealPhase::Scheduled] {
        assert!(phases.contains(&phase), "{phases:?}");
    }
    for start_after_ms in [60_000, 600_000] {
        assert!(list.deals.iter().any(|deal| deal.start_ms == NOW_MS + start_after_ms));
    }
}

#[test]
fn the_example_of_the_format_is_a_sound_file() {
    let start = README.find("{\"kind\"").unwrap();
    let example = &README[start..];
    let example = &example[..example.find("```").unwrap()];
    let (upload, faults) = upload::read(example.as_bytes());
    assert!(faults.is_empty(), "{faults:?}");
    assert!(upload.unresolved(&upload::Known::new()).is_empty());
    assert_eq!(upload.into_batches()[0].deals.len(), 1);
}

#[test]
fn the_description_counts_right() {
    let rows = rows();
    let deals = rows.iter().filter(|row| matches!(row, Row::Deal(_))).count();
    let counts = format!(
        "{} stores in five cities, {} dishes, {deals} deals",
        stores(&rows).len(),
        items(&rows).len()
    );
    assert!(README.contains(&counts), "{counts}");
}

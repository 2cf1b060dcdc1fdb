//! The rules of imported rows: each broken one is named at its pointer.

use super::*;
use crate::catalog::testing::{category_row, item_row, option_row, store_row};
use tiffin_api::import::OptionRow;

fn pointers(faults: Faults) -> Vec<String> {
    faults.into_vec().into_iter().map(|fault| fault.pointer).collect()
}

#[test]
fn sound_rows_pass() {
    assert_eq!(pointers(check_store(&store_row("noodles"))), [""; 0]);
    assert_eq!(pointers(check_category(&category_row("noodles", "soups"))), [""; 0]);
    assert_eq!(pointers(check_item(&item_row("noodles", "soups", "laksa"))), [""; 0]);
}

#[test]
fn old_names_of_zones_are_names_and_every_currency_in_use_is_one() {
    for zone in
        ["Asia/Calcutta", "US/Pacific", "UTC", "Etc/GMT+5", "America/Argentina/Ushuaia", "EST5EDT"]
    {
        let row = StoreRow { time_zone: zone.into(), ..store_row("noodles") };
        assert_eq!(pointers(check_store(&row)), [""; 0], "{zone}");
    }
    for currency in ["JPY", "BHD", "CHF"] {
        let row = StoreRow { currency: currency.parse().unwrap(), ..store_row("noodles") };
        assert_eq!(pointers(check_store(&row)), [""; 0], "{currency}");
    }
}

/// One way to spoil a row, and where the fault must be found.
type Spoil<Row> = (fn(&mut Row), &'static str);

#[test]
fn each_rule_of_a_store_is_held() {
    let table: &[Spoil<StoreRow>] = &[
        (|row| row.r#ref.clear(), "/ref"),
        (|row| row.r#ref = "Noodle House".into(), "/ref"),
        (|row| row.r#ref = "x".repeat(65), "/ref"),
        (|row| row.name = Localized::default(), "/name"),
        (|row| row.name = [(Lang::Zh, "面".to_owned())].into_iter().collect(), "/name"),
        (|row| row.name = [(Lang::En, "  ".to_owned())].into_iter().collect(), "/name/en"),
        (|row| row.name = [(Lang::En, "x".repeat(201))].into_iter().collect(), "/name/en"),
        (|row| row.address = " ".into(), "/address"),
        (
            |row| row.name = [(Lang::En, "\u{2063}\u{1160}".to_owned())].into_iter().collect(),
            "/name/en",
        ),
        (
            |row| row.name = [(Lang::En, "No\u{202E}oB".to_owned())].into_iter().collect(),
            "/name/en",
        ),
        (|row| row.address = "Street 1\r\n2nd floor".into(), "/address"),
        (|row| row.address = "\u{FFA0}".into(), "/address"),
        (|row| row.location.lat = 90.1, "/location/lat"),
        (|row| row.location.lng = -180.1, "/location/lng"),
        (|row| row.minimum_minor = -1, "/minimum_minor"),
        (|row| row.minimum_minor = limits::PRICE_MINOR + 1, "/minimum_minor"),
        (|row| row.fulfilment.clear(), "/fulfilment"),
        (|row| row.fulfilment = vec![FulfilmentKind::Pickup; 2], "/fulfilment"),
        (|row| row.zones.clear(), "/zones"),
        (|row| row.zones.push(row.zones[0].clone()), "/zones/1/key"),
        (|row| row.zones[0].radius_m = 0, "/zones/0/radius_m"),
        (|row| row.zones[0].center.lat = -91.0, "/zones/0/center/lat"),
        (|row| row.zones[0].fee_minor = -1, "/zones/0/fee_minor"),
        (|row| row.zones[0].minimum_minor = -1, "/zones/0/minimum_minor"),
        (|row| row.tax.fee_class = "luxury".into(), "/tax/fee_class"),
        (|row| _ = row.tax.classes.insert("food".into(), 1_000_001), "/tax/classes/food"),
        (|row| _ = row.tax.classes.insert("a/b".into(), 1), "/tax/classes/a~1b"),
        (|row| row.time_zone = "Mars".into(), "/time_zone"),
        (|row| row.time_zone = "Etc/Unknown".into(), "/time_zone"),
        (|row| row.time_zone = "etc/unknown".into(), "/time_zone"),
        (|row| row.time_zone = "Factory".into(), "/time_zone"),
        (|row| row.time_zone = "europe/Berlin".into(), "/time_zone"),
        (|row| row.time_zone = String::new(), "/time_zone"),
        (|row| row.time_zone = "+02:00".into(), "/time_zone"),
        (|row| row.currency = "XXX".parse().unwrap(), "/currency"),
        (|row| row.currency = "GBX".parse().unwrap(), "/currency"),
        (|row| row.hours[0].from = "7".into(), "/hours/0/from"),
    ];
    for (index, (spoil, pointer)) in table.iter().enumerate() {
        let mut row = store_row("noodles");
        spoil(&mut row);
        assert_eq!(pointers(check_store(&row)), [*pointer], "case {index}");
    }
}

#[test]
fn each_rule_of_an_item_is_held() {
    let table: &[Spoil<ItemRow>] = &[
        (|row| row.store.clear(), "/store"),
        (|row| row.category = "?".into(), "/category"),
        (|row| row.name = Localized::default(), "/name"),
        (
            |row| row.description = [(Lang::En, String::new())].into_iter().collect(),
            "/description/en",
        ),
        (|row| row.price_minor = -1, "/price_minor"),
        (|row| row.price_minor = limits::PRICE_MINOR + 1, "/price_minor"),
        (|row| row.stock = -1, "/stock"),
        (|row| row.stock = limits::STOCK_UNITS + 1, "/stock"),
        (|row| row.served[0].to = "24:30".into(), "/served/0/to"),
        (|row| row.modifier_groups[0].min = 0, "/modifier_groups/0/min"),
        (|row| row.modifier_groups[0].max = 0, "/modifier_groups/0/min /modifier_groups/0/max"),
        (|row| row.modifier_groups[0].max = 3, "/modifier_groups/0/max"),
        (|row| row.modifier_groups[1].min = 3, "/modifier_groups/1/min"),
        (|row| row.modifier_groups[1].key = "size".into(), "/modifier_groups/1/key"),
        (
            |row| row.modifier_groups[1].options[1].key = "large".into(),
            "/modifier_groups/1/options/1/key",
        ),
        (
            |row| row.modifier_groups[1].options[0].price_minor = -1,
            "/modifier_groups/1/options/0/price_minor",
        ),
    ];
    for (index, (spoil, expected)) in table.iter().enumerate() {
        let mut row = item_row("noodles", "soups", "laksa");
        spoil(&mut row);
        assert_eq!(pointers(check_item(&row)).join(" "), *expected, "case {index}");
    }
}

#[test]
fn an_item_cannot_require_more_options_than_a_line_may_carry() {
    let mut row = item_row("noodles", "soups", "laksa");
    let group = &mut row.modifier_groups[0];
    group.options = (0..33).map(|n| -> OptionRow { option_row(&format!("o{n}"), 0) }).collect();
    (group.min, group.max) = (33, 33);
    assert_eq!(pointers(check_item(&row)), ["/modifier_groups"]);
}

//! Files as a whole: lines, references, duplicates.

use super::*;
use crate::catalog::testing::{category_row, deal_row, file, item_row, rows, store_row};
use tiffin_api::FieldError;
use tiffin_api::id::StoreId;

fn listed(faults: Faults) -> Vec<(u64, String)> {
    let line = |fault: FieldError| (fault.line.unwrap_or(0), fault.pointer);
    faults.into_vec().into_iter().map(line).collect()
}

fn known() -> Known {
    let item = item_row("noodles", "soups", "laksa");
    let store = KnownStore {
        stored: StoredStore { id: StoreId::from_raw(1), version: 1, row: store_row("noodles") },
        categories: [(
            "soups".to_owned(),
            Placed { position: 1, row: category_row("noodles", "soups") },
        )]
        .into(),
        items: [("laksa".to_owned(), (ItemId::from_raw(2), Placed { position: 1, row: item }))]
            .into(),
        deals: BTreeMap::new(),
    };
    [("noodles".to_owned(), store)].into()
}

#[test]
fn a_sound_file_has_no_faults_and_keeps_its_order() {
    let text = format!("\u{feff}\r\n{}\n  \n", file(&rows("noodles")).replace('\n', "\r\n"));
    let (upload, faults) = read(text.as_bytes());
    assert_eq!(listed(faults), []);
    assert_eq!(listed(upload.unresolved(&Known::new())), []);
    let batches = upload.into_batches();
    assert_eq!(batches.len(), 1);
    let items: Vec<_> = batches[0].items.iter().map(|item| item.r#ref.as_str()).collect();
    assert_eq!(items, ["laksa", "pho"]);
    assert!(batches[0].row.is_some() && batches[0].deals.len() == 1);
}

#[test]
fn an_empty_file_is_refused() {
    for body in ["", "\n \r\n", "\u{feff}"] {
        let (_, faults) = read(body.as_bytes());
        let found = faults.into_vec();
        assert!(found[0].detail.starts_with("the file is empty"), "{body:?}: {found:?}");
    }
}

#[test]
fn each_bad_line_is_named_with_what_is_wrong() {
    let category = serde_json::to_string(&Row::Category(category_row("noodles", "soups"))).unwrap();
    for (line, detail) in [
        ("{", "EOF while parsing an object at column 1"),
        ("nonsense", "a line is one JSON object"),
        ("[\"category\"]", "a line is one JSON object"),
        (r#"{"kind":"category" "#, "EOF while parsing an object at column 18"),
        (r#"{"ref":"x"}"#, "missing field `kind`"),
        (r#"{"kind":"shop","ref":"x"}"#, "unknown variant `shop`, expected one of `store`"),
        (&category.replace("\"name\"", "\"nmae\""), "unknown field `nmae`"),
    ] {
        let body = format!("\n\n{line}\n");
        let (_, faults) = read(body.as_bytes());
        let found = faults.into_vec();
        assert_eq!(found.len(), 1, "{line}: {found:?}");
        assert_eq!((found[0].line, found[0].pointer.as_str()), (Some(3), ""));
        assert!(found[0].detail.starts_with(detail), "{line}: {}", found[0].detail);
    }
    let (_, faults) = read(b"\xff\xfe\n");
    assert_eq!(listed(faults), [(1, String::new())]);
}

#[test]
fn a_member_stands_once_in_a_row() {
    let store = serde_json::to_string(&Row::Store(Box::new(store_row("noodles")))).unwrap();
    let item =
        serde_json::to_string(&Row::Item(Box::new(item_row("noodles", "soups", "pho")))).unwrap();
    let twice = |row: &str, member: &str, again: &str| {
        assert!(row.contains(member), "{row}");
        row.replacen(member, &format!("{again}{member}"), 1)
    };
    for (line, pointer) in [
        (twice(&store, "\"food\":", "\"food\":1,"), "/tax/classes/food"),
        (twice(&store, "\"food\":", "\"f\\u006fod\":1,"), "/tax/classes/food"),
        (twice(&store, "\"en\":", "\"en\":\"Another\","), "/name/en"),
        (twice(&store, "\"lat\":", "\"lat\":3.5,"), "/location/lat"),
        (twice(&store, "\"currency\":", "\"currency\":\"EUR\","), "/currency"),
        (twice(&item, "\"price_minor\":", "\"price_minor\":1,"), "/price_minor"),
        (twice(&item, "\"kind\":", "\"kind\":\"item\","), "/kind"),
    ] {
        let (_, faults) = read(format!("\n{line}\n").as_bytes());
        assert_eq!(listed(faults), [(2, pointer.to_owned())], "{line}");
    }
}

#[test]
fn a_record_stands_once_in_a_file() {
    let mut rows = rows("noodles");
    rows.push(rows[2].clone());
    rows.push(rows[0].clone());
    let (_, faults) = read(file(&rows).as_bytes());
    assert_eq!(listed(faults), [(6, "/ref".to_owned()), (7, "/ref".to_owned())]);
    // Kinds and stores have names of their own.
    let same_names = [
        Row::Store(Box::new(store_row("a"))),
        Row::Store(Box::new(store_row("b"))),
        Row::Category(category_row("a", "a")),
        Row::Category(category_row("b", "a")),
        Row::Item(Box::new(item_row("a", "a", "a"))),
    ];
    assert_eq!(listed(read(file(&same_names).as_bytes()).1), []);
}

#[test]
fn references_are_looked_up_in_the_file_and_in_the_ledger() {
    let rows = [
        Row::Category(category_row("noodles", "sides")),
        Row::Item(Box::new(item_row("noodles", "soups", "pho"))),
        Row::Item(Box::new(item_row("noodles", "sides", "rolls"))),
        Row::Deal(deal_row("noodles", "laksa-hour", "laksa")),
    ];
    let (upload, faults) = read(file(&rows).as_bytes());
    assert!(faults.is_empty());
    assert_eq!(listed(upload.unresolved(&known())), []);
    let pointers = ["/store", "/store", "/store", "/store"].map(str::to_owned);
    let expected: Vec<_> = (1..).zip(pointers).collect();
    assert_eq!(listed(upload.unresolved(&Known::new())), expected);
}

#[test]
fn what_is_nowhere_is_named() {
    let mut luxury = item_row("noodles", "soups", "truffle");
    luxury.tax_class = "luxury".to_owned();
    let rows = [
        Row::Item(Box::new(item_row("noodles", "drinks", "tea"))),
        Row::Item(Box::new(luxury)),
        Row::Deal(deal_row("noodles", "cola-hour", "cola")),
    ];
    let (upload, _) = read(file(&rows).as_bytes());
    let expected =
        [(1, "/category"), (2, "/tax_class"), (3, "/item")].map(|(n, at)| (n, at.to_owned()));
    assert_eq!(listed(upload.unresolved(&known())), expected);
}

#[test]
fn a_bad_row_is_reported_once_not_by_every_row_that_refers_to_it() {
    let mut rows = rows("noodles");
    let Row::Store(store) = &mut rows[0] else { panic!("the first row is the store") };
    store.time_zone = "Mars".to_owned();
    let text = file(&rows).replacen("\"ref\":\"soups\"", "\"ref\":\"soups\",\"colour\":1", 1);
    let (upload, faults) = read(text.as_bytes());
    assert_eq!(listed(faults), [(1, "/time_zone".to_owned()), (2, String::new())]);
    assert_eq!(listed(upload.unresolved(&Known::new())), []);
}

#[test]
fn an_edit_keeps_what_existing_items_are_priced_by() {
    let mut edited = store_row("noodles");
    edited.currency = "USD".parse().unwrap();
    edited.tax.classes.remove("food");
    let (upload, _) = read(file(&[Row::Store(Box::new(edited.clone()))]).as_bytes());
    let expected = [(1, "/currency".to_owned()), (1, "/tax/classes".to_owned())];
    assert_eq!(listed(upload.unresolved(&known())), expected);

    // The class may go together with the last item that used it.
    edited.currency = "EUR".parse().unwrap();
    let mut item = item_row("noodles", "soups", "laksa");
    item.tax_class = "drink".to_owned();
    let rows = [Row::Store(Box::new(edited)), Row::Item(Box::new(item))];
    let (upload, _) = read(file(&rows).as_bytes());
    assert_eq!(listed(upload.unresolved(&known())), []);
}

#[test]
fn a_file_speaks_of_a_bounded_number_of_stores() {
    let rows: Vec<_> = (0..=limits::IMPORT_STORES)
        .map(|n| Row::Category(category_row(&format!("s{n}"), "soups")))
        .collect();
    let (_, faults) = read(file(&rows).as_bytes());
    assert_eq!(listed(faults), [(0, String::new())]);
}

#[test]
fn records_take_the_files_order_within_the_places_they_had() {
    for (had, first_free, expected) in [
        (vec![], 1, vec![]),
        (vec![None, None], 1, vec![1, 2]),
        (vec![Some(2)], 9, vec![2]),
        (vec![Some(3), Some(1)], 9, vec![1, 3]),
        (vec![Some(1), None, Some(2)], 3, vec![1, 2, 3]),
    ] {
        assert_eq!(share_places(&had, first_free), expected, "{had:?}");
    }
}

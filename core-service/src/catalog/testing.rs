//! Sound rows for tests to start from, and a client that speaks to the whole router.

use crate::app::App;
use crate::router::router;
use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Request};
use http_body_util::BodyExt as _;
use serde_json::Value;
use std::sync::Arc;
use tiffin_api::catalog::{FulfilmentKind, Location};
use tiffin_api::id::UserId;
use tiffin_api::import::{
    CONTENT_TYPE, CategoryRow, DayHours, DealRow, DealWindow, ItemRow, ModifierGroupRow, OptionRow,
    Row, Span, StoreRow, Tax, Weekday, Zone,
};
use tiffin_api::text::{Lang, Localized};
use tiffin_api::token::{Principal, Role};
use tower::ServiceExt as _;

/// A text in both languages.
pub fn text(en: &str, zh: &str) -> Localized {
    [(Lang::En, en.to_owned()), (Lang::Zh, zh.to_owned())].into_iter().collect()
}

/// A store in Berlin, open at all hours, that delivers within 3 km.
pub fn store_row(key: &str) -> StoreRow {
    use Weekday::{Fri, Mon, Sat, Sun, Thu, Tue, Wed};
    let location = Location { lat: 52.52, lng: 13.40 };
    StoreRow {
        r#ref: key.to_owned(),
        name: text("Noodle House", "面馆"),
        lang: Lang::En,
        currency: "EUR".parse().expect("a currency"),
        time_zone: "Europe/Berlin".to_owned(),
        address: "Kantstraße 1, Berlin".to_owned(),
        location,
        fulfilment: vec![FulfilmentKind::Pickup, FulfilmentKind::Delivery],
        minimum_minor: 0,
        hours: vec![DayHours {
            days: vec![Mon, Tue, Wed, Thu, Fri, Sat, Sun],
            from: "00:00".to_owned(),
            to: "24:00".to_owned(),
        }],
        exceptions: Vec::new(),
        zones: vec![Zone {
            key: "near".to_owned(),
            center: location,
            radius_m: 3_000,
            fee_minor: 250,
            minimum_minor: 1_000,
        }],
        tax: Tax {
            inclusive: true,
            classes: [("food".to_owned(), 70_000), ("drink".to_owned(), 190_000)].into(),
            fee_class: "drink".to_owned(),
        },
    }
}

/// A section.
pub fn category_row(store: &str, key: &str) -> CategoryRow {
    CategoryRow { store: store.to_owned(), r#ref: key.to_owned(), name: text("Soups", "汤面") }
}

/// A free option, or one that costs.
pub fn option_row(key: &str, price_minor: i64) -> OptionRow {
    OptionRow { key: key.to_owned(), name: text(key, "选项"), price_minor }
}

/// A soup at 12.50, served around noon, with a required size and optional toppings; ten units.
pub fn item_row(store: &str, category: &str, key: &str) -> ItemRow {
    let group = |key: &str, required, min, options| ModifierGroupRow {
        key: key.to_owned(),
        name: text(key, "选择"),
        required,
        min,
        max: if required { 1 } else { 2 },
        options,
    };
    ItemRow {
        store: store.to_owned(),
        r#ref: key.to_owned(),
        category: category.to_owned(),
        name: text("Laksa", "叻沙"),
        description: text("Coconut, prawns, noodles", "椰浆虾面"),
        price_minor: 1_250,
        tax_class: "food".to_owned(),
        stock: 10,
        served: vec![Span { from: "11:00".to_owned(), to: "15:00".to_owned() }],
        modifier_groups: vec![
            group("size", true, 1, vec![option_row("regular", 0), option_row("large", 300)]),
            group("toppings", false, 0, vec![option_row("egg", 150), option_row("tofu", 120)]),
        ],
    }
}

/// A deal that starts a minute after the import and runs for an hour.
pub fn deal_row(store: &str, key: &str, item: &str) -> DealRow {
    DealRow {
        store: store.to_owned(),
        r#ref: key.to_owned(),
        item: item.to_owned(),
        title: text("Laksa hour", "叻沙时刻"),
        price_minor: 900,
        window: DealWindow::Relative { start_after_s: 60, duration_s: 3_600 },
    }
}

/// A small, sound file: one store, one section, two items, one deal.
pub fn rows(store: &str) -> Vec<Row> {
    vec![
        Row::Store(Box::new(store_row(store))),
        Row::Category(category_row(store, "soups")),
        Row::Item(Box::new(item_row(store, "soups", "laksa"))),
        Row::Item(Box::new(item_row(store, "soups", "pho"))),
        Row::Deal(deal_row(store, "laksa-hour", "laksa")),
    ]
}

/// Rows as the body of an import.
pub fn file(rows: &[Row]) -> String {
    rows.iter().map(|row| serde_json::to_string(row).expect("a row") + "\n").collect()
}

/// A client of the whole router.
pub struct Client {
    router: Router,
    token: String,
}

/// What was answered.
pub struct Reply {
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body as JSON, or null if there is none.
    pub json: Value,
}

impl Reply {
    /// A header's value, empty if it is absent.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().expect("ASCII"))
    }
}

impl Client {
    /// A client of `app` that carries a token with these roles.
    pub fn of(app: &Arc<App>, roles: &[Role]) -> Self {
        let token = app.keys.sign_token(
            &Principal::new(UserId::from_raw(7), roles),
            app.clock.now_ms(),
            900,
        );
        Self { router: router(Arc::clone(app), false), token }
    }

    /// Reads a path.
    pub async fn get(&self, path: &str) -> Reply {
        self.get_with(path, &[]).await
    }

    /// Reads a path with extra headers.
    pub async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.send("GET", path, headers, Body::empty()).await
    }

    /// Sends rows to the import.
    pub async fn import(&self, file: impl Into<Body>) -> Reply {
        let authorization = format!("Bearer {}", self.token);
        let headers = [("content-type", CONTENT_TYPE), ("authorization", authorization.as_str())];
        self.send("POST", "/v1/admin/import", &headers, file.into()).await
    }

    /// Sends a request.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Body,
    ) -> Reply {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body).expect("a request");
        let response = self.router.clone().oneshot(request).await.expect("infallible");
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.expect("a whole body").to_bytes();
        let json = if bytes.is_empty() {
            Value::Null
        } else {
            serde_json::from_slice(&bytes).expect("JSON")
        };
        Reply { status: parts.status.as_u16(), headers: parts.headers, json }
    }
}

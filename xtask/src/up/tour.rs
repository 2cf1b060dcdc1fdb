//! The lines that `up` prints for trying things out.
//!
//! They work exactly as printed, one after the other, in any POSIX shell with curl: ids are real
//! ones that the edge just told us, and the basket is one that can be ordered now. The texts are
//! in [`TEMPLATE`]; [`Scene`] finds what fills it.

use anyhow::{Context, Result};
use serde_json::Value;

use super::http;

/// `{{name}}` stands for a value of [`render`].
const TEMPLATE: &str = r#"Try it, in another terminal:

# Menus and countdowns come from the edge; nobody has to sign in.
curl -sS -w '\n' {{edge}}/v1/stores
curl -sS -w '\n' "{{edge}}/v1/stores/{{store}}/menu?lang=en"
curl -sS -w '\n' {{edge}}/v1/deals/{{deal}}/countdown
curl -sS -w '\n' {{edge}}/v1/risk/score -H 'Content-Type: application/json' -d '{{risk}}'

# A price, an order, its payment, and the order's state afterwards. The token lasts an hour.
TOKEN={{token}}
KEY=try-$(date +%s)
curl -sS -w '\n' {{edge}}/v1/quotes -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' -d '{{basket}}'
curl -sS -w '\n' {{edge}}/v1/orders -H "Authorization: Bearer $TOKEN" -H "Idempotency-Key: $KEY" -H 'Content-Type: application/json' -d '{{basket}}'
# The same order once more, by its key: the same answer, no second order.
ORDER=$(curl -sS {{edge}}/v1/orders -H "Authorization: Bearer $TOKEN" -H "Idempotency-Key: $KEY" -H 'Content-Type: application/json' -d '{{basket}}' | sed 's/^{"id":"\([0-9]*\)".*/\1/')
curl -sS -w '\n' {{edge}}/v1/orders/$ORDER/payments -H "Authorization: Bearer $TOKEN" -H "Idempotency-Key: $KEY-pay" -H 'Content-Type: application/json' -d '{"method":"sandbox_capture"}'
curl -sS -w '\n' {{edge}}/v1/orders/$ORDER -H "Authorization: Bearer $TOKEN"
"#;

/// Features of an ordinary order by an ordinary diner.
const RISK_FEATURES: &str = r#"{"action":"order","account_age_days":400,"orders_30d":6,"requests_last_minute":3,"basket_minor":2400,"hour_local":19}"#;

/// What the demo city offers for trying.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scene {
    store: String,
    deal: String,
    /// The JSON of a basket that can be ordered now.
    basket: String,
}

impl Scene {
    /// Looks around through the edge, as a diner would.
    pub(crate) fn find(edge_port: u16) -> Result<Self> {
        let read = |path: &str| -> Result<Value> {
            let answer = http::get(edge_port, path).with_context(|| format!("reading {path}"))?;
            anyhow::ensure!(answer.status == 200, "{path} answered {}", answer.status);
            serde_json::from_str(&answer.body).with_context(|| format!("JSON of {path}"))
        };
        let deals = read("/v1/deals")?;
        let deal = deals["deals"][0]["id"].as_str().context("the demo city has no deal")?;
        let stores = read("/v1/stores?limit=100")?;
        for store in open_for_pickup(&stores) {
            let menu = read(&format!("/v1/stores/{store}/menu"))?;
            let minimum_minor =
                read(&format!("/v1/stores/{store}"))?["minimum_minor"].as_i64().unwrap_or(0);
            if let Some(basket) = basket(store, &menu, minimum_minor) {
                return Ok(Self { store: store.to_owned(), deal: deal.to_owned(), basket });
            }
        }
        anyhow::bail!("no store of the demo city takes orders at this hour")
    }
}

/// Ids of the stores that take pickup orders now.
fn open_for_pickup(stores: &Value) -> impl Iterator<Item = &str> {
    let all = stores["stores"].as_array().into_iter().flatten();
    all.filter(|store| store["open"] == true)
        .filter(|store| {
            store["fulfilment"].as_array().is_some_and(|kinds| kinds.contains(&"pickup".into()))
        })
        .filter_map(|store| store["id"].as_str())
}

/// A basket of the first item that can be ordered, enough of it to reach the store's minimum.
fn basket(store: &str, menu: &Value, minimum_minor: i64) -> Option<String> {
    let categories = menu["categories"].as_array()?;
    let mut items = categories.iter().filter_map(|category| category["items"].as_array()).flatten();
    let item = items.find(|item| item["available"] == true)?;
    let options = required_options(item);
    let keys: Vec<_> = options.iter().filter_map(|option| option["key"].as_str()).collect();
    let price_minor = item["price_minor"].as_i64()?
        + options.iter().filter_map(|option| option["price_minor"].as_i64()).sum::<i64>();
    let quantity = (minimum_minor + price_minor - 1) / price_minor.max(1);
    let basket = serde_json::json!({
        "store_id": store,
        "fulfilment": { "kind": "pickup" },
        "lines": [{ "item_id": item["id"], "quantity": quantity.max(1), "options": keys }],
    });
    Some(basket.to_string())
}

/// The first options of every question that must be answered, as many as it asks for.
fn required_options(item: &Value) -> Vec<&Value> {
    let groups = item["modifier_groups"].as_array().into_iter().flatten();
    let required = groups.filter(|group| group["required"] == true);
    required
        .flat_map(|group| {
            let count = group["min"].as_u64().and_then(|min| usize::try_from(min).ok());
            group["options"].as_array().into_iter().flatten().take(count.unwrap_or(1))
        })
        .collect()
}

/// The lines, filled in.
pub(crate) fn render(edge_url: &str, token: &str, scene: &Scene) -> String {
    let values = [
        ("edge", edge_url),
        ("token", token),
        ("store", &scene.store),
        ("deal", &scene.deal),
        ("basket", &scene.basket),
        ("risk", RISK_FEATURES),
    ];
    values.iter().fold(TEMPLATE.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{{{name}}}}}"), value)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn menu() -> Value {
        json!({ "categories": [
            { "items": [{ "id": "1", "available": false, "price_minor": 100, "modifier_groups": [] }] },
            { "items": [{ "id": "2", "available": true, "price_minor": 300, "modifier_groups": [
                { "required": false, "min": 1, "options": [{ "key": "extra", "price_minor": 50 }] },
                { "required": true, "min": 2, "options": [
                    { "key": "small", "price_minor": 0 },
                    { "key": "hot", "price_minor": 100 },
                    { "key": "large", "price_minor": 200 },
                ] },
            ] }] },
        ] })
    }

    #[test]
    fn the_basket_can_be_ordered() {
        let basket: Value = serde_json::from_str(&basket("7", &menu(), 1000).unwrap()).unwrap();
        assert_eq!(
            basket,
            json!({
                "store_id": "7",
                "fulfilment": { "kind": "pickup" },
                // 3 × (300 + 0 + 100) is the first multiple that reaches 1000.
                "lines": [{ "item_id": "2", "quantity": 3, "options": ["small", "hot"] }],
            })
        );
    }

    #[test]
    fn only_stores_that_take_orders_are_considered() {
        let stores = json!({ "stores": [
            { "id": "1", "open": false, "fulfilment": ["pickup"] },
            { "id": "2", "open": true, "fulfilment": ["delivery"] },
            { "id": "3", "open": true, "fulfilment": ["delivery", "pickup"] },
        ] });
        assert_eq!(open_for_pickup(&stores).collect::<Vec<_>>(), ["3"]);
    }

    #[test]
    fn every_placeholder_is_filled_and_the_shell_accepts_the_lines() {
        let scene = Scene {
            store: "7".to_owned(),
            deal: "9".to_owned(),
            basket: basket("7", &menu(), 0).unwrap(),
        };
        let text = render("http://127.0.0.1:3000", "aaa.bbb.ccc", &scene);
        assert!(!text.contains("{{"), "{text}");
        let lines = text.split_once("\n\n").unwrap().1;
        let mut shell = std::process::Command::new("sh");
        assert!(shell.args(["-n", "-c", lines]).status().unwrap().success());
    }

    #[test]
    fn the_orders_id_is_cut_from_its_json() {
        let script = TEMPLATE.lines().find(|line| line.starts_with("ORDER=")).unwrap();
        let sed = script.split_once("| ").unwrap().1.trim_end_matches(')');
        let order = r#"{"id":"123","lines":[{"item_id":"9"}],"payments":[{"id":"5"}]}"#;
        let mut shell = std::process::Command::new("sh");
        shell.args(["-c", &format!("printf '%s' '{order}' | {sed}")]);
        assert_eq!(crate::shell::ask(&mut shell).unwrap(), "123");
    }
}

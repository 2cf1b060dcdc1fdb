//! Starts a core with a small store and speaks to it.

use core_service::app::{App, Parts, Settings};
use core_service::auth::keys::Keys;
use core_service::clock::{Clock, ManualClock};
use core_service::db::{Db, Location};
use core_service::fast::FastStore;
use core_service::fast::guarded::Guarded;
use core_service::fast::memory::Memory;
use core_service::fast::redis::Redis;
use core_service::ids::IdGenerator;
use core_service::payments::sandbox::{Sandbox, WebhookSender};
use core_service::payments::signature;
use core_service::{jobs, router};
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tiffin_api::id::UserId;
use tiffin_api::token::{Principal, Role};
use tokio::net::TcpListener;

/// 2026-11-25T12:00:00Z, a Wednesday.
const NOW_MS: i64 = 1_795_608_000_000;
/// How long a test waits for something that happens on its own.
const PATIENCE: Duration = Duration::from_secs(10);

/// The diner who orders unless a test says otherwise.
pub const DINER: i64 = 1001;

/// An answer, read whole.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply {
    pub status: u16,
    pub headers: HeaderMap,
    pub bytes: Vec<u8>,
}

impl Reply {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes)
            .unwrap_or_else(|_| panic!("not JSON: {}", String::from_utf8_lossy(&self.bytes)))
    }

    /// Asserts a problem document with this status and code, and returns it.
    pub fn problem(&self, status: u16, code: &str) -> Value {
        let body = self.json();
        assert_eq!((self.status, body["code"].as_str()), (status, Some(code)), "{body}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!(body["status"], status);
        body
    }

    /// Asserts the status and returns the body.
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.bytes));
        self.json()
    }
}

/// A new database on the server that `TIFFIN_TEST_DATABASE_URL` names, or a file in `folder`.
fn ledger(folder: &std::path::Path) -> Location {
    match std::env::var("TIFFIN_TEST_DATABASE_URL") {
        Ok(server) => {
            let name = folder.file_name().unwrap().to_string_lossy();
            let name = name.replace(|c: char| !c.is_ascii_alphanumeric(), "");
            Location::url(&format!("{}/api_{name}", server.trim_end_matches('/'))).unwrap()
        }
        Err(_) => Location::file(&folder.join("ledger.sqlite")),
    }
}

/// A logical database of the test's own on the server that `TIFFIN_TEST_REDIS_URL` names, or one in process.
async fn fast_store(clock: Arc<ManualClock>) -> Arc<dyn FastStore> {
    static DATABASES_USED: AtomicU64 = AtomicU64::new(0);
    let Ok(server) = std::env::var("TIFFIN_TEST_REDIS_URL") else {
        return Arc::new(Memory::new(clock));
    };
    let number = DATABASES_USED.fetch_add(1, Ordering::SeqCst);
    let url = format!("{}/{number}", server.trim_end_matches('/'));
    let client = redis::Client::open(url.as_str()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd("FLUSHDB").exec_async(&mut connection).await.unwrap();
    // What a busy machine makes slow, a test must not take for gone.
    Arc::new(Redis::open_within(&url, Duration::from_secs(10)).unwrap())
}

/// A running core.
pub struct Core {
    pub app: Arc<App>,
    pub clock: Arc<ManualClock>,
    pub url: String,
    client: reqwest::Client,
    keys_used: AtomicU64,
    _folder: TempDir,
}

impl Core {
    /// Starts a core and loads the fixture.
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let db = Db::open(&ledger(folder.path())).await.unwrap();
        let clock = Arc::new(ManualClock::at(NOW_MS));
        let keys = Arc::new(Keys::from_parts([1; 32], [2; 32]));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let sender = WebhookSender::new(&url, Arc::clone(&keys), clock.clone()).unwrap();
        let app = App::start(Parts {
            fast: Arc::new(Guarded::new(fast_store(clock.clone()).await, clock.clone())),
            clock: clock.clone(),
            ids: Arc::new(IdGenerator::new(clock.clone(), 1)),
            sandbox: Sandbox::with_webhooks(db.clone(), sender),
            settings: Settings::default(),
            keys,
            db,
        });
        let routes = router::router(Arc::clone(&app), true);
        tokio::spawn(async move { axum::serve(listener, routes).await.unwrap() });
        let core = Self {
            app,
            clock,
            url,
            client: reqwest::Client::new(),
            keys_used: AtomicU64::new(0),
            _folder: folder,
        };
        core.import(include_str!("fixture.ndjson")).await.expect(200);
        core
    }

    /// A token for a user.
    pub fn token(&self, user: i64, roles: &[Role]) -> String {
        self.sign(&Principal::new(UserId::from_raw(user), roles))
    }

    /// A token for the merchant who keeps a store.
    pub fn merchant(&self, store: &str) -> String {
        let merchant = Principal::new(UserId::from_raw(9), &[Role::Merchant]);
        self.sign(&Principal { stores: vec![store.parse().unwrap()], ..merchant })
    }

    fn sign(&self, principal: &Principal) -> String {
        self.app.keys.sign_token(principal, self.clock.now_ms(), 900)
    }

    pub async fn import(&self, rows: &str) -> Reply {
        let token = self.token(1, &[Role::Admin]);
        let request = self
            .client
            .post(format!("{}/v1/admin/import", self.url))
            .bearer_auth(token)
            .header("content-type", "application/x-ndjson")
            .body(rows.to_owned());
        reply(request).await
    }

    /// A request without a token.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.client.request(method, format!("{}{path}", self.url))
    }

    /// GET as the diner.
    pub async fn get(&self, path: &str) -> Reply {
        reply(self.request("GET", path).bearer_auth(self.token(DINER, &[Role::Diner]))).await
    }

    /// POST as the diner with a fresh Idempotency-Key.
    pub async fn post(&self, path: &str, body: &Value) -> Reply {
        self.post_as(DINER, &[Role::Diner], path, &self.fresh_key(), body).await
    }

    /// Places an order as the diner under this Idempotency-Key.
    pub async fn order_under(&self, key: &str, basket: &Value) -> Reply {
        self.post_as(DINER, &[Role::Diner], "/v1/orders", key, basket).await
    }

    pub async fn post_as(
        &self,
        user: i64,
        roles: &[Role],
        path: &str,
        key: &str,
        body: &Value,
    ) -> Reply {
        let request = self
            .request("POST", path)
            .bearer_auth(self.token(user, roles))
            .header("idempotency-key", key)
            .json(body);
        reply(request).await
    }

    pub fn fresh_key(&self) -> String {
        format!("key-{}", self.keys_used.fetch_add(1, Ordering::SeqCst))
    }

    /// The id of a store by its English name.
    pub async fn store(&self, name: &str) -> String {
        let stores = self.get("/v1/stores?lang=en").await.expect(200);
        let store = stores["stores"].as_array().unwrap().iter().find(|s| s["name"] == name);
        store.unwrap_or_else(|| panic!("no store {name}"))["id"].as_str().unwrap().to_owned()
    }

    /// The id of an item by its English name.
    pub async fn item(&self, store: &str, name: &str) -> String {
        let menu = self.get(&format!("/v1/stores/{store}/menu?lang=en")).await.expect(200);
        let categories = menu["categories"].as_array().unwrap();
        let mut items = categories.iter().flat_map(|c| c["items"].as_array().unwrap());
        let item = items.find(|item| item["name"] == name);
        item.unwrap_or_else(|| panic!("no item {name}"))["id"].as_str().unwrap().to_owned()
    }

    /// A pickup order of one line at the Noodle Bar.
    pub async fn basket(&self, item: &str, quantity: u32, options: &[&str]) -> Value {
        let store = self.store("Noodle Bar").await;
        let item_id = self.item(&store, item).await;
        json!({
            "store_id": store, "fulfilment": {"kind": "pickup"},
            "lines": [{"item_id": item_id, "quantity": quantity, "options": options}],
        })
    }

    /// Places an order for tea and returns it.
    pub async fn tea_order(&self) -> Value {
        let basket = self.basket("Tea", 2, &[]).await;
        self.post("/v1/orders", &basket).await.expect(201)
    }

    /// Pays an order by a sandbox method.
    pub async fn pay(&self, order: &Value, method: &str) -> Reply {
        let path = format!("/v1/orders/{}/payments", text(&order["id"]));
        self.post(&path, &json!({"method": method})).await
    }

    pub async fn order(&self, id: &Value) -> Value {
        self.get(&format!("/v1/orders/{}", text(id))).await.expect(200)
    }

    /// Waits until the order passes the test, and returns it.
    pub async fn until(&self, id: &Value, holds: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let order = self.order(id).await;
            if holds(&order) {
                return order;
            }
            assert!(Instant::now() < deadline, "the order never got there: {order}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Tells the sandbox to send a webhook.
    pub async fn sandbox(&self, payment: &Value, ask: &Value) -> Reply {
        let path = format!("/sandbox/payments/{}/webhooks", text(&payment["id"]));
        reply(self.request("POST", &path).json(ask)).await
    }

    /// Posts a webhook with this signature header.
    pub async fn webhook(&self, body: &Value, signature: &str) -> Reply {
        let request = self
            .request("POST", "/v1/webhooks/payments/sandbox")
            .header(signature::HEADER, signature)
            .json(body);
        reply(request).await
    }

    /// The signature header that the sandbox would send.
    pub fn sign_webhook(&self, body: &Value) -> String {
        self.sign_webhook_text(&body.to_string())
    }

    /// The same of a body as it stands.
    pub fn sign_webhook_text(&self, body: &str) -> String {
        signature::sign(&self.app.keys, "sandbox", body.as_bytes(), self.clock.now_ms())
    }

    /// Runs the jobs once.
    pub async fn run_jobs(&self) {
        jobs::run_once(&self.app).await;
    }

    /// (on hand, available, reserved) of an item, as the ledger says.
    pub async fn stock(&self, item_id: &str) -> (i64, i64, i64) {
        let mut conn = self.app.db.read().await.unwrap();
        sqlx::query_as("SELECT on_hand, available, reserved FROM stock WHERE item_id = ?")
            .bind(item_id.parse::<i64>().unwrap())
            .fetch_one(&mut *conn)
            .await
            .unwrap()
    }

    /// Waits until the core has heard this many webhooks.
    pub async fn until_heard(&self, webhooks: i64) {
        let deadline = Instant::now() + PATIENCE;
        while self.count("SELECT COUNT(*) FROM webhook_inbox").await < webhooks {
            assert!(Instant::now() < deadline, "the webhook never came");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Changes the ledger behind the core's back, as a crash or a mishap would have left it.
    pub async fn tamper(&self, statements: &[&'static str]) {
        let mut tx = self.app.db.write().await.unwrap();
        for statement in statements {
            sqlx::query(*statement).execute(&mut *tx).await.unwrap();
        }
        tx.commit().await.unwrap();
    }

    pub async fn count(&self, table_count: &'static str) -> i64 {
        let mut conn = self.app.db.read().await.unwrap();
        sqlx::query_scalar(table_count).fetch_one(&mut *conn).await.unwrap()
    }
}

/// Sends a request and reads its answer.
pub async fn reply(request: reqwest::RequestBuilder) -> Reply {
    let response = request.send().await.unwrap();
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    Reply { status, headers, bytes: response.bytes().await.unwrap().to_vec() }
}

pub fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("not a string: {value}"))
}

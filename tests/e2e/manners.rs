//! Bad manners get a clear answer in the 400s: never a 5xx, a hang or a panic.

use serde_json::json;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;
use tiffin_tests::{DINER, House};

/// How long a raw connection waits for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Sends bytes as they are and returns the answer's status.
fn raw(house: &House, request: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(("127.0.0.1", house.edge.port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // The edge may answer and close before it has read everything; that is its right.
    let _ = stream.write_all(request);
    let mut answer = [0_u8; 12];
    stream.read_exact(&mut answer).expect("an answer before the connection ends");
    let text = std::str::from_utf8(&answer).unwrap();
    text.strip_prefix("HTTP/1.1 ").unwrap_or_else(|| panic!("{text:?}")).parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bad_requests_are_refused_by_name() {
    let house = House::start().await;
    let token = house.token(DINER);
    let post = |path: &'static str, body: Vec<u8>| {
        let request = house.edge.request("POST", path).bearer_auth(&token);
        let request = request.header("content-type", "application/json");
        house.edge.send(request.header("idempotency-key", "k").body(body))
    };
    post("/v1/orders", b"{\"store_id\":".to_vec()).await.problem(400, "malformed-json");
    post("/v1/risk/score", b"[".to_vec()).await.problem(400, "malformed-json");
    post("/v1/orders", vec![b'x'; 10 << 20]).await.problem(413, "body-too-large");
    post("/v1/risk/score", vec![b'x'; 10 << 20]).await.problem(413, "body-too-large");
    post("/v1/nowhere", b"{}".to_vec()).await.problem(404, "route-not-found");
    assert_eq!(house.edge.get("/nowhere").await.status, 404);

    for (method, path) in
        [("DELETE", "/v1/stores"), ("POST", "/v1/time"), ("GET", "/v1/risk/score")]
    {
        let wrong = house.edge.send(house.edge.request(method, path)).await;
        wrong.problem(405, "method-not-allowed");
        assert_ne!(wrong.header("allow"), "", "{method} {path}");
    }
    let request = house.edge.request("DELETE", "/v1/orders").bearer_auth(&token);
    house.edge.send(request).await.problem(405, "method-not-allowed");
    house.edge.get("/v1/stores?limit=0").await.problem(400, "bad-request");
    house.edge.get("/v1/stores?limit=1&limit=2").await.problem(400, "bad-request");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn broken_http_is_refused_and_the_edge_goes_on() {
    let house = House::start().await;
    let many_headers: String = (0..10_000).map(|n| format!("x-{n}: 1\r\n")).collect();
    let one_large_header = format!("x-large: {}\r\n", "v".repeat(1 << 20));
    let chunked = {
        let chunk = format!("{:x}\r\n{}\r\n", 1 << 16, "x".repeat(1 << 16));
        let head = "POST /v1/risk/score HTTP/1.1\r\nhost: e\r\ncontent-type: application/json\r\n\
                    transfer-encoding: chunked\r\n\r\n";
        format!("{head}{}0\r\n\r\n", chunk.repeat(160))
    };
    let requests = [
        format!("GET /v1/stores HTTP/1.1\r\nhost: e\r\n{many_headers}\r\n"),
        format!("GET /v1/stores HTTP/1.1\r\nhost: e\r\n{one_large_header}\r\n"),
        "GET /v1/stores/%zz HTTP/1.1\r\nhost: e\r\n\r\n".to_owned(),
        "GET /v1/stores?lang=%f HTTP/1.1\r\nhost: e\r\n\r\n".to_owned(),
        format!("GET /{} HTTP/1.1\r\nhost: e\r\n\r\n", "a".repeat(100_000)),
        "GARBAGE\r\n\r\n".to_owned(),
        chunked,
    ];
    for request in &requests {
        let status = raw(&house, request.as_bytes());
        let beginning: String = request.chars().take(60).collect();
        assert!((400..500).contains(&status), "{status} for {beginning:?}");
    }
    house.edge.get("/v1/stores").await.expect(200);
}

#[tokio::test]
async fn clients_cannot_pose_as_the_host() {
    let house = House::start().await;
    let request = house
        .edge
        .request("GET", "/v1/stores?lang=en")
        .header("spin-path-info", "/v1/stores/1/menu")
        .header("spin-full-url", "http://evil/");
    let posed = house.edge.send(request).await.expect(200);
    assert!(posed["stores"].is_array(), "{}", json!(posed));
}

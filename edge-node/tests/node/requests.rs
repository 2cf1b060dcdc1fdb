//! Invariant 3: nothing from a client is trusted, and each wrong request gets a clear 4xx.

use std::time::{Duration, Instant};

use bytes::Bytes;
use edge_node::limits;
use http::{Method, Request, StatusCode};

use crate::common::{TestNode, guests, start};

async fn node() -> TestNode {
    start(&guests(&[("a", "")])).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_says_in_the_hosts_name_is_replaced() {
    let manifest = guests(&[("a", "")]).replace("\"/a/...\"", "\"/a/:shop/...\"");
    let node = start(&manifest).await;
    let request = Request::get(node.url("/a/7/x/echo?q=1"))
        .header("spin-client-addr", "6.6.6.6:6")
        .header("spin-path-match-shop", "forged")
        .header("spin-anything", "forged")
        .header("connection", "x-one-hop")
        .header("x-one-hop", "1")
        .header("x-kept", "1");
    let answer = node.send(request, "").await;
    let url = format!("http://{}/a/7/x/echo?q=1", node.node.address);
    for (name, expected) in [
        ("spin-full-url", Some(&*url)),
        ("spin-path-match-shop", Some("7")),
        ("spin-anything", None),
        ("connection", None),
        ("x-one-hop", None),
        ("x-kept", Some("1")),
    ] {
        assert_eq!(answer.echoed(name), expected, "{name}\n{}", answer.body);
    }
    assert!(answer.echoed("spin-client-addr").unwrap().starts_with("127.0.0.1:"));
    assert_eq!(answer.body.matches("spin-path-match-shop").count(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trace_goes_through_and_its_id_comes_back() {
    let node = node().await;
    let id = "0af7651916cd43dd8448eb211c80319c";
    let sent = format!("00-{id}-b7ad6b7169203331-01");
    let request = Request::get(node.url("/a/echo")).header("traceparent", &sent);
    let answer = node.send(request, "").await;
    assert_eq!(answer.headers["x-trace-id"], id);
    let passed = answer.echoed("traceparent").unwrap();
    assert!(passed.starts_with(&format!("00-{id}-")), "{passed}");
    assert_ne!(passed, sent, "the node is a span of its own");
    let other = node.get("/a/ok").await;
    assert_ne!(other.headers["x-trace-id"], id);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bodies_up_to_the_limit_pass_and_longer_ones_are_413() {
    let node = node().await;
    let limit = usize::try_from(limits::MAX_REQUEST_BODY_BYTES).unwrap();
    let exact = node.send(Request::post(node.url("/a/echo")), vec![b'x'; limit]).await;
    assert_eq!(exact.status, StatusCode::OK);
    assert_eq!(
        exact.body.matches('x').count()
            - exact.body.split("\n\n").next().unwrap().matches('x').count(),
        limit
    );
    for size in [limit + 1, 10 << 20] {
        for target in ["/a/echo", "/a/drop-body", "/nowhere"] {
            let begin = Instant::now();
            let body = Bytes::from(vec![b'x'; size]);
            let answer = node.send(Request::post(node.url(target)), body).await;
            assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE, "{target} {size}");
            assert_eq!(answer.code(), "body-too-large");
            assert!(begin.elapsed() < Duration::from_secs(3));
        }
    }
    assert_eq!(node.get("/a/ok").await.body, "ok");
}

/// Without a length the node learns while it is reading already.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_chunked_body_that_grows_too_long_is_413() {
    let node = node().await;
    let mut request =
        b"POST /a/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..40 {
        request.extend_from_slice(b"10000\r\n");
        request.extend_from_slice(&[b'x'; 0x10000]);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"0\r\n\r\n");
    let answer = node.raw(&request).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("body-too-large"), "{answer}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_before_it_sends_is_refused_without_sending() {
    let node = node().await;
    let head = "POST /a/echo HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: ";
    let refused = node.raw(format!("{head}10485760\r\n\r\n").as_bytes()).await;
    assert!(refused.starts_with("HTTP/1.1 413 "), "{refused}");
    let invited = node.raw(format!("{head}2\r\n\r\nhi").as_bytes()).await;
    assert!(invited.starts_with("HTTP/1.1 100 "), "{invited}");
    assert!(invited.contains("HTTP/1.1 200 OK"), "{invited}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_is_no_server_error() {
    let node = node().await;
    let begun = "POST /a/echo HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\nhalf";
    let mut stream = tokio::net::TcpStream::connect(node.node.address).await.unwrap();
    tokio::io::AsyncWriteExt::write_all(&mut stream, begun.as_bytes()).await.unwrap();
    drop(stream);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(node.get("/a/ok").await.body, "ok");
    assert!(!node.metrics().await.contains(r#"status="5xx""#));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn malformed_requests_get_a_clear_4xx() {
    let node = node().await;
    let get = |target: &str| format!("GET {target} HTTP/1.1\r\nhost: x\r\n\r\n");
    let many_headers = format!(
        "GET /a/ok HTTP/1.1\r\nhost: x\r\n{}\r\n",
        (0..10_000).map(|n| format!("x-{n}: 1\r\n")).collect::<String>()
    );
    let long_header =
        format!("GET /a/ok HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    for (what, request, expected) in [
        ("10,000 headers", many_headers, "431 "),
        ("a header of 1 MiB", long_header, "431 "),
        ("a bad escape", get("/a/%zz"), "400 "),
        ("half an escape", get("/a/%2"), "400 "),
        ("an escaped slash", get("/a%2Fok"), "400 "),
        ("an escaped NUL", get("/a/o%00k"), "400 "),
        ("dots", get("/a/x/../ok"), "400 "),
        ("a fragment", get("/a/ok#part"), "400 "),
        ("a fragment after a query", get("/a/ok?x=1#part"), "400 "),
        ("a fragment, in a POST", get("/a/ok#").replace("GET", "POST"), "400 "),
        (
            "the greatest of lengths",
            get("/a/ok").replace("x\r\n", "x\r\ncontent-length: 18446744073709551615\r\n"),
            "4",
        ),
        ("escaped dots", get("/a/x/%2E%2e/ok"), "400 "),
        ("another spelling", get("/%61/%6f%6B"), "200 "),
        ("an unknown route", get("/nowhere"), "404 "),
        ("a reserved path", get("/.well-known/spin/info"), "404 "),
        ("a target of 9,000 bytes", get(&format!("/a/{}", "y".repeat(9_000))), "414 "),
        ("TRACE", get("/a/ok").replace("GET", "TRACE"), "405 "),
        ("CONNECT", "CONNECT x:1 HTTP/1.1\r\nhost: x:1\r\n\r\n".to_owned(), "405 "),
        ("OPTIONS *", get("*").replace("GET", "OPTIONS"), "204 "),
        ("GET *", get("*"), "404 "),
        ("a host with a word for a port", get("/a/ok").replace("host: x", "host: x:http"), "400 "),
        ("a port of six digits", get("/a/ok").replace("host: x", "host: x:100000"), "400 "),
        ("an empty host", get("/a/ok").replace("host: x", "host:"), "400 "),
        ("a list of hosts", get("/a/ok").replace("host: x", "host: x,y"), "400 "),
        ("a target with a bad host", get("http://x:y/a/ok"), "400 "),
        ("a bad host", get("/a/ok").replace("host: x", "host: a b"), "400 "),
        ("a host with a user", get("/a/ok").replace("host: x", "host: a@b"), "400 "),
        ("a target with a user", get("http://a@b/a/ok"), "400 "),
        ("two hosts", get("/a/ok").replace("host: x", "host: x\r\nhost: x"), "400 "),
        ("no host", get("/a/ok").replace("host: x\r\n", ""), "400 "),
        ("no host in HTTP/1.0", get("/a/ok").replace("1.1\r\nhost: x\r\n", "1.0\r\n"), "200 "),
        ("no HTTP", "nonsense\r\n\r\n".to_owned(), "400 "),
        (
            "two lengths",
            get("/a/ok").replace("x\r\n", "x\r\ncontent-length: 1\r\ncontent-length: 2\r\n"),
            "400 ",
        ),
    ] {
        let answer = node.raw(request.as_bytes()).await;
        let status = answer.get("HTTP/1.1 ".len()..).unwrap_or(&answer);
        assert!(status.starts_with(expected), "{what}: {answer}");
        if what.contains("host") && expected == "400 " {
            assert!(answer.contains("bad-request"), "{what}: {answer}");
        }
    }
    let unread = r#"edge_requests_total{component="-",route="-",status="4xx"}"#;
    let count = |metrics: &str| -> usize {
        metrics.lines().find_map(|l| l.strip_prefix(unread)).unwrap().trim().parse().unwrap()
    };
    let before = count(&node.metrics().await);
    node.raw(b"nonsense\r\n\r\n").await;
    // It is counted when the connection has ended, a moment after its client sees that.
    let begin = Instant::now();
    while count(&node.metrics().await) == before && begin.elapsed() < Duration::from_secs(10) {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(count(&node.metrics().await), before + 1, "what is no HTTP counts too");
    let headers = |count: usize, bytes: usize| {
        let fill = |request: http::request::Builder, n| {
            request.header(format!("x-{n}"), "y".repeat(bytes))
        };
        (0..count).fold(Request::get(node.url("/a/ok")), fill)
    };
    // The client adds a Host.
    assert_eq!(node.send(headers(limits::MAX_HEADERS - 1, 1), "").await.body, "ok");
    for wrong in [headers(limits::MAX_HEADERS, 1), headers(1, limits::MAX_HEAD_BYTES)] {
        let refused = node.send(wrong, "").await;
        assert_eq!(refused.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
        assert_eq!(refused.code(), "headers-too-large");
    }
    assert_eq!(node.get("/a/%zz").await.code(), "bad-request");
    assert_eq!(node.get("/nowhere").await.code(), "route-not-found");
    assert_eq!(node.get("/a/ok").await.body, "ok");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn head_is_answered_without_a_body_and_other_methods_reach_the_guest() {
    let node = node().await;
    let head = Request::builder().method(Method::HEAD).uri(node.url("/a/ok"));
    let answer = node.send(head, "").await;
    assert_eq!((answer.status, &*answer.body), (StatusCode::OK, ""));
    for method in ["PUT", "DELETE", "PATCH", "OPTIONS"] {
        let request = Request::builder().method(method).uri(node.url("/a/echo"));
        let answer = node.send(request, "hi").await;
        assert!(answer.body.starts_with(&format!("{method} ")), "{}", answer.body);
        assert!(answer.body.ends_with("\n\nhi"), "{}", answer.body);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn health_and_static_answers_come_from_the_node() {
    let manifest = format!(
        "{}\n[[trigger.http]]\nroute = \"/teapot\"\n\
         static_response = {{ status_code = 418, headers = {{ x-pot = \"tea\" }}, body = \"short\" }}",
        guests(&[("a", "")])
    );
    let node = start(&manifest).await;
    let health = node.get("/.well-known/spin/health").await;
    assert_eq!((health.status, &*health.body), (StatusCode::OK, "OK"));
    let teapot = node.get("/teapot").await;
    assert_eq!((teapot.status, &*teapot.body), (StatusCode::IM_A_TEAPOT, "short"));
    assert_eq!(teapot.headers["x-pot"], "tea");
    let admin = format!("http://{}", node.node.admin_address);
    for (path, expected) in [("/healthz", 200), ("/readyz", 200), ("/metrics", 200), ("/", 404)] {
        let answer = node.send(Request::get(format!("{admin}{path}")), "").await;
        assert_eq!(answer.status.as_u16(), expected, "{path}");
    }
    let metrics = node.metrics().await;
    let counted = r#"edge_requests_total{component="-",route="/teapot",status="4xx"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
    assert!(metrics.ends_with("# EOF\n"));
}

/// Of two lines one program reads the first and another the last.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_may_stand_once_is_refused_twice() {
    let node = node().await;
    for field in
        ["Idempotency-Key", "authorization", "Content-Type", "If-Modified-Since", "user-agent"]
    {
        for (method, second) in [("GET", "1"), ("POST", "2")] {
            let lines = format!("host: x\r\n{field}: 1\r\nx-between: 1\r\n{field}: {second}\r\n");
            let said = node.raw(format!("{method} /a/ok HTTP/1.1\r\n{lines}\r\n").as_bytes()).await;
            assert!(said.starts_with("HTTP/1.1 400 "), "{method} {field}: {said}");
            let name = field.to_lowercase();
            assert!(said.contains(&format!("the header {name} may stand once")), "{said}");
        }
    }
    let lists = "accept: a/b\r\naccept: c/d\r\nif-none-match: \"1\"\r\nif-none-match: \"2\"\r\n";
    let said = node.raw(format!("GET /a/ok HTTP/1.1\r\nhost: x\r\n{lists}\r\n").as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_in_an_unknown_coding_ends_the_connection() {
    let node = node().await;
    let next = "GET /a/ok HTTP/1.1\r\nhost: x\r\n\r\n";
    for codings in
        ["chunked, chunked", "gzip, chunked", "x\r\ntransfer-encoding: chunked", "identity,chunked"]
    {
        let head = format!("POST /a/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: {codings}\r\n");
        let said = node.raw(format!("{head}\r\n3\r\nabc\r\n0\r\n\r\n{next}").as_bytes()).await;
        assert!(said.starts_with("HTTP/1.1 400 "), "{codings}: {said}");
        assert!(said.contains("connection: close"), "{codings}: {said}");
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{codings}: {said}");
    }
    let head = "POST /a/echo HTTP/1.1\r\nhost: x\r\ntransfer-encoding: Chunked\r\n";
    let said = node.raw(format!("{head}\r\n3\r\nabc\r\n0\r\n\r\n{next}").as_bytes()).await;
    assert_eq!(said.matches("HTTP/1.1 200").count(), 2, "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_method_and_the_server_as_a_whole_say_what_is_allowed() {
    let node = node().await;
    for request in [
        "TRACE /a/ok HTTP/1.1\r\nhost: x\r\n\r\n",
        "TRACE /nowhere HTTP/1.1\r\nhost: x\r\n\r\n",
        "CONNECT x:443 HTTP/1.1\r\nhost: x:443\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nhost: x\r\n\r\n",
    ] {
        let said = node.raw(request.as_bytes()).await;
        assert!(
            said.contains("\r\nallow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"),
            "{said}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_function_is_told_the_host_it_was_asked_by() {
    let node = node().await;
    for (target, host, expected) in [
        ("/a/echo", "Shop.example:81", "Shop.example:81"),
        ("http://one.example/a/echo", "two", "one.example"),
    ] {
        let said =
            node.raw(format!("GET {target} HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await;
        assert!(said.contains(&format!("\nhost: {expected}\n")), "{said}");
    }
}

/// Several requests on one connection, the next one sent before the answer of the first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_are_kept_and_pipelined_requests_answered_in_order() {
    let node = node().await;
    let one = "GET /a/ok HTTP/1.1\r\nhost: x\r\n\r\n";
    let two = "GET /nowhere HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answers = node.raw(format!("{one}{two}").as_bytes()).await;
    let first = answers.find("200 OK").unwrap();
    let second = answers.find("404 Not Found").unwrap();
    assert!(first < second, "{answers}");
}

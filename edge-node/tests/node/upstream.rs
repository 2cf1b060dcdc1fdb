//! An upstream in trouble, as guests and diners see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::common::{Upstream, guests, reply, start, start_changed};

const ANY_LOCAL: &str = "allowed_outbound_hosts = [\"http://127.0.0.1:*\", \"https://localhost:*\", \
                         \"http://core.test\"]";

/// The guest hears that its destination is out of order, and diners still get what the node had kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_an_open_breaker_the_guest_is_told_and_diners_get_what_is_stale() {
    let is_down = Arc::new(AtomicBool::new(false));
    let down = Arc::clone(&is_down);
    let upstream = Upstream::start(move |_| {
        let status = if down.load(Ordering::SeqCst) { 503 } else { 200 };
        async move {
            reply(status, &[("cache-control", "public, max-age=1, stale-if-error=600")], "menu")
        }
    })
    .await;
    let settings = format!("{ANY_LOCAL}\n[component.bare.tool.tiffin]\ncache = false");
    let manifest = guests(&[("kept", ANY_LOCAL), ("bare", &settings)]);
    let address = upstream.address;
    let open_for_long = format!("{address}={address};health=none;open-ms=60000").parse().unwrap();
    let node = start_changed(&manifest, |options| {
        options.upstreams.push(open_for_long);
    })
    .await
    .unwrap();
    let kept = format!("/kept/relay?url={}", upstream.url("/menu"));
    assert_eq!(node.get(&kept).await.body, "menu");
    is_down.store(true, Ordering::SeqCst);
    let mut told = String::new();
    for number in 0..100 {
        told = node
            .get(&format!("/bare/fetch?url={}", upstream.url(&format!("/{number}"))))
            .await
            .body;
        if told == "ErrorCode::DestinationUnavailable" {
            break;
        }
    }
    assert_eq!(told, "ErrorCode::DestinationUnavailable");
    let hits = upstream.hits();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let answer = node.get(&kept).await;
    assert_eq!((answer.status.as_u16(), &*answer.body), (200, "menu"), "{answer:?}");
    let status = answer.headers["cache-status"].to_str().unwrap();
    assert!(status.contains("fwd=stale"), "{status}");
    assert_eq!(upstream.hits(), hits, "the upstream was left alone");
    let metrics = node.metrics().await;
    let line = r#"edge_outbound_requests_total{component="bare",outcome="circuit-open"} 1"#;
    assert!(metrics.contains(line), "{metrics}");
}

/// The manifest, the function and its allow-list know one host; the node asks where that really is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_host_of_a_function_is_several_addresses_of_the_node() {
    let upstream = Upstream::start(async |_| reply(200, &[], "core")).await;
    let core = format!("core.test=127.0.0.1:1,{};health=none", upstream.address);
    let node = start_changed(&guests(&[("a", ANY_LOCAL)]), |options| {
        options.upstreams.push(core.parse().unwrap());
    })
    .await
    .unwrap();
    for number in 0..10 {
        let answer = node.get(&format!("/a/fetch?url=http://core.test/{number}")).await;
        assert_eq!(answer.body, "core");
    }
    assert_eq!(upstream.hits(), 10);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn https_without_tls_or_without_authorities_is_refused() {
    let upstream = Upstream::start(async |_| reply(200, &[], "core")).await;
    let node = start(&guests(&[("a", ANY_LOCAL)])).await;
    let url = format!("https://localhost:{}/", upstream.address.port());
    let said = node.get(&format!("/a/fetch?url={url}")).await.body;
    // The upstream speaks no TLS at all; without a bundle on this machine there is none to try.
    assert!(said == "ErrorCode::TlsProtocolError" || said.contains("SSL_CERT_FILE"), "{said}");
    assert_eq!(upstream.hits(), 0);
    let missing = std::path::PathBuf::from("/no/such/bundle.pem");
    let started = start_changed(&guests(&[("a", "")]), |options| {
        options.upstream_ca = Some(missing);
    })
    .await;
    let said = started.err().unwrap().to_string();
    assert!(said.contains("/no/such/bundle.pem") && said.contains("--upstream-ca"), "{said}");
}

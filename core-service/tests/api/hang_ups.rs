//! Clients that hang up before their answer comes.

use crate::support::{Core, DINER, text};
use futures::future::join_all;
use std::time::Duration;
use tiffin_api::token::Role;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long reads may take afterwards, all of them together.
const PATIENCE: Duration = Duration::from_secs(4);

/// Sends requests one after the other, each on a connection of its own, and hangs up on each after a while.
async fn hang_up(core: &Core, paths: &[String], client: u64) {
    let (host, token) = (core.url.trim_start_matches("http://"), core.token(DINER, &[Role::Diner]));
    for (n, path) in (0_u64..).zip(paths.iter().cycle().take(30)) {
        let mut stream = TcpStream::connect(host).await.unwrap();
        let head =
            format!("GET {path} HTTP/1.1\r\nHost: core\r\nAuthorization: Bearer {token}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        sleep(Duration::from_micros((client * 37 + n * 211) % 3_000)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_hang_ups_leave_every_read_as_it_was() {
    let core = Core::start().await;
    let (tea, dish) = (core.tea_order().await, core.basket("Tea", 1, &[]).await);
    let order = format!("/v1/orders/{}", text(&tea["id"]));
    let menu = format!("/v1/stores/{}/menu", text(&dish["store_id"]));
    let paths = [order.clone(), "/v1/orders".to_owned(), "/v1/me/coupons".to_owned(), menu.clone()];
    let before = join_all(paths.iter().map(|path| core.get(path))).await;
    join_all((0..24).map(|client| hang_up(&core, &paths, client))).await;

    let after = async {
        for _ in 0..5 {
            for (path, before) in paths.iter().zip(&before) {
                let after = core.get(path).await;
                assert_eq!((after.status, &after.bytes), (200, &before.bytes), "{path}");
            }
        }
        core.tea_order().await
    };
    timeout(PATIENCE, after).await.expect("reads are as quick as before");
}

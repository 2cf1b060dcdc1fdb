//! Frames of HTTP/2 that cost a client nothing to send.

use std::time::Duration;

use bytes::Bytes;
use edge_node::limits;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::{guests, start};

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_frames_that_carry_nothing_ends_its_connection() {
    let node = start(&guests(&[("a", "")])).await;
    let floods = [
        ("PRIORITY", frame(2, 0, 1, &[0, 0, 0, 0, 15])),
        ("SETTINGS", frame(4, 0, 0, &[])),
        ("PING", frame(6, 0, 0, &[0; 8])),
        ("WINDOW_UPDATE", frame(8, 0, 0, &[0, 0, 0, 1])),
        ("unknown", frame(0xbe, 0, 0, b"grease")),
    ];
    for (what, one) in &floods {
        let mut stream = TcpStream::connect(node.node.address).await.unwrap();
        let preface = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), frame(4, 0, 0, &[])].concat();
        stream.write_all(&preface).await.unwrap();
        let flood = one.repeat(2 * limits::MAX_HTTP2_SPARE_FRAMES as usize);
        let _ = stream.write_all(&flood).await;
        let mut said = Vec::new();
        let ended = timeout(Duration::from_secs(10), stream.read_to_end(&mut said)).await;
        assert!(ended.is_ok(), "{what}: the connection is still open");
    }
    let metrics = node.metrics().await;
    let counted = format!(r#"edge_clients_refused_total{{reason="frames"}} {}"#, floods.len());
    assert!(metrics.contains(&counted), "{metrics}");
}

/// A client that asks and reads is not counted out, however long it goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_reads_its_answers_goes_on() {
    let node = start(&guests(&[("a", "")])).await;
    let stream = TcpStream::connect(node.node.address).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let body = Bytes::from(vec![b'x'; 200_000]);
    for _ in 0..200 {
        let request = Request::post(node.url("/a/echo")).body(Full::new(body.clone())).unwrap();
        sender.ready().await.unwrap();
        let answer = sender.send_request(request).await.unwrap();
        assert!(answer.into_body().collect().await.unwrap().to_bytes().len() > body.len());
    }
}

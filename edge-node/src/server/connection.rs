//! One connection: which protocol it speaks, and the limits of each.
//!
//! TLS says it by ALPN. On a plain port the first bytes do: HTTP/2 with prior knowledge begins with a method that no
//! HTTP/1 client sends, so one look suffices, and HTTP/1 is driven as it would be alone.
//! Invariants, for both protocols: heads, bodies and the number of requests are bounded; who is slow to begin, to ask or
//! to listen is cut off; a stop ends what is idle at once and what is under way with its answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

use super::express::{Express, Turn};
use super::frames::FrameGuard;
use super::pace::Pace;
use super::stall::StallGuard;
use super::{FRAMES, Front, access};
use crate::body::guarded;
use crate::limits;

/// How HTTP/2 begins, as far as it takes to tell. Source: RFC 9113, section 3.4.
const HTTP2_START: [u8; 3] = *b"PRI";

/// Serves a connection to its end. The node's stop waits for `watcher`.
pub(super) async fn serve(
    stream: TcpStream,
    client: SocketAddr,
    front: Arc<Front>,
    watcher: Watcher,
) {
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%client, %error, "TCP_NODELAY cannot be set");
    }
    let Some(tls) = &front.tls else {
        let begin = timeout(limits::HEAD_READ_TIMEOUT, is_http2(&stream));
        let begun = tokio::select! {
            () = front.life.stop.cancelled() => return,
            begun = begin => begun,
        };
        let stream = StallGuard::new(stream);
        return match begun {
            Ok(Ok(true)) => serve_http2(stream, client, front, watcher).await,
            Ok(Ok(false)) => serve_http1(stream, client, front, watcher).await,
            Ok(Err(error)) => tracing::debug!(%client, %error, "connection ended"),
            Err(_silent) => tracing::debug!(%client, "connection ended: it said nothing"),
        };
    };
    let handshake = tls.accept(StallGuard::new(stream));
    let shaken = tokio::select! {
        () = front.life.stop.cancelled() => return,
        shaken = timeout(limits::HANDSHAKE_TIMEOUT, handshake) => shaken,
    };
    match shaken {
        Ok(Ok(stream)) => {
            front.metrics.door.count_handshake("done");
            match stream.get_ref().1.alpn_protocol() {
                Some(b"h2") => serve_http2(stream, client, front, watcher).await,
                // Whoever does not negotiate speaks what everybody does.
                Some(_) | None => serve_http1(stream, client, front, watcher).await,
            }
        }
        Ok(Err(error)) => {
            front.metrics.door.count_handshake("failed");
            tracing::debug!(%client, %error, "TLS handshake failed");
        }
        Err(_late) => {
            front.metrics.door.count_handshake("timeout");
            tracing::debug!(%client, "TLS handshake was not done in time");
        }
    }
}

/// Looks at the first bytes without taking them. Who sends fewer than it takes to tell is no HTTP/2 client: its
/// preface fits into any packet.
async fn is_http2(stream: &TcpStream) -> std::io::Result<bool> {
    let mut start = [0; HTTP2_START.len()];
    let seen = stream.peek(&mut start).await?;
    Ok(start[..seen] == HTTP2_START)
}

async fn serve_http1<IO>(stream: IO, client: SocketAddr, front: Arc<Front>, watcher: Watcher)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let metrics = Arc::clone(&front.metrics);
    let turn = Turn::new();
    let hits = {
        let front = Arc::clone(&front);
        move |head| front.answer_at_once(head, client)
    };
    let stream = Express::new(stream, Arc::clone(&turn), hits);
    let service = service_fn(move |request| {
        let (front, answering) = (Arc::clone(&front), turn.begin());
        async move {
            let response = front.answer(request, client).await;
            Ok::<_, Infallible>(response.map(|body| guarded(body, answering)))
        }
    });
    let connection = http1::Builder::new()
        // The express lane sees to who is slow to ask: hyper does not know of what is answered beneath it.
        .header_read_timeout(None)
        .max_headers(limits::MAX_PARSED_HEADERS)
        .max_buf_size(limits::MAX_PARSED_HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    match watcher.watch(connection).await {
        Err(error) if error.is_parse() => access::refused(client, &error, &metrics),
        Err(error) => tracing::debug!(%client, %error, "connection ended"),
        Ok(()) => {}
    }
}

async fn serve_http2<IO>(stream: IO, client: SocketAddr, front: Arc<Front>, watcher: Watcher)
where
    IO: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let pace = Arc::new(Pace::new());
    let stream = FrameGuard::new(stream);
    let floods = stream.verdict();
    let service = service_fn({
        let (front, pace) = (Arc::clone(&front), Arc::clone(&pace));
        move |request| {
            let (front, under_way) = (Arc::clone(&front), pace.begin());
            async move {
                let response = front.answer(request, client).await;
                Ok::<_, Infallible>(response.map(|body| under_way.watch(body)))
            }
        }
    });
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::MAX_HTTP2_STREAMS)
        .max_header_list_size(limits::MAX_HTTP2_HEAD_BYTES)
        .header_table_size(limits::MAX_HTTP2_TABLE_BYTES)
        .initial_stream_window_size(limits::HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(limits::HTTP2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(limits::MAX_HTTP2_SEND_BYTES)
        .max_pending_accept_reset_streams(limits::MAX_HTTP2_PENDING_RESETS)
        .max_local_error_reset_streams(limits::MAX_HTTP2_ERROR_RESETS)
        .keep_alive_interval(limits::CLIENT_PING_INTERVAL)
        .keep_alive_timeout(limits::CLIENT_PING_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    let mut ends_since = None;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(%client, %error, "connection ended");
                }
                if floods.load(Ordering::Relaxed) {
                    front.count(&FRAMES);
                }
                break;
            }
            () = front.life.stop.cancelled(), if ends_since.is_none() => {
                connection.as_mut().graceful_shutdown();
                ends_since = Some(Instant::now());
            }
            () = sleep(limits::CONNECTION_CHECK) => {
                let idle = pace.check();
                match ends_since {
                    None if idle >= limits::HTTP2_IDLE => {
                        connection.as_mut().graceful_shutdown();
                        ends_since = Some(Instant::now());
                    }
                    // It was told to go, and does not.
                    Some(since) if idle.min(since.elapsed()) >= limits::HTTP2_FAREWELL => break,
                    None | Some(_) => {}
                }
            }
        }
    }
    drop(watcher);
}

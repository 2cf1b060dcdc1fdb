//! The clients' side: connections within their limits, and a stop that cuts no answer.
//!
//! Invariants: no client can make the core hold more than [`limits::CONNECTIONS`] connections, or one of
//! them open without sending a request; a stop waits for requests, never for connections that have none.

use crate::limits;
use axum::Router;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service as _;

/// Answers requests until `stop`, and then those in progress, however long they take.
pub async fn serve(listener: TcpListener, routes: Router, stop: CancellationToken) {
    let graceful = GracefulShutdown::new();
    let requests = TaskTracker::new();
    tokio::select! {
        () = stop.cancelled() => {}
        () = accept(&listener, &routes, &graceful, &requests) => {}
    }
    drop(listener);
    requests.close();
    let all_answered = async {
        requests.wait().await;
        // What is left are answers on their way, and clients that have not finished asking.
        sleep(limits::ANSWER_GRACE).await;
    };
    tokio::select! {
        () = graceful.shutdown() => {}
        () = all_answered => {}
    }
}

async fn accept(
    listener: &TcpListener,
    routes: &Router,
    graceful: &GracefulShutdown,
    requests: &TaskTracker,
) {
    let places = Arc::new(Semaphore::new(limits::CONNECTIONS));
    // At the limit, clients wait in the system's queue instead of being turned away.
    while let Ok(place) = Arc::clone(&places).acquire_owned().await {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // Out of file descriptors, or the client is gone already: a pause lets others end.
                tracing::warn!(%error, "a connection cannot be accepted");
                sleep(limits::ACCEPT_PAUSE).await;
                continue;
            }
        };
        let connection =
            graceful.watch(connect(stream, routes.clone(), requests.clone(), limits::HEAD_TIMEOUT));
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%client, %error, "connection ended");
            }
            drop(place);
        });
    }
}

fn connect(
    stream: TcpStream,
    routes: Router,
    requests: TaskTracker,
    head_timeout: Duration,
) -> http1::Connection<
    TokioIo<TcpStream>,
    impl hyper::service::Service<
        Request<Incoming>,
        Response = axum::response::Response,
        Error = std::convert::Infallible,
        Future: Send,
    >,
> {
    // Answers are small: waiting to fill a packet only delays them.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY cannot be set");
    }
    let service = service_fn(move |request: Request<Incoming>| {
        // A router is always ready: it has no state of its own to wait for.
        requests.track_future(routes.clone().call(request))
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_timeout)
        .max_headers(limits::HEADERS)
        .max_buf_size(limits::HEAD_BYTES)
        .serve_connection(TokioIo::new(stream), service)
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::routing::get;
    use std::net::SocketAddr;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::task::JoinHandle;
    use tokio::time::Instant;

    async fn start(routes: Router) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = CancellationToken::new();
        (address, stop.clone(), tokio::spawn(serve(listener, routes, stop)))
    }

    async fn send(address: SocketAddr, bytes: &str) -> TcpStream {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream
    }

    async fn read_all(stream: &mut TcpStream) -> String {
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        text
    }

    #[tokio::test]
    async fn a_stop_answers_what_was_asked_and_waits_for_nobody_else() {
        let routes = Router::new().route(
            "/slow",
            get(async || {
                sleep(Duration::from_millis(300)).await;
                "done"
            }),
        );
        let (address, stop, served) = start(routes).await;
        let _silent = send(address, "").await;
        let _half_asked = send(address, "GET /slow HTTP/1.1\r\nHo").await;
        let mut asked = send(address, "GET /slow HTTP/1.1\r\nHost: core\r\n\r\n").await;
        sleep(Duration::from_millis(100)).await;

        let told = Instant::now();
        stop.cancel();
        served.await.unwrap();
        assert!(told.elapsed() < Duration::from_secs(3), "took {:?}", told.elapsed());
        let answer = read_all(&mut asked).await;
        assert!(answer.ends_with("done"), "{answer}");
        assert!(TcpStream::connect(address).await.is_err(), "the door is shut");
    }

    #[tokio::test]
    async fn a_head_has_its_limits() {
        let (address, _stop, _served) = start(Router::new()).await;
        let many = "x: y\r\n".repeat(limits::HEADERS + 1);
        let mut stream = send(address, &format!("GET / HTTP/1.1\r\n{many}\r\n")).await;
        let answer = read_all(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    }

    #[tokio::test]
    async fn a_client_that_never_finishes_asking_is_let_go() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = send(listener.local_addr().unwrap(), "GET / HTTP/1.1\r\nHo").await;
        let (stream, _) = listener.accept().await.unwrap();
        let patience = Duration::from_millis(50);
        let ended = connect(stream, Router::new(), TaskTracker::new(), patience).await;
        assert!(ended.unwrap_err().is_timeout());
        read_all(&mut client).await;
    }
}

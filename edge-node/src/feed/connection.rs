//! One connection to one core's feed: a GET whose answer does not end.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::sse::Endless;
use crate::limits;

/// In which the place is told from which to go on. Source: WHATWG HTML, 9.2.4.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The media type of server-sent events.
const EVENT_STREAM: &str = "text/event-stream";

/// Why there is no connection, or no longer one.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Lost {
    #[error("the connection failed: {0}")]
    Connect(std::io::Error),
    #[error("the connection took longer than {} s", limits::FEED_CONNECT_TIMEOUT.as_secs())]
    ConnectTimeout,
    #[error("no greeting within {} s", limits::FEED_GREETING_TIMEOUT.as_secs())]
    GreetingTimeout,
    #[error("silent for {} s", limits::FEED_IDLE.as_secs())]
    Silent,
    #[error("the connection ended")]
    Ended,
    #[error("what answers speaks no HTTP, or broke off: {0}")]
    Http(hyper::Error),
    #[error(
        "the core refuses the token with {0}: it needs the role edge and holds for an hour at \
         most; keep a fresh one in the file of --feed-token-file"
    )]
    Refused(StatusCode),
    #[error("the core answered {0}")]
    Status(StatusCode),
    #[error("the answer is no {EVENT_STREAM}")]
    NoEvents,
    #[error("the token cannot be read from {file}: {error}")]
    Token {
        /// Which file.
        file: std::path::PathBuf,
        /// Why.
        error: std::io::Error,
    },
    #[error("the token is no header value of at most {} bytes", limits::MAX_FEED_TOKEN_BYTES)]
    MalformedToken,
    #[error("of the last events none could be read")]
    Nonsense,
    #[error(transparent)]
    Endless(#[from] Endless),
    #[error(transparent)]
    NoGreeting(#[from] super::follower::NoGreeting),
}

/// The answer as it comes.
pub(super) struct Connection {
    body: Incoming,
    _driver: AbortOnDropHandle<()>,
}

impl Connection {
    /// Asks a core for its feed after a number, or from now on.
    pub(super) async fn open(
        core: &Uri,
        token: Option<&HeaderValue>,
        after: Option<i64>,
    ) -> Result<Self, Lost> {
        let path = core.path_and_query().expect("it was checked").as_str();
        let ask = Ask { core, path, accept: HeaderValue::from_static(EVENT_STREAM) };
        let (response, driver) = ask.send(token, after).await?;
        let media_type = response.headers().get(CONTENT_TYPE).map(HeaderValue::as_bytes);
        if !media_type.is_some_and(|it| it.starts_with(EVENT_STREAM.as_bytes())) {
            return Err(Lost::NoEvents);
        }
        Ok(Self { body: response.into_body(), _driver: driver })
    }

    /// The next piece.
    pub(super) async fn piece(&mut self, within: Duration) -> Result<Bytes, Lost> {
        loop {
            match timeout(within, self.body.frame()).await {
                Err(_) => return Err(Lost::Silent),
                Ok(None) => return Err(Lost::Ended),
                Ok(Some(Err(error))) => return Err(Lost::Http(error)),
                Ok(Some(Ok(frame))) => {
                    if let Ok(piece) = frame.into_data() {
                        return Ok(piece);
                    }
                }
            }
        }
    }
}

/// A question to a core, on a connection of its own.
pub(crate) struct Ask<'a> {
    /// Where the core is; it was checked when it was read.
    pub(crate) core: &'a Uri,
    /// Path and query.
    pub(crate) path: &'a str,
    /// The media type of the answer.
    pub(crate) accept: HeaderValue,
}

impl Ask<'_> {
    /// Sends it, and waits for the head of an answer with status 200. The connection lasts as long as the handle.
    ///
    /// # Errors
    /// There is no such answer.
    pub(crate) async fn send(
        &self,
        token: Option<&HeaderValue>,
        after: Option<i64>,
    ) -> Result<(Response<Incoming>, AbortOnDropHandle<()>), Lost> {
        let authority = self.core.authority().expect("it was checked");
        let host = authority.host().trim_start_matches('[').trim_end_matches(']');
        let connect = TcpStream::connect((host, authority.port_u16().unwrap_or(80)));
        let stream = timeout(limits::FEED_CONNECT_TIMEOUT, connect)
            .await
            .map_err(|_| Lost::ConnectTimeout)?
            .map_err(Lost::Connect)?;
        stream.set_nodelay(true).map_err(Lost::Connect)?;
        let request = self.request(token, after);
        let answered = async {
            let (mut sender, connection) =
                hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
            let driver = tokio::spawn(async move {
                // How it ends is seen where the body is read.
                let _ = connection.await;
            });
            let driver = AbortOnDropHandle::new(driver);
            Ok((sender.send_request(request).await?, driver))
        };
        let (response, driver) = timeout(limits::FEED_GREETING_TIMEOUT, answered)
            .await
            .map_err(|_| Lost::GreetingTimeout)?
            .map_err(Lost::Http)?;
        match response.status() {
            StatusCode::OK => Ok((response, driver)),
            status @ (StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) => {
                Err(Lost::Refused(status))
            }
            status => Err(Lost::Status(status)),
        }
    }

    fn request(&self, token: Option<&HeaderValue>, after: Option<i64>) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        // A server is asked for a path. Source: RFC 9112, section 3.2.1.
        *request.uri_mut() = self.path.parse().expect("it comes from a URI");
        let authority = self.core.authority().expect("it was checked").as_str();
        let headers = request.headers_mut();
        headers.insert(HOST, HeaderValue::from_str(authority).expect("an authority is ASCII"));
        headers.insert(ACCEPT, self.accept.clone());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(token.map(|token| (AUTHORIZATION, token.clone())));
        headers.extend(after.map(|after| (LAST_EVENT_ID, HeaderValue::from(after))));
        request
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::{HeaderValue, Uri};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::{Connection, Lost};

    const SECOND: Duration = Duration::from_secs(1);

    /// What comes of a core that answers with these bytes and then holds the connection. With the request.
    async fn asked(answer: &'static str) -> (Result<Connection, Lost>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let core: Uri = format!("http://{}/feed", listener.local_addr().unwrap()).parse().unwrap();
        let serve = tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4_096];
            let bytes = stream.read(&mut request).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            tokio::spawn(async move {
                tokio::time::sleep(60 * SECOND).await;
                drop(stream);
            });
            String::from_utf8_lossy(&request[..bytes]).into_owned()
        });
        let token = HeaderValue::from_static("Bearer t");
        let connection = Connection::open(&core, Some(&token), Some(7)).await;
        (connection, serve.await.unwrap())
    }

    #[tokio::test]
    async fn a_core_is_asked_for_what_comes_after_a_number_and_its_silence_is_noticed() {
        let answer = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n: here\n\n";
        let (connection, request) = asked(answer).await;
        let mut connection = connection.unwrap();
        for line in
            ["GET /feed HTTP/1.1\r\n", "authorization: Bearer t\r\n", "last-event-id: 7\r\n"]
        {
            assert!(request.contains(line), "{request}");
        }
        assert_eq!(connection.piece(SECOND * 20).await.unwrap(), ": here\n\n");
        let lost = connection.piece(SECOND / 10).await.unwrap_err();
        assert!(matches!(lost, Lost::Silent), "{lost}");
    }

    #[tokio::test]
    async fn what_is_no_feed_is_told_by_its_fault() {
        for (answer, says) in [
            ("HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n", "role edge"),
            ("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", "503"),
            ("HTTP/1.1 200 OK\r\ncontent-type: text/html\r\n\r\n", "text/event-stream"),
            ("SSH-2.0-x\r\n\r\n", "no HTTP"),
        ] {
            let (connection, _) = asked(answer).await;
            let lost = connection.err().expect("it is refused").to_string();
            assert!(lost.contains(says), "{lost}");
        }
    }
}

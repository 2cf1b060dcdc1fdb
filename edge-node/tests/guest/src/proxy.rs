//! A guest that is nothing but a proxy, as far as a guest's interface lets it be one: what a cache in front of it does is
//! then to be seen from both sides.

use bytes::Bytes;
use spin_sdk::http::body::IncomingBodyExt as _;
use spin_sdk::http::{FullBody, Request, Response, Result};

/// Sends the request on to `origin`, and gives its answer back.
pub(crate) async fn pass(request: Request, origin: &str) -> Result<Response<FullBody<Bytes>>> {
    let (head, body) = request.into_parts();
    let target = head.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut outbound = Request::new(FullBody::new(body.bytes().await?));
    *outbound.uri_mut() = format!("{origin}{target}").parse().map_err(|_| "no URL")?;
    *outbound.method_mut() = head.method;
    *outbound.headers_mut() = head.headers;
    for name in ["content-length", "host"] {
        outbound.headers_mut().remove(name);
    }
    let answer = spin_sdk::http::send(outbound).await.map_err(|code| format!("{code:?}"))?;
    let (head, body) = answer.into_parts();
    let mut answer = Response::new(FullBody::new(body.bytes().await?));
    *answer.status_mut() = head.status;
    *answer.headers_mut() = head.headers;
    // They are of the hop that is over.
    for name in ["connection", "content-length", "keep-alive", "transfer-encoding"] {
        answer.headers_mut().remove(name);
    }
    Ok(answer)
}

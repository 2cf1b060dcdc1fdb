//! One fetch of the known ids, from a core that has the feed.

use http::{HeaderValue, Uri};
use http_body_util::{BodyExt as _, Limited};
use tiffin_api::known_ids::{Existence, KnownIds, Unusable};

use crate::feed::{Ask, FeedToken, Lost};
use crate::limits;

/// The last segment of the path, in the place of the feed's.
const NAME: &str = "known-ids";

/// Why there is no filter.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error(transparent)]
    Lost(#[from] Lost),
    #[error("no whole answer within {} s", limits::KNOWN_IDS_TIMEOUT.as_secs())]
    Timeout,
    #[error("the answer broke off or has more than {} bytes", limits::MAX_KNOWN_IDS_BYTES)]
    Body,
    #[error("the answer is none of a Tiffin core: {0}")]
    Document(serde_json::Error),
    #[error(transparent)]
    Unusable(#[from] Unusable),
}

/// What a core says.
pub(super) struct Fetched {
    pub(super) existence: Existence,
    /// How many ids it knows.
    pub(super) ids: usize,
    /// When it read them, ms since the Unix epoch.
    pub(super) as_of_ms: i64,
}

/// Asks the core that has a feed.
pub(super) async fn fetch(feed: &Uri, token: &FeedToken) -> Result<Fetched, FetchError> {
    let token = token.header().await?;
    let path = path(feed.path());
    let ask = Ask { core: feed, path: &path, accept: HeaderValue::from_static("application/json") };
    let (response, _driver) = ask.send(token.as_ref(), None).await?;
    let body = Limited::new(response.into_body(), limits::MAX_KNOWN_IDS_BYTES);
    let body = body.collect().await.map_err(|_| FetchError::Body)?.to_bytes();
    let document: KnownIds = serde_json::from_slice(&body).map_err(FetchError::Document)?;
    let ids = document.kinds.values().map(|kind| kind.ids).sum();
    Ok(Fetched { existence: Existence::read(&document)?, ids, as_of_ms: document.as_of_ms })
}

/// Beside the feed: `/internal/feed` becomes `/internal/known-ids`.
fn path(feed: &str) -> String {
    let folder = feed.rfind('/').map_or("/", |end| &feed[..=end]);
    format!("{folder}{NAME}")
}

#[cfg(test)]
mod tests {
    use super::path;

    #[test]
    fn it_lies_beside_the_feed() {
        for (feed, known) in [
            ("/internal/feed", "/internal/known-ids"),
            ("/x/y/feed", "/x/y/known-ids"),
            ("/feed", "/known-ids"),
        ] {
            assert_eq!(path(feed), known);
        }
    }
}

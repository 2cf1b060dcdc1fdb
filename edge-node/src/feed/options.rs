//! Where the feed is, and what opens it.

use std::fmt;
use std::path::PathBuf;

use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Uri};

use super::connection::Lost;
use crate::limits;

/// Where a core has its feed.
const FEED_PATH: &str = "/internal/feed";

/// Where a node hears what has changed. The default is nowhere: entries then live by their own time alone.
#[derive(Debug, Clone, Default)]
pub struct FeedOptions {
    cores: Vec<Uri>,
    /// What each core is shown.
    token: FeedToken,
}

/// What a core is shown to have its feed: a token with the role `edge`.
#[derive(Clone, Default)]
pub enum FeedToken {
    /// Nothing.
    #[default]
    None,
    /// The token itself. It holds for an hour at most.
    Text(String),
    /// A file that holds the token of the hour. It is read anew for each connection.
    File(PathBuf),
}

/// It is a secret.
impl fmt::Debug for FeedToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("None"),
            Self::Text(_) => f.write_str("Text(..)"),
            Self::File(file) => f.debug_tuple("File").field(file).finish(),
        }
    }
}

/// An address that no feed can have.
#[derive(Debug, thiserror::Error)]
#[error("--feed {given:?} {problem}; give a core's address, such as http://core:3001")]
pub struct FeedError {
    given: String,
    problem: &'static str,
}

impl FeedOptions {
    /// Reads the addresses of the cores that share one feed. The path is `/internal/feed` unless one is given.
    ///
    /// # Errors
    /// One is no `http://` address.
    pub fn new(cores: &[String], token: FeedToken) -> Result<Self, FeedError> {
        let cores = cores.iter().map(|given| {
            core(given).map_err(|problem| FeedError { given: given.clone(), problem })
        });
        Ok(Self { cores: cores.collect::<Result<_, _>>()?, token })
    }

    /// Whether there is a feed at all.
    pub(crate) fn is_on(&self) -> bool {
        !self.cores.is_empty()
    }

    /// The feeds of the cores; at least one if it is on.
    pub(crate) fn cores(&self) -> &[Uri] {
        &self.cores
    }

    /// What each core is shown.
    pub(crate) fn token(&self) -> &FeedToken {
        &self.token
    }
}

fn core(given: &str) -> Result<Uri, &'static str> {
    let uri: Uri = given.parse().map_err(|_| "is no URL")?;
    if uri.scheme() != Some(&Scheme::HTTP) {
        return Err("does not begin with http:// (put a proxy that speaks TLS in between)");
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("has a user in it, which would show in logs");
    }
    let mut parts = uri.into_parts();
    if parts.path_and_query.as_ref().is_none_or(|path| path == "/") {
        parts.path_and_query = Some(PathAndQuery::from_static(FEED_PATH));
    }
    Uri::from_parts(parts).map_err(|_| "is no URL")
}

impl FeedToken {
    /// The header that shows it.
    pub(crate) async fn header(&self) -> Result<Option<HeaderValue>, Lost> {
        let text = match self {
            Self::None => return Ok(None),
            Self::Text(text) => text.clone(),
            Self::File(file) => {
                let path = file.clone();
                let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path));
                let text = read.await.map_err(std::io::Error::other).and_then(|text| text);
                text.map_err(|error| Lost::Token { file: file.clone(), error })?
            }
        };
        let text = text.trim();
        let value = HeaderValue::try_from(format!("Bearer {text}")).ok();
        let value = value.filter(|_| (1..=limits::MAX_FEED_TOKEN_BYTES).contains(&text.len()));
        let mut value = value.ok_or(Lost::MalformedToken)?;
        value.set_sensitive(true);
        Ok(Some(value))
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{FeedOptions, FeedToken};

    #[test]
    fn an_address_is_a_cores_and_may_leave_the_path_out() {
        let read = |given: &str| FeedOptions::new(&[given.to_owned()], FeedToken::None);
        for (given, url) in [
            ("http://core:3001", "http://core:3001/internal/feed"),
            ("http://core", "http://core/internal/feed"),
            ("http://[::1]:3001/", "http://[::1]:3001/internal/feed"),
            ("http://core/x/feed?after=0", "http://core/x/feed?after=0"),
        ] {
            assert_eq!(read(given).unwrap().cores()[0].to_string(), url);
        }
        for given in
            ["", "core:3001", "/internal/feed", "https://core", "http://a:b@core", "http://"]
        {
            let error = read(given).unwrap_err().to_string();
            assert!(error.contains("--feed") && error.contains("http://core:3001"), "{error}");
        }
        assert!(!FeedOptions::default().is_on());
    }

    #[tokio::test]
    async fn a_token_comes_fresh_from_its_file_and_never_shows() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let token = FeedToken::File(file.path().to_owned());
        assert!(token.header().await.is_err(), "an empty file holds no token");
        for (added, expected) in [("one\n", "Bearer one"), ("\x08", "")] {
            file.write_all(added.as_bytes()).unwrap();
            let header = token.header().await.ok().flatten();
            assert_eq!(header.as_ref().map_or("", |it| it.to_str().unwrap()), expected);
        }
        let missing = FeedToken::File("/nowhere/token".into()).header().await.unwrap_err();
        assert!(missing.to_string().contains("/nowhere/token"), "{missing}");
        assert!(!format!("{:?}", FeedToken::Text("secret".to_owned())).contains("secret"));
    }
}

//! Who may speak to the admin listener: programs of the core team, never a web page that somebody on the same machine
//! or network opened.
//!
//! A page can make its browser send requests anywhere. Three things tell them apart, and no page can leave them out or
//! choose them: the `Origin` of whatever may act, `Sec-Fetch-Site`, and the `Host`, which is the page's own name even
//! if its owner has that name point here (DNS rebinding). Beside them a token may be asked for whatever acts.
//! Source: the Fetch standard, "Origin" and "Sec-Fetch-Site".

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST, ORIGIN};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderName, Method, StatusCode, Version};
use subtle::ConstantTimeEq as _;

use crate::limits;
use crate::node::StartError;

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What the admin listener is told of who may use it.
#[derive(Debug, Clone, Default, PartialEq, Eq, clap::Args)]
pub struct AdminAccess {
    /// A name by which the admin address is asked, beside IP addresses and localhost. May be repeated; in the variable,
    /// by commas.
    #[arg(
        long = "admin-host",
        value_name = "NAME",
        env = "EDGE_ADMIN_HOSTS",
        value_delimiter = ','
    )]
    pub hosts: Vec<String>,

    /// A file with a token that POST /purge and POST /reload then need: `Authorization: Bearer TOKEN`. Read anew each
    /// time.
    #[arg(long = "admin-token-file", value_name = "FILE", env = "EDGE_ADMIN_TOKEN_FILE")]
    pub token_file: Option<PathBuf>,
}

impl AdminAccess {
    /// Whether there is a token, if one is asked for.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) async fn check(&self) -> Result<(), StartError> {
        let Some(file) = self.token_file.clone() else { return Ok(()) };
        match read_token(&file).await {
            Ok(_) => Ok(()),
            Err(reason) => Err(StartError::AdminToken { file, reason }),
        }
    }
}

/// Why a request is refused, and with what status.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Refusal(pub(super) StatusCode, pub(super) &'static str);

/// Decides by a request's head.
pub(super) struct Guard {
    access: AdminAccess,
    /// Where the listener is bound.
    bound: SocketAddr,
}

impl Guard {
    pub(super) fn new(access: AdminAccess, bound: SocketAddr) -> Self {
        Self { access, bound }
    }

    /// Whether the request may be answered at all, and act if it asks for that.
    pub(super) async fn check(&self, head: &Parts) -> Result<(), Refusal> {
        // Balancers ask by any name, and what they hear is no secret.
        if matches!(head.uri.path(), "/healthz" | "/readyz") {
            return Ok(());
        }
        self.check_sender(head)?;
        if matches!(head.method, Method::GET | Method::HEAD) {
            return Ok(());
        }
        check_media_type(head)?;
        match &self.access.token_file {
            None => Ok(()),
            Some(file) => match read_token(file).await {
                Ok(token) if is_borne(head, &token) => Ok(()),
                Ok(_) => Err(Refusal(StatusCode::UNAUTHORIZED, "a valid bearer token is needed\n")),
                Err(error) => {
                    let file = file.display();
                    tracing::warn!(%file, error, "nobody may purge or reload: no admin token");
                    Err(Refusal(
                        StatusCode::UNAUTHORIZED,
                        "the node has no token to compare with\n",
                    ))
                }
            },
        }
    }

    fn check_sender(&self, head: &Parts) -> Result<(), Refusal> {
        const FOREIGN: Refusal = Refusal(StatusCode::FORBIDDEN, "not for web pages\n");
        let bad_host = Refusal(StatusCode::BAD_REQUEST, "there must be one Host header\n");
        let mut hosts = head.headers.get_all(HOST).iter();
        let host = match (hosts.next(), hosts.next()) {
            (Some(host), None) => Authority::try_from(host.as_bytes()).map_err(|_| bad_host)?,
            // What is older than Host is no browser.
            (None, _) if head.version < Version::HTTP_11 => return Ok(()),
            _ => return Err(bad_host),
        };
        if !self.is_ours(host.host()) {
            let why = "not a name of this node; allow it with --admin-host\n";
            return Err(Refusal(StatusCode::FORBIDDEN, why));
        }
        let mut sites = head.headers.get_all(&SEC_FETCH_SITE).iter();
        if sites.any(|site| site != "same-origin" && site != "none") {
            return Err(FOREIGN);
        }
        let own = format!("http://{host}");
        let is_foreign = |origin: &[u8]| !origin.eq_ignore_ascii_case(own.as_bytes());
        if head.headers.get_all(ORIGIN).iter().any(|origin| is_foreign(origin.as_bytes())) {
            return Err(FOREIGN);
        }
        Ok(())
    }

    /// Whether a host, as a URI has it, names this node and cannot be made to by others.
    fn is_ours(&self, host: &str) -> bool {
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        match bare.parse::<IpAddr>() {
            // Nobody can have an address point elsewhere. One that is not ours got here by a detour all the same.
            Ok(address) => {
                let bound = self.bound.ip();
                address.is_loopback() || bound.is_unspecified() || address == bound
            }
            Err(_) => {
                host.eq_ignore_ascii_case("localhost")
                    || self.access.hosts.iter().any(|name| host.eq_ignore_ascii_case(name))
            }
        }
    }
}

/// The types that orders come in: JSON, or what `curl -d` calls any body; or none said at all. Of a page's form the
/// `Origin` tells.
fn check_media_type(head: &Parts) -> Result<(), Refusal> {
    let allowed = ["application/json", "application/x-www-form-urlencoded"];
    let is_allowed = |value: &http::HeaderValue| {
        let essence = value.to_str().unwrap_or_default().split(';').next().unwrap_or_default();
        allowed.iter().any(|it| essence.trim().eq_ignore_ascii_case(it))
    };
    if head.headers.get_all(CONTENT_TYPE).iter().all(is_allowed) {
        return Ok(());
    }
    Err(Refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, "say content-type: application/json\n"))
}

fn is_borne(head: &Parts, token: &str) -> bool {
    let mut said = head.headers.get_all(AUTHORIZATION).iter();
    let (Some(said), None) = (said.next(), said.next()) else { return false };
    let Some((scheme, said)) = said.to_str().ok().and_then(|said| said.split_once(' ')) else {
        return false;
    };
    scheme.eq_ignore_ascii_case("bearer")
        && bool::from(said.trim().as_bytes().ct_eq(token.as_bytes()))
}

/// The token in a file.
///
/// # Errors
/// Why there is none, without the file's name.
async fn read_token(file: &Path) -> Result<String, String> {
    let text = tokio::fs::read_to_string(file).await.map_err(|error| error.to_string())?;
    match text.trim() {
        "" => Err("the file is empty".to_owned()),
        token if token.len() > limits::MAX_ADMIN_TOKEN_BYTES => {
            Err(format!("a token has at most {} bytes", limits::MAX_ADMIN_TOKEN_BYTES))
        }
        token => Ok(token.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use http::Request;

    use super::{AdminAccess, Guard};

    fn guard(bound: &str, hosts: &[&str]) -> Guard {
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect();
        Guard::new(AdminAccess { hosts, token_file: None }, bound.parse().unwrap())
    }

    async fn status(guard: &Guard, method: &str, lines: &[(&str, &str)]) -> u16 {
        let request = Request::builder().method(method).uri("/purge");
        let add =
            |request: http::request::Builder, line: &(&str, &str)| request.header(line.0, line.1);
        let head = lines.iter().fold(request, add).body(()).unwrap().into_parts().0;
        guard.check(&head).await.map_or_else(|refusal| refusal.0.as_u16(), |()| 200)
    }

    #[tokio::test]
    async fn only_names_that_nobody_else_can_point_here_are_ours() {
        let (own, any) = (guard("10.1.1.1:3002", &["Edge-7.internal"]), guard("[::]:3002", &[]));
        for (host, by_own, by_any) in [
            ("127.0.0.1:3002", 200, 200),
            ("127.9.9.9", 200, 200),
            ("localhost:3002", 200, 200),
            ("LOCALHOST", 200, 200),
            ("[::1]:3002", 200, 200),
            ("10.1.1.1:3002", 200, 200),
            ("10.1.1.2:3002", 403, 200),
            ("edge-7.internal:3002", 200, 403),
            ("rebound.example:3002", 403, 403),
            ("localhost.example", 403, 403),
            ("127.0.0.1.example", 403, 403),
            ("127.0.0.1@rebound.example", 403, 403),
            ("a b", 400, 400),
        ] {
            let probe = Request::get("/readyz").header("host", host).body(()).unwrap();
            assert!(own.check(&probe.into_parts().0).await.is_ok(), "{host}");
            for method in ["GET", "POST"] {
                let lines = [("host", host)];
                assert_eq!(status(&own, method, &lines).await, by_own, "{method} {host}");
                assert_eq!(status(&any, method, &lines).await, by_any, "{method} {host}");
            }
        }
        assert_eq!(status(&own, "POST", &[]).await, 400);
        assert_eq!(
            status(&own, "POST", &[("host", "localhost"), ("host", "localhost")]).await,
            400
        );
    }

    #[tokio::test]
    async fn what_a_page_makes_its_browser_send_is_refused() {
        let guard = guard("127.0.0.1:3002", &[]);
        for (name, value, expected) in [
            ("origin", "https://shop.example", 403),
            ("origin", "null", 403),
            ("origin", "http://127.0.0.1:3000", 403),
            ("origin", "https://127.0.0.1:3002", 403),
            ("origin", "http://127.0.0.1:3002", 200),
            ("sec-fetch-site", "cross-site", 403),
            ("sec-fetch-site", "same-site", 403),
            ("sec-fetch-site", "same-origin", 200),
            ("sec-fetch-site", "none", 200),
            ("content-type", "text/plain;charset=UTF-8", 415),
            ("content-type", "multipart/form-data; boundary=x", 415),
            ("content-type", "Application/JSON; charset=utf-8", 200),
            ("content-type", "application/x-www-form-urlencoded", 200),
        ] {
            let lines = [("host", "127.0.0.1:3002"), (name, value)];
            assert_eq!(status(&guard, "POST", &lines).await, expected, "{name}: {value}");
        }
    }

    #[tokio::test]
    async fn with_a_token_only_its_bearer_acts_and_everybody_looks() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        let mut guard = guard("127.0.0.1:3002", &[]);
        guard.access.token_file = Some(file.path().to_owned());
        let host = ("host", "localhost");
        let bearer = ("authorization", "Bearer s3cret-one");
        assert_eq!(status(&guard, "POST", &[host, bearer]).await, 401, "an empty file");
        assert_eq!(status(&guard, "POST", &[host, ("authorization", "Bearer ")]).await, 401);
        writeln!(file, "s3cret-one").unwrap();
        assert_eq!(status(&guard, "POST", &[host, bearer]).await, 200);
        assert_eq!(status(&guard, "POST", &[host, bearer, bearer]).await, 401);
        assert_eq!(status(&guard, "GET", &[host]).await, 200);
        for wrong in ["Bearer s3cret-on", "Bearer s3cret-one2", "Basic s3cret-one", "s3cret-one"] {
            assert_eq!(status(&guard, "POST", &[host, ("authorization", wrong)]).await, 401);
        }
    }
}

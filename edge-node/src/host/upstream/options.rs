//! What an operator says about an upstream: `AUTHORITY=ADDRESS[,ADDRESS..][;KEY=VALUE..]`.
//!
//! The function knows one URL, and so does the manifest; here it gets several addresses, a protocol and a
//! check of its health. Keys: `health` (a path, or `none`), `health-every-ms`, `protocol` (`http1`, `http2`;
//! by default HTTP/1.1, and over TLS what the upstream prefers) and `open-ms` (how long its breaker stays open).

use std::str::FromStr;
use std::time::Duration;

use http::Uri;
use http::uri::{Authority, Scheme};

use crate::limits;

const HEALTH_PATH: &str = "/readyz";

/// What is spoken with an upstream.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UpstreamProtocol {
    /// HTTP/1.1 in clear; over TLS HTTP/2 if the upstream agrees to it (ALPN), else HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1, whatever it offers.
    Http1,
    /// HTTP/2, by prior knowledge in clear (RFC 9113, section 3.3), by ALPN over TLS.
    Http2,
}

/// One upstream with what is to be done for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamOptions {
    /// Scheme, host and port as a component's URLs have them: `http://core.example:3001`.
    pub origin: String,
    /// Where it is really asked, as `host:port`.
    pub addresses: Vec<String>,
    /// What is spoken.
    pub protocol: UpstreamProtocol,
    /// The path that is asked for the addresses' health; none for no checks.
    pub health_path: Option<String>,
    /// How often.
    pub health_every: Duration,
    /// How long its breaker stays open.
    pub open: Duration,
}

/// What is wrong with an upstream's options, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UpstreamOptionsError(String);

/// The scheme, host and port of a URI in one spelling: lower case, with the port.
pub(super) fn origin_of(uri: &Uri) -> Option<String> {
    let (scheme, host) = (uri.scheme()?, uri.host().filter(|host| !host.is_empty())?);
    let port = uri.port_u16().or_else(|| well_known_port(scheme))?;
    let mut origin = format!("{scheme}://{host}:{port}");
    origin.make_ascii_lowercase();
    Some(origin)
}

fn well_known_port(scheme: &Scheme) -> Option<u16> {
    if *scheme == Scheme::HTTP {
        Some(80)
    } else if *scheme == Scheme::HTTPS {
        Some(443)
    } else {
        None
    }
}

impl FromStr for UpstreamOptions {
    type Err = UpstreamOptionsError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = |reason: String| UpstreamOptionsError(format!("upstream {text:?}: {reason}"));
        let mut parts = text.split(';');
        let (name, addresses) =
            parts.next().and_then(|first| first.split_once('=')).ok_or_else(|| {
                error(
                    "say AUTHORITY=ADDRESS, like core.example:3001=10.0.0.1:3001,10.0.0.2:3001"
                        .to_owned(),
                )
            })?;
        let url = if name.contains("://") { name.to_owned() } else { format!("http://{name}") };
        let uri = url.parse::<Uri>().ok().filter(|uri| matches!(uri.path(), "" | "/"));
        let origin = uri.as_ref().and_then(origin_of).ok_or_else(|| {
            error(format!(
                "{name:?} is not [http:// or https://]host[:port], as a component's URL has it"
            ))
        })?;
        let mut options = Self {
            origin,
            addresses: addresses.split(',').map(|address| address.trim().to_owned()).collect(),
            protocol: UpstreamProtocol::default(),
            health_path: Some(HEALTH_PATH.to_owned()),
            health_every: Duration::from_millis(limits::HEALTH_EVERY_MS),
            open: Duration::from_millis(limits::BREAKER_OPEN_MS),
        };
        for address in &options.addresses {
            let authority = address.parse::<Authority>().ok();
            if authority.is_none_or(|it| it.port_u16().is_none() || it.as_str().contains('@')) {
                return Err(error(format!("the address {address:?} is not host:port")));
            }
        }
        if options.addresses.len() > limits::MAX_ENDPOINTS {
            return Err(error(format!("it has more than {} addresses", limits::MAX_ENDPOINTS)));
        }
        for part in parts {
            options.set(part).map_err(error)?;
        }
        Ok(options)
    }
}

impl UpstreamOptions {
    fn set(&mut self, part: &str) -> Result<(), String> {
        let (key, value) =
            part.split_once('=').ok_or_else(|| format!("{part:?} is not KEY=VALUE"))?;
        match key.trim() {
            "health" if value == "none" => self.health_path = None,
            "health" if value.starts_with('/') && value.parse::<Uri>().is_ok() => {
                self.health_path = Some(value.to_owned());
            }
            "health" => return Err(format!("health is a path or none, not {value:?}")),
            "health-every-ms" => {
                self.health_every = milliseconds(key, value, limits::HEALTH_EVERY_RANGE_MS)?;
            }
            "open-ms" => self.open = milliseconds(key, value, [1, limits::MAX_BREAKER_OPEN_MS])?,
            "protocol" => {
                self.protocol = match value {
                    "auto" => UpstreamProtocol::Auto,
                    "http1" => UpstreamProtocol::Http1,
                    "http2" => UpstreamProtocol::Http2,
                    _ => return Err(format!("protocol is auto, http1 or http2, not {value:?}")),
                };
            }
            _ => {
                return Err(format!(
                    "there is no key {key:?}; there are health, health-every-ms, protocol and open-ms"
                ));
            }
        }
        Ok(())
    }
}

fn milliseconds(key: &str, value: &str, [min, max]: [u64; 2]) -> Result<Duration, String> {
    let number = value.parse().ok().filter(|number| (min..=max).contains(number));
    number
        .map(Duration::from_millis)
        .ok_or_else(|| format!("{key} is a number from {min} to {max}, not {value:?}"))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{UpstreamOptions, UpstreamProtocol};

    #[test]
    fn an_upstream_is_said_in_one_line() {
        let plain: UpstreamOptions = "Core.example:3001=10.0.0.1:3001, [::1]:3001".parse().unwrap();
        assert_eq!(plain.origin, "http://core.example:3001");
        assert_eq!(plain.addresses, ["10.0.0.1:3001", "[::1]:3001"]);
        assert_eq!(plain.health_path.as_deref(), Some("/readyz"));
        let full = "https://core=a:1;health=none;protocol=http2;open-ms=70;health-every-ms=50";
        let full: UpstreamOptions = full.parse().unwrap();
        assert_eq!(full.origin, "https://core:443");
        assert_eq!((full.protocol, full.health_path), (UpstreamProtocol::Http2, None));
        assert_eq!(
            (full.open, full.health_every),
            (Duration::from_millis(70), Duration::from_millis(50))
        );
    }

    #[test]
    fn bad_options_say_why() {
        for (text, reason) in [
            ("core:3001", "say AUTHORITY=ADDRESS"),
            ("core:3001=", "is not host:port"),
            ("core:3001=10.0.0.1", "is not host:port"),
            ("core:3001=u@a:1", "is not host:port"),
            ("core/x=a:1", "is not [http://"),
            ("ftp://core=a:1", "is not [http://"),
            ("core=a:1;health=readyz", "a path or none"),
            ("core=a:1;health", "KEY=VALUE"),
            ("core=a:1;open-ms=0", "from 1 to"),
            ("core=a:1;health-every-ms=1s", "from 50 to"),
            ("core=a:1;protocol=h3", "auto, http1 or http2"),
            ("core=a:1;retries=9", "there is no key"),
        ] {
            let said = text.parse::<UpstreamOptions>().unwrap_err().to_string();
            assert!(said.contains(reason) && said.contains(text), "{text}: {said}");
        }
    }
}

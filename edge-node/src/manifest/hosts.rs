//! `allowed_outbound_hosts`: where a component may send requests. The rules are Spin's.
//!
//! An entry is `scheme://host[:port]`; each part may be `*`, a host may be `*.domain`, an address,
//! a CIDR block, or `self` (this application's own routes), a port may be a range `a..b`. Without a
//! port the scheme's own is meant. Nothing is allowed that no entry allows.

use std::net::IpAddr;
use std::ops::Range;

use http::Uri;
use http::uri::Authority;

const CHAINING_SUFFIX: &str = ".spin.internal";
/// What stands for this application where a URL must have a host.
const SELF_HOST: &str = "self.alt";

/// The entries of one component.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct AllowedHosts(Vec<Entry>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    /// None is any.
    scheme: Option<String>,
    host: Host,
    /// None is any.
    ports: Option<Range<u32>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Host {
    Any,
    /// The suffix, with its leading dot.
    AnySubdomain(String),
    ToSelf,
    Name(String),
    Block {
        network: IpAddr,
        prefix_bits: u32,
    },
}

impl AllowedHosts {
    /// Parses resolved entries. Beside the good ones it returns what is wrong with each other one.
    pub(super) fn parse_good(entries: Vec<String>) -> (Self, Vec<String>) {
        // A template over an empty variable is an endpoint that is not wanted, as in Spin.
        let wanted = |entry: &String| !matches!(entry.as_str(), "" | "http://" | "https://");
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for entry in entries.into_iter().filter(wanted) {
            match Entry::parse(entry.trim()) {
                Ok(parsed) => good.push(parsed),
                Err(reason) => bad.push(format!("{entry:?} {reason}")),
            }
        }
        (Self(good), bad)
    }

    /// Whether no request may be sent at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether any entry leads to this application's own routes or components.
    pub(crate) fn reach_application(&self) -> bool {
        self.0.iter().any(Entry::reaches_application)
    }

    /// Whether a request to `uri` may be sent. A URI without a host means this application.
    pub(crate) fn allows(&self, uri: &Uri) -> bool {
        if is_to_self(uri) {
            return self.0.iter().any(|entry| {
                matches!(entry.host, Host::Any | Host::ToSelf)
                    && entry.scheme.as_deref().is_none_or(|s| s == "http" || s == "https")
            });
        }
        let (Some(scheme), Some(host)) = (uri.scheme_str(), uri.host()) else { return false };
        let port = uri.port_u16().or_else(|| well_known_port(scheme));
        self.0.iter().any(|entry| {
            entry.scheme.as_deref().is_none_or(|allowed| allowed == scheme)
                && entry.host.allows(host)
                && entry
                    .ports
                    .as_ref()
                    .is_none_or(|ports| port.is_some_and(|port| ports.contains(&u32::from(port))))
        })
    }
}

impl Entry {
    /// Whether it lets a component ask this application's own routes or components.
    fn reaches_application(&self) -> bool {
        match &self.host {
            Host::Any | Host::ToSelf => true,
            // Also a part of the suffix, as in `*.internal`.
            Host::AnySubdomain(suffix) => CHAINING_SUFFIX.ends_with(suffix.as_str()),
            Host::Name(name) => name.ends_with(CHAINING_SUFFIX),
            Host::Block { .. } => false,
        }
    }
}

/// Whether `uri` means this application: no host, or the name that stands for it.
pub(crate) fn is_to_self(uri: &Uri) -> bool {
    uri.host().is_none_or(|host| host.is_empty() || host == SELF_HOST)
}

/// The component that `http://<id>.spin.internal` means.
pub(crate) fn chained_component(authority: &Authority) -> Option<&str> {
    authority.host().strip_suffix(CHAINING_SUFFIX).filter(|id| !id.contains('.'))
}

impl Entry {
    fn parse(entry: &str) -> Result<Self, String> {
        let (scheme, rest) = entry.split_once("://").ok_or(
            "is no allowed host: it must be <scheme>://<host>[:<port>], where each may be '*'",
        )?;
        if scheme != "*" && !scheme.chars().all(char::is_alphabetic) {
            return Err("has a scheme of other than letters".to_owned());
        }
        let (host, port) = split_port(rest.strip_suffix('/').unwrap_or(rest));
        let ports = match port {
            Some("*") => None,
            Some(port) => Some(parse_ports(port)?),
            None => {
                let port = well_known_port(scheme)
                    .ok_or_else(|| format!("needs a port: {scheme:?} has none of its own"))?;
                Some(u32::from(port)..u32::from(port) + 1)
            }
        };
        let scheme = (scheme != "*").then(|| scheme.to_owned());
        Ok(Self { scheme, host: Host::parse(host.trim())?, ports })
    }
}

/// Splits `host:port`, where the host may be `[v6]`, a bare v6 address or a v6 block.
fn split_port(rest: &str) -> (&str, Option<&str>) {
    if Host::parse_block(rest).is_some() {
        return (rest, None);
    }
    match rest.rsplit_once(':') {
        Some((host, "")) => (host, None),
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (rest, None),
    }
}

fn parse_ports(port: &str) -> Result<Range<u32>, String> {
    let number = |text: &str| {
        text.parse::<u16>().map(u32::from).map_err(|_| format!("has a port {text:?}, not a number"))
    };
    match port.split_once("..") {
        Some((first, end)) => Ok(number(first)?..number(end)?),
        None => number(port).map(|port| port..port + 1),
    }
}

fn well_known_port(scheme: &str) -> Option<u16> {
    match scheme {
        "http" => Some(80),
        "https" => Some(443),
        "redis" => Some(6379),
        "mysql" => Some(3306),
        "postgres" => Some(5432),
        "mqtt" => Some(1883),
        _ => None,
    }
}

impl Host {
    fn parse(host: &str) -> Result<Self, String> {
        if host == "*" {
            return Ok(Self::Any);
        }
        if host == "self" || host == SELF_HOST {
            return Ok(Self::ToSelf);
        }
        if let Some(block) = Self::parse_block(host) {
            return Ok(block);
        }
        if host.contains('/') {
            return Err("has a path, and must not".to_owned());
        }
        if let Some(domain) = host.strip_prefix('*') {
            if !domain.starts_with('.') || domain.len() == 1 || domain.contains('*') {
                return Err("has a '*' that is neither the whole host nor a subdomain".to_owned());
            }
            return Ok(Self::AnySubdomain(domain.to_ascii_lowercase()));
        }
        let well_formed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
        if host.is_empty() || !host.chars().all(well_formed) {
            return Err("has no well-formed host".to_owned());
        }
        Ok(Self::Name(host.to_ascii_lowercase()))
    }

    fn parse_block(host: &str) -> Option<Self> {
        let (address, prefix) = match host.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (host, None),
        };
        let network = parse_address(address)?;
        let width = address_bits(network).1;
        let prefix_bits = match prefix {
            Some(prefix) => prefix.parse().ok().filter(|bits| *bits <= width)?,
            None => width,
        };
        Some(Self::Block { network, prefix_bits })
    }

    fn allows(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::ToSelf => false,
            Self::Name(name) => host.eq_ignore_ascii_case(name),
            Self::AnySubdomain(suffix) => host.to_ascii_lowercase().ends_with(suffix),
            Self::Block { network, prefix_bits } => parse_address(host).is_some_and(|address| {
                let ((ours, width), (theirs, other_width)) =
                    (address_bits(*network), address_bits(address));
                // Bits below the prefix do not count; a shift by the whole width would overflow.
                let shift = width - prefix_bits;
                width == other_width
                    && ours.checked_shr(shift).unwrap_or(0)
                        == theirs.checked_shr(shift).unwrap_or(0)
            }),
        }
    }
}

fn parse_address(host: &str) -> Option<IpAddr> {
    let bare = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(host);
    bare.parse().ok()
}

/// The address as a number, and its width.
fn address_bits(address: IpAddr) -> (u128, u32) {
    match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    }
}

#[cfg(test)]
mod tests {
    use super::AllowedHosts;

    #[test]
    fn entries_allow_what_spin_allows() {
        let cases: [(&str, &[&str], &[&str]); 12] = [
            ("http://core:3001", &["http://core:3001/v1"], &["http://core/", "https://core:3001/"]),
            ("http://core", &["http://core/", "http://CORE:80/"], &["http://core:81/"]),
            ("https://core/", &["https://core/x"], &["http://core/"]),
            ("*://core:*", &["http://core:1/", "https://core/"], &["http://core2/"]),
            ("http://*:80", &["http://any/"], &["http://any:81/"]),
            ("http://*.example.com", &["http://a.example.com/"], &["http://example.com/"]),
            ("http://127.0.0.1:3001", &["http://127.0.0.1:3001/"], &["http://127.0.0.2:3001/"]),
            ("http://10.0.0.0/8", &["http://10.9.8.7/"], &["http://11.0.0.1/", "http://ten/"]),
            ("http://[::1]:3001", &["http://[::1]:3001/"], &["http://[::2]:3001/"]),
            ("http://core:3000..3002", &["http://core:3001/"], &["http://core:3002/"]),
            ("http://self", &["/own", "http://self.alt/own"], &["http://self/"]),
            ("http://*.spin.internal", &["http://menu.spin.internal/"], &["http://menu/", "/own"]),
        ];
        for (entry, allowed, denied) in cases {
            let (hosts, bad) = AllowedHosts::parse_good(vec![entry.to_owned()]);
            assert_eq!(bad, Vec::<String>::new());
            for uri in allowed {
                assert!(hosts.allows(&uri.parse().unwrap()), "{entry} should allow {uri}");
            }
            for uri in denied {
                assert!(!hosts.allows(&uri.parse().unwrap()), "{entry} should deny {uri}");
            }
        }
    }

    #[test]
    fn it_is_known_who_may_ask_the_application_itself() {
        for (entry, expected) in [
            ("http://self", true),
            ("http://menu.spin.internal", true),
            ("http://*.spin.internal", true),
            ("http://*.internal", true),
            ("*://*:*", true),
            ("http://*.example.com", false),
            ("http://core:3001", false),
            ("http://10.0.0.0/8", false),
        ] {
            let hosts = AllowedHosts::parse_good(vec![entry.to_owned()]).0;
            assert_eq!(hosts.reach_application(), expected, "{entry}");
        }
    }

    #[test]
    fn nothing_is_allowed_by_no_entry_or_an_empty_one() {
        for entries in [vec![], vec![String::new()], vec!["http://".to_owned()]] {
            let (hosts, bad) = AllowedHosts::parse_good(entries);
            assert_eq!(bad, Vec::<String>::new());
            assert!(!hosts.allows(&"http://core/".parse().unwrap()));
        }
    }

    #[test]
    fn bad_entries_say_why() {
        for (entry, reason) in [
            ("core", "must be <scheme>"),
            ("*", "must be <scheme>"),
            ("insecure:allow-all", "must be <scheme>"),
            ("http://core/path", "path"),
            ("http://core:port", "not a number"),
            ("ftp://core", "needs a port"),
            ("h2://core:1", "other than letters"),
            ("http://a.*.com", "well-formed"),
            ("http://*com", "neither"),
            ("http://", "ok"),
        ] {
            let (_, bad) = AllowedHosts::parse_good(vec![entry.to_owned()]);
            let said = bad.first().map_or("ok", String::as_str);
            assert!(said.contains(reason), "{entry}: {said}");
        }
    }
}

//! `allowed_outbound_hosts`: where a component may send requests. The rules are Spin's.
//!
//! An entry is `scheme://host[:port]`; each part may be `*`, a host may be `*.domain`, an address,
//! a CIDR block, or `self` (this application's own routes), a port may be a range `a..b`. Without a
//! port the scheme's own is meant. Nothing is allowed that no entry allows. The table of cases is in `spin_rules`.

use std::net::IpAddr;
use std::ops::Range;

use http::Uri;
use http::uri::Authority;

use super::variables::Filled;

const CHAINING_SUFFIX: &str = ".spin.internal";
/// What stands for this application where a URL must have a host.
const SELF_HOST: &str = "self.alt";
const PATH: &str = "has a path, and must not";

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
    /// Parses the entries of one of the components `ids`. Beside the good ones it returns what is wrong with each
    /// other one.
    pub(super) fn parse_good(entries: Vec<Filled>, ids: &[String]) -> (Self, Vec<String>) {
        // A template over an empty variable is an endpoint that is not wanted, as in Spin.
        let is_wanted = |entry: &Filled| {
            !entry.is_template() || !matches!(&*entry.value, "" | "http://" | "https://")
        };
        let (mut good, mut bad) = (Vec::new(), Vec::new());
        for entry in entries.into_iter().filter(is_wanted) {
            match Entry::parse(entry.value.trim()) {
                Ok(parsed) => good.extend(parsed.expand(ids)),
                // Any part of the value may be the secret.
                Err(_) if entry.is_secret => {
                    let template = entry.template;
                    bad.push(format!("{template:?} is no allowed host with its variables' values"));
                }
                Err(reason) => bad.push(format!("{:?} {reason}", entry.value)),
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
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, "")) => (host, None),
            // The colons of an IPv6 address are no port's.
            Some((host, port)) if Host::parse(rest).is_err() => (host, Some(port)),
            Some(_) | None => (rest, None),
        };
        let ports = match port.map(|port| port.strip_suffix('/').unwrap_or(port)) {
            Some("*") => None,
            Some(port) if port.contains('/') => return Err(PATH.to_owned()),
            Some(port) => Some(parse_ports(port)?),
            None => {
                let port = well_known_port(scheme)
                    .ok_or_else(|| format!("needs a port: {scheme:?} has none of its own"))?;
                Some(u32::from(port)..u32::from(port) + 1)
            }
        };
        let scheme = (scheme != "*").then(|| scheme.to_owned());
        Ok(Self { scheme, host: Host::parse(host)?, ports })
    }

    /// All components of the application, where it means them all, as in Spin; else itself.
    fn expand(self, ids: &[String]) -> Vec<Self> {
        match &self.host {
            Host::AnySubdomain(suffix) if suffix == CHAINING_SUFFIX => {
                let name = |id: &String| Host::Name(format!("{id}{CHAINING_SUFFIX}"));
                ids.iter().map(|id| Self { host: name(id), ..self.clone() }).collect()
            }
            Host::Any
            | Host::AnySubdomain(_)
            | Host::ToSelf
            | Host::Name(_)
            | Host::Block { .. } => vec![self],
        }
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
        let host = host.trim();
        match host {
            "*" => return Ok(Self::Any),
            "self" | SELF_HOST => return Ok(Self::ToSelf),
            _ => {}
        }
        if let Some(block) = Self::parse_block(host) {
            return Ok(block);
        }
        let host = host.strip_suffix('/').unwrap_or(host);
        if host.contains('/') {
            return Err(PATH.to_owned());
        }
        if let Some(domain) = host.strip_prefix("*.") {
            if !is_domain(domain) {
                return Err("has a '*' that is not before a domain".to_owned());
            }
            return Ok(Self::AnySubdomain(format!(".{}", domain.to_ascii_lowercase())));
        }
        if host.contains('*') {
            return Err("has a '*' that is neither the whole host nor a subdomain".to_owned());
        }
        // An IPv6 address without brackets would be taken apart at its colons.
        let is_bare = host.contains(':') && !host.starts_with('[');
        if let Some(network) = parse_address(host).filter(|_| !is_bare) {
            return Ok(Self::Block { network, prefix_bits: address_bits(network).1 });
        }
        if !is_domain(host) {
            return Err("has no well-formed host".to_owned());
        }
        Ok(Self::Name(host.to_ascii_lowercase()))
    }

    fn parse_block(host: &str) -> Option<Self> {
        let (address, prefix) = host.split_once('/')?;
        let network = address.parse().ok()?;
        let width = address_bits(network).1;
        let prefix_bits = prefix.parse().ok().filter(|bits| *bits <= width)?;
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

/// Whether it is a name and no address. One of other than ASCII letters must be written as it is asked for: `xn--`.
fn is_domain(host: &str) -> bool {
    let is_good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_');
    !host.is_empty() && host.chars().all(is_good) && parse_address(host).is_none()
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
    use super::{AllowedHosts, Filled};

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
            let (template, value) = (entry.to_owned(), entry.to_owned());
            let entries = vec![Filled { template, value, is_secret: false }];
            let hosts = AllowedHosts::parse_good(entries, &["menu".to_owned()]).0;
            assert_eq!(hosts.reach_application(), expected, "{entry}");
        }
    }
}

//! A second version of a component beside the first, and who is answered by it.
//!
//! | request | answered by |
//! |---|---|
//! | `x-version` names the second version | the second |
//! | `x-version` says anything else | the first: who asks for a version is never given one by chance, and one header may go to all components, whatever versions they have |
//! | no `x-version`, from a client | the second for `weight_percent` of all clients |
//! | no `x-version`, from another component | the first |
//!
//! A client is who it is to the rate limit (`server::clients`): an address or the /64 of an IPv6 one, which trusted proxies
//! may have told. The share is taken by a hash of client, component and version: a client stays with one version over
//! requests, restarts and nodes, and one who was among five percent is among ten. Clients behind one address (a
//! carrier's gateway, a proxy that the node was not told of) go together.
//!
//! What is answered says so in `x-version`. The cache keeps the versions apart; purges reach both.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderMap, HeaderName};
use sha2::{Digest as _, Sha256};

use crate::manifest::{self, STABLE_VERSION};

/// Names a version: in a request the one that is wanted, in an answer the one that gave it.
pub(crate) const X_VERSION: HeaderName = HeaderName::from_static("x-version");

/// The second versions of an application, by component.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Canaries {
    by_component: BTreeMap<String, Canary>,
    stable: Arc<str>,
}

/// A second version.
#[derive(Debug, PartialEq, Eq)]
struct Canary {
    /// The id under which it runs.
    id: Arc<str>,
    version: Arc<str>,
    weight_percent: u8,
}

/// The version that answers a request, of a component that has two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Its name.
    pub(crate) version: Arc<str>,
    /// The id under which it runs, if it is the second.
    pub(crate) canary: Option<Arc<str>>,
}

impl Canaries {
    /// Those of a manifest.
    pub(crate) fn of(canaries: &BTreeMap<String, manifest::Canary>) -> Self {
        let canary = |canary: &manifest::Canary| Canary {
            id: Arc::from(canary.component.id.as_str()),
            version: Arc::from(canary.version.as_str()),
            weight_percent: canary.weight_percent,
        };
        let by_component = canaries.iter().map(|(id, it)| (id.clone(), canary(it))).collect();
        Self { by_component, stable: Arc::from(STABLE_VERSION) }
    }

    /// Whether every component has one version only.
    pub(crate) fn is_empty(&self) -> bool {
        self.by_component.is_empty()
    }

    /// Who answers, if the component has two versions. There is no client if another component asks.
    pub(crate) fn choose(
        &self,
        component: &str,
        request: &HeaderMap,
        client: Option<IpAddr>,
    ) -> Option<Choice> {
        let canary = self.by_component.get(component)?;
        let is_second = match (request.get(&X_VERSION), client) {
            (Some(wanted), _) => wanted.as_bytes() == canary.version.as_bytes(),
            (None, Some(client)) => canary.has(component, client),
            (None, None) => false,
        };
        Some(match is_second {
            true => {
                let (version, id) = (Arc::clone(&canary.version), Arc::clone(&canary.id));
                Choice { version, canary: Some(id) }
            }
            false => Choice { version: Arc::clone(&self.stable), canary: None },
        })
    }
}

impl Canary {
    /// Whether a client is among its share.
    fn has(&self, component: &str, client: IpAddr) -> bool {
        let parts = [component, &self.version, &client.to_string()].join("\n");
        let [high, low, ..] = <[u8; 32]>::from(Sha256::digest(parts));
        u32::from(u16::from_be_bytes([high, low])) * 100 < u32::from(self.weight_percent) << 16
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::net::{IpAddr, Ipv4Addr};

    use http::HeaderMap;

    use super::{Canaries, Canary, X_VERSION};

    fn canaries(weight_percent: u8) -> Canaries {
        let canary = Canary { id: "menu@next".into(), version: "next".into(), weight_percent };
        let by_component = BTreeMap::from([("menu".to_owned(), canary)]);
        Canaries { by_component, stable: "stable".into() }
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn who_asks_for_a_version_is_not_given_one_by_chance() {
        for (weight_percent, wanted, client, expected) in [
            (0, Some("next"), address("192.0.2.1"), "next"),
            (100, Some("stable"), address("192.0.2.1"), "stable"),
            (100, Some("unknown"), address("192.0.2.1"), "stable"),
            (100, Some(""), address("192.0.2.1"), "stable"),
            (100, None, address("192.0.2.1"), "next"),
            (0, None, address("192.0.2.1"), "stable"),
            (100, None, None, "stable"),
            (0, Some("next"), None, "next"),
        ] {
            let mut request = HeaderMap::new();
            request.extend(wanted.map(|wanted| (X_VERSION, wanted.parse().unwrap())));
            let chosen = canaries(weight_percent).choose("menu", &request, client).unwrap();
            assert_eq!(&*chosen.version, expected, "{weight_percent} {wanted:?} {client:?}");
            assert_eq!(chosen.canary.is_some(), expected == "next");
        }
        assert_eq!(canaries(100).choose("other", &HeaderMap::new(), None), None);
    }

    #[test]
    fn a_client_stays_where_it_is_and_the_share_is_what_was_asked_for() {
        let chosen = |weight_percent, address| {
            let canaries = canaries(weight_percent);
            canaries.choose("menu", &HeaderMap::new(), Some(address)).unwrap().canary.is_some()
        };
        let clients = (0..20_000).map(|n| IpAddr::from(Ipv4Addr::from_bits(0x0a00_0000 + n)));
        let (five, ten): (Vec<_>, Vec<_>) =
            clients.map(|client| (chosen(5, client), chosen(10, client))).unzip();
        let count = |chosen: &[bool]| chosen.iter().filter(|it| **it).count();
        assert!((850..1150).contains(&count(&five)), "{}", count(&five));
        assert!((1800..2200).contains(&count(&ten)), "{}", count(&ten));
        assert!(five.iter().zip(&ten).all(|(five, ten)| !five || *ten), "who is in stays in");
        // The same on every node and after every restart.
        assert!(!chosen(5, address("192.0.2.1").unwrap()));
    }
}

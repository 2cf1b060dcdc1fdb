//! Who a request is from, and how much one client may have of the node.
//!
//! A client is an IPv4 address or an IPv6 /64: who has one address there has them all. It is the peer of
//! the connection, unless so many proxies as the operator says stand before the node and have each
//! appended the address that they were asked from to `X-Forwarded-For`; what stands further left
//! anybody may have written. Where the header is shorter than that, it did not come by those proxies,
//! and the peer is the client after all.
//!
//! Rates are token buckets (GCRA), off by default: the node cannot know whether it stands behind a
//! proxy, and behind one that it was not told of, a limit would hold for all clients together. Every
//! request counts, whether the cache answers it or a guest, because a client cannot know which; only
//! Spin's health path does not. Invariant: nothing here grows with the number of addresses that ask.
//! Start at [`Clients::admit`].

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::keyed::DefaultKeyedStateStore;
use governor::{Quota, RateLimiter};
use http::{HeaderMap, HeaderName};
use prometheus_client::metrics::gauge::Gauge;

use crate::limits;
use crate::problem::Problem;

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// How much one client may ask of the node, and how it is known.
#[derive(Debug, Clone, Copy, Default, clap::Args)]
pub struct ClientLimits {
    /// Requests per second that one client (an IPv4 address or an IPv6 /64) may make; beyond, it is
    /// told 429 and when to come back. 0 is no limit.
    #[arg(long = "client-rate", value_name = "N", default_value_t = 0, env = "EDGE_CLIENT_RATE")]
    pub rate: u32,

    /// Requests that a client may make at once before its rate counts [default: twice the rate]
    #[arg(long = "client-burst", value_name = "N", env = "EDGE_CLIENT_BURST")]
    pub burst: Option<NonZeroU32>,

    /// How many proxies stand before the node that each append to X-Forwarded-For: the client is the
    /// address so many from the right. 0 trusts nobody: the client is who connects.
    #[arg(
        long = "trust-forwarded-for",
        value_name = "HOPS",
        default_value_t = 0,
        env = "EDGE_TRUST_FORWARDED_FOR"
    )]
    pub trusted_hops: usize,
}

/// The clients of one node.
pub(super) struct Clients {
    trusted_hops: usize,
    rates: Option<Rates>,
    connections: Arc<Counts>,
}

impl Clients {
    /// Without clients. `rated` shows how many have a rate of their own.
    pub(super) fn new(limits: ClientLimits, rated: Gauge) -> Self {
        let rates = NonZeroU32::new(limits.rate).map(|rate| {
            let twice = rate.saturating_add(rate.get());
            let quota = Quota::per_second(rate).allow_burst(limits.burst.unwrap_or(twice));
            Rates::new(quota, DefaultClock::default(), rated)
        });
        let connections = Counts::new(limits::MAX_CONNECTIONS_PER_CLIENT);
        Self { trusted_hops: limits.trusted_hops, rates, connections }
    }

    /// A place for one more connection; none if the peer has its share. A trusted proxy's
    /// connections are not one client's.
    pub(super) fn connect(&self, peer: IpAddr) -> Option<Connected> {
        if self.trusted_hops > 0 {
            return Some(Connected(None));
        }
        self.connections.join(owner(peer)).map(|counted| Connected(Some(counted)))
    }

    /// Whom a request is from.
    pub(super) fn identify(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        owner(forwarded(headers, self.trusted_hops).unwrap_or(peer))
    }

    /// Takes one request from what the client may make.
    ///
    /// # Errors
    /// The problem to answer with.
    pub(super) fn admit(&self, client: IpAddr) -> Result<(), Problem> {
        self.rates.as_ref().map_or(Ok(()), |rates| rates.take(client))
    }
}

/// A connection that counts among its client's, if it is one client's.
pub(super) struct Connected(#[expect(dead_code, reason = "its drop is its use")] Option<Counted>);

/// Whom an address belongs to: an IPv6 client has a whole /64 to choose from.
fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() >> 64 << 64).into(),
    }
}

/// The address so many from the right.
fn forwarded(headers: &HeaderMap, hops: usize) -> Option<IpAddr> {
    let nth = hops.checked_sub(1)?;
    let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
    let mut addresses = lines.flat_map(|line| line.to_str().unwrap_or("").rsplit(','));
    let address = addresses.nth(nth)?.trim();
    // Some proxies add the port, and then IPv6 comes in brackets.
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    let with_port = || address.parse::<std::net::SocketAddr>().map(|address| address.ip());
    bare.unwrap_or(address).parse().or_else(|_| with_port()).ok()
}

/// Whose rate it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Key {
    Client(IpAddr),
    /// All whose hash is this, while there are too many clients.
    Group(u64),
}

type Limiter<C> =
    RateLimiter<Key, DefaultKeyedStateStore<Key>, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// The token buckets.
struct Rates<C: Clock = DefaultClock> {
    limiter: Limiter<C>,
    hasher: RandomState,
    /// Wraps around.
    taken: AtomicU32,
    is_crowded: AtomicBool,
    rated: Gauge,
}

impl<C: Clock> Rates<C> {
    fn new(quota: Quota, clock: C, rated: Gauge) -> Self {
        let limiter = Limiter::new(quota, DefaultKeyedStateStore::default(), clock);
        let (taken, is_crowded) = (AtomicU32::default(), AtomicBool::default());
        Self { limiter, hasher: RandomState::new(), taken, is_crowded, rated }
    }

    fn take(&self, client: IpAddr) -> Result<(), Problem> {
        let taken = self.taken.fetch_add(1, Ordering::Relaxed);
        if taken.is_multiple_of(limits::RATED_CLIENTS_SWEEP) {
            self.sweep();
        }
        let key = match self.is_crowded.load(Ordering::Relaxed) {
            true => Key::Group(self.hasher.hash_one(client) % limits::MAX_CLIENT_GROUPS),
            false => Key::Client(client),
        };
        self.limiter.check_key(&key).map_err(|refused| {
            let wait = refused.wait_time_from(self.limiter.clock().now());
            let whole = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX - 1);
            Problem::RateLimited { retry_after_s: whole + u32::from(wait.subsec_nanos() > 0) }
        })
    }

    /// Forgets who has been quiet for so long that the bucket is full again.
    fn sweep(&self) {
        if self.limiter.len() >= limits::MAX_RATED_CLIENTS / 2 {
            self.limiter.retain_recent();
        }
        let rated = self.limiter.len();
        self.is_crowded.store(rated >= limits::MAX_RATED_CLIENTS, Ordering::Relaxed);
        self.rated.set(i64::try_from(rated).unwrap_or(i64::MAX));
    }
}

/// How many of something each client has. Only clients with at least one have an entry.
pub(super) struct Counts {
    counts: Mutex<HashMap<IpAddr, usize>>,
    max: usize,
}

impl Counts {
    /// At most `max` for each client.
    pub(super) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self { counts: Mutex::default(), max })
    }

    /// One more until the returned guard is dropped; none if the client has its share.
    pub(super) fn join(self: &Arc<Self>, client: IpAddr) -> Option<Counted> {
        let mut counts = self.lock();
        let count = counts.entry(client).or_default();
        if *count >= self.max {
            return None;
        }
        *count += 1;
        Some(Counted { counts: Arc::clone(self), client })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of what a client has.
pub(super) struct Counted {
    counts: Arc<Counts>,
    client: IpAddr,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut counts = self.counts.lock();
        if let Some(count) = counts.get_mut(&self.client) {
            *count -= 1;
            if *count == 0 {
                counts.remove(&self.client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::num::NonZeroU32;
    use std::time::Duration;

    use governor::Quota;
    use governor::clock::FakeRelativeClock;
    use http::HeaderMap;
    use prometheus_client::metrics::gauge::Gauge;

    use super::{ClientLimits, Clients, Counts, Rates, X_FORWARDED_FOR};
    use crate::limits;
    use crate::problem::Problem;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn rates() -> (Rates<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        let quota = Quota::per_second(NonZeroU32::new(2).unwrap());
        let quota = quota.allow_burst(NonZeroU32::new(3).unwrap());
        (Rates::new(quota, clock.clone(), Gauge::default()), clock)
    }

    #[test]
    fn a_bucket_empties_and_fills_again_and_says_when() {
        let (rates, clock) = rates();
        let (one, other) = (address("192.0.2.1"), address("192.0.2.2"));
        for _ in 0..3 {
            rates.take(one).unwrap();
        }
        assert_eq!(rates.take(one), Err(Problem::RateLimited { retry_after_s: 1 }));
        rates.take(other).unwrap();
        clock.advance(Duration::from_millis(500));
        rates.take(one).unwrap();
        assert!(rates.take(one).is_err());
    }

    #[test]
    fn quiet_clients_are_forgotten_and_a_crowd_of_them_is_bounded() {
        let (rates, clock) = rates();
        let clients = |from: u32, count: usize| {
            (from..).take(count).map(|n| IpAddr::from(Ipv4Addr::from_bits(n)))
        };
        let crowd = limits::MAX_RATED_CLIENTS + 20_000;
        // Those who share a rate may be refused.
        let served = clients(0, crowd).filter(|client| rates.take(*client).is_ok()).count();
        assert!(served >= limits::MAX_RATED_CLIENTS, "{served}");
        let sweep = limits::RATED_CLIENTS_SWEEP as usize;
        let groups = usize::try_from(limits::MAX_CLIENT_GROUPS).unwrap();
        let most = limits::MAX_RATED_CLIENTS + sweep + groups;
        assert!(rates.limiter.len() <= most, "{}", rates.limiter.len());
        clock.advance(Duration::from_secs(60));
        clients(1 << 24, 2 * sweep).for_each(|client| rates.take(client).unwrap());
        assert!(rates.limiter.len() <= 2 * sweep, "{}", rates.limiter.len());
    }

    #[test]
    fn the_client_is_the_address_that_the_last_trusted_proxy_saw() {
        let peer = address("192.0.2.9");
        let two = &["6.6.6.6, 198.51.100.1", "203.0.113.2"][..];
        for (hops, lines, expected) in [
            (0, two, "192.0.2.9"),
            (1, two, "203.0.113.2"),
            (2, two, "198.51.100.1"),
            (4, two, "192.0.2.9"),
            (1, &[], "192.0.2.9"),
            (1, &["nonsense"], "192.0.2.9"),
            (1, &[" 203.0.113.2:4711 "], "203.0.113.2"),
            (1, &["2001:db8:0:1::2"], "2001:db8:0:1::"),
            (1, &["[2001:db8::2]"], "2001:db8::"),
            (1, &["[2001:db8::2]:80"], "2001:db8::"),
            (1, &["::ffff:203.0.113.2"], "203.0.113.2"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(X_FORWARDED_FOR, line.parse().unwrap());
            }
            let limits = ClientLimits { trusted_hops: hops, ..ClientLimits::default() };
            let clients = Clients::new(limits, Gauge::default());
            assert_eq!(clients.identify(&headers, peer), address(expected), "{hops} {lines:?}");
        }
    }

    #[test]
    fn a_client_has_its_share_and_leaves_no_trace() {
        let counts = Counts::new(3);
        let [one, other] = [address("192.0.2.1"), address("192.0.2.2")];
        let mut places: Vec<_> = (0..3).map(|_| counts.join(one).unwrap()).collect();
        assert!(counts.join(one).is_none());
        assert!(counts.join(other).is_some());
        places.pop();
        assert!(counts.join(one).is_some());
        places.clear();
        assert!(counts.lock().is_empty());
    }

    #[test]
    fn connections_count_by_network_and_not_behind_a_proxy() {
        let clients = |trusted_hops| {
            let limits = ClientLimits { trusted_hops, ..ClientLimits::default() };
            Clients::new(limits, Gauge::default())
        };
        let all = limits::MAX_CONNECTIONS_PER_CLIENT + 1;
        let places = |clients: &Clients| {
            let connect = |n| clients.connect(address(&format!("2001:db8::{n:x}")));
            let places: Vec<_> = (0..all).filter_map(connect).collect();
            let other = clients.connect(address("2001:db8:0:1::1"));
            assert!(other.is_some(), "another network");
            places.len()
        };
        assert_eq!(places(&clients(0)), all - 1);
        assert_eq!(places(&clients(1)), all);
    }
}

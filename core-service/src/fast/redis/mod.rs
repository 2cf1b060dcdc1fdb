//! The fast store on Redis ≥ 6.2 or Valkey, shared by every core.
//!
//! One multiplexed connection carries all calls; it comes back by itself. Each move is one Lua script, called
//! by its SHA: a server that does not know it (a restart, SCRIPT FLUSH) is given it once more and asked again.
//! Invariant: no call takes longer than its time, [`limits::FAST_TIMEOUT`], whatever the server or the network does.
//! A call that timed out may have had its effect.

mod news;
mod scripts;

use super::{Admission, Admit, Allowance, FastError, FastStore, GateTag, Rate, Reply, Window};
use super::{Subscription, keys, sum, totals};
use crate::limits;
use ::redis::aio::{ConnectionManager, ConnectionManagerConfig};
use ::redis::io::tcp::{TcpSettings, socket2::TcpKeepalive};
use ::redis::{
    AsyncCommands as _, Client, ErrorKind, FromRedisValue, IntoConnectionInfo as _, RedisError,
    ScriptInvocation, ServerErrorKind, SetExpiry, SetOptions,
};
use bytes::Bytes;
use scripts::Scripts;
use std::time::Duration;

/// The store.
pub struct Redis {
    client: Client,
    connection: ConnectionManager,
    scripts: Scripts,
    timeout: Duration,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The client knows the password.
        formatter.debug_struct("Redis").finish_non_exhaustive()
    }
}

impl Redis {
    /// The store at `url` (`redis://[user:password@]host:port/database`, or `redis+unix:///path`). Connects in
    /// the background: a server that is not there yet is no error. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// [`FastError::Address`].
    pub fn open(url: &str) -> Result<Self, FastError> {
        Self::open_within(url, limits::FAST_TIMEOUT)
    }

    /// The same, with another time for each call: for tests of what does not depend on it, and for audits.
    ///
    /// # Errors
    /// [`FastError::Address`].
    pub fn open_within(url: &str, timeout: Duration) -> Result<Self, FastError> {
        let address = |error: RedisError| FastError::Address(error.to_string());
        let keepalive = TcpKeepalive::new()
            .with_time(limits::FAST_KEEPALIVE)
            .with_interval(limits::FAST_KEEPALIVE);
        let tcp = TcpSettings::default().set_nodelay(true).set_keepalive(keepalive);
        #[cfg(target_os = "linux")]
        let tcp = tcp.set_user_timeout(limits::FAST_UNACKNOWLEDGED);
        let info = url.into_connection_info().map_err(address)?.set_tcp_settings(tcp);
        let client = Client::open(info).map_err(address)?;
        let config = ConnectionManagerConfig::new()
            // Whoever calls next tries again; until then a dead server is not asked.
            .set_number_of_retries(0)
            .set_connection_timeout(Some(limits::FAST_CONNECT_TIMEOUT))
            .set_response_timeout(Some(timeout))
            .set_pipeline_buffer_size(limits::FAST_COMMANDS_WAITING);
        let connection =
            ConnectionManager::new_lazy_with_config(client.clone(), config).map_err(address)?;
        let mut warm = connection.clone();
        tokio::spawn(async move {
            if let Err(error) = ::redis::cmd("PING").exec_async(&mut warm).await {
                tracing::warn!(%error, "Redis does not answer; orders go on without it");
            }
        });
        Ok(Self { client, connection, scripts: Scripts::new(), timeout })
    }

    /// One call within its time. The scripts' own repetition counts towards it.
    async fn call<T>(
        &self,
        work: impl AsyncFnOnce(&mut ConnectionManager) -> Result<T, RedisError>,
    ) -> Result<T, FastError> {
        let mut connection = self.connection.clone();
        match tokio::time::timeout(self.timeout, work(&mut connection)).await {
            Ok(answer) => answer.map_err(|error| translate(&error)),
            Err(_) => Err(FastError::Timeout),
        }
    }

    async fn run<T: FromRedisValue>(&self, script: ScriptInvocation<'_>) -> Result<T, FastError> {
        self.call(async |connection| script.invoke_async(connection).await).await
    }

    /// Runs `release.lua`: `items` return, `units` are no longer held.
    async fn let_go(
        &self,
        tag: GateTag,
        user: i64,
        items: &[(i64, i64)],
        units: i64,
    ) -> Result<(), FastError> {
        let mut script = self.scripts.release.key(keys::held(tag, user));
        script.arg(limits::GATE_HELD_MS).arg(units);
        for (item, units) in items {
            script.key(keys::left(tag, *item)).arg(*units);
        }
        self.run(script).await
    }
}

/// What an error means to the caller: wait, go without, or look for the defect.
fn translate(error: &RedisError) -> FastError {
    if error.is_timeout() {
        return FastError::Timeout;
    }
    match error.kind() {
        ErrorKind::Io | ErrorKind::AuthenticationFailed | ErrorKind::ClusterConnectionNotFound => {
            FastError::Unavailable(error.to_string())
        }
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::TryAgain
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::NoPerm,
        ) => FastError::Unavailable(error.to_string()),
        _ => match error.code() {
            // Busy with somebody's script, out of memory, unable to persist, asking for a password.
            Some("BUSY" | "OOM" | "MISCONF" | "NOAUTH" | "NOREPLICAS") => {
                FastError::Unavailable(error.to_string())
            }
            _ => FastError::Protocol(error.to_string()),
        },
    }
}

fn millis(ttl: Duration) -> u64 {
    // Redis refuses a TTL of 0.
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, LONGEST_TTL_MS)
}

/// A TTL that Redis takes whatever its clock says: a century.
const LONGEST_TTL_MS: u64 = 100 * 366 * 24 * 3_600 * 1_000;

fn allowance(answer: i64) -> Allowance {
    if answer < 0 {
        return Allowance::Allowed;
    }
    Allowance::Denied { retry_after_ms: answer.max(1) }
}

impl FastStore for Redis {
    fn ping(&self) -> Reply<'_, ()> {
        Box::pin(async {
            let ping =
                || self.call(async |connection| ::redis::cmd("PING").exec_async(connection).await);
            match ping().await {
                // The first call after a lost connection may only learn of the loss, and begin anew.
                Err(FastError::Unavailable(_)) => ping().await,
                answer => answer,
            }
        })
    }

    fn admit<'a>(&'a self, admission: &'a Admission<'a>) -> Reply<'a, Admit> {
        Box::pin(async move {
            let (tag, totals) = (admission.tag, totals(admission.wants));
            let mut script = self.scripts.admit.key(keys::seen(tag, admission.request));
            script.key(keys::held(tag, admission.user));
            script.arg(admission.held_cap_units);
            script.arg(limits::GATE_SEEN_MS).arg(limits::GATE_HELD_MS);
            for (item, units) in &totals {
                script.key(keys::left(tag, *item)).arg(*units);
            }
            let answer: Vec<i64> = self.run(script).await?;
            match answer[..] {
                [0] => Ok(Admit::Admitted),
                [1] => Ok(Admit::Repeat),
                [2] => Ok(Admit::Unknown),
                [3, place] => usize::try_from(place - 1)
                    .ok()
                    .and_then(|index| totals.get(index))
                    .map(|(item, _)| Admit::SoldOut { item: *item })
                    .ok_or_else(|| FastError::Protocol(format!("admit.lua named item {place}"))),
                [4] => Ok(Admit::OverCap),
                _ => Err(FastError::Protocol(format!("admit.lua answered {answer:?}"))),
            }
        })
    }

    fn give_back<'a>(&'a self, admission: &'a Admission<'a>) -> Reply<'a, bool> {
        Box::pin(async move {
            let (tag, totals) = (admission.tag, totals(admission.wants));
            let mut script = self.scripts.give_back.key(keys::seen(tag, admission.request));
            script.key(keys::held(tag, admission.user));
            script.arg(limits::GATE_HELD_MS).arg(sum(&totals));
            for (item, units) in &totals {
                script.key(keys::left(tag, *item)).arg(*units);
            }
            self.run(script).await
        })
    }

    fn release<'a>(&'a self, tag: GateTag, user: i64, items: &'a [(i64, i64)]) -> Reply<'a, ()> {
        Box::pin(async move {
            let totals = totals(items);
            self.let_go(tag, user, &totals, sum(&totals)).await
        })
    }

    fn settle(&self, tag: GateTag, user: i64, units: i64) -> Reply<'_, ()> {
        Box::pin(self.let_go(tag, user, &[], units))
    }

    fn load<'a>(&'a self, tag: GateTag, left: &'a [(i64, i64)], overwrite: bool) -> Reply<'a, ()> {
        Box::pin(async move {
            if left.is_empty() {
                return Ok(());
            }
            let mut script = self.scripts.load.arg(i64::from(overwrite));
            for (item, units) in left {
                script.key(keys::left(tag, *item)).arg(*units);
            }
            self.run(script).await
        })
    }

    fn forget<'a>(&'a self, tag: GateTag, items: &'a [i64]) -> Reply<'a, ()> {
        Box::pin(async move {
            if items.is_empty() {
                return Ok(());
            }
            let keys: Vec<_> = items.iter().map(|item| keys::left(tag, *item)).collect();
            self.call(async |connection| connection.del(keys).await).await
        })
    }

    fn counters<'a>(&'a self, tag: GateTag, items: &'a [i64]) -> Reply<'a, Vec<Option<i64>>> {
        Box::pin(async move {
            if items.is_empty() {
                return Ok(Vec::new());
            }
            let keys: Vec<_> = items.iter().map(|item| keys::left(tag, *item)).collect();
            let texts: Vec<Option<Bytes>> =
                self.call(async |connection| connection.mget(keys).await).await?;
            Ok(texts.into_iter().map(|text| integer(text?.as_ref())).collect())
        })
    }

    fn held(&self, tag: GateTag, user: i64) -> Reply<'_, i64> {
        Box::pin(async move {
            // MGET answers nothing for a key of another type, where GET would fail.
            let keys = [keys::held(tag, user)];
            let texts: Vec<Option<Bytes>> =
                self.call(async |connection| connection.mget(&keys).await).await?;
            Ok(texts.into_iter().flatten().find_map(|text| integer(text.as_ref())).unwrap_or(0))
        })
    }

    fn set_held(&self, tag: GateTag, user: i64, units: i64) -> Reply<'_, ()> {
        Box::pin(async move {
            let key = keys::held(tag, user);
            if units <= 0 {
                return self.call(async |connection| connection.del(key).await).await;
            }
            let ttl = Duration::from_millis(limits::GATE_HELD_MS.unsigned_abs());
            let options = SetOptions::default().with_expiration(SetExpiry::PX(millis(ttl)));
            self.call(async |connection| connection.set_options(key, units, options).await).await
        })
    }

    fn take_token<'a>(&'a self, key: &'a str, rate: Rate, now_ms: i64) -> Reply<'a, Allowance> {
        Box::pin(async move {
            let mut script = self.scripts.take_token.key(keys::bucket(key));
            script.arg(rate.capacity_parts()).arg(rate.parts_per_ms());
            script.arg(now_ms).arg(limits::RATE_SLACK_MS);
            self.run(script).await.map(allowance)
        })
    }

    fn slide<'a>(
        &'a self,
        key: &'a str,
        window: Window,
        now_ms: i64,
        unique_id: &'a str,
    ) -> Reply<'a, Allowance> {
        Box::pin(async move {
            let mut script = self.scripts.slide.key(keys::window(key));
            script.arg(window.limit).arg(window.window_ms).arg(now_ms);
            script.arg(unique_id).arg(limits::RATE_SLACK_MS);
            self.run(script).await.map(allowance)
        })
    }

    fn lease<'a>(&'a self, name: &'a str, owner: &'a str, ttl: Duration) -> Reply<'a, bool> {
        Box::pin(async move {
            let mut script = self.scripts.lease.key(keys::lease(name));
            script.arg(owner).arg(millis(ttl));
            self.run(script).await
        })
    }

    fn release_lease<'a>(&'a self, name: &'a str, owner: &'a str) -> Reply<'a, bool> {
        Box::pin(async move {
            let mut script = self.scripts.release_lease.key(keys::lease(name));
            script.arg(owner);
            self.run(script).await
        })
    }

    fn cache_get<'a>(&'a self, key: &'a str) -> Reply<'a, Option<Bytes>> {
        let key = keys::cached(key);
        Box::pin(self.call(async move |connection| connection.get(key).await))
    }

    fn cache_put<'a>(&'a self, key: &'a str, value: Bytes, ttl: Duration) -> Reply<'a, ()> {
        Box::pin(async move {
            let options = SetOptions::default().with_expiration(SetExpiry::PX(millis(ttl)));
            let (key, value) = (keys::cached(key), value.as_ref());
            self.call(async |connection| connection.set_options(key, value, options).await).await
        })
    }

    fn cache_drop<'a>(&'a self, key: &'a str) -> Reply<'a, ()> {
        let key = keys::cached(key);
        Box::pin(self.call(async move |connection| connection.del(key).await))
    }

    fn publish<'a>(&'a self, channel: &'a str, message: Bytes) -> Reply<'a, ()> {
        Box::pin(async move {
            let (channel, message) = (keys::channel(channel), message.as_ref());
            self.call(async |connection| connection.publish(channel, message).await).await
        })
    }

    fn subscribe(&self, channel: &str) -> Subscription {
        news::subscribe(self.client.clone(), keys::channel(channel))
    }
}

/// A counter's value, by the scripts' rule.
fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let plain = !digits.is_empty() && text.len() <= 16 && digits.iter().all(u8::is_ascii_digit);
    plain.then(|| std::str::from_utf8(text).ok()?.parse().ok()).flatten()
}

//! The fast store that a history's cores share: somebody else's service, like the provider. It outlives them, and
//! everything that can happen to it happens here, before the guard and the gate that the core puts before it.
//!
//! Invariant: calls come one after another in one order, because the world waits for what the gate begins. So a
//! mishap that is planned for some call meets the same one every time. Only the guard's probe runs beside others: it
//! arrives between two steps.

use crate::history::Mishap;
use bytes::Bytes;
use core_service::clock::Clock;
use core_service::fast::memory::Memory;
use core_service::fast::{
    Admission, Admit, Allowance, FastError, FastStore, GateTag, Rate, Reply, Subscription, Window,
};
use futures::future::BoxFuture;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;

/// Turns that other tasks get while what is on its way arrives: far more than there are tasks.
const TURNS: u32 = 8;

/// A call that takes effect when nobody waits for it any more.
type Late = Box<dyn FnOnce(Arc<Memory>) -> BoxFuture<'static, ()> + Send>;

/// One of them.
fn late<F>(call: impl FnOnce(Arc<Memory>) -> F + Send + 'static) -> Late
where
    F: Future<Output = ()> + Send + 'static,
{
    Box::new(|memory| Box::pin(call(memory)))
}

/// The store.
pub(crate) struct Frail {
    memory: Arc<Memory>,
    trouble: Mutex<Trouble>,
    /// Told when what is on its way arrives.
    arrival: Notify,
}

/// What is wrong with it.
#[derive(Default)]
struct Trouble {
    /// It is out of reach.
    gone: bool,
    /// Calls that still go well, and then so many that do not.
    planned: Option<(u8, u8, Mishap)>,
    /// What the marker of the next request will be.
    marker: Option<bool>,
    /// Calls on their way to it.
    late: Vec<Late>,
    /// How often what happened.
    met: BTreeMap<String, u64>,
}

impl Frail {
    /// An empty store, whose entries live by `clock`.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let memory = Arc::new(Memory::new(clock));
        Self { memory, trouble: Mutex::default(), arrival: Notify::new() }
    }

    /// What it holds, past all trouble.
    pub(crate) fn memory(&self) -> &Memory {
        &self.memory
    }

    /// After so many calls, so many go wrong.
    pub(crate) fn plan(&self, after: u8, calls: u8, how: Mishap) {
        self.trouble().planned = Some((after, calls, how));
    }

    /// It goes out of reach, or comes back.
    pub(crate) fn set_gone(&self, gone: bool) {
        self.trouble().gone = gone;
    }

    /// Whether it is out of reach.
    pub(crate) fn is_gone(&self) -> bool {
        self.trouble().gone
    }

    /// The next request at a gate finds itself marked as admitted, or not, whatever is true.
    pub(crate) fn lie(&self, marked: bool) {
        self.trouble().marker = Some(marked);
    }

    /// Nothing goes wrong from now on.
    pub(crate) fn mend(&self) {
        let mut trouble = self.trouble();
        (trouble.gone, trouble.planned, trouble.marker) = (false, None, None);
    }

    /// What was on its way arrives.
    pub(crate) async fn arrive(&self) {
        let late = std::mem::take(&mut self.trouble().late);
        for call in late {
            call(Arc::clone(&self.memory)).await;
        }
        // A probe that was just begun waits by the first turn, and has told the guard by the last.
        for turn in 0..TURNS {
            if turn == TURNS / 2 {
                self.arrival.notify_waiters();
            }
            tokio::task::yield_now().await;
        }
    }

    /// What has happened since this was asked last, and how often.
    pub(crate) fn take_met(&self) -> BTreeMap<String, u64> {
        std::mem::take(&mut self.trouble().met)
    }

    fn trouble(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A call that changes nothing.
    fn read<'a, T: Send + 'a>(&'a self, name: &'static str, call: Reply<'a, T>) -> Reply<'a, T> {
        self.shift(name, call, || late(|_| async {}))
    }

    /// A call that changes something, now or, by `afterwards`, when nobody waits for it any more.
    fn shift<'a, T: Send + 'a>(
        &'a self,
        name: &'static str,
        call: Reply<'a, T>,
        afterwards: impl FnOnce() -> Late + Send + 'a,
    ) -> Reply<'a, T> {
        Box::pin(async move {
            let met = self.trouble().meet(name);
            match met {
                None => return call.await,
                Some(Mishap::Lost) => {}
                Some(Mishap::AnswerLost) => _ = call.await?,
                Some(Mishap::Late) => self.trouble().late.push(afterwards()),
            }
            Err(FastError::Timeout)
        })
    }
}

impl Trouble {
    /// What goes wrong with a call.
    fn meet(&mut self, name: &'static str) -> Option<Mishap> {
        let how = match &mut self.planned {
            _ if self.gone => Mishap::Lost,
            None => return None,
            Some((after, ..)) if *after > 0 => {
                *after -= 1;
                return None;
            }
            Some((_, calls, how)) => {
                let how = *how;
                *calls = calls.saturating_sub(1);
                if *calls == 0 {
                    self.planned = None;
                }
                how
            }
        };
        let what = if self.gone { "gone".to_owned() } else { format!("{how:?}") };
        *self.met.entry(format!("fast store: {name} was {what}")).or_default() += 1;
        Some(how)
    }
}

/// An [`Admission`] that outlives its caller.
struct Owned {
    tag: GateTag,
    user: i64,
    request: String,
    wants: Vec<(i64, i64)>,
    held_cap_units: i64,
}

impl Owned {
    fn of(admission: &Admission<'_>) -> Self {
        let Admission { tag, user, request, wants, held_cap_units } = *admission;
        Self { tag, user, request: request.to_owned(), wants: wants.to_vec(), held_cap_units }
    }

    fn lend(&self) -> Admission<'_> {
        let Self { tag, user, request, wants, held_cap_units } = self;
        Admission { tag: *tag, user: *user, request, wants, held_cap_units: *held_cap_units }
    }
}

/// Written out call by call: which of them change something is what each line says, and a new one of the trait does not
/// compile before that is decided.
impl FastStore for Frail {
    fn ping(&self) -> Reply<'_, ()> {
        self.read(
            "ping",
            Box::pin(async {
                self.arrival.notified().await;
                self.memory.ping().await
            }),
        )
    }

    fn admit<'a>(&'a self, admission: &'a Admission<'a>) -> Reply<'a, Admit> {
        let call = async move {
            let marker = self.trouble().marker.take();
            // Of nothing at all only the marker is taken and given back.
            let bare = Admission { wants: &[], held_cap_units: i64::MAX, ..*admission };
            match marker {
                Some(true) => _ = self.memory.admit(&bare).await?,
                Some(false) => _ = self.memory.give_back(&bare).await?,
                None => {}
            }
            self.memory.admit(admission).await
        };
        self.shift("admit", Box::pin(call), || {
            let owned = Owned::of(admission);
            late(|memory| async move { _ = memory.admit(&owned.lend()).await })
        })
    }

    fn give_back<'a>(&'a self, admission: &'a Admission<'a>) -> Reply<'a, bool> {
        self.shift("give_back", self.memory.give_back(admission), || {
            let owned = Owned::of(admission);
            late(|memory| async move { _ = memory.give_back(&owned.lend()).await })
        })
    }

    fn release<'a>(&'a self, tag: GateTag, user: i64, items: &'a [(i64, i64)]) -> Reply<'a, ()> {
        self.shift("release", self.memory.release(tag, user, items), move || {
            let items = items.to_vec();
            late(move |memory| async move { _ = memory.release(tag, user, &items).await })
        })
    }

    fn settle(&self, tag: GateTag, user: i64, units: i64) -> Reply<'_, ()> {
        self.shift("settle", self.memory.settle(tag, user, units), move || {
            late(move |memory| async move { _ = memory.settle(tag, user, units).await })
        })
    }

    fn load<'a>(&'a self, tag: GateTag, left: &'a [(i64, i64)], overwrite: bool) -> Reply<'a, ()> {
        self.shift("load", self.memory.load(tag, left, overwrite), move || {
            let left = left.to_vec();
            late(move |memory| async move { _ = memory.load(tag, &left, overwrite).await })
        })
    }

    fn forget<'a>(&'a self, tag: GateTag, items: &'a [i64]) -> Reply<'a, ()> {
        self.read("forget", self.memory.forget(tag, items))
    }

    fn counters<'a>(&'a self, tag: GateTag, items: &'a [i64]) -> Reply<'a, Vec<Option<i64>>> {
        self.read("counters", self.memory.counters(tag, items))
    }

    fn held(&self, tag: GateTag, user: i64) -> Reply<'_, i64> {
        self.read("held", self.memory.held(tag, user))
    }

    fn set_held(&self, tag: GateTag, user: i64, units: i64) -> Reply<'_, ()> {
        self.shift("set_held", self.memory.set_held(tag, user, units), move || {
            late(move |memory| async move { _ = memory.set_held(tag, user, units).await })
        })
    }

    fn take_token<'a>(&'a self, key: &'a str, rate: Rate, now_ms: i64) -> Reply<'a, Allowance> {
        self.read("take_token", self.memory.take_token(key, rate, now_ms))
    }

    fn slide<'a>(
        &'a self,
        key: &'a str,
        window: Window,
        now_ms: i64,
        unique_id: &'a str,
    ) -> Reply<'a, Allowance> {
        self.read("slide", self.memory.slide(key, window, now_ms, unique_id))
    }

    fn lease<'a>(&'a self, name: &'a str, owner: &'a str, ttl: Duration) -> Reply<'a, bool> {
        self.read("lease", self.memory.lease(name, owner, ttl))
    }

    fn release_lease<'a>(&'a self, name: &'a str, owner: &'a str) -> Reply<'a, bool> {
        self.read("release_lease", self.memory.release_lease(name, owner))
    }

    fn cache_get<'a>(&'a self, key: &'a str) -> Reply<'a, Option<Bytes>> {
        self.read("cache_get", self.memory.cache_get(key))
    }

    fn cache_put<'a>(&'a self, key: &'a str, value: Bytes, ttl: Duration) -> Reply<'a, ()> {
        self.read("cache_put", self.memory.cache_put(key, value, ttl))
    }

    fn cache_drop<'a>(&'a self, key: &'a str) -> Reply<'a, ()> {
        self.read("cache_drop", self.memory.cache_drop(key))
    }

    fn publish<'a>(&'a self, channel: &'a str, message: Bytes) -> Reply<'a, ()> {
        self.read("publish", self.memory.publish(channel, message))
    }

    fn subscribe(&self, channel: &str) -> Subscription {
        self.memory.subscribe(channel)
    }
}

//! Each component's part of what all components share, so that none can take the node from the others.
//!
//! Of each pool one part in [`limits::KEPT_PART`] is divided evenly among the components and kept for
//! them; the rest is for whoever comes first. Invariant: whatever the other components do, a component
//! gets what is kept for it. After a reload
//! that changes how many there are, those that go on keep what they had until they are renewed. Start
//! at [`Pools::shares`].

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::limits;

/// The pools of one node: what is not kept for any component.
pub(crate) struct Pools {
    instances: Arc<Semaphore>,
    outbound: Arc<Semaphore>,
    body_bytes: Arc<Semaphore>,
}

/// One component's shares.
pub(crate) struct Shares {
    /// Instances alive.
    pub(crate) instances: Share,
    /// Outbound requests in progress, also to other components.
    pub(crate) outbound: Share,
    /// Bytes of request bodies that wait for a guest or are read by one.
    pub(crate) body_bytes: Share,
}

impl Pools {
    /// With nothing taken.
    pub(crate) fn new() -> Self {
        let spare = |total: usize| Arc::new(Semaphore::new(total - total / limits::KEPT_PART));
        Self {
            instances: spare(limits::MAX_INSTANCES as usize),
            outbound: spare(limits::MAX_OUTBOUND_REQUESTS),
            body_bytes: spare(limits::MAX_BODIES_BYTES),
        }
    }

    /// The shares of one of `components`. To be called once for each.
    pub(crate) fn shares(&self, components: usize) -> Shares {
        let share = |total: usize, spare| {
            Share::new(total / limits::KEPT_PART / components.max(1), Arc::clone(spare))
        };
        Shares {
            instances: share(limits::MAX_INSTANCES as usize, &self.instances),
            outbound: share(limits::MAX_OUTBOUND_REQUESTS, &self.outbound),
            body_bytes: share(limits::MAX_BODIES_BYTES, &self.body_bytes),
        }
    }
}

/// What one component may have of one pool.
pub(crate) struct Share {
    kept: Arc<Semaphore>,
    spare: Arc<Semaphore>,
}

impl Share {
    fn new(kept: usize, spare: Arc<Semaphore>) -> Self {
        Self { kept: Arc::new(Semaphore::new(kept)), spare }
    }

    /// `units` of the pool until the permit is dropped; none if neither part has as many.
    pub(crate) fn try_acquire(&self, units: u32) -> Option<OwnedSemaphorePermit> {
        let parts = [&self.kept, &self.spare];
        parts.into_iter().find_map(|part| Arc::clone(part).try_acquire_many_owned(units).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::Pools;
    use crate::limits;

    #[test]
    fn what_is_kept_for_a_component_no_other_can_take() {
        let pools = Pools::new();
        let shares: Vec<_> = (0..4).map(|_| pools.shares(4)).collect();
        let (good, greedy) = shares.split_last().unwrap();
        let mut taken = Vec::new();
        for greedy in greedy {
            while let Some(permit) = greedy.instances.try_acquire(1) {
                taken.push(permit);
            }
        }
        let kept = limits::MAX_INSTANCES as usize / limits::KEPT_PART / 4;
        assert_eq!(taken.len(), limits::MAX_INSTANCES as usize - kept);
        let own: Vec<_> = (0..kept).map(|_| good.instances.try_acquire(1).unwrap()).collect();
        assert!(good.instances.try_acquire(1).is_none());
        drop(taken);
        assert!(good.instances.try_acquire(1).is_some(), "what is spare comes back");
        drop(own);
    }
}

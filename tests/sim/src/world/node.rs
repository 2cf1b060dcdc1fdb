//! The node that the core mints its ids on: leased, and lost to another core at times.

use super::{Broken, World};
use crate::store;
use core_service::clock::ManualClock;
use core_service::ids::lease::NodeLease;
use core_service::limits;
use std::sync::Arc;

/// Ids that another core mints.
const FOREIGN_IDS: usize = 3;

impl World {
    /// The core renews its lease, which it may have lost.
    pub(super) async fn renew_node(&mut self) -> anyhow::Result<()> {
        let node = node_of(self.life.ids.next());
        self.life.lease.renew().await?;
        if node_of(self.life.ids.next()) != node {
            self.model.saw("the core moved to another node");
        }
        Ok(())
    }

    /// Another core takes the node over, by a clock that is ahead, and mints on it. This one does not know yet.
    pub(super) async fn lose_node(&mut self) -> Result<(), Broken> {
        store::end_leases(&self.life.db).await.map_err(anyhow::Error::from)?;
        let ahead = Arc::new(ManualClock::at(self.model.now_ms + 2 * limits::NODE_LEASE_MS));
        let other = NodeLease::take(self.life.db.clone(), ahead).await;
        let ids = other.map_err(anyhow::Error::from)?.ids();
        for _ in 0..FOREIGN_IDS {
            self.memory.mint(ids.next())?;
        }
        self.model.saw("fault: another core took a node over");
        Ok(())
    }
}

/// The node of an id: the ten bits above the twelve of its sequence.
const fn node_of(id: i64) -> i64 {
    (id >> 12) & 0x3FF
}

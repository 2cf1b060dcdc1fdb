//! The ways in which Redis is made to be wrong.

use crate::limits;
use crate::store::Item;
use crate::world::World;
use anyhow::Result;
use core_service::fast::{GateTag, keys};
use redis::aio::MultiplexedConnection;

/// What is done to Redis in one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spoil {
    /// Everything is gone, scripts included.
    Flush,
    /// Many more units than there are.
    TooHigh,
    /// A few more than there are.
    SomewhatHigh,
    /// None left.
    TooLow,
    /// Fewer than there are.
    SomewhatLow,
    /// Less than none.
    Negative,
    /// No number.
    Garbage,
    /// A list where a counter was.
    WrongType,
    /// Every diner holds more than the cap, as far as Redis knows.
    HeldTooHigh,
}

/// By how many units a counter is somewhat off.
const SOMEWHAT: i64 = 10;

impl Spoil {
    /// All of them.
    pub const ALL: [Self; 9] = [
        Self::Flush,
        Self::TooHigh,
        Self::SomewhatHigh,
        Self::TooLow,
        Self::SomewhatLow,
        Self::Negative,
        Self::Garbage,
        Self::WrongType,
        Self::HeldTooHigh,
    ];

    /// Its name, which is also that of its round's item.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Flush => "flushall",
            Self::TooHigh => "too-high",
            Self::SomewhatHigh => "somewhat-high",
            Self::TooLow => "too-low",
            Self::SomewhatLow => "somewhat-low",
            Self::Negative => "negative",
            Self::Garbage => "garbage",
            Self::WrongType => "wrong-type",
            Self::HeldTooHigh => "held-too-high",
        }
    }

    /// Does it.
    pub async fn apply(
        self,
        conn: &mut MultiplexedConnection,
        item: &Item,
        world: &World,
    ) -> Result<()> {
        let tag = GateTag::Store(item.store);
        let left = keys::left(tag, item.id);
        let mut commands = redis::pipe();
        commands.atomic();
        match self {
            Self::Flush => _ = commands.cmd("FLUSHALL").cmd("SCRIPT").arg("FLUSH"),
            Self::TooHigh => _ = commands.set(&left, 1_000_000_000),
            Self::SomewhatHigh => _ = commands.incr(&left, SOMEWHAT),
            Self::TooLow => _ = commands.set(&left, 0),
            Self::SomewhatLow => _ = commands.decr(&left, SOMEWHAT),
            Self::Negative => _ = commands.set(&left, -1_000),
            Self::Garbage => _ = commands.set(&left, "many"),
            Self::WrongType => _ = commands.del(&left).lpush(&left, "soup"),
            Self::HeldTooHigh => {
                for diner in &world.diners {
                    let held = keys::held(tag, diner.id.raw());
                    commands.set(held, limits::SALE_HELD_UNITS * 2);
                }
            }
        }
        commands.query_async::<()>(conn).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spoiling_has_an_item_of_its_own() {
        let mut names = Spoil::ALL.map(Spoil::name).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Spoil::ALL.len());
    }
}

//! How units of an item move.
//!
//! Invariants: on_hand = available + reserved; none of the three is ever negative; on_hand + sold is what was
//! ever put in. Pure.

use crate::db::DbError;
use tiffin_api::id::ItemId;

/// The units of one item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stock {
    /// Units that are there.
    pub on_hand: i64,
    /// Units that anybody may still have.
    pub available: i64,
    /// Units in unpaid orders.
    pub reserved: i64,
    /// Units that went with paid orders and have not come back.
    pub sold: i64,
    /// Grows with every change.
    pub version: i64,
}

/// A move of units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StockMove {
    /// available -> reserved, when an order is placed.
    Reserve,
    /// reserved -> available, when an order closes unpaid.
    Release,
    /// reserved -> sold, when an order is paid.
    Commit,
    /// sold -> available, when a paid order comes to nothing and its units can be sold again.
    Return,
}

impl Stock {
    /// Moves units. The caller has seen that there are enough: otherwise the tables contradict each other.
    pub fn apply(
        &mut self,
        item: ItemId,
        stock_move: StockMove,
        units: i64,
    ) -> Result<(), DbError> {
        let from = match stock_move {
            StockMove::Reserve => self.available,
            StockMove::Release | StockMove::Commit => self.reserved,
            StockMove::Return => self.sold,
        };
        if units < 0 || from < units {
            let what = format!("cannot {stock_move:?} {units} of item {item}: {from} are there");
            return Err(DbError::inconsistent(what));
        }
        match stock_move {
            StockMove::Reserve => {
                self.available -= units;
                self.reserved += units;
            }
            StockMove::Release => {
                self.reserved -= units;
                self.available += units;
            }
            StockMove::Commit => {
                self.reserved -= units;
                self.on_hand -= units;
                self.sold += units;
            }
            StockMove::Return => {
                self.sold -= units;
                self.on_hand += units;
                self.available += units;
            }
        }
        self.version += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ITEM: ItemId = ItemId::from_raw(1);

    fn moves() -> impl Strategy<Value = Vec<(StockMove, i64)>> {
        let kind = prop_oneof![
            Just(StockMove::Reserve),
            Just(StockMove::Release),
            Just(StockMove::Commit),
            Just(StockMove::Return)
        ];
        prop::collection::vec((kind, -1_i64..8), 0..60)
    }

    proptest! {
        #[test]
        fn no_move_breaks_the_sums(put_in in 0_i64..20, moves in moves()) {
            let mut stock =
                Stock { on_hand: put_in, available: put_in, reserved: 0, sold: 0, version: 1 };
            for (stock_move, units) in moves {
                let before = stock;
                let done = stock.apply(ITEM, stock_move, units);
                prop_assert!(done.is_ok() || stock == before, "a refused move changes nothing");
                prop_assert_eq!(stock.on_hand, stock.available + stock.reserved);
                prop_assert_eq!(stock.on_hand + stock.sold, put_in);
                prop_assert!(stock.available >= 0 && stock.reserved >= 0 && stock.sold >= 0);
            }
        }
    }
}

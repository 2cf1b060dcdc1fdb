//! The rules of a deal's row, and what an import does to a deal. Pure.

#![warn(clippy::wildcard_enum_match_arm)]

use crate::catalog::faults::Faults;
use crate::catalog::state::{check_amount, check_ref, check_text};
use crate::limits;
use tiffin_api::deal::{Deal, DealStatus};
use tiffin_api::id::{DealId, ItemId, StoreId};
use tiffin_api::import::{DealRow, DealWindow};
use tiffin_api::money::Currency;
use tiffin_api::text::Lang;

/// A deal as the ledger knows it, with what it takes from its store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDeal {
    /// Its id.
    pub id: DealId,
    /// The store that offers it.
    pub store_id: StoreId,
    /// The item it sells.
    pub item_id: ItemId,
    /// What the merchant says about it.
    pub row: DealRow,
    /// When it runs.
    pub window: Window,
    /// What the core has decided.
    pub status: DealStatus,
    /// Grows with every change.
    pub version: i64,
}

/// When a deal runs: `[start_ms, end_ms)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// First instant at which it runs.
    pub start_ms: i64,
    /// First instant at which it no longer runs; after `start_ms`.
    pub end_ms: i64,
}

/// Checks a deal's row.
pub fn check(row: &DealRow) -> Faults {
    let mut faults = Faults::default();
    check_ref(&row.store, "/store", &mut faults);
    check_ref(&row.r#ref, "/ref", &mut faults);
    check_ref(&row.item, "/item", &mut faults);
    check_text(&row.title, limits::NAME_CHARS, "/title", &mut faults);
    check_amount(row.price_minor, "/price_minor", &mut faults);
    let most_s = limits::DEAL_WINDOW_S;
    match row.window {
        DealWindow::Absolute { start_ms, end_ms } => {
            let in_range = (0..=limits::LATEST_MS).contains(&start_ms);
            faults.require(
                in_range,
                "/window/start_ms",
                format!("must be 0 to {} ms", limits::LATEST_MS),
            );
            let length_ms = i128::from(end_ms) - i128::from(start_ms);
            faults.require(
                (1..=i128::from(most_s) * 1_000).contains(&length_ms),
                "/window/end_ms",
                format!("must be after start_ms, by at most {most_s} s"),
            );
        }
        DealWindow::Relative { start_after_s, duration_s } => {
            faults.require(
                (-most_s..=most_s).contains(&start_after_s),
                "/window/start_after_s",
                format!("must be -{most_s} to {most_s} s"),
            );
            faults.require(
                (1..=most_s).contains(&duration_s),
                "/window/duration_s",
                format!("must be 1 to {most_s} s"),
            );
        }
    }
    faults
}

/// When a checked row's deal runs if it is scheduled now.
pub fn schedule(window: &DealWindow, now_ms: i64) -> Window {
    match *window {
        DealWindow::Absolute { start_ms, end_ms } => Window { start_ms, end_ms },
        DealWindow::Relative { start_after_s, duration_s } => {
            let start_ms = now_ms + start_after_s * 1_000;
            Window { start_ms, end_ms: start_ms + duration_s * 1_000 }
        }
    }
}

/// The deal after an import of `row` at `now_ms`; equal to `before`, its version included, if nothing
/// changes.
///
/// A relative window counts from the import that first brings it: loaded again, a deal that has not ended
/// keeps its schedule, and one that has ended gets a new one. A new schedule is sold out no longer; a
/// deal that was called off stays so.
pub fn reload(before: &StoredDeal, row: &DealRow, item_id: ItemId, now_ms: i64) -> StoredDeal {
    let ended = now_ms >= before.window.end_ms;
    let window = if before.row.window == row.window && !ended {
        before.window
    } else {
        schedule(&row.window, now_ms)
    };
    let status = match before.status {
        DealStatus::SoldOut if window != before.window => DealStatus::Scheduled,
        DealStatus::Scheduled | DealStatus::SoldOut | DealStatus::Cancelled => before.status,
    };
    let mut after = StoredDeal { item_id, row: row.clone(), window, status, ..before.clone() };
    if after != *before {
        after.version += 1;
    }
    after
}

/// A deal in one language.
pub fn view(stored: &StoredDeal, currency: Currency, lang: Lang) -> Deal {
    Deal {
        id: stored.id,
        store_id: stored.store_id,
        item_id: stored.item_id,
        title: stored.row.title.get(lang).to_owned(),
        price_minor: stored.row.price_minor,
        currency,
        start_ms: stored.window.start_ms,
        end_ms: stored.window.end_ms,
        status: stored.status,
        version: stored.version,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::testing::deal_row;

    const NOW_MS: i64 = 1_795_608_000_000;

    fn stored(status: DealStatus) -> StoredDeal {
        let row = deal_row("noodles", "laksa-hour", "laksa");
        StoredDeal {
            id: DealId::from_raw(1),
            store_id: StoreId::from_raw(2),
            item_id: ItemId::from_raw(3),
            window: schedule(&row.window, NOW_MS),
            row,
            status,
            version: 7,
        }
    }

    #[test]
    fn relative_windows_count_from_the_import() {
        let window = schedule(&stored(DealStatus::Scheduled).row.window, NOW_MS);
        assert_eq!(window, Window { start_ms: NOW_MS + 60_000, end_ms: NOW_MS + 3_660_000 });
        let fixed = DealWindow::Absolute { start_ms: 5, end_ms: 9 };
        assert_eq!(schedule(&fixed, NOW_MS), Window { start_ms: 5, end_ms: 9 });
    }

    #[test]
    fn a_deal_keeps_its_schedule_until_it_has_ended() {
        use DealStatus::{Cancelled, Scheduled, SoldOut};
        for status in [Scheduled, SoldOut, Cancelled] {
            let before = stored(status);
            let end_ms = before.window.end_ms;
            assert_eq!(reload(&before, &before.row, before.item_id, end_ms - 1), before);

            let again = reload(&before, &before.row, before.item_id, end_ms);
            assert_eq!(again.window.start_ms, end_ms + 60_000, "{status:?}");
            assert_eq!(again.version, 8);
            let expected = if status == Cancelled { Cancelled } else { Scheduled };
            assert_eq!(again.status, expected);
        }
    }

    #[test]
    fn an_edit_moves_only_what_it_names() {
        let before = stored(DealStatus::SoldOut);
        let mut row = before.row.clone();
        row.price_minor = 800;
        let cheaper = reload(&before, &row, before.item_id, NOW_MS + 1);
        assert_eq!((cheaper.window, cheaper.status), (before.window, before.status));
        assert_eq!((cheaper.row.price_minor, cheaper.version), (800, 8));

        row.window = DealWindow::Absolute { start_ms: 5, end_ms: 9 };
        let moved = reload(&before, &row, before.item_id, NOW_MS + 1);
        assert_eq!(moved.window, Window { start_ms: 5, end_ms: 9 });
        assert_eq!(moved.status, DealStatus::Scheduled);

        let fixed_and_over = stored(DealStatus::SoldOut);
        let fixed_and_over = StoredDeal {
            window: Window { start_ms: 5, end_ms: 9 },
            row: row.clone(),
            ..fixed_and_over
        };
        assert_eq!(reload(&fixed_and_over, &row, ItemId::from_raw(3), NOW_MS), fixed_and_over);
    }

    #[test]
    fn each_rule_of_a_deal_is_held() {
        let windows = [
            (DealWindow::Absolute { start_ms: -1, end_ms: 5 }, "/window/start_ms"),
            (DealWindow::Absolute { start_ms: 5, end_ms: 5 }, "/window/end_ms"),
            (DealWindow::Absolute { start_ms: 5, end_ms: i64::MAX }, "/window/end_ms"),
            (DealWindow::Absolute { start_ms: 5, end_ms: i64::MIN }, "/window/end_ms"),
            (DealWindow::Relative { start_after_s: 0, duration_s: 0 }, "/window/duration_s"),
            (
                DealWindow::Relative { start_after_s: i64::MIN, duration_s: 1 },
                "/window/start_after_s",
            ),
        ];
        for (window, pointer) in windows {
            let row = DealRow { window, ..deal_row("noodles", "laksa-hour", "laksa") };
            let found = check(&row).into_vec();
            assert_eq!(found.len(), 1, "{row:?}");
            assert_eq!(found[0].pointer, pointer);
        }
        let row = DealRow { price_minor: -1, ..deal_row("noodles", "laksa-hour", "La ksa") };
        let pointers: Vec<_> = check(&row).into_vec().into_iter().map(|f| f.pointer).collect();
        assert_eq!(pointers, ["/item", "/price_minor"]);
        assert!(check(&deal_row("noodles", "laksa-hour", "laksa")).is_empty());
    }
}

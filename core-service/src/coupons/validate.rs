//! Trying coupons on: the price of a basket with those that help, read from the ledger without holding
//! anything.

use super::redeem::{self, Facts, Known, KnownCoupons};
use super::refusal::CouponRefused;
use super::store;
use crate::app::App;
use crate::catalog::store::load_for_pricing;
use crate::http::error::ApiError;
use crate::orders;
use crate::pricing::http::name_price;
use crate::pricing::state::check_shape;
use std::collections::BTreeSet;
use tiffin_api::coupon::{CouponValidation, CouponVerdict};
use tiffin_api::id::UserId;
use tiffin_api::quote::Basket;
use tiffin_api::{ErrorCode, Problem};

/// Prices a diner's basket, as of one commit.
pub(super) async fn validate(
    app: &App,
    user_id: UserId,
    basket: &Basket,
) -> Result<CouponValidation, ApiError> {
    check_shape(basket).map_err(Problem::from)?;
    let items: Vec<_> = basket.lines.iter().map(|line| line.item_id).collect();
    let mut conn = app.db.read().await?;
    let mut snapshot = conn.begin().await?;
    let data =
        load_for_pricing(&mut snapshot, basket.store_id, &items).await?.ok_or_else(|| {
            Problem::new(ErrorCode::StoreNotFound, "the stores are listed at /v1/stores")
        })?;
    let coupons = store::of_ids(&mut snapshot, &basket.coupon_ids).await?;
    let template_ids: BTreeSet<_> = coupons.iter().map(|coupon| coupon.template_id).collect();
    let templates = store::templates_of(&mut snapshot, &template_ids).await?;
    let spent = store::spent(&mut snapshot, template_ids.into_iter()).await?;
    let standing = orders::store::standing(&mut snapshot, [user_id].into()).await?;
    drop(snapshot);

    let known: KnownCoupons<'_> = coupons
        .iter()
        .filter_map(|coupon| {
            let template = templates.get(&coupon.template_id)?;
            let spent_minor = spent.get(&coupon.template_id).copied().unwrap_or(0);
            Some((coupon.id, Known { coupon, template, spent_minor }))
        })
        .collect();
    let now_ms = app.clock.now_ms();
    let facts = Facts { user_id, order_id: None, first_order: standing.is_empty(), now_ms };
    let (pricing, refused) =
        redeem::try_on(&facts, &known, &data.store, &data.items, basket).map_err(Problem::from)?;
    let verdicts = verdicts(basket, &refused);
    let applies = |verdict: &CouponVerdict| verdict.applies.then_some(verdict.coupon_id);
    let coupon_ids = verdicts.iter().filter_map(applies).collect();
    let helped = Basket { coupon_ids, ..basket.clone() };
    Ok(CouponValidation { coupons: verdicts, quote: name_price(app, &helped, pricing) })
}

/// One for each coupon of the basket, in its order.
fn verdicts(basket: &Basket, refused: &[CouponRefused]) -> Vec<CouponVerdict> {
    let verdict = |coupon_id| {
        let why = refused.iter().find(|refused| refused.coupon_id == coupon_id);
        let why = why.map(|refused| &refused.why);
        CouponVerdict {
            coupon_id,
            applies: why.is_none(),
            code: why.map(super::refusal::Refusal::code),
            detail: why.map(ToString::to_string).unwrap_or_default(),
        }
    };
    basket.coupon_ids.iter().copied().map(verdict).collect()
}

//! What must hold after every step: of the ledger by itself, and between it and the model.

use crate::model::{Model, Payment as ModelPayment};
use crate::store::{Answer, Coupon, Ledger, Payment, Stock};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use tiffin_api::coupon::CouponState;
use tiffin_api::order::OrderState as Order;
use tiffin_api::payment::PaymentState;

/// The rule that compares the ledger with the model.
const AGREES: &str = "the ledger agrees with the model";

/// A rule that was broken, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation {
    /// The rule.
    pub(crate) rule: &'static str,
    /// How it was broken.
    pub(crate) what: String,
}

/// Holds something to a rule.
pub(crate) fn hold(
    rule: &'static str,
    holds: bool,
    what: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(Violation { rule, what: what() }) }
}

/// Holds two accounts of one thing to each other.
pub(crate) fn agree<T: PartialEq + Debug>(
    rule: &'static str,
    of: &str,
    ledger: T,
    expected: T,
) -> Result<(), Violation> {
    hold(rule, ledger == expected, || format!("{of}: is {ledger:?}, should be {expected:?}"))
}

/// What was true once and has to stay true.
#[derive(Debug, Clone, Default)]
pub(crate) struct Memory {
    /// The first answer under each scope.
    pub(crate) answers: BTreeMap<String, Answer>,
    orders: BTreeMap<i64, (Order, i64)>,
    /// Ids that were minted for requests, or by another core.
    minted: BTreeSet<i64>,
    /// Ids that were minted in the middle of batches.
    refunds: BTreeSet<i64>,
}

impl Memory {
    /// Notes an id that was just minted.
    pub(crate) fn mint(&mut self, id: i64) -> Result<(), Violation> {
        let new = !self.refunds.contains(&id) && self.minted.insert(id);
        hold("ids never repeat", new, || format!("{id}"))
    }

    fn mint_refunds(&mut self, ledger: &Ledger) -> Result<(), Violation> {
        for refund in ledger.payments.values().filter_map(|payment| payment.refund.as_ref()) {
            self.refunds.insert(refund.id);
            let new = !self.minted.contains(&refund.id);
            hold("ids never repeat", new, || format!("refund {}", refund.id))?;
        }
        Ok(())
    }
}

/// States of orders whose money is the store's.
pub(crate) const fn stands(state: Order) -> bool {
    match state {
        Order::GroupWait
        | Order::Paid
        | Order::Accepted
        | Order::Preparing
        | Order::Ready
        | Order::Delivering
        | Order::Completed => true,
        Order::PendingPayment | Order::Closed | Order::Rejected | Order::Cancelled => false,
    }
}

/// The rules that the ledger alone can be held to.
pub(crate) fn check_ledger(
    ledger: &Ledger,
    cap: i64,
    memory: &mut Memory,
) -> Result<(), Violation> {
    check_stock(ledger)?;
    check_held(ledger, cap)?;
    check_money(ledger)?;
    check_news(ledger)?;
    memory.mint_refunds(ledger)?;
    for (id, order) in &ledger.orders {
        let before = memory.orders.insert(*id, (order.state, order.version));
        let Some((state, version)) = before else { continue };
        let ended =
            matches!(state, Order::Closed | Order::Cancelled | Order::Rejected | Order::Completed);
        hold("what has ended does not begin again", !ended || order.state == state, || {
            format!("order {id} was {state:?} and is {:?}", order.state)
        })?;
        let moved = order.version - version;
        hold("versions count moves", moved >= i64::from(order.state != state), || {
            format!("order {id} went from {state:?} to {:?} in {moved} moves", order.state)
        })?;
    }
    for (scope, answer) in &ledger.answers {
        let first = memory.answers.entry(scope.clone()).or_insert_with(|| answer.clone());
        hold("the first answer to a key stays", first == answer, || {
            format!("the record of {scope} has changed")
        })?;
    }
    Ok(())
}

fn check_stock(ledger: &Ledger) -> Result<(), Violation> {
    let (mut reserved, mut sold) = (BTreeMap::new(), BTreeMap::new());
    for order in ledger.orders.values() {
        let sum = match order.state {
            Order::PendingPayment => &mut reserved,
            Order::Closed => continue,
            _ if order.units_back => continue,
            _ => &mut sold,
        };
        for (item, units) in &order.units {
            *sum.entry(*item).or_insert(0) += units;
        }
    }
    for (item, stock) in &ledger.stock {
        let of = |sum: &BTreeMap<i64, i64>| sum.get(item).copied().unwrap_or(0);
        let name = format!("item {item}");
        hold("nothing is oversold", stock.available >= 0 && stock.reserved >= 0, || {
            format!("{name}: {stock:?}")
        })?;
        let there = stock.available + stock.reserved;
        agree("on_hand = available + reserved", &name, stock.on_hand, there)?;
        agree("reserved stock is that of unpaid orders", &name, stock.reserved, of(&reserved))?;
        agree("sold stock is that of paid orders", &name, stock.sold, of(&sold))?;
    }
    Ok(())
}

fn check_held(ledger: &Ledger, cap: i64) -> Result<(), Violation> {
    let mut held: BTreeMap<i64, i64> = ledger.held.keys().map(|user| (*user, 0)).collect();
    let unpaid = ledger.orders.values().filter(|order| order.state == Order::PendingPayment);
    for order in unpaid {
        *held.entry(order.user).or_default() += order.units.values().sum::<i64>();
    }
    agree("held units are those of unpaid orders", "by user", &ledger.held, &held)?;
    let most = held.values().copied().max().unwrap_or(0);
    hold("nobody holds more than the cap", most <= cap, || format!("{held:?}, cap {cap}"))
}

fn check_money(ledger: &Ledger) -> Result<(), Violation> {
    let mut kept: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for (id, payment) in &ledger.payments {
        let captured = payment.state == PaymentState::Captured;
        if let Some(refund) = &payment.refund {
            hold("only captured money goes back", captured, || format!("payment {id}"))?;
            let whole = payment.amount_minor;
            agree("a refund is whole", &format!("payment {id}"), refund.amount_minor, whole)?;
        }
        if captured && payment.refund.is_none() && payment.amount_minor > 0 {
            kept.entry(payment.order).or_default().push(payment.amount_minor);
        }
    }
    let mut paid_minor = 0;
    for (id, order) in &ledger.orders {
        let kept = kept.remove(id).unwrap_or_default();
        let owed = if stands(order.state) && order.total_minor > 0 {
            paid_minor += order.total_minor;
            vec![order.total_minor]
        } else {
            Vec::new()
        };
        let of = format!("the captures of order {id}, which is {:?}", order.state);
        agree("one capture pays an order, and others go back", &of, kept, owed)?;
    }
    let captured = |payment: &&Payment| payment.state == PaymentState::Captured;
    let net = ledger.payments.values().filter(captured).map(|payment| {
        payment.amount_minor - payment.refund.as_ref().map_or(0, |refund| refund.amount_minor)
    });
    agree("captured - refunded = paid", "all money", net.sum::<i64>(), paid_minor)
}

fn check_news(ledger: &Ledger) -> Result<(), Violation> {
    for (id, order) in &ledger.orders {
        let news = ledger.news.get(&("order.changed".to_owned(), *id));
        let versions = news.into_iter().flatten().map(|payload| version_of(payload));
        let mut versions: Vec<_> = versions.collect();
        // Each core mints on a node of its own: ids are in no order that matters.
        versions.sort_unstable();
        let expected: Vec<_> = (1..=order.version).collect();
        agree("every move of an order leaves news", &format!("order {id}"), versions, expected)?;
    }
    Ok(())
}

fn version_of(payload: &str) -> i64 {
    let payload: Option<serde_json::Value> = serde_json::from_str(payload).ok();
    payload.and_then(|payload| payload.get("version")?.as_i64()).unwrap_or(-1)
}

/// The ledger says what the model says; `items` are the dishes' ids and `scopes` the keys' by label.
pub(crate) fn check_model(
    ledger: &Ledger,
    model: &Model,
    items: &[i64],
    scopes: &BTreeMap<u32, String>,
) -> Result<(), Violation> {
    for (dish, item) in model.dishes.iter().zip(items) {
        let (available, reserved, sold) = (dish.free(), dish.reserved, dish.sold);
        let expected = Stock { on_hand: dish.put_in - sold, available, reserved, sold };
        agree(AGREES, &format!("item {item}"), ledger.stock.get(item), Some(&expected))?;
    }
    agree(AGREES, "the number of orders", ledger.orders.len(), model.orders.len())?;
    for (label, order) in &model.orders {
        let found = ledger.orders.get(&order.id).map(|found| {
            let moved = (found.state, found.version, found.units_back);
            (moved, found.total_minor, found.pay_by_ms, found.user)
        });
        let moved = (order.state, order.version, order.units_back);
        let expected = (moved, order.total_minor, order.pay_by_ms, order.user);
        agree(AGREES, &format!("order #{label}"), found, Some(expected))?;
    }
    agree(AGREES, "the number of payments", ledger.payments.len(), model.payments.len())?;
    for (label, payment) in &model.payments {
        let order = model.orders[&payment.order].id;
        check_payment(&format!("payment #{label}"), ledger, payment, order)?;
    }
    let heard = model.heard.iter().map(|(pay, number)| event_id(model.payments[pay].id, *number));
    agree(AGREES, "the webhooks that were taken", &ledger.inbox, &heard.collect())?;
    agree(AGREES, "the number of answers", ledger.answers.len(), model.answers.len())?;
    for (label, recorded) in &model.answers {
        let found = scopes.get(label).and_then(|scope| ledger.answers.get(scope));
        let expected = i64::from(recorded.facts.status());
        let status = found.map(|found| found.status);
        agree(AGREES, &format!("the answer to #{label}"), status, Some(expected))?;
    }
    Ok(())
}

/// Coupons: held by one order, counted right, within their caps, and as the model has them; `templates` are the
/// kinds' ids.
pub(crate) fn check_coupons(
    ledger: &Ledger,
    model: &Model,
    templates: &[i64],
) -> Result<(), Violation> {
    for (id, coupon) in &ledger.coupons {
        let order = coupon.order.and_then(|order| ledger.orders.get(&order));
        let right = match (coupon.state, order.map(|order| order.state)) {
            (CouponState::Locked, Some(state)) => state == Order::PendingPayment,
            (CouponState::Used, Some(state)) => stands(state),
            (CouponState::Locked | CouponState::Used, None) => false,
            (_, found) => found.is_none() && coupon.discount_minor == 0,
        };
        hold("a coupon is with the order that it helps", right, || format!("{id}: {coupon:?}"))?;
    }
    for (template, terms) in templates.iter().zip(&model.terms) {
        let of_it = || ledger.coupons.values().filter(|coupon| coupon.template == *template);
        let claimed = i64::try_from(of_it().count()).unwrap_or(i64::MAX);
        let spent_minor = of_it().map(|coupon| coupon.discount_minor).sum();
        let name = format!("template {template}");
        let counted = ledger.counters.get(template).copied();
        agree("coupons are counted right", &name, counted, Some((claimed, spent_minor)))?;
        let in_caps = claimed <= terms.total
            && terms.budget_minor.is_none_or(|budget_minor| spent_minor <= budget_minor);
        hold("caps and budgets are kept", in_caps, || format!("{name}: {counted:?}, {terms:?}"))?;
        let mut by_user = BTreeMap::new();
        of_it().for_each(|coupon| *by_user.entry(coupon.user).or_insert(0) += 1);
        let most = by_user.values().copied().max().unwrap_or(0);
        let in_caps = terms.per_user.is_none_or(|per_user| most <= per_user);
        hold("caps and budgets are kept", in_caps, || format!("{name}: {by_user:?}"))?;
    }
    agree(AGREES, "the number of coupons", ledger.coupons.len(), model.coupons.len())?;
    for (label, coupon) in &model.coupons {
        let expected = Coupon {
            template: templates[coupon.kind],
            user: coupon.user,
            state: coupon.state,
            order: coupon.order.map(|order| model.orders[&order].id),
            discount_minor: coupon.discount_minor,
            expires_at_ms: coupon.expires_at_ms,
        };
        let found = ledger.coupons.get(&coupon.id);
        agree(AGREES, &format!("coupon #{label}"), found, Some(&expected))?;
    }
    Ok(())
}

/// The id of a payment's event, as the provider names it.
pub(crate) fn event_id(payment: i64, number: usize) -> String {
    format!("evt-{payment}-{number}")
}

fn check_payment(
    name: &str,
    ledger: &Ledger,
    payment: &ModelPayment,
    order: i64,
) -> Result<(), Violation> {
    let found = ledger.payments.get(&payment.id);
    let state = found.map(|found| {
        (found.state, found.version, found.amount_minor, found.ask_at_ms, found.order)
    });
    let expected = (payment.state, payment.version, payment.amount_minor, payment.ask_at_ms, order);
    agree(AGREES, name, state, Some(expected))?;
    let refund = found.and_then(|found| found.refund.as_ref());
    let refund = refund.map(|refund| (refund.state, refund.retry_at_ms));
    let expected = payment.refund.as_ref().map(|refund| (refund.state, refund.retry_at_ms));
    agree(AGREES, &format!("the refund of {name}"), refund, expected)?;
    let news = ledger.news.get(&("payment.changed".to_owned(), payment.id)).map_or(0, Vec::len);
    let expected = usize::try_from(payment.news).unwrap_or(0);
    agree("every move of a payment leaves news", name, news, expected)
}

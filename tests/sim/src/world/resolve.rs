//! From what a step names to what a command needs: labels become ids.

use super::{Handler, Sent, World};
use crate::command::{Command, Key};
use crate::history::{Act, Label, What, Who};
use crate::rules::Violation;
use crate::setup;
use tiffin_api::id::OrderId;
use tiffin_api::order::OrderState;

impl World {
    /// Looks up what an act is about; nothing if that does not exist.
    pub(super) fn resolve(&mut self, act: &Act) -> Result<Option<Command>, Violation> {
        Ok(match act {
            Act::Request { label, what, other_body, .. } => {
                self.request(*label, what, *other_body)?
            }
            Act::Conclude(pay) => {
                let asked = self.handlers.get(pay).filter(|handler| handler.said.is_some());
                let asked = asked.cloned();
                asked.and_then(|Handler { key, order_id, user, id, method, said, .. }| {
                    self.handlers.remove(pay);
                    Some(Command::Conclude { key, order_id, user, id, method, said: said? })
                })
            }
            Act::Reconcile(pay, line) => self.model.payments.get(pay).cloned().map(|payment| {
                let awaited = self.model.orders[&payment.order].state == OrderState::PendingPayment;
                let said = self.provider.say(payment.id, payment.amount_minor, awaited, *line);
                self.count_line(*line);
                Command::Reconcile { pay: *pay, id: payment.id, said }
            }),
            Act::Close(order) => {
                let found = self.model.orders.get(order);
                found.map(|found| Command::Close { order: *order, id: found.id })
            }
            Act::Refund(pay, line) => self.refund(*pay, *line),
            Act::Hear(pay, number, seal) => self.hear(*pay, *number, *seal)?,
            Act::Expire(coupon) => {
                let known = self.model.coupons.get(coupon);
                known.map(|known| Command::Expire { coupon: *coupon, id: known.id })
            }
            Act::Panic(order) => {
                self.model.orders.get(order).map(|order| Command::Panic { id: order.id })
            }
            Act::Poison(dish) => Some(Command::Poison { dish: *dish }),
        })
    }

    fn request(
        &mut self,
        label: Label,
        what: &What,
        other_body: bool,
    ) -> Result<Option<Command>, Violation> {
        let id = self.life.ids.next();
        self.memory.mint(id)?;
        Ok(self.command(Key { label, other_body }, what, id))
    }

    fn command(&mut self, key: Key, what: &What, id: i64) -> Option<Command> {
        let Key { label, other_body } = key;
        let of = |order: &Label| self.model.orders.get(order).cloned();
        let command = match what {
            What::Place(place) => {
                let known = place.coupons.iter().map(|label| self.model.coupons.get(label));
                let coupon_ids = known.map(|coupon| Some(coupon?.id)).collect::<Option<_>>()?;
                Command::Place { key, id, place: place.clone(), coupon_ids }
            }
            What::Claim(kind, user) => Command::Claim { key, kind: *kind, user: *user, id },
            What::Redeem(order, coupon) => {
                let (found, known) = (of(order)?, self.model.coupons.get(coupon)?);
                Command::Redeem {
                    key,
                    order: *order,
                    order_id: found.id,
                    store: found.place.store,
                    coupon: *coupon,
                    id: known.id,
                    user: found.user,
                }
            }
            What::Void(coupon) => {
                let known = self.model.coupons.get(coupon)?;
                Command::Void { key, coupon: *coupon, id: known.id }
            }
            What::Move(order, who, wish) => {
                let found = of(order)?;
                Command::Move {
                    key,
                    order: *order,
                    id: OrderId::from_raw(found.id),
                    store: found.place.store,
                    user: self.caller(*who, found.user, found.place.store),
                    who: *who,
                    wish: *wish,
                }
            }
            What::Pay(order, method) => {
                let found = of(order)?;
                let (user, order_id) = (found.user, found.id);
                Command::WriteDown { key, order: *order, order_id, user, id, method: *method }
            }
        };
        self.desk.register(&command);
        let sent = Sent { what: what.clone(), other_body, answered: false };
        if self.requests.insert(label, sent.clone()).is_some() {
            self.model.saw("a request was sent again");
        }
        Some(command)
    }

    fn caller(&self, who: Who, diner: i64, store: usize) -> i64 {
        match who {
            Who::Diner => diner,
            Who::Keeper => setup::KEEPER + i64::try_from(store).unwrap_or(0),
            Who::Stranger => setup::STRANGER,
        }
    }
}

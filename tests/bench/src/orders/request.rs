//! What is sent: `POST /v1/orders` of many buyers, each request with its own buyer and Idempotency-Key; and what
//! its answers count as.

use crate::limits;
use crate::load::Requests;
use crate::load::response::{Answer, Outcome};
use anyhow::Context as _;
use clap::ValueEnum;
use core_service::auth::keys::Keys;
use core_service::clock::{Clock as _, SystemClock};
use std::cell::{Cell, RefCell};
use std::io::Write as _;
use std::time::Instant;
use tiffin_api::id::{ItemId, StoreId, UserId};
use tiffin_api::token::{MAX_LIFETIME_S, Principal, Role};

/// Users are spread over this many numbers.
pub const USER_SPACE: u64 = 1 << 31;
/// Odd, so that multiplying by it modulo a power of two meets every number once (Knuth's multiplicative
/// hash): buyers come in no order, as real ones do.
const USER_STRIDE: u64 = 2_654_435_761;

/// The user of the n-th buyer.
fn user(n: usize) -> UserId {
    let spread = (n as u64 + 1).wrapping_mul(USER_STRIDE) % USER_SPACE;
    UserId::from_raw(i64::try_from(spread).expect("31 bits"))
}

/// Whether a server has seen a request's token before. It remembers those that it has verified, and a
/// signature costs about as much as all the rest of a request: so no system may know more of them than
/// another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum TokenUse {
    /// Every server has seen every token once, as it has from a diner who does more than order.
    Known,
    /// No server has seen any: each measurement signs new ones.
    Fresh,
}

impl TokenUse {
    fn buyers(self) -> usize {
        match self {
            Self::Known => limits::BUYERS_KNOWN,
            Self::Fresh => limits::BUYERS_FRESH,
        }
    }
}

/// Signed bearer tokens, one for each buyer.
pub struct Buyers {
    /// How they are used.
    pub token_use: TokenUse,
    tokens: RefCell<Vec<String>>,
    signed_at: Cell<Instant>,
    cursor: Cell<usize>,
}

impl Buyers {
    /// Signs a token for each.
    pub fn sign(keys: &Keys, token_use: TokenUse) -> Self {
        Self {
            token_use,
            tokens: RefCell::new(tokens(keys, token_use.buyers())),
            signed_at: Cell::new(Instant::now()),
            cursor: Cell::new(0),
        }
    }

    /// Signs anew what has been used, or would soon expire; says whether it did. To be called outside of
    /// measurements: it takes time.
    pub fn renew(&self, keys: &Keys) -> bool {
        let old = self.signed_at.get().elapsed() > limits::TOKENS_RENEWED_AFTER;
        let due = old || self.token_use == TokenUse::Fresh;
        if due {
            self.tokens.replace(tokens(keys, self.token_use.buyers()));
            self.signed_at.set(Instant::now());
            self.cursor.set(0);
        }
        due
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.tokens.borrow().len()
    }

    fn with_next<R>(&self, f: impl FnOnce(&str) -> R) -> R {
        let tokens = self.tokens.borrow();
        let next = self.cursor.get() % tokens.len();
        self.cursor.set(next + 1);
        f(&tokens[next])
    }
}

/// The time is part of a token's text: those of another second are other tokens.
fn tokens(keys: &Keys, count: usize) -> Vec<String> {
    let now_ms = SystemClock.now_ms();
    let sign =
        |n| keys.sign_token(&Principal::new(user(n), &[Role::Diner]), now_ms, MAX_LIFETIME_S);
    let middle = count / 2;
    std::thread::scope(|scope| {
        let second = scope.spawn(move || (middle..count).map(sign).collect::<Vec<_>>());
        let mut all: Vec<_> = (0..middle).map(sign).collect();
        all.extend(second.join().expect("signing does not panic"));
        all
    })
}

/// The body that orders one unit.
pub fn body(store_id: StoreId, item_id: ItemId) -> Vec<u8> {
    let body = serde_json::json!({
        "store_id": store_id, "fulfilment": {"kind": "pickup"},
        "lines": [{"item_id": item_id, "quantity": 1, "options": []}],
    });
    serde_json::to_vec(&body).expect("a JSON value always serialises")
}

/// Orders without end, each different.
pub struct Orders<'a> {
    buyers: &'a Buyers,
    bodies: Vec<Vec<u8>>,
    /// Sets the keys of this source apart from those of every other one.
    prefix: String,
    sent: Cell<u64>,
}

impl<'a> Orders<'a> {
    /// Orders with these bodies, in a scattered order.
    pub fn new(buyers: &'a Buyers, bodies: Vec<Vec<u8>>, prefix: String) -> anyhow::Result<Self> {
        bodies.first().context("a source of orders needs a body")?;
        Ok(Self { buyers, bodies, prefix, sent: Cell::new(0) })
    }
}

impl Requests for Orders<'_> {
    fn write_next(&self, buffer: &mut Vec<u8>) {
        let n = self.sent.replace(self.sent.get() + 1);
        let spread = (n.wrapping_mul(USER_STRIDE) >> 7) % self.bodies.len() as u64;
        let body = &self.bodies[usize::try_from(spread).expect("below a length")];
        buffer.clear();
        self.buyers.with_next(|token| {
            buffer.extend_from_slice(
                b"POST /v1/orders HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer ",
            );
            buffer.extend_from_slice(token.as_bytes());
        });
        write!(
            buffer,
            "\r\nidempotency-key: {}-{n:x}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            self.prefix,
            body.len()
        )
        .expect("writing to memory does not fail");
        buffer.extend_from_slice(body);
    }

    /// 201 is granted; 409 `out-of-stock` is refused.
    fn judge(&self, answer: Answer<'_>) -> Outcome {
        match answer.status {
            201 => Outcome::Granted,
            409 if says_sold_out(answer.body) => Outcome::Refused,
            other => Outcome::of_status(other),
        }
    }
}

fn says_sold_out(body: &[u8]) -> bool {
    const CODE: &[u8] = b"\"code\":\"out-of-stock\"";
    body.windows(CODE.len()).any(|window| window == CODE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_request_is_whole_and_has_its_own_buyer_and_key() {
        let keys = Keys::from_parts([1; 32], [2; 32]);
        let tokens = (0..3).map(|n| {
            keys.sign_token(&Principal::new(user(n), &[Role::Diner]), SystemClock.now_ms(), 60)
        });
        let buyers = Buyers {
            token_use: TokenUse::Known,
            tokens: RefCell::new(tokens.collect()),
            signed_at: Cell::new(Instant::now()),
            cursor: Cell::new(0),
        };
        let bodies = (1..=2).map(|n| body(StoreId::from_raw(1), ItemId::from_raw(n))).collect();
        let requests = Orders::new(&buyers, bodies, "run".to_owned()).unwrap();
        let (mut users, mut idempotency_keys, mut buffer) =
            (BTreeSet::new(), BTreeSet::new(), vec![]);
        for _ in 0..3 {
            requests.write_next(&mut buffer);
            let mut headers = [httparse::EMPTY_HEADER; 8];
            let mut request = httparse::Request::new(&mut headers);
            let head = request.parse(&buffer).unwrap().unwrap();
            let header = |name: &str| {
                let found = request.headers.iter().find(|header| header.name == name).unwrap();
                std::str::from_utf8(found.value).unwrap()
            };
            assert_eq!(header("content-length").parse(), Ok(buffer.len() - head));
            serde_json::from_slice::<tiffin_api::order::PlaceOrder>(&buffer[head..]).unwrap();
            let token = tiffin_api::token::bearer(header("authorization")).unwrap();
            let principal = keys.verifier().verify(token, SystemClock.now_ms()).unwrap();
            users.insert(principal.user_id);
            idempotency_keys.insert(header("idempotency-key").to_owned());
        }
        assert_eq!((users.len(), idempotency_keys.len()), (3, 3));
    }

    #[test]
    fn only_a_lack_of_stock_is_a_refusal() {
        let buyers = Buyers::sign(&Keys::from_parts([1; 32], [2; 32]), TokenUse::Known);
        let orders = Orders::new(&buyers, vec![vec![]], "run".to_owned()).unwrap();
        for (status, body, outcome) in [
            (201, "{}", Outcome::Granted),
            (409, r#"{"code":"out-of-stock","a":1}"#, Outcome::Refused),
            (409, r#"{"code":"store-closed"}"#, Outcome::of_status(409)),
            (503, "", Outcome::of_status(503)),
        ] {
            assert_eq!(orders.judge(Answer { status, body: body.as_bytes() }), outcome, "{body}");
        }
    }

    #[test]
    fn buyers_do_not_repeat() {
        let users: BTreeSet<_> = (0..limits::BUYERS_FRESH).map(user).collect();
        assert_eq!(users.len(), limits::BUYERS_FRESH);
    }
}

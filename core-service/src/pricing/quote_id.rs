//! A quote without a row: its id carries the total and the expiry, keyed with the core's secret over the
//! basket, so that any replica can check it and reading prices never writes.
//!
//! Layout before base64url: expiry (i64, ms, big-endian), total (i64, minor units, big-endian), then the
//! first 16 bytes of an HMAC-SHA-256 over both and the basket, its coupons by id: their order means nothing.

use crate::auth::keys::Keys;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;
use tiffin_api::quote::Basket;

const PURPOSE: &str = "quote";
const TAG_BYTES: usize = 16;
const ID_BYTES: usize = 8 + 8 + TAG_BYTES;

/// What a genuine quote said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quoted {
    /// The total, minor units.
    pub total_minor: i64,
    /// Until when it held.
    pub expires_at_ms: i64,
}

/// The id is not one of ours for this basket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the quote does not belong to this basket; ask for a new one")]
pub struct NotThisBasket;

/// Mints the id of a quote for `basket`.
pub fn mint(keys: &Keys, basket: &Basket, quoted: Quoted) -> String {
    let mut bytes = Vec::with_capacity(ID_BYTES);
    bytes.extend(quoted.expires_at_ms.to_be_bytes());
    bytes.extend(quoted.total_minor.to_be_bytes());
    bytes.extend(tag(keys, basket, quoted));
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads an id back, if it was minted for this very basket.
pub fn read(keys: &Keys, basket: &Basket, quote_id: &str) -> Result<Quoted, NotThisBasket> {
    let bytes = URL_SAFE_NO_PAD.decode(quote_id).map_err(|_| NotThisBasket)?;
    let (expiry, rest) = bytes.split_first_chunk::<8>().ok_or(NotThisBasket)?;
    let (total, given_tag) = rest.split_first_chunk::<8>().ok_or(NotThisBasket)?;
    let quoted = Quoted {
        expires_at_ms: i64::from_be_bytes(*expiry),
        total_minor: i64::from_be_bytes(*total),
    };
    let genuine: bool = tag(keys, basket, quoted).as_slice().ct_eq(given_tag).into();
    if genuine { Ok(quoted) } else { Err(NotThisBasket) }
}

fn tag(keys: &Keys, basket: &Basket, quoted: Quoted) -> [u8; TAG_BYTES] {
    let mut basket = basket.clone();
    basket.coupon_ids.sort_unstable();
    let basket = serde_json::to_vec(&basket).expect("a basket always serialises");
    let message: [&[u8]; 3] =
        [&quoted.expires_at_ms.to_be_bytes(), &quoted.total_minor.to_be_bytes(), &basket];
    *keys.tag(PURPOSE, &message).first_chunk().expect("an HMAC-SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiffin_api::id::{CouponId, ItemId, StoreId};
    use tiffin_api::quote::{BasketLine, Fulfilment};

    #[test]
    fn an_id_is_good_for_its_own_basket_only() {
        let keys = Keys::from_parts([1; 32], [2; 32]);
        let line = BasketLine { item_id: ItemId::from_raw(1), quantity: 1, options: vec![] };
        let basket = Basket {
            store_id: StoreId::from_raw(1),
            fulfilment: Fulfilment::Pickup,
            lines: vec![line.clone()],
            coupon_ids: vec![],
        };
        let quoted = Quoted { total_minor: 900, expires_at_ms: 5 };
        let id = mint(&keys, &basket, quoted);
        assert_eq!(read(&keys, &basket, &id), Ok(quoted));

        let more = Basket { lines: vec![line.clone(), line], ..basket.clone() };
        assert_eq!(read(&keys, &more, &id), Err(NotThisBasket));
        let coupon_ids = |ids: [i64; 2]| ids.map(CouponId::from_raw).to_vec();
        let with_coupons = Basket { coupon_ids: coupon_ids([3, 4]), ..basket.clone() };
        assert_eq!(read(&keys, &with_coupons, &id), Err(NotThisBasket));
        let turned = Basket { coupon_ids: coupon_ids([4, 3]), ..basket.clone() };
        assert_eq!(read(&keys, &turned, &mint(&keys, &with_coupons, quoted)), Ok(quoted));
        let other_keys = Keys::from_parts([1; 32], [3; 32]);
        assert_eq!(read(&other_keys, &basket, &id), Err(NotThisBasket));
        for garbage in ["", "AAAA", "not base64!", &id[..id.len() - 2]] {
            assert_eq!(read(&keys, &basket, garbage), Err(NotThisBasket), "{garbage:?}");
        }
    }
}

//! Which ids exist: `GET /internal/known-ids`, for edges that answer 404 without a trip.
//!
//! A Bloom filter for each kind of thing that has a public page. What it does not have does not exist, *if* the id lies
//! outside the span that the core still mints in: from [`KnownIds::open_from`] up to [`KnownIds::open_to`]. An id in
//! there may have been made since. Ids stay opaque to whoever reads this: the core, which knows how they carry their
//! instant, says where the span begins and ends.
//!
//! Invariant: [`Existence::denies`] says yes only of ids that were not there when the ledger was read and can never come
//! to be; everything in doubt (another kind, an id in the span, a chance hit in the filter) costs a trip. That both
//! sides hash alike is not taken on trust: each filter also holds [`WITNESSES`], which are no ids, and one in which they
//! are not found is refused.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use fastbloom::BloomFilter;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// The version of the form and of how ids are hashed.
pub const FORMAT: u32 = 1;
/// Stores, by the word that stands for them in `kinds`.
pub const STORE: &str = "store";
/// Deals.
pub const DEAL: &str = "deal";

/// In every filter, though no id is negative.
const WITNESSES: RangeInclusive<i64> = -16..=-1;
/// How often a filter takes an unknown id for a known one.
const FALSE_POSITIVES: f64 = 0.01;
/// Bytes of a seed.
const SEED_BYTES: usize = 16;
/// The most bits that an id may set.
const HASHES_MOST: u32 = 32;
/// The most kinds of a document.
const KINDS_MOST: usize = 16;
/// The largest filter, bytes: room for half a million ids and a little more.
const FILTER_BYTES: usize = 1 << 20;

/// The answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownIds {
    /// [`FORMAT`].
    pub format: u32,
    /// When the core began to read its ledger, ms.
    pub as_of_ms: i64,
    /// Whatever has a lower id and will ever exist is in its filter.
    #[serde(with = "decimal")]
    pub open_from: i64,
    /// Nothing will have this id or a higher one, unless it is in its filter, for as long as the document is used.
    #[serde(with = "decimal")]
    pub open_to: i64,
    /// The ids by kind: [`STORE`], [`DEAL`]. A kind that has too many is not there.
    pub kinds: BTreeMap<String, IdFilter>,
}

/// A Bloom filter: SipHash-1-3 as `fastbloom` derives its bits from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdFilter {
    /// How many ids it holds.
    pub ids: usize,
    /// How many bits each of them sets.
    pub hashes: u32,
    /// Sixteen bytes that key the hash, in base64: random, so that nobody outside can choose ids that seem known.
    pub seed: String,
    /// The bits, in base64 of little-endian words of 64.
    pub bits: String,
}

impl IdFilter {
    /// The filter of some ids.
    pub fn of(ids: &[i64], seed: u128) -> Self {
        let all = ids.iter().copied().chain(WITNESSES);
        let mut filter = BloomFilter::with_false_pos(FALSE_POSITIVES)
            .seed(&seed)
            .expected_items(ids.len() + WITNESSES.count());
        all.for_each(|id| _ = filter.insert(&id));
        let bits: Vec<u8> = filter.iter().flat_map(u64::to_le_bytes).collect();
        Self {
            ids: ids.len(),
            hashes: filter.num_hashes(),
            seed: STANDARD.encode(seed.to_le_bytes()),
            bits: STANDARD.encode(bits),
        }
    }

    fn read(&self) -> Result<BloomFilter, &'static str> {
        if !(1..=HASHES_MOST).contains(&self.hashes) {
            return Err("its number of hashes is out of bounds");
        }
        let seed = STANDARD.decode(&self.seed).ok();
        let seed = seed.and_then(|seed| <[u8; SEED_BYTES]>::try_from(seed).ok());
        let seed = u128::from_le_bytes(seed.ok_or("its seed is not sixteen bytes in base64")?);
        let bytes = STANDARD.decode(&self.bits).map_err(|_| "its bits are no base64")?;
        let (words, rest) = bytes.as_chunks::<8>();
        if words.is_empty() || !rest.is_empty() || bytes.len() > FILTER_BYTES {
            return Err("it has no whole number of words, or too many");
        }
        let words = words.iter().map(|word| u64::from_le_bytes(*word)).collect();
        let filter = BloomFilter::from_vec(words).seed(&seed).hashes(self.hashes);
        if { WITNESSES }.all(|witness| filter.contains(&witness)) {
            Ok(filter)
        } else {
            Err("it does not hold what every filter holds: ids are hashed in another way there")
        }
    }
}

/// A document that cannot be relied on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// Another version of this module made it.
    #[error("the known ids have the format {0}, and here {FORMAT} is read")]
    Format(u32),
    /// What it says of its span is no span, or it has too many kinds.
    #[error("the known ids have no sensible bounds")]
    Bounds,
    /// A filter is damaged.
    #[error("the filter of the kind {kind:?}: {problem}")]
    Filter {
        /// The kind.
        kind: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// A document that was checked, ready to be asked.
#[derive(Debug)]
pub struct Existence {
    open_from: i64,
    open_to: i64,
    kinds: BTreeMap<String, BloomFilter>,
}

impl Existence {
    /// Checks a document.
    ///
    /// # Errors
    /// It cannot be relied on.
    pub fn read(document: &KnownIds) -> Result<Self, Unusable> {
        let KnownIds { format, open_from, open_to, ref kinds, .. } = *document;
        if format != FORMAT {
            return Err(Unusable::Format(format));
        }
        if open_from > open_to || kinds.len() > KINDS_MOST {
            return Err(Unusable::Bounds);
        }
        let read = |(kind, filter): (&String, &IdFilter)| match filter.read() {
            Ok(bits) => Ok((kind.clone(), bits)),
            Err(problem) => Err(Unusable::Filter { kind: kind.clone(), problem }),
        };
        Ok(Self { open_from, open_to, kinds: kinds.iter().map(read).collect::<Result<_, _>>()? })
    }

    /// Whether nothing of this kind has the id, now or later. No is not yes: then only the core can tell.
    pub fn denies(&self, kind: &str, id: i64) -> bool {
        let is_settled = id < self.open_from || id >= self.open_to;
        is_settled && self.kinds.get(kind).is_some_and(|known| !known.contains(&id))
    }
}

/// Numbers that JavaScript cannot hold, as text.
mod decimal {
    use serde::{Deserialize, Deserializer, Serializer, de};
    use std::borrow::Cow;

    pub(super) fn serialize<S: Serializer>(number: &i64, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(number)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const FROM: i64 = 1_000;
    const TO: i64 = 2_000;

    fn document(stores: &[i64]) -> KnownIds {
        let kinds = [(STORE.to_owned(), IdFilter::of(stores, 7))].into();
        KnownIds { format: FORMAT, as_of_ms: 5, open_from: FROM, open_to: TO, kinds }
    }

    fn over_the_wire(document: &KnownIds) -> Existence {
        let json = serde_json::to_vec(document).unwrap();
        Existence::read(&serde_json::from_slice(&json).unwrap()).unwrap()
    }

    #[test]
    fn only_a_settled_id_of_a_listed_kind_is_denied() {
        let existence = over_the_wire(&document(&[7, 1_500, 2_500]));
        for (kind, id, denied) in [
            (STORE, 7, false),
            (STORE, 8, true),
            (STORE, FROM - 1, true),
            // Whatever may be minted meanwhile.
            (STORE, FROM, false),
            (STORE, 1_500, false),
            (STORE, 1_501, false),
            (STORE, TO - 1, false),
            (STORE, TO, true),
            (STORE, 2_500, false),
            (STORE, i64::MAX, true),
            // There may be too many of these to list.
            (DEAL, 8, false),
            ("", 8, false),
        ] {
            assert_eq!(existence.denies(kind, id), denied, "{kind} {id}");
        }
    }

    proptest! {
        #[test]
        fn a_known_id_is_never_denied(
            ids in proptest::collection::vec(1..=i64::MAX, 0..400), seed: u128, from: i64, to: i64,
        ) {
            let kinds = [(STORE.to_owned(), IdFilter::of(&ids, seed))].into();
            let (open_from, open_to) = (from.min(to), from.max(to));
            let document = KnownIds { format: FORMAT, as_of_ms: 0, open_from, open_to, kinds };
            let existence = over_the_wire(&document);
            prop_assert!(ids.iter().all(|id| !existence.denies(STORE, *id)));
        }
    }

    #[test]
    fn most_unknown_ids_are_denied() {
        let ids: Vec<i64> = (1..=10_000).map(|n| n * 3).collect();
        let filter = IdFilter::of(&ids, 3);
        assert!(filter.bits.len() < ids.len() * 2, "{} bytes", filter.bits.len());
        let kinds = [(STORE.to_owned(), filter)].into();
        let open = i64::MAX;
        let document =
            KnownIds { format: FORMAT, as_of_ms: 0, open_from: open, open_to: open, kinds };
        let existence = over_the_wire(&document);
        let denied = ids.iter().filter(|id| existence.denies(STORE, *id + 1)).count();
        assert!(denied > 9_500, "{denied} of 10000");
    }

    #[test]
    fn what_cannot_be_relied_on_is_refused() {
        let refused = |change: &dyn Fn(&mut KnownIds, &mut IdFilter)| {
            let mut document = document(&[7]);
            let mut filter = document.kinds.remove(STORE).unwrap();
            change(&mut document, &mut filter);
            document.kinds.insert(STORE.to_owned(), filter);
            Existence::read(&document).err()
        };
        assert_eq!(refused(&|_, _| {}), None);
        assert_eq!(refused(&|document, _| document.format = 2), Some(Unusable::Format(2)));
        assert_eq!(refused(&|document, _| document.open_from = TO + 1), Some(Unusable::Bounds));
        let cut = |text: &str| text[..text.len() - 4].to_owned();
        let damages: [&dyn Fn(&mut IdFilter); 9] = [
            &|filter| filter.hashes = 0,
            &|filter| filter.hashes = u32::MAX,
            &|filter| filter.hashes += 1,
            &|filter| filter.seed = STANDARD.encode([1; SEED_BYTES]),
            &|filter| filter.seed.clear(),
            &|filter| filter.bits.clear(),
            &|filter| filter.bits = cut(&filter.bits),
            &|filter| filter.bits = "no base64".to_owned(),
            &|filter| filter.bits = STANDARD.encode(vec![u8::MAX; FILTER_BYTES + 8]),
        ];
        for (number, damage) in damages.iter().enumerate() {
            let found = refused(&|_, filter| damage(filter));
            assert!(matches!(found, Some(Unusable::Filter { .. })), "{number}: {found:?}");
        }
    }
}

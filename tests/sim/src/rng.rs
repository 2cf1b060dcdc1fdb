//! SplitMix64 (Steele, Lea, Flood: "Fast Splittable Pseudorandom Number Generators", 2014): small, and the
//! same on every machine and in every version.

/// Random numbers from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Rng(u64);

impl Rng {
    /// The numbers of a seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number of `from..=to`.
    pub(crate) fn within(&mut self, from: i64, to: i64) -> i64 {
        let choices = to.abs_diff(from) + 1;
        // The remainder's bias is of no account for a few choices out of 2^64.
        from.wrapping_add_unsigned(self.next() % choices)
    }

    /// An index below `len`, which must not be 0.
    pub(crate) fn index(&mut self, len: usize) -> usize {
        let highest = i64::try_from(len).expect("a length fits") - 1;
        usize::try_from(self.within(0, highest)).expect("it is not negative")
    }

    /// True in `percent` of a hundred cases.
    pub(crate) fn chance(&mut self, percent: i64) -> bool {
        self.within(1, 100) <= percent
    }

    /// One of some things, which must not be none.
    pub(crate) fn pick<T: Copy>(&mut self, things: &[T]) -> T {
        things[self.index(things.len())]
    }

    /// One of some things by weight.
    pub(crate) fn weighted<T: Copy>(&mut self, things: &[(i64, T)]) -> T {
        let mut at = self.within(1, things.iter().map(|(weight, _)| weight).sum());
        for (weight, thing) in things {
            at -= weight;
            if at <= 0 {
                return *thing;
            }
        }
        unreachable!("the weights were added up")
    }

    /// Puts things into a random order (Fisher and Yates).
    pub(crate) fn shuffle<T>(&mut self, things: &mut [T]) {
        for last in (1..things.len()).rev() {
            things.swap(last, self.index(last + 1));
        }
    }
}

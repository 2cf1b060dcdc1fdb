//! Random numbers that a seed decides: SplitMix64 (Steele, Lea, Flood, OOPSLA 2014,
//! <https://doi.org/10.1145/2714064.2660195>), so that a drill can be repeated on any machine.

/// A generator.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// What this seed leads to.
    pub fn seeded(seed: u64) -> Self {
        Self(seed)
    }

    /// Another generator, for the n-th of many: their numbers have nothing in common.
    pub fn branch(&self, n: u64) -> Self {
        let mut branch = Self(self.0 ^ n.wrapping_mul(0xD134_2543_DE82_EF95));
        Self(branch.number())
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number of this range. The modulo's bias is below 2⁻⁴⁰ for the small ranges that are drawn here.
    pub fn within(&mut self, range: std::ops::RangeInclusive<u64>) -> u64 {
        range.start() + self.number() % (range.end() - range.start() + 1)
    }

    /// An index below `len`, which is above 0.
    pub fn index(&mut self, len: usize) -> usize {
        usize::try_from(self.number() % len as u64).expect("below a usize")
    }

    /// Whether something happens that does so in `percent` of all cases.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.within(1..=100) <= percent
    }

    /// Puts a list into a random order (Fisher and Yates).
    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for end in (1..list.len()).rev() {
            let other = self.index(end + 1);
            list.swap(end, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_and_branches_differ() {
        let draw = |mut random: Random| [random.number(), random.number()];
        let one = Random::seeded(1);
        assert_eq!(draw(one.clone()), draw(Random::seeded(1)));
        assert_ne!(draw(one.clone()), draw(Random::seeded(2)));
        assert_ne!(draw(one.branch(0)), draw(one.branch(1)));
        // The reference implementation's first number for seed 0.
        assert_eq!(Random::seeded(0).number(), 0xE220_A839_7B1D_CDAF);
    }

    #[test]
    fn ranges_hold_and_shuffling_loses_nothing() {
        let mut random = Random::seeded(7);
        assert!((0..1_000).all(|_| (3..=5).contains(&random.within(3..=5))));
        let hits = (0..10_000).filter(|_| random.percent(20)).count();
        assert!((1_800..2_200).contains(&hits), "{hits}");
        let mut list: Vec<_> = (0..50).collect();
        random.shuffle(&mut list);
        assert_ne!(list, (0..50).collect::<Vec<_>>());
        list.sort_unstable();
        assert_eq!(list, (0..50).collect::<Vec<_>>());
    }
}

//! What things take in memory, as the allocator gives it out. Pure.
//!
//! The cache's limit is one of the process's memory, so that what is asked for is not what counts: mimalloc has four
//! sizes for each doubling, and the map around the entries has costs of its own.

use crate::limits;

/// The least that the allocator hands out.
const WORD_BYTES: usize = 8;
/// A page of the machine.
const PAGE_BYTES: usize = 4_096;
/// From here on parts of what is handed out may never be touched, and are then not there.
const LARGE_BYTES: usize = 4 * PAGE_BYTES;
/// What `Bytes` allocates beside its content once it is shared.
const SHARED_BYTES: usize = 24;
/// The two counters of an `Arc`.
pub(super) const ARC_BYTES: usize = 16;

/// What a piece of so many bytes takes.
pub(super) fn allocated(bytes: usize) -> usize {
    if bytes == 0 {
        return 0;
    }
    let class = size_class(bytes);
    if bytes < LARGE_BYTES {
        return class;
    }
    // Its last pages are there once something longer was kept in the same place.
    usize::midpoint(class, bytes.next_multiple_of(PAGE_BYTES))
}

/// What bytes that are shared take.
pub(super) fn shared(bytes: usize) -> usize {
    if bytes == 0 { 0 } else { allocated(bytes) + allocated(SHARED_BYTES) }
}

/// What a key and a list of so many variants take around the entries.
pub(super) fn of_slot(key_bytes: usize, variants: usize) -> usize {
    let list = ARC_BYTES + variants * size_of::<usize>();
    allocated(key_bytes) + allocated(list) + limits::CACHE_SLOT_OVERHEAD_BYTES
}

/// The size that is handed out: even words up to eight of them, then a quarter of a doubling apart. Source: mimalloc,
/// `mi_bin`.
fn size_class(bytes: usize) -> usize {
    let words = bytes.div_ceil(WORD_BYTES);
    if words <= 8 {
        return words.next_multiple_of(2) * WORD_BYTES;
    }
    words.next_multiple_of(1 << ((words - 1).ilog2() - 2)) * WORD_BYTES
}

#[cfg(test)]
mod tests {
    use super::{allocated, size_class};

    #[test]
    fn sizes_are_those_of_the_allocator() {
        for (bytes, class) in [
            (1, 16),
            (16, 16),
            (17, 32),
            (64, 64),
            (65, 80),
            (128, 128),
            (129, 160),
            (1_000, 1_024),
            (1_025, 1_280),
            (100_000, 114_688),
        ] {
            assert_eq!(size_class(bytes), class, "{bytes}");
        }
        assert_eq!((allocated(0), allocated(1_025)), (0, 1_280));
        assert_eq!(allocated(100_000), usize::midpoint(102_400, 114_688));
    }
}

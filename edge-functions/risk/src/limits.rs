//! Every limit of the risk function. Units come last in each name. The ranges of the features are the scorer's.

/// The greatest body that is read, bytes.
pub const BODY_MAX_BYTES: usize = 16 << 10;

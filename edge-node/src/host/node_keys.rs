//! Keys of every key-value store that the node itself answers: what a guest needs to know of the node and no
//! interface of Spin tells.
//!
//! | key | value |
//! |---|---|
//! | `tiffin:generation:<tags>` | `<epoch> <now> <hard> <soft>`: the versions of the tags (between spaces), see [`Generation`] |
//!
//! A guest reads them like any key, so that it needs no import of its own and finds nothing there under Spin. Nobody
//! can write them, and listing a store does not show them.

use crate::cache::{Cache, Generation};
use crate::limits;

/// What the keys of tags' versions begin with.
const GENERATION: &str = "tiffin:generation:";

/// Whether a key is the node's to answer.
pub(super) fn is_reserved(key: &str) -> bool {
    key.starts_with(GENERATION)
}

/// The node's answer to a reserved key.
///
/// # Errors
/// What is wrong with the key.
pub(super) fn answer(key: &str, cache: &Cache) -> Result<Option<Vec<u8>>, String> {
    let Some(tags) = key.strip_prefix(GENERATION) else { return Ok(None) };
    if key.len() > limits::MAX_NODE_KEY_BYTES {
        return Err(format!("such a key has at most {} bytes", limits::MAX_NODE_KEY_BYTES));
    }
    let Generation { epoch, now, hard, soft } = cache.generation(tags);
    Ok(Some(format!("{epoch} {now} {hard} {soft}").into_bytes()))
}

/// What a guest is told that writes such a key.
pub(super) const READ_ONLY: &str =
    "keys that begin with tiffin:generation: are the node's own and cannot be written";

//! Keys of every key-value store that the node itself answers: what a guest needs to know of the node and no
//! interface of Spin tells.
//!
//! | key | value |
//! |---|---|
//! | `tiffin:generation:<tags>` | `<epoch> <now> <hard> <soft>`: the versions of the tags (between spaces), see [`Generation`] |
//! | `tiffin:known:<kind>:<id>` | `no` if nothing of this kind has the id, now or later; else there is no such key, see [`Known`] |
//!
//! A guest reads them like any key, so that it needs no import of its own and finds nothing there under Spin. Nobody
//! can write them, and listing a store does not show them.

use crate::cache::{Cache, Generation};
use crate::known::Known;
use crate::limits;

/// What the keys of tags' versions begin with.
const GENERATION: &str = "tiffin:generation:";
/// What the keys of ids begin with.
const KNOWN: &str = "tiffin:known:";
/// The value of an id that nothing has.
const NO: &[u8] = b"no";

/// Whether a key is the node's to answer.
pub(super) fn is_reserved(key: &str) -> bool {
    key.starts_with(GENERATION) || key.starts_with(KNOWN)
}

/// The node's answer to a reserved key.
///
/// # Errors
/// What is wrong with the key.
pub(super) fn answer(key: &str, cache: &Cache, known: &Known) -> Result<Option<Vec<u8>>, String> {
    if key.len() > limits::MAX_NODE_KEY_BYTES {
        return Err(format!("such a key has at most {} bytes", limits::MAX_NODE_KEY_BYTES));
    }
    if let Some(tags) = key.strip_prefix(GENERATION) {
        let Generation { epoch, now, hard, soft } = cache.generation(tags);
        return Ok(Some(format!("{epoch} {now} {hard} {soft}").into_bytes()));
    }
    let thing = key.strip_prefix(KNOWN).and_then(|thing| thing.split_once(':'));
    let denied = thing.and_then(|(kind, id)| Some(known.denies(kind, id.parse().ok()?)));
    Ok((denied == Some(true)).then(|| NO.to_vec()))
}

/// What a guest is told that writes such a key.
pub(super) const READ_ONLY: &str = "keys that begin with tiffin:generation: or tiffin:known: are the node's own and cannot be written";

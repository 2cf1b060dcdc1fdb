//! The names of keys. What one script touches shares a hash tag (the part in braces), by which Redis Cluster
//! chooses the node: <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags>.

/// Whose gate it is. Gates know nothing of each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GateTag {
    /// The stock of a store, by its id; items are its SKUs.
    Store(i64),
    /// The claims of a coupon template, by its id; its items are named by whoever uses the gate.
    Template(i64),
}

impl GateTag {
    /// The hash tag.
    fn tag(self) -> String {
        match self {
            Self::Store(id) => format!("{{s{id}}}"),
            Self::Template(id) => format!("{{c{id}}}"),
        }
    }
}

/// Units left of an item: an integer, without a TTL.
pub fn left(tag: GateTag, item: i64) -> String {
    format!("tiffin:{}:left:{item}", tag.tag())
}

/// Units that a user holds in unpaid orders.
pub fn held(tag: GateTag, user: i64) -> String {
    format!("tiffin:{}:held:{user}", tag.tag())
}

/// Whether a request was admitted.
pub fn seen(tag: GateTag, request: &str) -> String {
    format!("tiffin:{}:seen:{request}", tag.tag())
}

/// A token bucket: a hash of level and instant.
pub fn bucket(key: &str) -> String {
    format!("tiffin:{{b:{key}}}")
}

/// A sliding window: a sorted set of events by instant.
pub fn window(key: &str) -> String {
    format!("tiffin:{{w:{key}}}")
}

/// A lease: its owner.
pub fn lease(name: &str) -> String {
    format!("tiffin:{{lease:{name}}}")
}

/// A cached value.
pub fn cached(key: &str) -> String {
    format!("tiffin:{{cache:{key}}}")
}

/// A channel for news. Not a key: channels live in a name space of their own.
pub fn channel(name: &str) -> String {
    format!("tiffin:news:{name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The hash tag as Redis Cluster finds it: between the first `{` and the first `}` after it.
    fn hash_tag(key: &str) -> &str {
        let (_, rest) = key.split_once('{').unwrap();
        let (tag, _) = rest.split_once('}').unwrap();
        assert!(!tag.is_empty(), "an empty tag is none: {key}");
        tag
    }

    #[test]
    fn all_keys_of_one_gate_share_a_hash_tag_and_gates_do_not() {
        for tag in [GateTag::Store(7), GateTag::Template(7), GateTag::Store(77)] {
            // A brace in a request's name comes after the tag and changes nothing.
            let keys = [left(tag, 1), left(tag, 2), held(tag, 3), seen(tag, "{x}")];
            assert!(keys.iter().all(|key| hash_tag(key) == hash_tag(&keys[0])), "{keys:?}");
        }
        let [store, template] = [GateTag::Store(7), GateTag::Template(7)];
        assert_ne!(hash_tag(&left(store, 1)), hash_tag(&left(template, 1)));
    }

    #[test]
    fn names_are_as_operators_know_them() {
        assert_eq!(left(GateTag::Store(12), 5), "tiffin:{s12}:left:5");
        assert_eq!(held(GateTag::Template(3), 9), "tiffin:{c3}:held:9");
        assert_eq!(seen(GateTag::Store(12), "ab"), "tiffin:{s12}:seen:ab");
    }

    #[test]
    fn different_kinds_never_share_a_key() {
        let keys = [bucket("a"), window("a"), lease("a"), cached("a")];
        let mut different = keys.to_vec();
        different.sort();
        different.dedup();
        assert_eq!(different.len(), keys.len());
    }
}

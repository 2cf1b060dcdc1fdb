//! The Lua scripts, one file each; what a script does and what it is given stands at its head.

use ::redis::Script;

/// Every script with its SHA-1, by which it is called.
pub(super) struct Scripts {
    pub(super) admit: Script,
    pub(super) give_back: Script,
    pub(super) release: Script,
    pub(super) load: Script,
    pub(super) take_token: Script,
    pub(super) slide: Script,
    pub(super) lease: Script,
    pub(super) release_lease: Script,
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            admit: Script::new(include_str!("admit.lua")),
            give_back: Script::new(include_str!("give_back.lua")),
            release: Script::new(include_str!("release.lua")),
            load: Script::new(include_str!("load.lua")),
            take_token: Script::new(include_str!("take_token.lua")),
            slide: Script::new(include_str!("slide.lua")),
            lease: Script::new(include_str!("lease.lua")),
            release_lease: Script::new(include_str!("release_lease.lua")),
        }
    }
}

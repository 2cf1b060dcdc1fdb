//! On what it was measured: without it the figures mean nothing.

use serde::Serialize;
use std::fs;

/// The machine.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Machine {
    /// Processors.
    pub processors: usize,
    /// What the processor calls itself.
    pub processor: String,
    /// Memory, MiB.
    pub memory_mib: u64,
}

impl Machine {
    /// This one, as far as `/proc` tells.
    pub fn gather() -> Self {
        Self {
            processors: std::thread::available_parallelism().map_or(0, usize::from),
            processor: proc_field("/proc/cpuinfo", "model name")
                .unwrap_or_else(|| "unknown".to_owned()),
            memory_mib: proc_field("/proc/meminfo", "MemTotal").as_deref().map_or(0, kib) / 1_024,
        }
    }
}

/// A count of `kB`, as `/proc` writes it; nothing where it is none.
pub fn kib(text: &str) -> u64 {
    text.split(' ').next().and_then(|count| count.parse().ok()).unwrap_or(0)
}

/// The first value of a `name: value` file of `/proc`.
pub fn proc_field(file: &str, name: &str) -> Option<String> {
    field(&fs::read_to_string(file).ok()?, name)
}

/// The first value of a text of lines `name: value`.
pub fn field(text: &str, name: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (found, value) = line.split_once(':')?;
        (found.trim() == name).then(|| value.trim().to_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found_by_their_whole_name() {
        let text =
            "processor\t: 0\nmodel name\t: A Model: 5\nmodel name\t: Other\nMemTotal:  64 kB\n";
        assert_eq!(field(text, "model name").as_deref(), Some("A Model: 5"));
        assert_eq!(field(text, "MemTotal").as_deref(), Some("64 kB"));
        assert_eq!(field(text, "model"), None);
        assert_eq!(field(text, "MemTotal").as_deref().map(kib), Some(64));
    }
}

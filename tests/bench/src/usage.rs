//! What a process or a processor has used, from `/proc` (proc(5)); nothing elsewhere.

use crate::report::machine::{kib, proc_field};
use std::collections::BTreeMap;
use std::fs;

/// `USER_HZ`: what `/proc` counts in on every Linux of today.
const TICKS_PER_S: f64 = 100.0;

/// Seconds of processor time that a process has used since its start; `None` where `/proc` does not tell.
pub fn cpu_s(pid: u32) -> Option<f64> {
    parse(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?).map(|stat| stat.cpu_s)
}

/// The same of a process and all that descend from it and still run.
pub fn tree_cpu_s(pid: u32) -> Option<f64> {
    let mut stats = BTreeMap::new();
    for entry in fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if let Some(stat) =
            fs::read_to_string(entry.path().join("stat")).ok().and_then(|stat| parse(&stat))
        {
            stats.insert(pid, stat);
        }
    }
    stats.contains_key(&pid).then(|| tree(&stats, pid))
}

/// Seconds that a processor has worked for anybody since the machine started, those that its host took for others
/// included.
pub fn processor_busy_s(processor: usize) -> Option<f64> {
    parse_busy(&fs::read_to_string("/proc/stat").ok()?, processor)
}

/// Memory of a process that is in use now, MiB.
pub fn resident_mib(pid: u32) -> Option<f64> {
    let resident = proc_field(&format!("/proc/{pid}/status"), "VmRSS")?;
    Some(kib(&resident) as f64 / 1_024.0)
}

struct Stat {
    parent: u32,
    cpu_s: f64,
}

fn tree(stats: &BTreeMap<u32, Stat>, pid: u32) -> f64 {
    let own = stats.get(&pid).map_or(0.0, |stat| stat.cpu_s);
    // Process 0 is its own parent.
    let children = stats.iter().filter(|(child, stat)| stat.parent == pid && **child != pid);
    own + children.map(|(child, _)| tree(stats, *child)).sum::<f64>()
}

/// The columns of `cpuN`: user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of the first two.
fn parse_busy(stat: &str, processor: usize) -> Option<f64> {
    let name = format!("cpu{processor}");
    let line = stat.lines().find(|line| line.split_whitespace().next() == Some(&name))?;
    let mut busy = 0.0;
    for (column, ticks) in line.split_whitespace().skip(1).take(8).enumerate() {
        let ticks: f64 = ticks.parse().ok()?;
        if ![3, 4].contains(&column) {
            busy += ticks;
        }
    }
    Some(busy / TICKS_PER_S)
}

/// Fields 4, 14 and 15: `ppid`, `utime` and `stime`; the second field is a name in parentheses that may hold
/// anything.
fn parse(stat: &str) -> Option<Stat> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(1);
    let parent = fields.next()?.parse().ok()?;
    let mut fields = fields.skip(9);
    let user: f64 = fields.next()?.parse().ok()?;
    let system: f64 = fields.next()?.parse().ok()?;
    Some(Stat { parent, cpu_s: (user + system) / TICKS_PER_S })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_spaces_and_parentheses_confuses_nobody() {
        let stat = "42 (a) b (c) S 7 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 1 0 5 6 7";
        let stat = parse(stat).unwrap();
        assert_eq!((stat.parent, stat.cpu_s), (7, 3.0));
        assert!(parse("garbage").is_none());
    }

    #[test]
    fn a_processor_is_busy_unless_it_is_idle_or_waits() {
        let stat = "cpu  1 1 1 1 1 1 1 1 0 0\ncpu1 9 9 9 9 9 9 9 9 0 0\ncpu10 100 20 30 5000 700 1 2 47 60 0\n";
        assert_eq!(parse_busy(stat, 10), Some(2.0));
        assert_eq!(parse_busy(stat, 2), None);
        assert_eq!(parse_busy("cpu0 1 x", 0), None);
    }

    #[test]
    fn a_tree_is_the_sum_of_its_processes_and_no_others() {
        let stat = |parent, cpu_s| Stat { parent, cpu_s };
        let stats = BTreeMap::from([
            (0, stat(0, 64.0)),
            (1, stat(0, 32.0)),
            (5, stat(1, 1.0)),
            (6, stat(5, 2.0)),
            (7, stat(6, 4.0)),
            (8, stat(1, 8.0)),
        ]);
        assert_eq!(tree(&stats, 5), 7.0);
        assert_eq!(tree(&stats, 0), 111.0);
    }

    #[test]
    fn our_own_time_grows() {
        let pid = std::process::id();
        let Some(before) = tree_cpu_s(pid) else { return };
        let started = std::time::Instant::now();
        while started.elapsed().as_millis() < 60 {
            std::hint::spin_loop();
        }
        assert!(cpu_s(pid).unwrap() > before);
        assert!(resident_mib(pid).unwrap() > 0.5);
    }
}

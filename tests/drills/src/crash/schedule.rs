//! When what is killed: drawn from a seed. Pure.
//!
//! The same seed gives the same kills, gaps and pauses. It does not give the same interleaving: which request
//! is where when a kill comes is up to the machine.

use crate::limits;
use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;
use tiffin_fixtures::random::Random;

/// What can be killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Target {
    /// MariaDB.
    MariaDb,
    /// Redis.
    Redis,
    /// The core.
    Core,
}

impl Target {
    /// All of them, in the order in which they are started again.
    pub const ALL: [Self; 3] = [Self::MariaDb, Self::Redis, Self::Core];
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MariaDb => "MariaDB",
            Self::Redis => "Redis",
            Self::Core => "core",
        })
    }
}

/// One kill.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kill {
    /// What, one or two, in the order in which they are started again.
    pub targets: Vec<Target>,
    /// The wait before it, from the last restart on and from when the load has come so far.
    pub after: Duration,
    /// For how long it stays down; nothing if it is started again at once.
    pub pause: Duration,
}

impl fmt::Display for Kill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.targets.iter().map(Target::to_string).collect();
        f.write_str(&names.join(" + "))
    }
}

/// Of how many kills one takes two targets, %.
const TWO_AT_ONCE_PERCENT: u64 = 20;
/// How many are started again at once, %.
const AT_ONCE_PERCENT: u64 = 50;

/// Kills in their order: each target is the first of at least a third of them, rounded down.
pub fn draw(seed: u64, kills: usize) -> Vec<Kill> {
    let mut random = Random::seeded(seed);
    let mut firsts: Vec<_> = Target::ALL.into_iter().cycle().take(kills).collect();
    random.shuffle(&mut firsts);
    firsts.into_iter().map(|first| kill(first, &mut random)).collect()
}

fn kill(first: Target, random: &mut Random) -> Kill {
    let mut targets = vec![first];
    if random.percent(TWO_AT_ONCE_PERCENT) {
        let others: Vec<_> = Target::ALL.into_iter().filter(|other| *other != first).collect();
        targets.push(others[random.index(others.len())]);
        targets.sort_unstable();
    }
    let after = Duration::from_millis(random.within(limits::KILL_GAP_MS));
    let pause_ms = random.within(limits::KILL_PAUSE_MS);
    let at_once = random.percent(AT_ONCE_PERCENT);
    let pause = if at_once { Duration::ZERO } else { Duration::from_millis(pause_ms) };
    Kill { targets, after, pause }
}

/// How often each target is killed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// MariaDB.
    pub mariadb: usize,
    /// Redis.
    pub redis: usize,
    /// The core.
    pub core: usize,
    /// Kills of two at once.
    pub two_at_once: usize,
}

impl AddAssign<&Kill> for Counts {
    fn add_assign(&mut self, kill: &Kill) {
        for target in &kill.targets {
            *match target {
                Target::MariaDb => &mut self.mariadb,
                Target::Redis => &mut self.redis,
                Target::Core => &mut self.core,
            } += 1;
        }
        self.two_at_once += usize::from(kill.targets.len() > 1);
    }
}

impl Counts {
    /// Of some kills.
    pub fn of<'a>(kills: impl IntoIterator<Item = &'a Kill>) -> Self {
        let mut counts = Self::default();
        kills.into_iter().for_each(|kill| counts += kill);
        counts
    }
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mariadb, redis, core, two_at_once } = self;
        write!(f, "core {core}, Redis {redis}, MariaDB {mariadb}, two at once {two_at_once}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_every_kill() {
        assert_eq!(draw(5, 24), draw(5, 24));
        assert_ne!(draw(5, 24), draw(6, 24));
    }

    #[test]
    fn a_whole_run_kills_each_at_least_five_times_and_two_at_once_now_and_then() {
        let mut two_at_once = 0;
        for seed in 0..200 {
            let counts = Counts::of(&draw(seed, limits::KILLS));
            assert!(counts.core.min(counts.redis).min(counts.mariadb) >= 5, "{seed}: {counts}");
            let quick = Counts::of(&draw(seed, limits::KILLS_QUICK));
            assert!(quick.core.min(quick.redis).min(quick.mariadb) >= 2, "{seed}: {quick}");
            two_at_once += counts.two_at_once;
        }
        assert!((600..1_400).contains(&two_at_once), "{two_at_once} of 4800");
    }

    #[test]
    fn kills_stay_within_their_bounds() {
        let kills = draw(1, 500);
        for kill in &kills {
            let gap_ms = u64::try_from(kill.after.as_millis()).unwrap();
            let pause_ms = u64::try_from(kill.pause.as_millis()).unwrap();
            assert!(limits::KILL_GAP_MS.contains(&gap_ms));
            assert!(pause_ms == 0 || limits::KILL_PAUSE_MS.contains(&pause_ms));
            let ordered = kill.targets.windows(2).all(|pair| pair[0] < pair[1]);
            assert!(ordered && (1..=2).contains(&kill.targets.len()), "{kill}");
        }
        let at_once = kills.iter().filter(|kill| kill.pause.is_zero()).count();
        assert!((180..320).contains(&at_once), "{at_once}");
    }
}

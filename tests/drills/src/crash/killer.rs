//! Carries out the schedule: waits, kills, waits, starts again. Runs on a thread of its own, because killing
//! and starting block.

use super::buyer::Load;
use super::schedule::{Kill, Target};
use crate::limits;
use anyhow::{Context as _, Result};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Instant;

/// Kills as scheduled, until the load is over; whatever happens, all is up again at the end. The kills are spread
/// over a load of so many `orders`: however slow the machine is, each waits for its part of them. `told` hears
/// of each kill.
pub fn run(load: &Load, schedule: &[Kill], orders: usize, told: impl Fn(&Kill)) -> Result<()> {
    for (n, kill) in schedule.iter().enumerate() {
        let due = orders * n / schedule.len();
        while load.journal.pages().orders.len() < due && !load.over.load(Ordering::Relaxed) {
            thread::sleep(limits::POLL);
        }
        thread::sleep(kill.after);
        if load.over.load(Ordering::Relaxed) {
            break;
        }
        told(kill);
        let at = Instant::now();
        for target in &kill.targets {
            stop(load, *target).with_context(|| format!("killing {target}"))?;
        }
        load.journal.note_kill(kill.clone(), at);
        thread::sleep(kill.pause);
        // A core whose database is still down may end; its supervisor starts it again.
        for target in &kill.targets {
            start(load, *target).with_context(|| format!("starting {target} again"))?;
        }
    }
    Ok(())
}

fn stop(load: &Load, target: Target) -> Result<()> {
    let world = &load.world;
    match target {
        Target::MariaDb => world.services.mariadb()?.kill(),
        Target::Redis => world.services.redis()?.kill(),
        Target::Core => world.core.kill(),
    }
}

/// MariaDB and Redis answer when this returns; the core may still be starting when the next kill comes.
fn start(load: &Load, target: Target) -> Result<()> {
    let world = &load.world;
    match target {
        Target::MariaDb => world.services.mariadb()?.restart(),
        Target::Redis => world.services.redis()?.restart(),
        Target::Core => world.core.restart(),
    }
}

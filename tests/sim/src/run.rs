//! Plays histories: drawn from a seed, or given.

use crate::generate::Generator;
use crate::history::Step;
use crate::rules::Violation;
use crate::setup::Setup;
use crate::submit::Sabotage;
use crate::world::{Broken, World};
use anyhow::Context as _;
use std::collections::BTreeMap;
use std::future::Future;
use std::path::Path;
use std::sync::mpsc;
use tiffin_fixtures::random::Random;

/// Which histories to play.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    /// Random steps of each, before everything is brought to rest.
    pub(crate) steps: usize,
    /// What is broken on purpose.
    pub(crate) sabotage: Option<Sabotage>,
}

/// A history that was played.
#[derive(Debug)]
pub(crate) struct Played {
    /// Its steps, as many as were begun.
    pub(crate) steps: Vec<Step>,
    /// What happened.
    pub(crate) log: String,
    /// How often something of interest happened.
    pub(crate) seen: BTreeMap<String, u64>,
    /// The rule that it broke.
    pub(crate) violation: Option<Violation>,
}

/// Draws a seed's history and plays it.
pub(crate) fn draw(seed: u64, plan: &Plan) -> anyhow::Result<Played> {
    let mut rng = Random::seeded(seed);
    let setup = Setup::of(&mut rng);
    let mut generator = Generator::new(rng);
    let mut drawn = 0;
    play(setup, plan.sabotage, |world| {
        drawn += 1;
        (drawn <= plan.steps).then(|| generator.next(world))
    })
    .with_context(|| format!("seed {seed} cannot be played"))
}

/// Plays the given steps from a seed's start.
pub(crate) fn replay(seed: u64, plan: &Plan, steps: &[Step]) -> anyhow::Result<Played> {
    let setup = Setup::of(&mut Random::seeded(seed));
    let mut rest = steps.iter();
    play(setup, plan.sabotage, |_| rest.next().cloned())
}

fn play(
    setup: Setup,
    sabotage: Option<Sabotage>,
    mut next: impl FnMut(&World) -> Option<Step>,
) -> anyhow::Result<Played> {
    let folder = folder()?;
    on_still_time(async {
        let mut world = World::new(setup, sabotage, folder.path().to_owned()).await?;
        let mut steps = Vec::new();
        let mut broken = None;
        while let Some(step) = next(&world) {
            steps.push(step);
            if let Err(error) = world.step(&steps[steps.len() - 1]).await {
                broken = Some(error);
                break;
            }
        }
        if broken.is_none() {
            broken = world.settle().await.err();
        }
        let violation = match broken {
            None => None,
            Some(Broken::Rule(violation)) => Some(violation),
            Some(Broken::Sim(error)) => return Err(error),
        };
        let (log, seen) = (std::mem::take(&mut world.log), std::mem::take(&mut world.model.seen));
        world.end().await;
        Ok(Played { steps, log, seen, violation })
    })
}

/// A folder that goes away by itself; in memory where the system has such a place, because no disk is part of
/// what is simulated.
fn folder() -> anyhow::Result<tempfile::TempDir> {
    let memory = Path::new("/dev/shm");
    let mut builder = tempfile::Builder::new();
    builder.prefix("tiffin-sim-");
    if memory.is_dir()
        && let Ok(folder) = builder.tempdir_in(memory)
    {
        return Ok(folder);
    }
    builder.tempdir().context("a temporary folder")
}

/// Runs a future on one thread and on a clock that only moves when it is told to: every wait then takes no time
/// and ends in one order.
fn on_still_time<T>(future: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build()?;
    let (end, until_end) = mpsc::channel::<()>();
    runtime.block_on(async {
        // A still clock jumps to the next timer when nothing can run; SQLite's thread may be at work then, and
        // its statement would be given up. As long as a blocking task is there, the clock does not jump.
        let stillness = tokio::task::spawn_blocking(move || _ = until_end.recv());
        let outcome = future.await;
        drop(end);
        stillness.await?;
        outcome
    })
}

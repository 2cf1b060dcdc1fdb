//! What the program takes and prints.

use crate::run::{Plan, Played, draw};
use crate::shrink::shrink;
use crate::submit::Sabotage;
use clap::Parser;
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Instant;

/// Histories unless the command line says otherwise.
const SEEDS: u64 = 100;
/// After so many histories the progress is told.
const TELL_EVERY: u64 = 25;

/// Random histories of commands and faults against the real engine
#[derive(Debug, Parser)]
#[command(name = "tiffin-sim", long_about = None)]
pub struct Cli {
    /// How many histories to play, each of a seed of its own [default: 100]
    #[arg(long, value_name = "N")]
    seeds: Option<u64>,
    /// The first seed; without --seeds only this one, with its whole history printed
    #[arg(long, value_name = "S")]
    seed: Option<u64>,
    /// Random steps of each history
    #[arg(long, value_name = "K", default_value_t = 60)]
    steps: usize,
    /// Play each history twice and compare the two to the byte (always so for a single seed)
    #[arg(long)]
    twice: bool,
    /// Print the seed's history even when more than one is played
    #[arg(long)]
    log: bool,
    /// Break a rule on purpose, to see that it is noticed
    #[arg(long, value_name = "RULE")]
    sabotage: Option<Sabotage>,
}

/// Plays what was asked for. A broken rule or a history that is not the same twice ends in 1.
pub fn run(cli: &Cli) -> anyhow::Result<ExitCode> {
    let single = cli.seed.is_some() && cli.seeds.is_none();
    let first = cli.seed.unwrap_or(1);
    let count = if single { 1 } else { cli.seeds.unwrap_or(SEEDS) };
    let plan = Plan { steps: cli.steps, sabotage: cli.sabotage };
    let (began, mut seen) = (Instant::now(), BTreeMap::new());
    for (done, seed) in (1..).zip(first..first.saturating_add(count)) {
        let played = draw(seed, &plan)?;
        if single || cli.log {
            print!("{}", played.log);
        }
        if played.violation.is_some() {
            report(seed, &plan, played)?;
            return Ok(ExitCode::FAILURE);
        }
        if (single || cli.twice) && draw(seed, &plan)?.log != played.log {
            eprintln!(
                "seed {seed} is not the same twice: something here reads a clock or a hash map"
            );
            return Ok(ExitCode::FAILURE);
        }
        for (what, times) in played.seen {
            *seen.entry(what).or_insert(0) += times;
        }
        if done % TELL_EVERY == 0 && done < count {
            eprintln!("{done} of {count} histories, {:.0?}", began.elapsed());
        }
    }
    summary(count, &seen);
    // Not on stdout: a seed's output is the same every time.
    eprintln!("{count} histories in {:.1?}: no rule was broken", began.elapsed());
    Ok(ExitCode::SUCCESS)
}

/// Prints a failing history as short as it can be made.
fn report(seed: u64, plan: &Plan, failed: Played) -> anyhow::Result<()> {
    let steps = failed.steps.len();
    eprintln!("seed {seed} breaks a rule after {steps} steps; looking for a shorter history ...");
    let short = shrink(seed, plan, failed)?;
    let mut out = std::io::stdout().lock();
    if let Some(violation) = &short.violation {
        writeln!(out, "seed {seed} breaks the rule: {}", violation.rule)?;
        writeln!(out, "  {}", violation.what)?;
    }
    writeln!(out, "the shortest history found, of {} steps:", short.steps.len())?;
    for (number, step) in (1..).zip(&short.steps) {
        writeln!(out, "  {number}. {step}")?;
    }
    writeln!(out, "what happened in it:")?;
    for line in short.log.lines() {
        writeln!(out, "  | {line}")?;
    }
    let sabotage = plan.sabotage.and_then(|sabotage| {
        use clap::ValueEnum as _;
        Some(format!(" --sabotage {}", sabotage.to_possible_value()?.get_name()))
    });
    let sabotage = sabotage.unwrap_or_default();
    writeln!(out, "again: cargo xtask sim --seed {seed} --steps {}{sabotage}", plan.steps)?;
    Ok(())
}

fn summary(histories: u64, seen: &BTreeMap<String, u64>) {
    println!("{histories} histories");
    for (what, times) in seen {
        println!("{times:>8}  {what}");
    }
}

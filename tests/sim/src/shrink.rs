//! Makes a failing history short: steps are taken out as long as the same rule is still broken (after Zeller and
//! Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002).

use crate::history::{Act, Batch, Fault, Step, Upset};
use crate::run::{Plan, Played, replay};

/// The most histories that are tried for one failure.
const TRIES: usize = 600;

/// A failing history on its way down.
struct Search<'a> {
    seed: u64,
    plan: &'a Plan,
    rule: &'static str,
    best: Played,
    tries: usize,
}

/// The shortest history that was found to break the rule that `failed` breaks.
pub(crate) fn shrink(seed: u64, plan: &Plan, failed: Played) -> anyhow::Result<Played> {
    let Some(rule) = failed.violation.as_ref().map(|violation| violation.rule) else {
        return Ok(failed);
    };
    let mut search = Search { seed, plan, rule, best: failed, tries: 0 };
    loop {
        let before = size(&search.best.steps);
        search.drop_steps()?;
        search.simplify_steps()?;
        if size(&search.best.steps) == before || search.tries >= TRIES {
            return Ok(search.best);
        }
    }
}

/// How much there is to read.
fn size(steps: &[Step]) -> usize {
    let weight = |step: &Step| match step {
        Step::Batch(Batch { acts, fault }) => 1 + acts.len() + usize::from(*fault != Fault::None),
        Step::Fast(Upset::Calls { calls, .. }) => usize::from(*calls),
        _ => 1,
    };
    steps.iter().map(weight).sum()
}

impl Search<'_> {
    /// Keeps `steps` if they break the same rule.
    fn try_steps(&mut self, steps: &[Step]) -> anyhow::Result<bool> {
        if self.tries >= TRIES {
            return Ok(false);
        }
        self.tries += 1;
        let played = replay(self.seed, self.plan, steps)?;
        let same = played.violation.as_ref().is_some_and(|found| found.rule == self.rule);
        if same {
            self.best = played;
        }
        Ok(same)
    }

    /// Takes out ever smaller pieces.
    fn drop_steps(&mut self) -> anyhow::Result<()> {
        let mut piece = self.best.steps.len().div_ceil(2);
        while piece > 0 {
            let mut from = 0;
            while from < self.best.steps.len() {
                let to = (from + piece).min(self.best.steps.len());
                let without: Vec<Step> =
                    [&self.best.steps[..from], &self.best.steps[to..]].concat();
                if !self.try_steps(&without)? {
                    from = to;
                }
            }
            piece /= 2;
        }
        Ok(())
    }

    /// Takes commands and faults out of the batches that are left, and lets fewer calls to the fast store fail.
    fn simplify_steps(&mut self) -> anyhow::Result<()> {
        let mut at = 0;
        while at < self.best.steps.len() {
            let mut act = 0;
            while let Step::Batch(batch) = &self.best.steps[at] {
                if act >= batch.acts.len() || batch.acts.len() == 1 {
                    break;
                }
                let mut acts = batch.acts.clone();
                acts.remove(act);
                let fault = batch.fault;
                if !self.try_with(at, Step::Batch(Batch { acts, fault }))? {
                    act += 1;
                }
                if at >= self.best.steps.len() {
                    return Ok(());
                }
            }
            if let Step::Batch(batch) = &self.best.steps[at] {
                let acts = batch.acts.clone();
                if batch.fault != Fault::None {
                    self.try_with(at, Step::Batch(Batch { acts, fault: Fault::None }))?;
                }
            }
            if let Some(Step::Batch(batch)) = self.best.steps.get(at) {
                let acts: Vec<Act> = batch.acts.iter().map(found).collect();
                let fault = batch.fault;
                self.try_with(at, Step::Batch(Batch { acts, fault }))?;
            }
            if let Some(Step::Fast(Upset::Calls { after, calls: 2.., how })) =
                self.best.steps.get(at).cloned()
            {
                self.try_with(at, Step::Fast(Upset::Calls { after, calls: 1, how }))?;
            }
            at += 1;
        }
        Ok(())
    }

    fn try_with(&mut self, at: usize, step: Step) -> anyhow::Result<bool> {
        let mut steps = self.best.steps.clone();
        steps[at] = step;
        self.try_steps(&steps)
    }
}

/// An act whose answer is not lost.
fn found(act: &Act) -> Act {
    match act.clone() {
        Act::Request { label, what, other_body, lost: _ } => {
            Act::Request { label, what, other_body, lost: false }
        }
        other => other,
    }
}

//! A report as people read it on a terminal.

use std::fmt::Write as _;
use tiffin_api::audit::{AuditExample, AuditGateState, AuditReport};

/// One line for each check, the examples below it, the money, the gate, and the verdict last.
pub(super) fn readable(report: &AuditReport) -> String {
    let mut text = String::new();
    let widest = report.checks.iter().map(|check| check.check.len()).max().unwrap_or(0);
    for check in &report.checks {
        let verdict = match check.violations {
            0 => "ok".to_owned(),
            1 => "1 VIOLATION".to_owned(),
            more => format!("{more} VIOLATIONS"),
        };
        let (name, rows, took_ms) = (&check.check, check.rows, check.took_ms);
        line(&mut text, &format!("{name:widest$}  {verdict}  ({rows} rows, {took_ms} ms)"));
        if check.violations > 0 {
            line(&mut text, &format!("  compares: {}", check.compares));
        }
        check.examples.iter().for_each(|example| line(&mut text, &shown(example)));
        let more = check.violations - (check.examples.len() as u64).min(check.violations);
        if more > 0 {
            line(&mut text, &format!("  … and {more} more"));
        }
    }
    for money in &report.money {
        let (captured, refunded) = (money.captured_minor, money.refunded_minor);
        let (owed, standing) = (money.owed_minor, money.standing_minor);
        let figures = format!(
            "{} (minor units): {captured} captured, {refunded} refunded, {owed} owed, {standing} standing",
            money.currency
        );
        line(&mut text, &figures);
    }
    let gate = &report.gate;
    let compared = match gate.state {
        AuditGateState::Compared => {
            format!("gate: {} counters compared, {} off at first look", gate.compared, gate.off)
        }
        AuditGateState::Unavailable => "gate: the fast store did not answer".to_owned(),
        AuditGateState::NotAsked => "gate: not compared; name its store with --redis".to_owned(),
    };
    line(&mut text, &compared);
    line(&mut text, if report.clean { "clean" } else { "NOT CLEAN" });
    text
}

fn shown(example: &AuditExample) -> String {
    let figures = match (example.found, example.expected) {
        (Some(found), Some(expected)) => format!(": {found}, should be {expected}"),
        (Some(found), None) => format!(": {found}"),
        (None, Some(expected)) => format!(": should be {expected}"),
        (None, None) => String::new(),
    };
    let subject = if example.subject.is_empty() { "all" } else { &example.subject };
    format!("  {subject}{figures}  [{}]", example.rule)
}

fn line(text: &mut String, line: &str) {
    writeln!(text, "{line}").expect("a string takes what is written to it");
}

#[cfg(test)]
mod tests {
    use super::*;
    use tiffin_api::audit::{AuditCheck, AuditGate};

    #[test]
    fn what_is_wrong_stands_below_its_check_and_the_verdict_last() {
        let example = AuditExample {
            rule: "sold = lines".to_owned(),
            subject: "item 7".to_owned(),
            found: Some(3),
            expected: Some(2),
        };
        let check = |name: &str, violations, examples| AuditCheck {
            check: name.to_owned(),
            compares: "this and that".to_owned(),
            rows: 10,
            violations,
            examples,
            took_ms: 1,
        };
        let report = AuditReport {
            clean: false,
            as_of_ms: 0,
            took_ms: 2,
            checks: vec![check("stock", 0, vec![]), check("sold", 5, vec![example])],
            money: vec![],
            gate: AuditGate { state: AuditGateState::NotAsked, compared: 0, off: 0 },
        };
        let lines: Vec<_> = readable(&report).lines().map(str::to_owned).collect();
        assert_eq!(
            lines,
            [
                "stock  ok  (10 rows, 1 ms)",
                "sold   5 VIOLATIONS  (10 rows, 1 ms)",
                "  compares: this and that",
                "  item 7: 3, should be 2  [sold = lines]",
                "  … and 4 more",
                "gate: not compared; name its store with --redis",
                "NOT CLEAN",
            ]
        );
    }
}

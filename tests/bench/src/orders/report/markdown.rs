//! The report as Markdown, and its short form for the terminal.

use super::{Median, Report, TARGETS};
use crate::report::markdown::{extent, faults};
use std::fmt::Write as _;

/// The whole report.
pub fn render(report: &Report) -> String {
    let mut text = String::from("# Orders: the core beside two baselines\n\n");
    facts(report, &mut text);
    text += "\n## Targets\n\n";
    text += &targets(report);
    for (scenario, title) in [("hot", "One hot item"), ("wide", "1,000 items of many stores")] {
        let _ = write!(text, "\n## {title}\n\n");
        text += &rates(report, scenario);
    }
    text += "\n## Everything\n\n";
    text += &table(report);
    text += "\n![Throughput and latency by clients](orders.svg)\n\n";
    text += HOW_TO_READ;
    if let Some(queries) = &report.sold_out_queries {
        let _ = writeln!(
            text,
            "- While {} orders for sold-out items were refused, the database was asked {} statements; in as \
             long a time without any load it was asked {}.",
            queries.refusals, queries.statements, queries.statements_idle
        );
    }
    if let Some([small, large]) = report.table_orders {
        let _ = writeln!(
            text,
            "- `small-table` has {small} orders of the past, `large-table` {large}, each with its line, payment \
             and answer."
        );
    }
    if !report.calibration.is_empty() {
        text += "- The row-lock baseline was run in the best of these ways:";
        for way in &report.calibration {
            let lock = way.lock.trim_start_matches("calibration-");
            let _ = write!(
                text,
                " {lock} lock with {} connections {:.0}/s;",
                way.pool, way.accepted_per_s
            );
        }
        text += "\n";
    }
    faults(&report.faults, &mut text);
    text
}

const HOW_TO_READ: &str = "\
- Rates are orders answered with 201 a second; every figure is the median of its rounds, in which the systems \
take turns.
- The throughput scenarios are closed loops: so many clients, each asking again when it is answered. `latency` \
is an open loop at 70 % of the system's own peak; its latencies count from the moment at which a request was \
meant to be sent.
- Each request has an Idempotency-Key of its own and takes the next of many thousand buyers. Servers remember \
tokens that they have verified; `known` tokens each of them has verified before, `fresh` ones none. After each measurement the ledger has to \
hold exactly the accepted orders, and to have lost as many units.
- `row-lock` is a transaction for each order, with SELECT … FOR UPDATE on the stock. `async-ack` takes the stock \
in Redis, answers, and writes later: what it has answered is lost if it is killed. Both serve HTTP, check \
tokens, price baskets and fill tables by the core's own code.
- `generator` is the load generator: it takes its part of the same processors.
";

/// What the terminal shows at the end.
pub fn summary(report: &Report) -> String {
    let mut text = targets(report);
    faults(&report.faults, &mut text);
    text
}

fn facts(report: &Report, text: &mut String) {
    let facts = &report.facts;
    let tokens = &facts.tokens;
    let extent = extent(facts.quick, facts.took_s, &facts.machine);
    let _ = writeln!(
        text,
        "{extent} for everything: generator, servers, {}\n\
         (innodb_flush_log_at_trx_commit = {}, buffer pool {} MiB, log_bin {}) and Redis {}. Tokens were {tokens} to the servers.",
        facts.database,
        facts.innodb_flush_log_at_trx_commit,
        facts.innodb_buffer_pool_size.parse::<u64>().unwrap_or(0) / (1 << 20),
        facts.log_bin,
        facts.redis,
    );
}

fn targets(report: &Report) -> String {
    let mut text = String::from("| ratio | measured | target | met |\n|---|---:|---|---|\n");
    for (target, wanted) in TARGETS {
        let (measured, met) = match (report.ratios.get(target), report.targets_met.get(target)) {
            (Some(figure), Some(met)) => (figure.to_string(), if *met { "yes" } else { "no" }),
            _ => ("not measured".to_owned(), ""),
        };
        let _ = writeln!(text, "| {target} | {measured} | {wanted} | {met} |");
    }
    text
}

/// Rates by clients, the systems side by side.
fn rates(report: &Report, scenario: &str) -> String {
    let of_scenario = || report.medians.iter().filter(|m| m.scenario == scenario);
    let (mut clients, mut systems) = (Vec::new(), Vec::new());
    for median in of_scenario() {
        if let Some(count) = median.clients.filter(|count| !clients.contains(count)) {
            clients.push(count);
        }
        if !systems.contains(&median.system) {
            systems.push(median.system);
        }
    }
    systems
        .sort_by_key(|system| ["core", "row-lock", "async-ack"].iter().position(|s| s == system));
    let mut text = String::from("| clients |");
    for system in &systems {
        let _ = write!(text, " {system}, orders/s (p99 ms) |");
    }
    text += "\n|---:|";
    text += &"---:|".repeat(systems.len());
    text += "\n";
    for count in clients {
        let _ = write!(text, "| {count} |");
        for system in &systems {
            let found = of_scenario().find(|m| m.clients == Some(count) && m.system == *system);
            let cell = found.map(|m| format!("{:.0} ({:.1})", m.accepted_per_s, m.p99_ms));
            let _ = write!(text, " {} |", cell.unwrap_or_default());
        }
        text += "\n";
    }
    text
}

fn table(report: &Report) -> String {
    let mut text = String::from(
        "| scenario | system | clients | orders/s | refusals/s | p50 ms | p99 ms | p99.9 ms | µs of \
         processor for each answer |\n|---|---|---:|---:|---:|---:|---:|---:|---|\n",
    );
    for median in &report.medians {
        let Median {
            scenario,
            system,
            accepted_per_s,
            sold_out_per_s,
            p50_ms,
            p99_ms,
            p999_ms,
            ..
        } = median;
        let clients = median.clients.map_or_else(|| "open".to_owned(), |count| count.to_string());
        let cpu: Vec<_> =
            median.cpu_us_per_answer.iter().map(|(who, us)| format!("{who} {us:.0}")).collect();
        let _ = writeln!(
            text,
            "| {scenario} | {system} | {clients} | {accepted_per_s:.0} | {sold_out_per_s:.0} | {p50_ms:.2} | \
             {p99_ms:.2} | {p999_ms:.2} | {} |",
            cpu.join(", ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::testing::report;
    use super::*;
    use crate::report::markdown::assert_tables_are_whole;

    #[test]
    fn systems_stand_side_by_side_and_targets_are_judged() {
        let text = render(&report());
        assert!(text.contains("| 256 | 5000 (9.0) | 400 (9.0) | 5400 (9.0) |"), "{text}");
        assert!(text.contains("| 1 | 100 (9.0) |  |  |"), "{text}");
        assert!(text.contains("| hot_vs_row_lock | 12.5 | at least 10 | yes |"), "{text}");
        assert!(text.contains("| sold_out_vs_accepted | 4 | at least 10 | no |"), "{text}");
        assert!(text.contains("| latency | core | open | 3500 |"), "{text}");
    }

    #[test]
    fn every_row_of_a_table_has_as_many_cells_as_its_head() {
        assert_tables_are_whole(&render(&report()));
    }

    #[test]
    fn faults_are_shown_at_the_end_and_only_if_there_are_any() {
        let mut report = report();
        assert!(!summary(&report).contains("should not have happened"));
        report.faults.push("an order was lost".to_owned());
        assert!(summary(&report).ends_with("- an order was lost\n"));
        assert!(render(&report).ends_with("- an order was lost\n"));
    }
}

//! The report as Markdown, and its short form for the terminal.

use super::super::{CLIENTS_PROCESSOR, SERVERS_PROCESSOR};
use super::{CACHE, COMPARISONS, COMPUTE, Median, Report};
use crate::limits;
use crate::report::markdown::{extent, faults};
use std::fmt::Write as _;

/// The whole report.
pub fn render(report: &Report) -> String {
    let mut text = String::from("# The edge: edge-node beside other servers\n\n");
    facts(report, &mut text);
    text += "\n## Ratios\n\n";
    text += &ratios(report);
    for (track, title) in [
        (CACHE, "Hits of an 8 KiB menu"),
        (COMPUTE, "Rendering a menu: one component, or its twin in JavaScript"),
    ] {
        let _ = write!(text, "\n## {title}\n\n");
        text += &throughput(report, track);
        text += "\n";
        text += &latency(report, track);
    }
    correctness(report, &mut text);
    news(report, &mut text);
    starts(report, &mut text);
    text += "\n![Throughput and latency](edge.svg)\n\n";
    text += HOW_TO_READ;
    faults(&report.faults, &mut text);
    text
}

const HOW_TO_READ: &str = "\
- Every figure is the median of its rounds, in which the servers take turns; in brackets the least and the \
greatest of a round.
- All servers run on one processor and all clients on another, so the rates are those of one processor. A ratio is \
formed of answers a second if both servers were busy all the time. If one was not, something else was its limit (its \
clients, or other programs on its processor), and its rate says nothing of what it can do; then the ratio is formed of \
the processor time that each answer took, user and system time of all its processes. Both are shown, and the note tells which.
- Throughput is a closed loop: each client asks again when it is answered. Each server is measured with as many \
clients as suit it best, of those that were tried. Latency is an open loop, every server at the \
same rate; it counts from the moment at which a request was meant to be sent.
- Every answer is compared with the document, byte by byte. Connections stay open; all have TCP_NODELAY; \
nobody asks for compression.
- No server writes a log line for each request, but those called `-logged`: edge-node a line of JSON to a file, nginx its \
combined format, buffered.
- The configurations of the others, with reasons, are in `tests/bench/src/edge/config.rs`. nginx keeps its files in \
memory; Varnish stores in memory.
- `wasmtime serve` uses an instance as often as edge-node does (10,000 requests, 16 at once). It neither meters nor \
interrupts a guest, nor does workerd; edge-node does both.
- Purges: while a crowd asks, the document changes, is purged by its tag and the purge acknowledged. An answer to a \
request that was sent after that and shows what was before is stale.
";

/// What the terminal shows at the end.
pub fn summary(report: &Report) -> String {
    let mut text = ratios(report);
    faults(&report.faults, &mut text);
    text
}

fn facts(report: &Report, text: &mut String) {
    let facts = &report.facts;
    let extent = extent(facts.quick, facts.took_s, &facts.machine);
    let _ = writeln!(
        text,
        "{extent}. {}",
        match facts.pinned {
            true => format!(
                "Servers ran on processor {SERVERS_PROCESSOR}, clients and origin on processor {CLIENTS_PROCESSOR}."
            ),
            false => "Servers and clients shared all processors.".to_owned(),
        }
    );
    for (name, version) in &facts.peers {
        let _ = writeln!(text, "- {name}: {version}");
    }
}

fn ratios(report: &Report) -> String {
    let shown = |figure: Option<f64>| figure.map_or_else(|| "null".to_owned(), |it| it.to_string());
    let ratios = &report.ratios;
    let mut text = String::from(
        "| ratio | measured | of answers a second | of answers for each processor second | which one, and why |\n\
         |---|---:|---:|---:|---|\n",
    );
    let measured = [
        ratios.hit_vs_nginx,
        ratios.hit_vs_varnish,
        ratios.compute_vs_wasmtime_serve,
        ratios.compute_vs_workerd,
    ];
    for ((name, ..), measured) in COMPARISONS.into_iter().zip(measured) {
        let by_rate = shown(report.ratios_by_rate.get(name).copied().flatten());
        let by_processor = shown(report.ratios_per_processor_second.get(name).copied().flatten());
        let note = report.notes.get(name).map_or("", String::as_str);
        let _ = writeln!(
            text,
            "| {name} | {} | {by_rate} | {by_processor} | {note} |",
            shown(measured)
        );
    }
    text += "\n| figure | measured | note |\n|---|---:|---|\n";
    for (name, figure) in [
        ("purge_visible_p99_ms", ratios.purge_visible_p99_ms),
        ("cold_start_ms", ratios.cold_start_ms),
        ("rss_mb", ratios.rss_mb),
    ] {
        let note = report.notes.get(name).map_or("", String::as_str);
        let _ = writeln!(text, "| {name} | {} | {note} |", shown(figure));
    }
    text
}

fn of_track<'a>(
    report: &'a Report,
    track: &'a str,
    open: bool,
) -> impl Iterator<Item = &'a Median> {
    let medians = report.medians.iter();
    medians.filter(move |m| m.track == track && m.offered_per_s.is_some() == open)
}

fn throughput(report: &Report, track: &str) -> String {
    let mut text = String::from(
        "Each client as fast as it is answered:\n\n| server | clients | answers/s | p50 ms | p99 ms | µs of processor for \
         each answer | server busy | others on its processor | generator busy |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let percent =
        |busy: Option<f64>| busy.map_or_else(String::new, |busy| format!("{:.0} %", busy * 100.0));
    for median in of_track(report, track, false) {
        let Median { system, answers_per_s, answers_per_s_range: [least, most], .. } = median;
        let clients = median.clients.unwrap_or(0);
        let cost = median.server_cpu_us.map_or_else(String::new, |us| format!("{us:.1}"));
        let _ = writeln!(
            text,
            "| {system} | {clients} | {answers_per_s:.0} ({least:.0}–{most:.0}) | {:.2} | {:.2} | {cost} | {} | {} | {} |",
            median.p50_ms,
            median.p99_ms,
            percent(median.server_busy),
            percent(median.others_busy),
            percent(median.generator_busy)
        );
    }
    text
}

fn latency(report: &Report, track: &str) -> String {
    let rate = of_track(report, track, true).find_map(|median| median.offered_per_s);
    let mut text = format!(
        "{:.0} requests a second to each, {:.0} % of what the slowest can:\n\n| server | p50 ms | p99 ms | p99.9 ms |\n\
         |---|---:|---:|---:|\n",
        rate.unwrap_or(0.0),
        limits::EDGE_LATENCY_LOAD * 100.0
    );
    for median in of_track(report, track, true) {
        let Median { system, p50_ms, p99_ms, p99_ms_range: [least, most], p999_ms, .. } = median;
        let _ = writeln!(
            text,
            "| {system} | {p50_ms:.3} | {p99_ms:.3} ({least:.3}–{most:.3}) | {p999_ms:.3} |"
        );
    }
    text
}

fn correctness(report: &Report, text: &mut String) {
    if report.correctness.is_empty() {
        return;
    }
    let _ = write!(
        text,
        "\n## Under load\n\n| cache | fetches for a new key, {crowd} clients | fetches for an expired key, {crowd} clients | \
         errors without an origin | of answers |\n|---|---:|---:|---:|---:|\n",
        crowd = limits::EDGE_CROWD
    );
    for found in &report.correctness {
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            found.system,
            found.fetches_per_cold_key,
            found.fetches_per_expiry,
            found.outage_errors.values().sum::<u64>(),
            found.outage_answers
        );
    }
    if let Some(purges) = &report.purges {
        let _ = writeln!(
            text,
            "\nedge-node gave {} stale answers among {} to {} clients during {} purges. Of {} purges while {} clients \
             asked, a change was visible after {:.2} ms (median; p99 {:.2} ms), the purge and its acknowledgement \
             included.",
            purges.stale_answers,
            purges.crowd_answers,
            limits::EDGE_CROWD,
            purges.crowd_purges,
            purges.timed_purges,
            limits::PURGE_CLIENTS,
            purges.visible_p50_ms,
            purges.visible_p99_ms
        );
    }
}

fn news(report: &Report, text: &mut String) {
    if let Some(news) = &report.news {
        let _ = writeln!(
            text,
            "\n## News\n\nOf {} edits at the core, each was in an answer of the edge {:.2} ms after the core had acknowledged it \
             (median; p99 {:.2} ms, at most {:.2} ms), while {} clients asked: commit, feed, the node's cache and the functions' \
             own.",
            news.edits,
            news.visible_p50_ms,
            news.visible_p99_ms,
            news.visible_max_ms,
            limits::PURGE_CLIENTS
        );
    }
}

fn starts(report: &Report, text: &mut String) {
    if let Some(starts) = &report.starts {
        let _ = writeln!(
            text,
            "\n## Start\n\nWith every function of the application, from the program's start to its first answer: {:.0} ms, \
             the median of {} (at most {:.0} ms); {:.0} ms if everything has to be compiled. Resident memory \
             after that: {:.0} MiB.",
            starts.median_ms,
            starts.starts,
            starts.max_ms,
            starts.compiling_ms,
            starts.resident_mib.unwrap_or(0.0)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::report;
    use super::*;
    use crate::report::markdown::assert_tables_are_whole;

    #[test]
    fn figures_stand_with_their_spread_and_reasons() {
        let text = render(&report());
        for line in [
            "| hit_vs_varnish | null | null | null | varnishd is not installed |",
            "| edge-node | 64 | 30000 (15000–120000) | 1.00 | 3.00 | 33.3 | 100 % |  |  |",
            "| edge-node | 1.000 | 1.000 (0.500–4.000) | 0.000 |",
            "| edge-node | 1 | 1 | 0 | 500 |",
            "| cold_start_ms | 40 |  |",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
    }

    #[test]
    fn every_row_of_a_table_has_as_many_cells_as_its_head() {
        assert_tables_are_whole(&render(&report()));
    }
}

//! The plot: throughput and 99th percentile by clients, one panel for each scenario of the sweep.
//!
//! A writer of its own, because four panels of lines need no plotting library. Each system has its own colour and
//! its own dashes.

use super::Median;
use crate::report::svg::{BLUE, GREEN, ORANGE, ceiling, document, escape, number, title};
use std::fmt::Write as _;

const PANEL_WIDTH: f64 = 420.0;
const PANEL_HEIGHT: f64 = 280.0;
const LEFT: f64 = 64.0;
const TOP: f64 = 56.0;
const GAP_X: f64 = 80.0;
const GAP_Y: f64 = 80.0;
const LEGEND: f64 = 40.0;

/// Each system's name, colour and dashes.
const SYSTEMS: [(&str, &str, &str); 3] =
    [("core", BLUE, ""), ("row-lock", ORANGE, "6 3"), ("async-ack", GREEN, "2 3")];

struct Panel {
    title: &'static str,
    scenario: &'static str,
    value: fn(&Median) -> f64,
    column: u8,
    row: u8,
}

const PANELS: [Panel; 4] = [
    Panel {
        title: "One hot item: orders/s",
        scenario: "hot",
        value: |m| m.accepted_per_s,
        column: 0,
        row: 0,
    },
    Panel {
        title: "1,000 items: orders/s",
        scenario: "wide",
        value: |m| m.accepted_per_s,
        column: 1,
        row: 0,
    },
    Panel {
        title: "One hot item: p99, ms",
        scenario: "hot",
        value: |m| m.p99_ms,
        column: 0,
        row: 1,
    },
    Panel {
        title: "1,000 items: p99, ms",
        scenario: "wide",
        value: |m| m.p99_ms,
        column: 1,
        row: 1,
    },
];

/// A whole SVG document.
pub fn render(medians: &[Median]) -> String {
    let width = LEFT + 2.0 * PANEL_WIDTH + GAP_X + 24.0;
    let height = TOP + 2.0 * PANEL_HEIGHT + GAP_Y + LEGEND + 24.0;
    let mut body = String::new();
    legend(&mut body);
    for panel in &PANELS {
        draw(panel, medians, &mut body);
    }
    document(width, height, &body)
}

fn legend(svg: &mut String) {
    let mut x = LEFT;
    for (system, colour, dashes) in SYSTEMS {
        let _ = writeln!(
            svg,
            "<line x1=\"{x}\" y1=\"20\" x2=\"{}\" y2=\"20\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-dasharray=\"{dashes}\"/><text x=\"{}\" y=\"24\">{}</text>",
            x + 28.0,
            x + 34.0,
            escape(system)
        );
        x += 130.0;
    }
}

fn draw(panel: &Panel, medians: &[Median], svg: &mut String) {
    let left = LEFT + f64::from(panel.column) * (PANEL_WIDTH + GAP_X);
    let top = TOP + f64::from(panel.row) * (PANEL_HEIGHT + GAP_Y);
    let bottom = top + PANEL_HEIGHT;
    let shown: Vec<_> = medians
        .iter()
        .filter(|m| m.scenario == panel.scenario)
        .filter_map(|m| Some((m.system, m.clients?, (panel.value)(m))))
        .collect();
    let most_clients = shown.iter().map(|(_, clients, _)| *clients).max().unwrap_or(1);
    let ceiling = ceiling(shown.iter().map(|(_, _, value)| *value).fold(0.0, f64::max));
    // Clients double from mark to mark.
    let doublings = (most_clients.max(2) as f64).log2();
    let x = |clients: usize| left + (clients.max(1) as f64).log2() / doublings * PANEL_WIDTH;
    let y = |value: f64| bottom - value / ceiling * PANEL_HEIGHT;

    svg.push_str(&title(left, top, panel.title));
    for quarter in 0..=4_u8 {
        let value = ceiling * f64::from(quarter) / 4.0;
        let line_y = y(value);
        let _ = writeln!(
            svg,
            "<line x1=\"{left}\" y1=\"{line_y:.1}\" x2=\"{:.1}\" y2=\"{line_y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            left + PANEL_WIDTH,
            left - 6.0,
            line_y + 4.0,
            number(value)
        );
    }
    let mut ticks: Vec<usize> = shown.iter().map(|(_, clients, _)| *clients).collect();
    ticks.sort_unstable();
    ticks.dedup();
    for clients in ticks {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{clients}</text>",
            x(clients),
            bottom + 18.0
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">clients</text>",
        left + PANEL_WIDTH / 2.0,
        bottom + 36.0
    );
    for (system, colour, dashes) in SYSTEMS {
        let mut points: Vec<_> = shown.iter().filter(|(name, _, _)| *name == system).collect();
        points.sort_by_key(|(_, clients, _)| *clients);
        let line: Vec<_> = points
            .iter()
            .map(|(_, clients, value)| format!("{:.1},{:.1}", x(*clients), y(*value)))
            .collect();
        if line.is_empty() {
            continue;
        }
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" \
             stroke-dasharray=\"{dashes}\"/>",
            line.join(" ")
        );
        for (_, clients, value) in points {
            let _ = writeln!(
                svg,
                "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"3\" fill=\"{colour}\"><title>{}, {clients} clients: \
                 {value:.1}</title></circle>",
                x(*clients),
                y(*value),
                escape(system)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::report;
    use super::*;

    #[test]
    fn every_measured_point_is_drawn_within_its_panel() {
        let medians = report().medians;
        let svg = render(&medians);
        let drawn = medians.iter().filter(|m| ["hot", "wide"].contains(&m.scenario)).count();
        // Once for throughput and once for latency.
        assert_eq!(svg.matches("<circle").count(), 2 * drawn);
        let width: f64 = attribute(&svg, "width").parse().unwrap();
        let height: f64 = attribute(&svg, "height").parse().unwrap();
        for circle in svg.split("<circle ").skip(1) {
            let (x, y) = (attribute(circle, "cx"), attribute(circle, "cy"));
            assert!((LEFT..width).contains(&x.parse().unwrap()), "{circle}");
            assert!((TOP - 0.1..height - LEGEND).contains(&y.parse().unwrap()), "{circle}");
        }
    }

    #[test]
    fn more_is_higher_and_more_clients_are_further_right() {
        let svg = render(&report().medians);
        let point = |title: &str| {
            let circle = svg.split("<circle ").find(|circle| circle.contains(title)).unwrap();
            let at = |name| attribute(circle, name).parse::<f64>().unwrap();
            (at("cx"), at("cy"))
        };
        let (few, many) = (point("core, 1 clients: 100.0"), point("core, 256 clients: 5000.0"));
        assert!(few.0 < many.0 && few.1 > many.1, "{few:?} {many:?}");
        assert!(point("row-lock, 256 clients: 400.0").1 > many.1);
    }

    #[test]
    fn an_empty_report_is_still_a_document() {
        let svg = render(&[]);
        assert!(
            svg.starts_with("<svg") && svg.ends_with("</svg>\n") && !svg.contains("NaN"),
            "{svg}"
        );
    }

    fn attribute<'a>(text: &'a str, name: &str) -> &'a str {
        let start = text.find(&format!("{name}=\"")).unwrap() + name.len() + 2;
        text[start..].split('"').next().unwrap()
    }
}

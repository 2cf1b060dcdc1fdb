//! The plot: a panel of bars for each comparison, throughput above and the 99th percentile below. A thin line on a bar
//! reaches from the least to the greatest of its rounds.

use super::super::server::EDGE_NODE;
use super::{CACHE, COMPUTE, Median};
use crate::report::svg::{BLUE, ORANGE, ceiling, document, escape, number, title};
use std::fmt::Write as _;

const PANEL_WIDTH: f64 = 440.0;
const ROW: f64 = 34.0;
const BAR: f64 = 20.0;
const LABEL: f64 = 140.0;
const TOP: f64 = 40.0;
const GAP: f64 = 56.0;
const MARGIN: f64 = 24.0;
/// Room for a figure beside the longest bar.
const FIGURE: f64 = 90.0;

struct Panel {
    title: &'static str,
    track: &'static str,
    is_open: bool,
    value: fn(&Median) -> (f64, [f64; 2]),
}

const PANELS: [Panel; 4] = [
    Panel {
        title: "Hits/s, one processor",
        track: CACHE,
        is_open: false,
        value: |m| (m.answers_per_s, m.answers_per_s_range),
    },
    Panel {
        title: "Hits at one rate: p99, ms",
        track: CACHE,
        is_open: true,
        value: |m| (m.p99_ms, m.p99_ms_range),
    },
    Panel {
        title: "Menus rendered/s, one processor",
        track: COMPUTE,
        is_open: false,
        value: |m| (m.answers_per_s, m.answers_per_s_range),
    },
    Panel {
        title: "Menus rendered at one rate: p99, ms",
        track: COMPUTE,
        is_open: true,
        value: |m| (m.p99_ms, m.p99_ms_range),
    },
];

/// A whole SVG document.
pub fn render(medians: &[Median]) -> String {
    let width = LABEL + PANEL_WIDTH + FIGURE + 2.0 * MARGIN;
    let mut body = String::new();
    let mut top = TOP;
    for panel in &PANELS {
        let shown: Vec<_> = medians
            .iter()
            .filter(|m| m.track == panel.track && m.offered_per_s.is_some() == panel.is_open)
            .collect();
        if !shown.is_empty() {
            draw(panel, &shown, top, &mut body);
            top += shown.len() as f64 * ROW + GAP;
        }
    }
    document(width, top, &body)
}

fn draw(panel: &Panel, shown: &[&Median], top: f64, svg: &mut String) {
    let left = MARGIN + LABEL;
    svg.push_str(&title(MARGIN, top, panel.title));
    let greatest = shown.iter().map(|m| (panel.value)(m).1[1]).fold(0.0, f64::max);
    let scale = PANEL_WIDTH / ceiling(greatest);
    for (row, median) in shown.iter().enumerate() {
        let (value, [least, most]) = (panel.value)(median);
        let bar_top = top + row as f64 * ROW;
        let middle = bar_top + BAR / 2.0;
        let colour = if median.system == EDGE_NODE { BLUE } else { ORANGE };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>\
             <rect x=\"{left}\" y=\"{bar_top:.1}\" width=\"{:.1}\" height=\"{BAR}\" fill=\"{colour}\"/>\
             <line x1=\"{:.1}\" y1=\"{middle:.1}\" x2=\"{:.1}\" y2=\"{middle:.1}\" stroke=\"black\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\">{}</text>",
            left - 8.0,
            middle + 4.0,
            escape(median.system),
            value * scale,
            left + least * scale,
            left + most * scale,
            left + most.max(value) * scale + 8.0,
            middle + 4.0,
            number(value)
        );
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::report;
    use super::*;

    #[test]
    fn each_median_has_a_bar_and_more_is_longer() {
        let medians = report().medians;
        let svg = render(&medians);
        // One more is the ground.
        assert_eq!(svg.matches("<rect").count(), medians.len() + 1);
        let widths: Vec<f64> = svg
            .split("<rect x=")
            .skip(1)
            .map(|bar| {
                let width = bar.split("width=\"").nth(1).unwrap();
                width.split('"').next().unwrap().parse().unwrap()
            })
            .collect();
        // edge-node and nginx, the first two bars: 30,000 and 40,000.
        assert!((widths[0] / widths[1] - 0.75).abs() < 0.01, "{widths:?}");
        assert!(widths.iter().all(|width| (0.0..=PANEL_WIDTH).contains(width)), "{widths:?}");
    }

    #[test]
    fn an_empty_report_is_still_a_document() {
        let svg = render(&[]);
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"), "{svg}");
    }
}

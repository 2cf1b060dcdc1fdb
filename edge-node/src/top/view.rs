//! What is shown, as a terminal's frame or as plain text; both from the same panels.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Style, Stylize as _};
use ratatui::text::Line as TextLine;
use ratatui::widgets::{Block, Paragraph, Row, Table};

use super::model::{Component, Line, Route, Section, Traffic, View};

/// From this width on, two columns of panels stand side by side.
const WIDE_COLUMNS: u16 = 110;
/// Two lines of border and one of headings.
const PANEL_EXTRA_LINES: u16 = 3;
/// A border on each side.
const PANEL_EXTRA_COLUMNS: u16 = 2;
/// What a column of words keeps before one of numbers is left out for it.
const LEAST_WORD_COLUMNS: usize = 12;

/// A table with a title.
struct Panel {
    title: &'static str,
    headings: Vec<&'static str>,
    /// So many columns from the left hold words, which may be cut; the others hold numbers, which may not.
    words: usize,
    rows: Vec<Vec<String>>,
}

/// Draws everything. `status` is the lowest line: whom it asks, or why there is no answer.
pub(super) fn draw(frame: &mut Frame<'_>, view: &View, status: &str, is_failing: bool) {
    let [head, body, foot] =
        Layout::vertical([Constraint::Length(1), Constraint::Fill(1), Constraint::Length(1)])
            .areas(frame.area());
    frame.render_widget(Paragraph::new(summary(view)).bold(), head);
    let style = if is_failing { Style::new().red() } else { Style::new().dim() };
    frame.render_widget(Paragraph::new(status).style(style), foot);
    // What was true before the node went away is not true now.
    let style = if is_failing { Style::new().dim() } else { Style::new() };
    let (traffic, more) = (traffic_panels(view), view.sections.iter().map(section_panel).collect());
    if body.width >= WIDE_COLUMNS {
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(55), Constraint::Percentage(45)])
                .areas(body);
        draw_panels(frame, left, traffic, style);
        draw_panels(frame, right, more, style);
    } else {
        draw_panels(frame, body, traffic.into_iter().chain(more).collect(), style);
    }
}

/// One below the other; what does not fit is cut off at the bottom.
fn draw_panels(frame: &mut Frame<'_>, area: Rect, panels: Vec<Panel>, style: Style) {
    let mut top = area.y;
    for panel in panels {
        let lines = narrow(panel.rows.len()).saturating_add(PANEL_EXTRA_LINES);
        let height = lines.min(area.bottom().saturating_sub(top));
        if height < PANEL_EXTRA_LINES {
            return;
        }
        let place = Rect { y: top, height, ..area };
        top += height;
        let room = usize::from(area.width.saturating_sub(PANEL_EXTRA_COLUMNS));
        let fitting = fit(&columns(&panel), panel.words, room);
        let others = fitting.iter().skip(1).map(|width| Constraint::Length(narrow(*width)));
        let widths = std::iter::once(Constraint::Fill(1)).chain(others);
        let line = |cells: &[String]| {
            let cells = cells.iter().zip(&fitting);
            Row::new(cells.map(|(cell, width)| cut(cell, *width)).collect::<Vec<_>>())
        };
        let headings: Vec<String> = panel.headings.iter().map(|it| (*it).to_owned()).collect();
        let table = Table::new(panel.rows.iter().map(|row| line(row)), widths)
            .header(line(&headings).dim())
            .style(style)
            .block(Block::bordered().title(TextLine::from(panel.title).bold()));
        frame.render_widget(table, place);
    }
}

/// How wide each column may be where there is `room` for all and a space between two. Those of numbers are as wide as they
/// want to be, or left out, the last ones first; those of words, the widest first, give way until it fits.
fn fit(wanted: &[usize], words: usize, room: usize) -> Vec<usize> {
    let total = |widths: &[usize]| widths.iter().sum::<usize>() + widths.len().saturating_sub(1);
    let mut least = wanted.to_vec();
    least.iter_mut().take(words).for_each(|width| *width = LEAST_WORD_COLUMNS.min(*width));
    while least.len() > 1 && total(&least) > room {
        least.pop();
    }
    let mut widths = wanted[..least.len()].to_vec();
    while total(&widths) > room {
        match widths.iter_mut().take(words).max() {
            Some(widest) if *widest > 1 => *widest -= 1,
            Some(_) | None => break,
        }
    }
    widths
}

/// A text with the mark of one that went on.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// A terminal's measures are short; what is longer is as long as can be.
fn narrow(cells: usize) -> u16 {
    u16::try_from(cells).unwrap_or(u16::MAX)
}

/// The same for a script or a log.
pub(super) fn plain(view: &View) -> String {
    let mut text = summary(view) + "\n";
    let panels = traffic_panels(view).into_iter().chain(view.sections.iter().map(section_panel));
    for panel in panels {
        text.push_str(&format!("\n{}\n", panel.title));
        let widths = columns(&panel);
        let headings = panel.headings.iter().map(|heading| (*heading).to_owned()).collect();
        for row in std::iter::once(&headings).chain(&panel.rows) {
            let cells: Vec<String> =
                (row.iter().zip(&widths)).map(|(cell, width)| format!("{cell:width$}")).collect();
            text.push_str(&format!("  {}\n", cells.join("  ").trim_end()));
        }
    }
    text
}

/// How wide each column must be, in characters.
fn columns(panel: &Panel) -> Vec<usize> {
    let width = |index: usize, heading: &str| {
        let cells = panel.rows.iter().filter_map(|row| row.get(index));
        cells.map(|cell| cell.chars().count()).fold(heading.chars().count(), usize::max)
    };
    panel.headings.iter().enumerate().map(|(index, heading)| width(index, heading)).collect()
}

fn summary(view: &View) -> String {
    let Traffic { requests, requests_per_second, errors, p50_seconds, p99_seconds } = view.total;
    [
        view.readiness.clone(),
        format!("requests {}", rate_or_total(requests_per_second, requests)),
        format!("hits {}", view.hit_rate.map_or("-".to_owned(), percent)),
        format!("p50 {}", duration(p50_seconds)),
        format!("p99 {}", duration(p99_seconds)),
        format!("5xx {}", if requests > 0.0 { percent(errors / requests) } else { "-".to_owned() }),
        format!("in flight {}", view.in_flight),
        format!("connections {}", view.connections),
    ]
    .join(" | ")
}

fn traffic_panels(view: &View) -> Vec<Panel> {
    let route = |it: &Route| {
        vec![
            it.route.clone(),
            it.component.clone(),
            rate_or_total(it.requests_per_second, it.requests),
            number(it.errors),
        ]
    };
    let component = |it: &Component| {
        vec![
            it.component.clone(),
            rate_or_total(it.traffic.requests_per_second, it.traffic.requests),
            duration(it.traffic.p50_seconds),
            duration(it.traffic.p99_seconds),
            number(it.traffic.errors),
            number(it.instances),
            number(it.traps),
            number(it.rejected),
        ]
    };
    vec![
        Panel {
            title: "Routes",
            headings: vec!["route", "component", "requests", "5xx"],
            words: 2,
            rows: view.routes.iter().map(route).collect(),
        },
        Panel {
            title: "Components",
            headings: vec![
                "component",
                "requests",
                "p50",
                "p99",
                "5xx",
                "instances",
                "traps",
                "refused",
            ],
            words: 1,
            rows: view.components.iter().map(component).collect(),
        },
    ]
}

fn section_panel(section: &Section) -> Panel {
    let row = |it: &Line| {
        let rate = it.per_second.map_or(String::new(), per_second);
        vec![it.name.clone(), it.labels.clone(), number(it.value), rate]
    };
    Panel {
        title: section.title,
        headings: vec!["", "", "value", "rate"],
        words: 2,
        rows: section.lines.iter().map(row).collect(),
    }
}

fn rate_or_total(rate: Option<f64>, total: f64) -> String {
    rate.map_or_else(|| number(total), per_second)
}

fn per_second(rate: f64) -> String {
    // A rate is taken over seconds: more digits would be noise.
    if rate > 0.0 && rate < 1.0 { format!("{rate:.2}/s") } else { format!("{}/s", number(rate)) }
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// Whole when it is or is great, else with what tells small ones apart.
fn number(value: f64) -> String {
    if value.fract() == 0.0 || value.abs() >= 1_000.0 {
        return format!("{value:.0}");
    }
    if value.abs() >= 1.0 { format!("{value:.1}") } else { format!("{value:.4}") }
}

fn duration(seconds: Option<f64>) -> String {
    match seconds {
        None => "-".to_owned(),
        Some(seconds) if seconds < 0.001 => format!("{:.0} us", seconds * 1e6),
        Some(seconds) if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        Some(seconds) => format!("{seconds:.2} s"),
    }
}

#[cfg(test)]
mod tests {
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    use super::{draw, plain};
    use crate::top::model::{Component, Line, Route, Section, Traffic, View};

    fn example() -> View {
        let total = Traffic {
            requests: 100.0,
            requests_per_second: Some(50.0),
            errors: 1.0,
            p50_seconds: Some(0.0004),
            p99_seconds: Some(0.0123),
        };
        let line = |name: &str, labels: &str, value, per_second| Line {
            name: name.to_owned(),
            labels: labels.to_owned(),
            value,
            per_second,
        };
        View {
            readiness: "ready".to_owned(),
            total,
            in_flight: 2.0,
            connections: 7.0,
            hit_rate: Some(0.985),
            routes: vec![Route {
                route: "/v1/stores".to_owned(),
                component: "menu".to_owned(),
                requests: 100.0,
                requests_per_second: Some(50.0),
                errors: 1.0,
            }],
            components: vec![Component {
                component: "menu".to_owned(),
                traffic: total,
                instances: 3.0,
                traps: 0.0,
                rejected: 4.0,
            }],
            sections: vec![Section {
                title: "Upstreams",
                lines: vec![line("upstream_open", "core:3001", 1.0, Some(0.25))],
            }],
        }
    }

    fn screen(width: u16, height: u16, is_failing: bool) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let status = "no answer";
        terminal.draw(|frame| draw(frame, &example(), status, is_failing)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| (0..width).map(|x| buffer[(x, y)].symbol()).collect::<String>();
        (0..height).map(|y| line(y).trim_end().to_owned()).collect()
    }

    #[test]
    fn a_script_reads_aligned_columns() {
        assert_eq!(
            plain(&example()),
            "ready | requests 50/s | hits 98.5 % | p50 400 us | p99 12.3 ms | 5xx 1.0 % | in flight 2 | \
             connections 7\n\n\
             Routes\n  route       component  requests  5xx\n  /v1/stores  menu       50/s      1\n\n\
             Components\n  component  requests  p50     p99      5xx  instances  traps  refused\n  \
             menu       50/s      400 us  12.3 ms  1    3          0      4\n\n\
             Upstreams\n                            value  rate\n  \
             upstream_open  core:3001  1      0.25/s\n"
        );
    }

    #[test]
    fn the_screen_fits_its_size() {
        let lines = screen(80, 16, false);
        assert!(lines[0].starts_with("ready | requests 50/s | hits 98.5 %"), "{lines:#?}");
        assert!(lines[1].starts_with("┌Routes──"), "{lines:#?}");
        assert!(lines[3].contains("/v1/stores") && lines[3].contains("50/s"), "{lines:#?}");
        assert!(lines[5].starts_with("┌Components"), "{lines:#?}");
        assert!(lines[9].starts_with("┌Upstreams"), "{lines:#?}");
        assert_eq!(lines[15], "no answer");

        let wide = screen(120, 10, false);
        assert!(wide[1].contains("┌Routes") && wide[1].contains("┌Upstreams"), "{wide:#?}");

        // Where there is little room, numbers go before names do.
        let slim = screen(40, 16, false);
        assert!(slim[7].starts_with("│menu") && slim[7].contains("12.3 ms"), "{slim:#?}");
        assert!(slim[11].starts_with("│upstream_open ") && slim[11].contains(" 1 "), "{slim:#?}");
        let slimmer = screen(24, 16, false);
        assert!(slimmer[3].contains("/v1/stores") && slimmer[3].contains("menu"), "{slimmer:#?}");
        assert!(slimmer[11].contains("upstream_op… core:3001"), "{slimmer:#?}");

        // Smaller than anybody can read: still no panic, and the summary is first.
        for (width, height) in [(1, 1), (10, 3), (200, 2), (30, 8)] {
            assert_eq!(screen(width, height, true).len(), usize::from(height));
        }
    }
}

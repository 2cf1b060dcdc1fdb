//! One measurement: load on a server, every answer compared with what it has to be.

use super::server::Server;
use crate::load::open::{Pace, Rate};
use crate::load::response::{Answer, Outcome};
use crate::load::{Requests, Window, closed, open};
use crate::report::round;
use crate::{limits, usage};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Instant;

/// One target and the answer to it.
pub struct Gets {
    request: Vec<u8>,
    expected: Vec<u8>,
}

impl Gets {
    /// Asks for `target`; `expected` is the body, to the byte.
    pub fn new(target: &str, expected: Vec<u8>) -> Self {
        Self { request: get_request(target), expected }
    }
}

/// A request for a target.
pub fn get_request(target: &str) -> Vec<u8> {
    format!("GET {target} HTTP/1.1\r\nhost: bench\r\n\r\n").into()
}

impl Requests for Gets {
    fn write_next(&self, buffer: &mut Vec<u8>) {
        buffer.clear();
        buffer.extend_from_slice(&self.request);
    }

    fn judge(&self, answer: Answer<'_>) -> Outcome {
        if answer.status != 200 {
            Outcome::of_status(answer.status)
        } else if answer.body.len() != self.expected.len() {
            Outcome::Wrong(format!("a body of {} bytes", answer.body.len()))
        } else if answer.body != self.expected {
            Outcome::Wrong("another body of the same length".to_owned())
        } else {
            Outcome::Granted
        }
    }
}

/// How the clients ask.
#[derive(Debug, Clone, Copy)]
pub enum Load {
    /// So many clients, each as fast as it is answered.
    Clients(usize),
    /// So many requests a second, over [`limits::EDGE_CONNECTIONS`].
    PerSecond(f64),
}

/// What is measured.
#[derive(Clone, Copy)]
pub struct Task<'a> {
    /// The name of the comparison.
    pub track: &'static str,
    /// Which round of it.
    pub round: u32,
    /// What is asked.
    pub gets: &'a Gets,
    /// How.
    pub load: Load,
    /// For how long.
    pub window: Window,
}

/// What one measurement found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Measurement {
    /// The name of the comparison.
    pub track: &'static str,
    /// The server's name.
    pub system: &'static str,
    /// Which round, from 1.
    pub round: u32,
    /// Clients of a closed loop; none of an open one.
    pub clients: Option<usize>,
    /// Requests a second of an open loop; none of a closed one.
    pub offered_per_s: Option<f64>,
    /// Right answers a second.
    pub answers_per_s: f64,
    /// The median latency, ms.
    pub p50_ms: f64,
    /// 99 of 100 answers came within, ms.
    pub p99_ms: f64,
    /// 999 of 1,000 answers came within, ms.
    pub p999_ms: f64,
    /// The slowest answer, ms.
    pub max_ms: f64,
    /// Processor time of the server for each answer, µs.
    pub server_cpu_us: Option<f64>,
    /// How much of one processor the server used, 0 to 1.
    pub server_busy: Option<f64>,
    /// How much of one processor the load generator used, 0 to 1.
    pub generator_busy: Option<f64>,
    /// How much of the servers' processor all other programs used, 0 to 1; unknown where servers have none to
    /// themselves.
    pub others_busy: Option<f64>,
    /// Answers that should not have been, and how many of each.
    pub errors: BTreeMap<String, u64>,
}

impl Measurement {
    /// Whether the server was what bounded the throughput.
    pub fn is_saturated(&self) -> bool {
        self.server_busy.is_some_and(|busy| busy >= limits::SATURATED)
    }

    /// What bounded the throughput instead, as far as one can tell; in words.
    pub fn other_limit(&self) -> String {
        let percent = |share: f64| format!("{:.0} %", share * 100.0);
        match (self.others_busy, self.generator_busy) {
            (Some(others), _) if others >= limits::DISTURBED => {
                format!("other programs took {} of its processor", percent(others))
            }
            (_, Some(clients)) if clients >= limits::SATURATED => {
                "its clients were the limit".to_owned()
            }
            (Some(_), Some(_)) => "neither it nor its clients had enough to do".to_owned(),
            _ => "its clients, or other programs, were the limit".to_owned(),
        }
    }
}

/// Measures.
pub async fn measure(server: &Server, task: Task<'_>) -> anyhow::Result<Measurement> {
    let servers = [server.address()];
    // Of the server all processes: nginx and Varnish work in a child.
    let used = || {
        [
            usage::tree_cpu_s(server.process.pid()),
            usage::cpu_s(std::process::id()),
            server.processor.and_then(usage::processor_busy_s),
        ]
    };
    let (before, started) = (used(), Instant::now());
    let figures = match task.load {
        Load::Clients(clients) => closed::run(&servers, clients, task.gets, task.window).await?,
        Load::PerSecond(per_s) => {
            let connections = limits::EDGE_CONNECTIONS;
            let rate = Rate { per_s, connections, pace: Pace::Spin };
            open::run(&servers, rate, task.gets, task.window).await?
        }
    };
    let (after, took_s) = (used(), started.elapsed().as_secs_f64());
    let [server_s, generator_s, busy_s] = [0, 1, 2].map(|n| Some(after[n]? - before[n]?));
    let others_s = busy_s.zip(server_s).map(|(busy_s, server_s)| (busy_s - server_s).max(0.0));
    let answers = figures.granted.max(1) as f64;
    let (clients, offered_per_s) = match task.load {
        Load::Clients(clients) => (Some(clients), None),
        Load::PerSecond(per_s) => (None, Some(round(per_s, 1))),
    };
    Ok(Measurement {
        track: task.track,
        system: server.name,
        round: task.round,
        clients,
        offered_per_s,
        answers_per_s: figures.granted_per_s,
        p50_ms: figures.p50_ms,
        p99_ms: figures.p99_ms,
        p999_ms: figures.p999_ms,
        max_ms: figures.max_ms,
        server_cpu_us: server_s.map(|seconds| round(seconds * 1e6 / answers, 2)),
        server_busy: server_s.map(|seconds| round(seconds / took_s, 3)),
        generator_busy: generator_s.map(|seconds| round(seconds / took_s, 3)),
        others_busy: others_s.map(|seconds| round(seconds / took_s, 3)),
        errors: figures.errors,
    })
}

/// What should not have been, in words.
pub fn faults(measurement: &Measurement) -> Vec<String> {
    let Measurement { track, system, errors, .. } = measurement;
    let mut faults: Vec<_> = errors
        .iter()
        .map(|(error, count)| format!("{track}, {system}: {count} answers were wrong: {error}"))
        .collect();
    if measurement.answers_per_s == 0.0 {
        faults.push(format!("{track}, {system}: nothing was answered"));
    }
    faults
}

/// What the terminal shows of it.
pub fn line(measurement: &Measurement) -> String {
    let Measurement { track, system, answers_per_s, p50_ms, p99_ms, p999_ms, .. } = measurement;
    let load = match (measurement.clients, measurement.offered_per_s) {
        (_, Some(rate)) => format!("{rate:.0}/s offered"),
        (Some(clients), None) => format!("{clients} clients"),
        (None, None) => String::new(),
    };
    let busy = measurement.server_busy.map_or(0.0, |busy| busy * 100.0);
    let cost =
        measurement.server_cpu_us.map_or_else(String::new, |us| format!(", {us:.1} µs each"));
    let mut line = format!(
        "{track}, {load}, {system}: {answers_per_s:.0}/s, p50 {p50_ms:.2} ms, p99 {p99_ms:.2} ms, p99.9 \
         {p999_ms:.2} ms, server {busy:.0} % busy{cost}"
    );
    if let Some(others) = measurement.others_busy.filter(|others| *others >= limits::DISTURBED) {
        line += &format!(", others {:.0} %", others * 100.0);
    }
    let errors: u64 = measurement.errors.values().sum();
    if errors > 0 {
        line += &format!(", {errors} errors");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_bounds_a_server_that_is_not_busy_is_told() {
        let measurement = |server, clients, others| Measurement {
            server_busy: Some(server),
            generator_busy: clients,
            others_busy: others,
            ..Measurement::default()
        };
        assert!(measurement(0.95, Some(1.0), Some(0.05)).is_saturated());
        for (clients, others, words) in [
            (Some(0.3), Some(0.75), "other programs took 75 %"),
            (Some(0.98), Some(0.01), "its clients were"),
            (Some(0.3), Some(0.01), "neither"),
            (Some(0.98), None, "its clients were"),
            (None, None, "or other programs"),
        ] {
            let found = measurement(0.2, clients, others);
            assert!(!found.is_saturated());
            assert!(found.other_limit().contains(words), "{}", found.other_limit());
        }
    }

    #[test]
    fn only_the_very_bytes_count() {
        let gets = Gets::new("/x", b"menu".to_vec());
        for (status, body, outcome) in [
            (200, "menu", Outcome::Granted),
            (203, "menu", Outcome::of_status(203)),
            (200, "mend", Outcome::Wrong("another body of the same length".to_owned())),
            (200, "menus", Outcome::Wrong("a body of 5 bytes".to_owned())),
        ] {
            assert_eq!(gets.judge(Answer { status, body: body.as_bytes() }), outcome, "{body}");
        }
    }
}

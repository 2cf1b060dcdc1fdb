//! What the report makes of measurements.

use super::testing::report;
use super::*;
use std::fs;

#[test]
fn ratios_are_those_of_the_median_and_what_is_missing_is_null() {
    assert_eq!(
        report().ratios,
        Ratios {
            hit_vs_nginx: Some(0.375),
            hit_vs_varnish: None,
            compute_vs_wasmtime_serve: Some(0.9),
            compute_vs_workerd: None,
            purge_visible_p99_ms: Some(2.5),
            cold_start_ms: Some(40.0),
            rss_mb: Some(104.9),
        }
    );
}

#[test]
fn where_a_server_was_not_the_limit_the_processor_time_tells() {
    let report = report();
    // Twelve and a half µs against 33.3: nginx could have answered twice as much.
    assert_eq!(report.ratios_per_processor_second["hit_vs_nginx"], Some(0.375));
    assert_eq!(report.ratios_by_rate["hit_vs_nginx"], Some(0.75));
    assert_eq!(report.ratios_per_processor_second["hit_vs_varnish"], None);
    assert_eq!(
        report.notes["hit_vs_nginx"],
        "by processor time: nginx was not busy all the time, other programs took 45 % of its processor"
    );
    let both = "by answers a second: both were busy all the time";
    assert_eq!(report.notes["compute_vs_wasmtime_serve"], both);
    assert_eq!(report.ratios_by_rate["compute_vs_wasmtime_serve"], Some(0.9));
}

#[test]
fn every_null_has_its_reason() {
    let report = report();
    assert_eq!(report.notes["hit_vs_varnish"], "varnishd is not installed");
    let nothing = Report::new(Facts::default(), Findings::default(), &BTreeMap::new());
    assert_eq!(nothing.ratios, Ratios::default());
    assert_eq!(nothing.notes.len(), COMPARISONS.len() + 3);
}

#[test]
fn open_and_closed_loops_are_not_mixed_and_the_spread_is_kept() {
    let report = report();
    let of = |open: bool| {
        let found = report.medians.iter().find(|m| {
            m.track == CACHE && m.system == EDGE_NODE && m.offered_per_s.is_some() == open
        });
        found.unwrap()
    };
    assert_eq!((of(false).answers_per_s, of(true).answers_per_s), (30_000.0, 6_000.0));
    assert_eq!(of(false).answers_per_s_range, [15_000.0, 120_000.0]);
    assert_eq!((of(true).p99_ms, of(true).p99_ms_range), (1.0, [0.5, 4.0]));
    assert_eq!(of(false).rounds, 3);
}

#[test]
fn the_json_has_every_ratio_by_name() {
    let folder = tempfile::tempdir().unwrap();
    write(&report(), folder.path()).unwrap();
    let json = fs::read_to_string(folder.path().join("edge.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    for (name, ..) in COMPARISONS {
        assert!(json["ratios"].get(name).is_some(), "{name}");
    }
    assert!(json["ratios"]["hit_vs_varnish"].is_null());
    assert_eq!(json["ratios"]["purge_visible_p99_ms"], 2.5);
    for name in ["edge.md", "edge.svg"] {
        assert!(fs::metadata(folder.path().join(name)).unwrap().len() > 500);
    }
}

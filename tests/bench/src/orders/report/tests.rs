//! What the report makes of measurements.

use super::testing::{measurement, report};
use super::*;
use std::fs;

#[test]
fn ratios_are_formed_of_medians_at_256_clients() {
    assert_eq!(
        report().ratios,
        Ratios {
            hot_vs_row_lock: Some(12.5),
            hot_vs_async_ack: Some(0.926),
            large_table_vs_small: Some(0.92),
            sold_out_vs_accepted: Some(4.0),
            two_replicas_vs_one: Some(1.02),
            p99_ms_at_70pct: Some(20.0),
            queries_per_refusal: Some(0.0),
        }
    );
}

#[test]
fn a_target_is_met_or_not_and_what_was_not_measured_is_neither() {
    let full = report();
    assert_eq!(full.targets_met.len(), TARGETS.len());
    let missed: Vec<_> = full.targets_met.iter().filter(|(_, met)| !**met).collect();
    assert_eq!(missed, [(&"sold_out_vs_accepted", &false)]);

    let measurements =
        vec![measurement("hot", "core", 1, 10.0), measurement("hot", "row-lock", 1, 0.0)];
    let findings = Findings { measurements, ..Findings::default() };
    let partial = Report::new(Facts::default(), findings);
    assert_eq!(partial.ratios, Ratios::default(), "nothing is divided by nothing");
    assert!(partial.targets_met.is_empty());
}

#[test]
fn the_ways_of_a_calibration_are_not_mixed() {
    let measurements = vec![
        measurement("calibration-late", "row-lock", 8, 10.0),
        measurement("calibration-late", "row-lock", 16, 20.0),
        measurement("hot", "row-lock", 1, 20.0),
        measurement("hot", "row-lock", 2, 30.0),
    ];
    let rates: Vec<_> = medians(&measurements).iter().map(|m| m.accepted_per_s).collect();
    assert_eq!(rates, [10.0, 20.0, 25.0]);
}

#[test]
fn the_json_holds_ratios_beside_raw_figures() {
    let folder = tempfile::tempdir().unwrap();
    write(&report(), folder.path()).unwrap();
    let json = fs::read_to_string(folder.path().join("orders.json")).unwrap();
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    for (target, _) in TARGETS {
        assert!(json["ratios"][target].is_number(), "{target}");
    }
    let first = &json["measurements"][0];
    assert_eq!(first["accepted_per_s"], 2_500.0);
    assert_eq!(first["cpu_us_per_answer"]["server"], 100.0);
    for name in ["orders.md", "orders.svg"] {
        assert!(fs::metadata(folder.path().join(name)).unwrap().len() > 500);
    }
}

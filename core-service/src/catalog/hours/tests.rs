//! Opening hours in time zones: tables of instants, and what must hold of every schedule.

use super::*;
use proptest::prelude::*;
use tiffin_api::FieldError;

const HOUR_MS: i64 = 3_600_000;
const ALL_DAYS: [Weekday; 7] = [
    Weekday::Mon,
    Weekday::Tue,
    Weekday::Wed,
    Weekday::Thu,
    Weekday::Fri,
    Weekday::Sat,
    Weekday::Sun,
];

fn hours(days: &[Weekday], from: &str, to: &str) -> DayHours {
    DayHours { days: days.to_vec(), from: from.to_owned(), to: to.to_owned() }
}

fn exception(date: &str, spans: &[(&str, &str)]) -> DayException {
    let span = |(from, to): &(&str, &str)| Span { from: (*from).into(), to: (*to).into() };
    DayException { date: date.to_owned(), hours: spans.iter().map(span).collect() }
}

fn parse(
    zone: &str,
    weekly: &[DayHours],
    exceptions: &[DayException],
) -> Result<Schedule, Vec<FieldError>> {
    let mut row = crate::catalog::testing::store_row("hours");
    row.time_zone = zone.to_owned();
    row.hours = weekly.to_vec();
    row.exceptions = exceptions.to_vec();
    Schedule::of_store(&row).map_err(Faults::into_vec)
}

fn ms(text: &str) -> i64 {
    text.parse::<Timestamp>().unwrap().as_millisecond()
}

/// Each row: an instant, whether it is open then, and when that changes.
fn check(schedule: &Schedule, table: &[(&str, bool, Option<&str>)]) {
    for (at, open, changes_at) in table {
        let standing = schedule.standing_at(ms(at));
        let expected = Standing { open: *open, changes_at_ms: changes_at.map(ms) };
        assert_eq!(standing, expected, "at {at}");
    }
}

#[test]
fn weekly_hours_with_a_lunch_break_and_a_day_off() {
    let weekdays = &ALL_DAYS[..5];
    let weekly = [hours(weekdays, "11:30", "14:30"), hours(weekdays, "17:00", "22:00")];
    let schedule = parse("Europe/Berlin", &weekly, &[]).unwrap();
    // 2026-11-25 is a Wednesday; Berlin is one hour ahead of UTC then.
    check(
        &schedule,
        &[
            ("2026-11-25T10:29:59.999Z", false, Some("2026-11-25T10:30:00Z")),
            ("2026-11-25T10:30:00Z", true, Some("2026-11-25T13:30:00Z")),
            ("2026-11-25T13:29:59.999Z", true, Some("2026-11-25T13:30:00Z")),
            ("2026-11-25T13:30:00Z", false, Some("2026-11-25T16:00:00Z")),
            ("2026-11-27T21:00:00Z", false, Some("2026-11-30T10:30:00Z")),
        ],
    );
}

#[test]
fn always_open_and_never_open_do_not_change() {
    let always = parse("Asia/Shanghai", &[hours(&ALL_DAYS, "00:00", "24:00")], &[]).unwrap();
    check(&always, &[("2026-11-25T12:00:00Z", true, None)]);
    let same_minute = parse("Asia/Shanghai", &[hours(&ALL_DAYS, "06:00", "06:00")], &[]).unwrap();
    check(&same_minute, &[("2026-11-25T12:00:00Z", true, None)]);
    let never = parse("Asia/Shanghai", &[], &[]).unwrap();
    check(&never, &[("2026-11-25T12:00:00Z", false, None)]);
}

#[test]
fn always_open_has_no_crack_on_days_when_the_clock_changes() {
    for zone in ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Cairo"] {
        let always = parse(zone, &[hours(&ALL_DAYS, "00:00", "24:00")], &[]).unwrap();
        let start_ms = ms("2026-01-01T00:00:00Z");
        for quarter in 0..(366 * 96) {
            assert!(
                always.standing_at(start_ms + quarter * HOUR_MS / 4).open,
                "{zone}, quarter {quarter}"
            );
            if quarter % 96 == 0 {
                let at_ms = start_ms + quarter * HOUR_MS / 4;
                assert_eq!(always.standing_at(at_ms).changes_at_ms, None, "{zone}");
            }
        }
    }
}

#[test]
fn an_overnight_span_belongs_to_the_day_it_began_on() {
    let weekly = [hours(&[Weekday::Fri, Weekday::Sat], "18:00", "03:00")];
    let closed_sunday = [exception("2026-11-29", &[])];
    let schedule = parse("Europe/Berlin", &weekly, &closed_sunday).unwrap();
    check(
        &schedule,
        &[
            ("2026-11-27T17:00:00Z", true, Some("2026-11-28T02:00:00Z")),
            ("2026-11-28T02:00:00Z", false, Some("2026-11-28T17:00:00Z")),
            // The exception of Sunday does not cut Saturday night short.
            ("2026-11-29T01:00:00Z", true, Some("2026-11-29T02:00:00Z")),
            ("2026-11-29T02:00:00Z", false, Some("2026-12-04T17:00:00Z")),
        ],
    );
}

#[test]
fn an_exception_replaces_the_spans_of_its_date() {
    let weekly = [hours(&ALL_DAYS, "09:00", "18:00")];
    let exceptions = [exception("2026-12-24", &[("09:00", "12:00")]), exception("2026-12-25", &[])];
    let schedule = parse("Europe/Berlin", &weekly, &exceptions).unwrap();
    check(
        &schedule,
        &[
            ("2026-12-24T08:00:00Z", true, Some("2026-12-24T11:00:00Z")),
            ("2026-12-24T11:00:00Z", false, Some("2026-12-26T08:00:00Z")),
            ("2026-12-25T12:00:00Z", false, Some("2026-12-26T08:00:00Z")),
        ],
    );
}

#[test]
fn an_exception_breaks_up_what_is_otherwise_always_open() {
    let weekly = [hours(&ALL_DAYS, "00:00", "24:00")];
    let schedule = parse("Europe/Berlin", &weekly, &[exception("2026-12-25", &[])]).unwrap();
    check(
        &schedule,
        &[
            ("2025-11-09T12:00:00Z", true, None), // beyond the horizon
            ("2025-11-10T12:00:00Z", true, Some("2026-12-24T23:00:00Z")),
            ("2026-12-20T12:00:00Z", true, Some("2026-12-24T23:00:00Z")),
            ("2026-12-25T12:00:00Z", false, Some("2026-12-25T23:00:00Z")),
        ],
    );
}

/// Exceptions without hours on so many dates.
fn closed(first: &str, days: i32) -> Vec<DayException> {
    let first: Date = first.parse().unwrap();
    let date = |day: i32| first.checked_add(day.days()).unwrap().to_string();
    (0..days).map(|day| exception(&date(day), &[])).collect()
}

#[test]
fn the_end_of_a_long_closure_is_told() {
    let weekly = [hours(&ALL_DAYS[1..5], "12:00", "15:00")];
    // Three weeks of summer, from Monday on; Tuesday, 2027-07-27, is the first day again. Madrid is at +2 then.
    let schedule = parse("Europe/Madrid", &weekly, &closed("2027-07-05", 21)).unwrap();
    check(
        &schedule,
        &[
            ("2027-07-02T13:00:00Z", false, Some("2027-07-27T10:00:00Z")),
            ("2027-07-02T12:59:59Z", true, Some("2027-07-02T13:00:00Z")),
            ("2027-07-20T10:30:00Z", false, Some("2027-07-27T10:00:00Z")),
            ("2027-07-27T10:00:00Z", true, Some("2027-07-27T13:00:00Z")),
        ],
    );
    let most = i32::try_from(limits::HOURS_EXCEPTIONS).unwrap();
    let year = parse("Europe/Madrid", &weekly, &closed("2027-01-01", most)).unwrap();
    // The 400th day of closure is 2028-02-04, a Friday.
    check(&year, &[("2026-12-31T14:00:00Z", false, Some("2028-02-08T11:00:00Z"))]);
}

#[test]
fn whatever_never_closes_tells_of_a_closure_next_year() {
    for daily in ["00:00", "05:30", "23:59"] {
        let weekly = [hours(&ALL_DAYS, daily, daily)];
        let mut exceptions = closed("2027-10-09", 2);
        exceptions.extend(closed("2027-11-30", 1));
        let schedule = parse("Asia/Tokyo", &weekly, &exceptions).unwrap();
        let at = |text: &str| format!("{text}T{daily}:00+09:00");
        let table = [
            ("2027-02-01T03:00:00Z".to_owned(), true, Some(at("2027-10-09"))),
            (at("2027-10-09"), false, Some(at("2027-10-11"))),
            (at("2027-10-11"), true, Some(at("2027-11-30"))),
            (at("2027-11-30"), false, Some(at("2027-12-01"))),
            (at("2027-12-01"), true, None),
        ];
        let table: Vec<_> =
            table.iter().map(|(at, open, next)| (at.as_str(), *open, next.as_deref())).collect();
        check(&schedule, &table);
    }
}

#[test]
fn whatever_never_opens_tells_of_the_one_day_on_which_it_does() {
    let fair = exception("2027-09-18", &[("20:00", "02:00"), ("10:00", "16:00")]);
    let schedule = parse("Europe/Berlin", &[], &[fair]).unwrap();
    check(
        &schedule,
        &[
            ("2026-09-20T12:00:00Z", false, Some("2027-09-18T08:00:00Z")),
            ("2027-09-18T14:00:00Z", false, Some("2027-09-18T18:00:00Z")),
            ("2027-09-18T18:00:00Z", true, Some("2027-09-19T00:00:00Z")),
            ("2027-09-19T00:00:00Z", false, None),
        ],
    );
}

#[test]
fn a_time_that_the_clock_skips_is_the_instant_of_the_change() {
    // New York, 2026-03-08: 02:00 EST is followed by 03:00 EDT, at 07:00Z.
    let zone = "America/New_York";
    let opens = parse(zone, &[hours(&[Weekday::Sun], "02:30", "05:00")], &[]).unwrap();
    check(
        &opens,
        &[
            ("2026-03-08T06:59:59.999Z", false, Some("2026-03-08T07:00:00Z")),
            ("2026-03-08T07:00:00Z", true, Some("2026-03-08T09:00:00Z")),
        ],
    );
    let closes = parse(zone, &[hours(&[Weekday::Sat], "20:00", "02:30")], &[]).unwrap();
    check(
        &closes,
        &[
            ("2026-03-08T06:59:59.999Z", true, Some("2026-03-08T07:00:00Z")),
            ("2026-03-08T07:00:00Z", false, Some("2026-03-15T00:00:00Z")),
        ],
    );
    let skipped = parse(zone, &[hours(&[Weekday::Sun], "02:15", "02:45")], &[]).unwrap();
    check(&skipped, &[("2026-03-08T06:00:00Z", false, Some("2026-03-15T06:15:00Z"))]);
}

#[test]
fn a_time_that_happens_twice_is_its_first_occurrence() {
    // Berlin, 2026-10-25: 03:00 CEST is followed by 02:00 CET, at 01:00Z.
    let zone = "Europe/Berlin";
    let closes = parse(zone, &[hours(&[Weekday::Sat], "20:00", "02:30")], &[]).unwrap();
    check(
        &closes,
        &[
            ("2026-10-25T00:29:59.999Z", true, Some("2026-10-25T00:30:00Z")),
            // The second 02:00 does not open it again.
            ("2026-10-25T01:05:00Z", false, Some("2026-10-31T19:00:00Z")),
        ],
    );
    let through = parse(zone, &[hours(&[Weekday::Sat], "20:00", "03:00")], &[]).unwrap();
    check(&through, &[("2026-10-25T01:30:00Z", true, Some("2026-10-25T02:00:00Z"))]);
}

#[test]
fn items_are_served_at_the_same_local_times_every_day() {
    let store = parse("America/New_York", &[], &[exception("2026-11-26", &[])]).unwrap();
    let breakfast = [Span { from: "06:00".into(), to: "11:00".into() }];
    let served = store.daily(&breakfast, "/served").unwrap();
    check(
        &served,
        &[
            ("2026-11-25T10:59:00Z", false, Some("2026-11-25T11:00:00Z")),
            ("2026-11-26T11:00:00Z", true, Some("2026-11-26T16:00:00Z")),
        ],
    );
}

#[test]
fn instants_beyond_the_calendar_count_as_its_edge() {
    let weekly = [hours(&ALL_DAYS, "00:00", "24:00")];
    let schedule = parse("Europe/Berlin", &weekly, &[]).unwrap();
    for at_ms in [i64::MIN, -1, i64::MAX] {
        assert!(schedule.standing_at(at_ms).open, "at {at_ms}");
    }
}

#[test]
fn each_fault_is_named_where_it_is() {
    let weekly = [
        hours(&[], "09:00", "18:00"),
        hours(&ALL_DAYS, "24:00", "25:00"),
        hours(&ALL_DAYS, "9:00", "18.00"),
        hours(&ALL_DAYS, "12:60", "２4:00"),
        hours(&[Weekday::Mon; 8], "09:00", "18:00"),
    ];
    let exceptions = [
        exception("2026-02-30", &[("08:00", "24:01")]),
        exception("2026-12-25", &[]),
        exception("2026-12-25", &[]),
        exception("20261224", &[]),
    ];
    let faults = parse("Mars/Olympus", &weekly, &exceptions).unwrap_err();
    let pointers: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    assert_eq!(
        pointers,
        [
            "/time_zone",
            "/hours/0/days",
            "/hours/1/from",
            "/hours/1/to",
            "/hours/2/from",
            "/hours/2/to",
            "/hours/3/from",
            "/hours/3/to",
            "/hours/4/days",
            "/exceptions/0/hours/0/to",
            "/exceptions/0/date",
            "/exceptions/2/date",
            "/exceptions/3/date",
        ]
    );
}

fn any_hours() -> impl Strategy<Value = Vec<DayHours>> {
    let one = (prop::sample::subsequence(ALL_DAYS.to_vec(), 1..=7), 0_u16..1440, 0_u16..=1440);
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    prop::collection::vec(
        one.prop_map(move |(days, from, to)| hours(&days, &clock(from), &clock(to))),
        0..5,
    )
}

/// Some dates of the year with other hours, or none.
fn any_exceptions() -> impl Strategy<Value = Vec<DayException>> {
    let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
    let spans = prop::collection::vec((0_u16..1440, 0_u16..=1440), 0..3);
    prop::collection::btree_map(0_i32..500, spans, 0..8).prop_map(move |dates| {
        let first: Date = "2025-12-30".parse().unwrap();
        let exception = |(day, spans): (i32, Vec<(u16, u16)>)| DayException {
            date: first.checked_add(day.days()).unwrap().to_string(),
            hours: spans
                .into_iter()
                .map(|(from, to)| Span { from: clock(from), to: clock(to) })
                .collect(),
        };
        dates.into_iter().map(exception).collect()
    })
}

proptest! {
    /// Where no clock changes, the wall clock alone decides: an independent, simpler rule.
    #[test]
    fn without_clock_changes_the_wall_clock_decides(
        weekly in any_hours(),
        minute in 0_i64..(21 * 1440),
    ) {
        let schedule = parse("Asia/Shanghai", &weekly, &[]).unwrap();
        let monday_ms = ms("2026-11-22T16:00:00Z"); // Monday 00:00 in Shanghai
        let open = schedule.standing_at(monday_ms + minute * 60_000).open;
        let (day, of_day) = (minute / 1440 % 7, minute % 1440);
        let expected = weekly.iter().any(|entry| {
            let from = i64::from(parse_minute(&entry.from).unwrap());
            let to = i64::from(parse_minute(&entry.to).unwrap());
            let to = if to <= from { to + 1440 } else { to };
            entry.days.iter().any(|begins| {
                let begins = i64::try_from(day_index(*begins)).unwrap();
                (begins == day && (from..to).contains(&of_day))
                    || ((begins + 1) % 7 == day && (from..to).contains(&(of_day + 1440)))
            })
        });
        prop_assert_eq!(open, expected);
    }

    /// Also across clock changes: nothing flips before the promised change, and then it does.
    #[test]
    fn the_next_change_is_the_first_flip(
        weekly in any_hours(),
        always in any::<bool>(),
        exceptions in any_exceptions(),
        zone in prop::sample::select(vec!["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]),
        at_minute in 0_i64..(365 * 1440),
        samples in prop::collection::vec(0.0_f64..1.0, 8),
    ) {
        let around_the_clock = || vec![hours(&ALL_DAYS, "06:00", "06:00")];
        let weekly = if always { around_the_clock() } else { weekly };
        let schedule = parse(zone, &weekly, &exceptions).unwrap();
        let at_ms = ms("2026-01-01T00:00:00Z") + at_minute * 60_000;
        let standing = schedule.standing_at(at_ms);
        let horizon_ms = at_ms + i64::from(limits::HOURS_AHEAD_DAYS) * DAY_MS;
        let until_ms = standing.changes_at_ms.unwrap_or(horizon_ms);
        prop_assert!(until_ms > at_ms);
        for sample in samples {
            #[expect(clippy::cast_possible_truncation, reason = "a share of a year in ms")]
            let inside_ms = at_ms + ((until_ms - at_ms) as f64 * sample) as i64;
            prop_assert_eq!(schedule.standing_at(inside_ms).open, standing.open);
        }
        prop_assert_eq!(schedule.standing_at(until_ms - 1).open, standing.open);
        if standing.changes_at_ms.is_some() {
            prop_assert_eq!(schedule.standing_at(until_ms).open, !standing.open);
        }
    }
}

//! Opening hours: local times on days of the week, turned into instants by the time zone's rules.
//!
//! A local time stands for the first instant at which the wall clock shows it or a later one. So a time
//! that a clock change skips is the instant of the change, a time that happens twice is its first
//! occurrence, and midnight to 24:00 leaves no crack on any day. Spans become half-open intervals of
//! instants; where they touch or overlap, they are one.
//!
//! An exception replaces the spans that begin on its date. A span that began the day before runs on past
//! midnight to its own end: a bar that is closed on Sunday still serves until three on Saturday night.
//!
//! Start with [`Schedule::standing_at`].

use super::faults::Faults;
use crate::limits;
use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{Timestamp, ToSpan as _};
use std::collections::{BTreeMap, BTreeSet};
use tiffin_api::import::{DayException, DayHours, Span, StoreRow, Weekday};

const DAY_MIN: u16 = 24 * 60;
const DAY_MS: i64 = 24 * 3_600 * 1_000;
/// A span ends at most a day after the day it began on; one more day for zones that skipped a date.
const DAYS_BACK: i32 = 2;

/// A span in minutes since local midnight of the day it begins on; `to_min` is greater than `from_min`
/// and at most a day later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Minutes {
    from_min: u16,
    to_min: u16,
}

/// Whether something is open, and until when that is so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether it is open.
    pub open: bool,
    /// When that next changes, if it does within [`limits::HOURS_AHEAD_DAYS`].
    pub changes_at_ms: Option<i64>,
}

/// Checked hours in a time zone.
#[derive(Debug, Clone)]
pub struct Schedule {
    zone: TimeZone,
    /// From Monday on, the spans of each day in order.
    weekly: [Vec<Minutes>; 7],
    exceptions: BTreeMap<Date, Vec<Minutes>>,
    week: Week,
}

/// What the weekly hours come to by themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Week {
    /// There are none.
    Closed,
    /// They never close.
    Open,
    /// They open and close.
    Mixed,
}

impl Week {
    fn of(weekly: &[Vec<Minutes>; 7]) -> Self {
        const MINUTES: u32 = 7 * DAY_MIN as u32;
        let days = (0_u32..).step_by(usize::from(DAY_MIN)).zip(weekly);
        let mut spans: Vec<(u32, u32)> = days
            .flat_map(|(day_min, spans)| {
                spans.iter().map(move |span| {
                    (day_min + u32::from(span.from_min), day_min + u32::from(span.to_min))
                })
            })
            .collect();
        if spans.is_empty() {
            return Self::Closed;
        }
        // What runs past the end of the week is at its beginning.
        let over = spans.iter().filter_map(|(_, to)| Some((0, to.checked_sub(MINUTES)?)));
        spans.extend(over.collect::<Vec<_>>());
        spans.sort_unstable();
        let mut until = 0;
        for (from, to) in spans {
            if from > until {
                return Self::Mixed;
            }
            until = until.max(to);
        }
        if until >= MINUTES { Self::Open } else { Self::Mixed }
    }
}

impl Schedule {
    /// A store's opening hours, or every fault in them.
    pub fn of_store(row: &StoreRow) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let zone = parse_zone(&row.time_zone, &mut faults);
        let weekly = parse_weekly(&row.hours, &mut faults);
        let exceptions = parse_exceptions(&row.exceptions, &mut faults);
        match zone {
            Some(zone) if faults.is_empty() => {
                let week = Week::of(&weekly);
                Ok(Self { zone, weekly, exceptions, week })
            }
            Some(_) | None => Err(faults),
        }
    }

    /// The same spans every day, in this schedule's time zone; or every fault in them.
    pub fn daily(&self, spans: &[Span], pointer: &str) -> Result<Self, Faults> {
        let mut faults = Faults::default();
        let minutes = parse_spans(spans, pointer, &mut faults);
        if !faults.is_empty() {
            return Err(faults);
        }
        let weekly = std::array::from_fn(|_| minutes.clone());
        let (week, exceptions) = (Week::of(&weekly), BTreeMap::new());
        Ok(Self { zone: self.zone.clone(), weekly, exceptions, week })
    }

    /// Where it stands at an instant. Instants outside `0..=`[`limits::LATEST_MS`] count as the nearest
    /// one inside.
    pub fn standing_at(&self, at_ms: i64) -> Standing {
        let at_ms = at_ms.clamp(0, limits::LATEST_MS);
        let Ok(instant) = Timestamp::from_millisecond(at_ms) else {
            return Standing { open: false, changes_at_ms: None };
        };
        let today = self.zone.to_datetime(instant).date();
        let (open, change_ms) = match self.interval_after(today, at_ms) {
            Some((from_ms, to_ms)) if from_ms <= at_ms => (true, Some(to_ms)),
            Some((from_ms, _)) => (false, Some(from_ms)),
            None => (false, None),
        };
        let horizon_ms = at_ms + i64::from(limits::HOURS_AHEAD_DAYS) * DAY_MS;
        Standing { open, changes_at_ms: change_ms.filter(|ms| *ms <= horizon_ms) }
    }

    /// The first interval that ends after `at_ms`, an instant of `today`. What it looks at ends with it, so its cost
    /// is that of the days until the next change, and of the exceptions where the weekly hours never change.
    fn interval_after(&self, today: Date, at_ms: i64) -> Option<(i64, i64)> {
        let mut found: Option<(i64, i64)> = None;
        let mut before: Option<Date> = None;
        for date in self.dates(today) {
            // Between dates that are left out the weekly hours hold, which never close.
            let skipped = before.is_some_and(|before| before.tomorrow().ok() != Some(date));
            let joined = skipped && self.week == Week::Open;
            before = Some(date);
            for span in self.spans_of(date) {
                let ends =
                    (self.instant_ms(date, span.from_min), self.instant_ms(date, span.to_min));
                // An empty interval is a span that a clock change skipped whole.
                let (Some(from_ms), Some(to_ms)) = ends else { continue };
                if from_ms >= to_ms {
                    continue;
                }
                match &mut found {
                    Some((_, until_ms)) if joined || from_ms <= *until_ms => {
                        *until_ms = to_ms.max(*until_ms);
                    }
                    // Spans are in order: none that comes later begins before this one.
                    Some(done) if done.1 > at_ms => return found,
                    Some(_) | None => found = Some((from_ms, to_ms)),
                }
            }
            // It opens then, whenever it closes again.
            if found.is_some_and(|(from_ms, _)| from_ms > at_ms) {
                return found;
            }
        }
        match found {
            // The weekly hours go on.
            Some((from_ms, _)) if self.week == Week::Open => Some((from_ms, i64::MAX)),
            Some((_, to_ms)) if to_ms > at_ms => found,
            Some(_) | None => None,
        }
    }

    /// The dates that can tell how things stand within the horizon, in order. Where the weekly hours never change,
    /// these are today's and the exceptions, with what they meet.
    fn dates(&self, today: Date) -> Box<dyn Iterator<Item = Date> + '_> {
        let day = move |days: i32| today.checked_add(days.days()).ok();
        // One day more than the horizon, so that what is open all along ends beyond it.
        let (first, last) = (-DAYS_BACK, limits::HOURS_AHEAD_DAYS + 1);
        if self.week == Week::Mixed {
            return Box::new((first..=last).filter_map(day));
        }
        let first_date = day(first).unwrap_or(Date::MIN);
        let last_date = day(last).unwrap_or(Date::MAX);
        let from = day(2 * first).unwrap_or(Date::MIN);
        let exceptions = self.exceptions.range(from..=last_date);
        let around = exceptions.flat_map(|(date, _)| {
            (-DAYS_BACK..=DAYS_BACK).filter_map(|days| date.checked_add(days.days()).ok())
        });
        let near = (first..=DAYS_BACK).filter_map(day);
        let dates: BTreeSet<Date> = near.chain(around).filter(|date| *date >= first_date).collect();
        Box::new(dates.into_iter())
    }

    fn spans_of(&self, date: Date) -> &[Minutes] {
        if let Some(spans) = self.exceptions.get(&date) {
            return spans;
        }
        let index = usize::try_from(date.weekday().to_monday_zero_offset()).unwrap_or(0);
        &self.weekly[index]
    }

    /// The first instant at which the wall clock shows `minute` of `date` or later; `None` only at the
    /// very end of the calendar.
    fn instant_ms(&self, date: Date, minute: u16) -> Option<i64> {
        let date = date.checked_add(i32::from(minute / DAY_MIN).days()).ok()?;
        let of_day = minute % DAY_MIN;
        let hour = i8::try_from(of_day / 60).ok()?;
        let local: DateTime = date.at(hour, i8::try_from(of_day % 60).ok()?, 0, 0);
        let instant = match self.zone.to_ambiguous_timestamp(local).offset() {
            AmbiguousOffset::Unambiguous { offset } => offset.to_timestamp(local).ok()?,
            AmbiguousOffset::Fold { before, .. } => before.to_timestamp(local).ok()?,
            AmbiguousOffset::Gap { after, .. } => {
                // By the later offset a skipped time lies before the change that skipped it.
                let before_change = after.to_timestamp(local).ok()?;
                self.zone.following(before_change).next()?.timestamp()
            }
        };
        Some(instant.as_millisecond())
    }
}

/// Checks local times of the day that are not tied to a time zone yet.
pub fn check_spans(spans: &[Span], pointer: &str, faults: &mut Faults) {
    parse_spans(spans, pointer, faults);
}

/// Checks the time zone of a new store: a name of IANA's database, its links of old names included, spelt as there,
/// because other programs look for a file of this name. `Factory` and `Etc/Unknown` say that there is no zone. What is
/// unknown altogether is [`Schedule::of_store`]'s to name; that one goes on to read what was taken before.
pub fn check_zone_name(name: &str, faults: &mut Faults) {
    let listed = || jiff::tz::db().available().any(|known| known.as_str() == name);
    let no_zone = ["Factory", "Etc/Unknown"].contains(&name);
    if TimeZone::get(name).is_ok() && (no_zone || !listed()) {
        faults.add("/time_zone", no_zone_of_that_name(name));
    }
}

fn no_zone_of_that_name(name: &str) -> String {
    format!("{name:?} is not an IANA time zone such as Europe/Berlin")
}

fn parse_zone(name: &str, faults: &mut Faults) -> Option<TimeZone> {
    let zone = TimeZone::get(name).ok();
    faults.require(zone.is_some(), "/time_zone", no_zone_of_that_name(name));
    zone
}

fn parse_weekly(hours: &[DayHours], faults: &mut Faults) -> [Vec<Minutes>; 7] {
    let mut weekly: [Vec<Minutes>; 7] = Default::default();
    faults.at_most(hours.len(), limits::HOURS_SPANS, "/hours");
    for (index, entry) in hours.iter().enumerate() {
        let pointer = format!("/hours/{index}");
        faults.require(!entry.days.is_empty(), format!("{pointer}/days"), "name at least one day");
        faults.at_most(entry.days.len(), weekly.len(), format!("{pointer}/days"));
        let Some(span) = parse_span(&entry.from, &entry.to, &pointer, faults) else { continue };
        for day in &entry.days {
            weekly[day_index(*day)].push(span);
        }
    }
    weekly.iter_mut().for_each(|spans| spans.sort_unstable());
    weekly
}

fn parse_exceptions(
    exceptions: &[DayException],
    faults: &mut Faults,
) -> BTreeMap<Date, Vec<Minutes>> {
    let mut by_date = BTreeMap::new();
    faults.at_most(exceptions.len(), limits::HOURS_EXCEPTIONS, "/exceptions");
    for (index, exception) in exceptions.iter().enumerate() {
        let pointer = format!("/exceptions/{index}");
        let spans = parse_spans(&exception.hours, &format!("{pointer}/hours"), faults);
        let Some(date) = parse_date(&exception.date) else {
            let detail = format!("{:?} is not a date such as 2026-12-25", exception.date);
            faults.add(format!("{pointer}/date"), detail);
            continue;
        };
        let first = by_date.insert(date, spans).is_none();
        faults.require(first, format!("{pointer}/date"), format!("{date} stands twice"));
    }
    by_date
}

fn parse_spans(spans: &[Span], pointer: &str, faults: &mut Faults) -> Vec<Minutes> {
    faults.at_most(spans.len(), limits::DAY_SPANS, pointer);
    let entries = spans.iter().enumerate();
    let mut minutes: Vec<_> = entries
        .filter_map(|(index, span)| {
            parse_span(&span.from, &span.to, &format!("{pointer}/{index}"), faults)
        })
        .collect();
    minutes.sort_unstable();
    minutes
}

fn parse_span(from: &str, to: &str, pointer: &str, faults: &mut Faults) -> Option<Minutes> {
    let from_min = parse_minute(from).filter(|minute| *minute < DAY_MIN);
    let to_min = parse_minute(to);
    faults.require(
        from_min.is_some(),
        format!("{pointer}/from"),
        format!("{from:?} is not a time from 00:00 to 23:59"),
    );
    faults.require(
        to_min.is_some(),
        format!("{pointer}/to"),
        format!("{to:?} is not a time from 00:00 to 24:00"),
    );
    let (from_min, to_min) = (from_min?, to_min?);
    let to_min = if to_min <= from_min { to_min + DAY_MIN } else { to_min };
    Some(Minutes { from_min, to_min })
}

/// Minutes since midnight of `HH:MM`, 24:00 included.
fn parse_minute(text: &str) -> Option<u16> {
    let digit = |byte: u8| byte.is_ascii_digit().then(|| u16::from(byte - b'0'));
    let &[h1, h0, b':', m1, m0] = text.as_bytes() else { return None };
    let hour = digit(h1)? * 10 + digit(h0)?;
    let minute = digit(m1)? * 10 + digit(m0)?;
    let of_day = hour * 60 + minute;
    (minute < 60 && of_day <= DAY_MIN).then_some(of_day)
}

/// `YYYY-MM-DD` and nothing else of what ISO 8601 allows.
fn parse_date(text: &str) -> Option<Date> {
    let plain = text.len() == 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
    text.parse().ok().filter(|_| plain)
}

const fn day_index(day: Weekday) -> usize {
    match day {
        Weekday::Mon => 0,
        Weekday::Tue => 1,
        Weekday::Wed => 2,
        Weekday::Thu => 3,
        Weekday::Fri => 4,
        Weekday::Sat => 5,
        Weekday::Sun => 6,
    }
}

#[cfg(test)]
mod tests;

//! Moments as HTTP writes them, in all three forms. Pure. Source: RFC 9110, section 5.6.7.
//!
//! Strict in where everything stands, because what is no date must count as past; lenient in case, and in the name of the
//! day, which says nothing.

use std::time::{Duration, SystemTime};

const DAY_S: i64 = 86_400;
/// What a two-digit year may be ahead of the present.
const PIVOT_YEARS: i64 = 50;
const MONTHS: [&str; 12] =
    ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];
const DAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

/// Reads a date; `now` says which century two digits mean. One before 1970 is 1970.
pub(super) fn http_date(text: &str, now: SystemTime) -> Option<SystemTime> {
    let text = text.to_ascii_lowercase();
    let (day_name, rest) = text.split_at(text.find([',', ' '])?);
    let civil = match rest.strip_prefix(", ") {
        Some(rest) => {
            let rest = rest.strip_suffix(" gmt")?;
            let (date, time) = rest.split_at(rest.rfind(' ')?);
            let is_short = is_day(day_name, true);
            let year = |year: &str| match (is_short, year.len()) {
                (true, 4) => number(year),
                (false, 2) if is_day(day_name, false) => Some(century(number(year)?, now)),
                _ => None,
            };
            let separator = if is_short { ' ' } else { '-' };
            let mut parts = date.split(separator);
            let (day, month) = (two(parts.next()?)?, month(parts.next()?)?);
            let year = year(parts.next()?)?;
            (parts.next().is_none()).then_some((year, month, day, time.strip_prefix(' ')?))?
        }
        None => {
            // `Sun Nov  6 08:49:37 1994`: of all forms the one whose places are fixed.
            let rest = rest.strip_prefix(' ').filter(|_| is_day(day_name, true))?;
            let place = |range| rest.get(range);
            let gaps = [place(3..4)?, place(6..7)?, place(15..16)?];
            if rest.len() != 20 || gaps != [" "; 3] {
                return None;
            }
            let day = place(4..6)?;
            let day = day.strip_prefix(' ').map_or_else(|| two(day), number)?;
            (number(place(16..20)?)?, month(place(0..3)?)?, day, place(7..15)?)
        }
    };
    moment(civil)
}

fn is_day(text: &str, is_short: bool) -> bool {
    DAYS.iter().any(|day| if is_short { day[..3] == *text } else { day == &text })
}

fn month(text: &str) -> Option<i64> {
    (1..).zip(MONTHS).find_map(|(number, name)| (name == text).then_some(number))
}

fn number(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn two(text: &str) -> Option<i64> {
    (text.len() == 2).then(|| number(text))?
}

/// The year that two digits mean: of those that are not too far ahead, the last.
fn century(year: i64, now: SystemTime) -> i64 {
    let now_s = now.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    // Good enough for a rule of fifty years.
    let latest =
        1970 + i64::try_from(now_s).unwrap_or(0) * 10_000 / (DAY_S * 3_652_425) + PIVOT_YEARS;
    latest - (latest - year).rem_euclid(100)
}

fn moment((year, month, day, time): (i64, i64, i64, &str)) -> Option<SystemTime> {
    let mut parts = time.split(':').map(two);
    let [hour, minute, second] = [parts.next()??, parts.next()??, parts.next()??];
    // A minute may have a leap second.
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(is_leap),
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    };
    if !(1..=length).contains(&day) {
        return None;
    }
    let seconds = days_from_civil(year, month, day) * DAY_S + hour * 3_600 + minute * 60 + second;
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    SystemTime::UNIX_EPOCH.checked_add(since)
}

/// Days since 1970, in the Gregorian calendar, whose years are counted from March here, so that a leap day ends one.
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    // From the first of March of the year 0 to 1970.
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use super::http_date;

    fn read(text: &str) -> Option<u64> {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let read = http_date(text, now)?;
        Some(read.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
    }

    #[test]
    fn all_three_forms_are_read() {
        for (text, seconds) in [
            ("Sun, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Sunday, 06-Nov-94 08:49:37 GMT", 784_111_777),
            ("Sun Nov  6 08:49:37 1994", 784_111_777),
            ("Wed Nov 16 08:49:37 1994", 784_975_777),
            ("SUN, 06 nov 1994 08:49:37 gmt", 784_111_777),
            // The name of the day says nothing.
            ("Mon, 06 Nov 1994 08:49:37 GMT", 784_111_777),
            ("Thu, 29 Feb 2024 23:59:60 GMT", 1_709_251_200),
            ("Sat, 31 Dec 2099 00:00:00 GMT", 4_102_358_400),
            ("Mon, 01 Jan 1601 00:00:00 GMT", 0),
            // Within fifty years of the present, which is 2023 here, and beyond.
            ("Saturday, 01-Jan-73 00:00:00 GMT", 3_250_454_400),
            ("Tuesday, 01-Jan-74 00:00:00 GMT", 126_230_400),
        ] {
            assert_eq!(read(text), Some(seconds), "{text}");
        }
    }

    #[test]
    fn every_date_that_is_written_is_read() {
        for days in 0..40_000_u64 {
            let at = SystemTime::UNIX_EPOCH + Duration::from_secs(days * 86_399);
            assert_eq!(read(&httpdate::fmt_http_date(at)), Some(days * 86_399));
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for text in [
            "",
            "0",
            "-1",
            "Sun, 06  Nov 1994 08:49:37 GMT",
            "Sun,  06 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 1994  08:49:37 GMT",
            "Sun, 06 Nov 1994 08:49:37  GMT",
            "Sun, 6 Nov 1994 08:49:37 GMT",
            "Sun, 06 Nov 94 08:49:37 GMT",
            "Sun 06 Nov 1994 08:49:37 GMT",
            "Sun, 06-Nov-1994 08:49:37 GMT",
            "Sunday, 06-Nov-1994 08:49:37 GMT",
            "Sunday, 06 Nov 94 08:49:37 GMT",
            "Sun, 06 Nov 1994 8:49:37 GMT",
            "Sun, 06 Nov 1994 08.49.37 GMT",
            "Sun, 06 Nov 1994 08:49 GMT",
            "Sun, 06 Nov 1994 24:00:00 GMT",
            "Sun, 06 Nov 1994 08:49:37 UTC",
            "Sun, 06 Nov 1994 08:49:37 +0000",
            "Sun, 06 Nov 1994 08:49:37",
            "Sun, 31 Nov 1994 08:49:37 GMT",
            "Wed, 29 Feb 2023 00:00:00 GMT",
            "Sun, +6 Nov 1994 08:49:37 GMT",
            "Someday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov 6 08:49:37 1994",
            "Sun Nov  6 08:49:37 1994 GMT",
            "Sun Nov  6  08:49:37 1994",
            "S\u{f6}n, 06 Nov 1994 08:49:37 GMT",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }
}

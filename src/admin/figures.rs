//! Numbers formatted for people: three digits and a unit.

/// A whole number in groups of three digits, separated by narrow no-break spaces.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() * 2);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push('\u{202f}');
        }
        grouped.push(digit);
    }
    grouped
}

/// A whole number in three digits: `1.22M` for 1 218 145.
pub(super) fn compact(number: u64) -> String {
    let value = number as f64;
    match number {
        0..1_000 => number.to_string(),
        1_000..999_500 => format!("{}k", three_digits(value / 1e3)),
        999_500..999_500_000 => format!("{}M", three_digits(value / 1e6)),
        _ => format!("{}G", three_digits(value / 1e9)),
    }
}

/// A rate: whole above ten, with a decimal below.
pub(super) fn rate(per_s: f64) -> String {
    if per_s >= 10.0 { count(per_s.round() as u64) } else { format!("{per_s:.1}") }
}

/// A duration, given in milliseconds, as microseconds, milliseconds or seconds.
pub(super) fn latency(ms: f64) -> String {
    if ms < 0.9995 {
        format!("{:.0} µs", ms * 1_000.0)
    } else if ms < 999.5 {
        format!("{} ms", three_digits(ms))
    } else {
        format!("{} s", three_digits(ms / 1_000.0))
    }
}

/// A number of bytes.
pub(super) fn bytes(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "KiB", "MiB", "GiB"] {
        if value < 1_000.0 {
            return if unit == "B" {
                format!("{bytes} B")
            } else {
                format!("{} {unit}", three_digits(value))
            };
        }
        value /= 1_024.0;
    }
    format!("{} TiB", three_digits(value))
}

/// A time in whole seconds, as its two largest units.
pub(super) fn time(seconds: u64) -> String {
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m {}s", seconds % 60),
        (0, _, _) => format!("{hours}h {minutes}m"),
        _ => format!("{days}d {hours}h"),
    }
}

fn three_digits(value: f64) -> String {
    if value < 9.995 {
        format!("{value:.2}")
    } else if value < 99.95 {
        format!("{value:.1}")
    } else {
        format!("{value:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_have_a_unit() {
        assert_eq!((count(0), count(999)), ("0".into(), "999".into()));
        let compacts = [999, 1_000, 48_182, 999_499, 999_500, 1_218_145, 5_000_000_000].map(compact);
        assert_eq!(compacts, ["999", "1.00k", "48.2k", "999k", "1.00M", "1.22M", "5.00G"]);
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!(
            (rate(0.04), rate(9.96), rate(1_234.4)),
            ("0.0".into(), "10.0".into(), "1\u{202f}234".into())
        );
        let latencies = [0.0, 0.25, 0.9999, 1.5, 42.0, 999.7, 30_000.0].map(latency);
        assert_eq!(latencies, ["0 µs", "250 µs", "1.00 ms", "1.50 ms", "42.0 ms", "1.00 s", "30.0 s"]);
        let sizes = [0, 999, 1_000, 12_058_624, 2 << 30, 5 << 40].map(bytes);
        assert_eq!(sizes, ["0 B", "999 B", "0.98 KiB", "11.5 MiB", "2.00 GiB", "5.00 TiB"]);
        let times = [0, 59, 61, 3_660, 90_000].map(time);
        assert_eq!(times, ["0s", "59s", "1m 1s", "1h 1m", "1d 1h"]);
    }
}

//! Durations and sizes: a number and a unit, and what to say when the unit is missing.
//!
//! A bare number is refused on purpose: half of all programs read `5` as seconds and the
//! other half as milliseconds. Pure text; the allowed range is the caller's business.

use std::time::Duration;

/// Reads a duration such as `"250ms"`, `"5s"` or `"1m 30s"`. The error says what is wrong
/// with it, without repeating it.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    humantime::parse_duration(text).map_err(|_| match duration_meant(text) {
        Some(meant) => format!("is not a duration; did you mean {meant:?}?"),
        None => r#"is not a duration; write a number and a unit, like "250ms", "5s" or "1m""#.to_owned(),
    })
}

/// What to say of a duration that is a bare number.
pub(super) fn duration_without_unit(number: &str) -> String {
    format!("has no unit; did you mean \"{number}s\"?")
}

fn duration_meant(text: &str) -> Option<String> {
    let (number, unit) = split(text);
    if number.is_empty() {
        return None;
    }
    let meant = match unit.trim() {
        "" => format!("{number}s"),
        unit => format!("{number}{}", unit.to_lowercase()),
    };
    humantime::parse_duration(&meant).ok().map(|_| meant)
}

/// The units of a size and how many bytes each is.
const SIZE_UNITS: &[(&str, u64)] = &[
    ("B", 1),
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("kB", 1_000),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
];

/// Reads a size such as `"512B"`, `"16KiB"` or `"10MB"`; `"0"` needs no unit. The error
/// says what is wrong with it, without repeating it.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text.trim());
    let unit = unit.trim();
    let bytes = SIZE_UNITS.iter().find(|(name, _)| *name == unit).map(|(_, bytes)| *bytes);
    match (number.parse::<u64>(), bytes) {
        (Ok(0), _) if unit.is_empty() => Ok(0),
        (Ok(number), Some(bytes)) => {
            number.checked_mul(bytes).ok_or_else(|| "is more bytes than can be counted".to_owned())
        }
        (Ok(number), None) if unit.is_empty() => Err(size_without_unit(number)),
        (Ok(number), None) => Err(match unit_meant(unit) {
            Some(unit) => format!("is not a size; did you mean \"{number}{unit}\"?"),
            None => NOT_A_SIZE.to_owned(),
        }),
        (Err(_), _) => Err(NOT_A_SIZE.to_owned()),
    }
}

/// What to say of a size that is a bare number.
pub(super) fn size_without_unit(number: u64) -> String {
    match number {
        0 => "has no unit; did you mean \"0B\"?".to_owned(),
        _ if number.is_multiple_of(1 << 20) => format!("has no unit; did you mean \"{}MiB\"?", number >> 20),
        _ if number.is_multiple_of(1 << 10) => format!("has no unit; did you mean \"{}KiB\"?", number >> 10),
        _ => format!("has no unit; did you mean \"{number}B\"?"),
    }
}

const NOT_A_SIZE: &str = r#"is not a size; write a whole number and a unit, like "512B", "16KiB" or "10MB""#;

fn unit_meant(unit: &str) -> Option<&'static str> {
    match unit.to_lowercase().as_str() {
        "k" | "kib" => Some("KiB"),
        "m" | "mib" => Some("MiB"),
        "g" | "gib" => Some("GiB"),
        "kb" => Some("KB"),
        "mb" => Some("MB"),
        "gb" => Some("GB"),
        "b" | "byte" | "bytes" => Some("B"),
        _ => None,
    }
}

/// The digits a text begins with, and what follows them.
fn split(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        for (text, expected) in [
            ("250ms", Duration::from_millis(250)),
            ("5s", Duration::from_secs(5)),
            ("1m", Duration::from_secs(60)),
            ("1m 30s", Duration::from_secs(90)),
            ("10min", Duration::from_secs(600)),
            ("0s", Duration::ZERO),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn durations_that_need_help() {
        for (text, part) in [
            ("5", "did you mean \"5s\"?"),
            ("5S", "did you mean \"5s\"?"),
            ("250MS", "did you mean \"250ms\"?"),
            ("5 Seconds", "did you mean \"5seconds\"?"),
            ("-5s", "write a number and a unit"),
            ("", "write a number and a unit"),
            ("soon", "write a number and a unit"),
            ("99999999999999999999s", "write a number and a unit"),
        ] {
            let error = duration(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("0", 0),
            ("512B", 512),
            ("16KiB", 16 * 1024),
            ("1 MiB", 1024 * 1024),
            ("10MB", 10_000_000),
            ("2kB", 2_000),
        ] {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn sizes_that_need_help() {
        for (text, part) in [
            ("32768", "did you mean \"32KiB\"?"),
            ("1000", "did you mean \"1000B\"?"),
            ("16k", "did you mean \"16KiB\"?"),
            ("16kib", "did you mean \"16KiB\"?"),
            ("10mb", "did you mean \"10MB\"?"),
            ("1.5MiB", "write a whole number"),
            ("-1B", "write a whole number"),
            ("", "write a whole number"),
            ("99999999999GiB", "more bytes than can be counted"),
        ] {
            let error = size(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = duration(&text);
            let _ = size(&text);
        }

        #[test]
        fn whole_kibibytes_come_back(number in 1u64..1 << 40) {
            proptest::prop_assert_eq!(size(&format!("{number}KiB")), Ok(number * 1024));
        }
    }
}

//! Whether a received head is the one that a script describes.
//!
//! The rule is strict so that scripts can be short: what is not listed must not be there. The
//! exceptions are the fields that the balancer adds to every message, listed in two short tables here,
//! because their position among the others does not matter.

use super::script::{HeadPattern, Others};
use super::text::Text;
use super::wire::Head;

/// Fields that the balancer adds to every message. They may be there unlisted; if listed, they are
/// compared in any position.
const ADDED: [&str; 8] = [
    "date",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-real-ip",
    "x-request-id",
];

/// Fields of framing and of one connection, which the balancer rewrites: they must be listed, but their
/// position is not compared.
const REMADE: [&str; 6] = ["connection", "content-length", "transfer-encoding", "te", "upgrade", "trailer"];

/// How `seen` differs from `expected`, if it does.
pub fn compare_head(expected: &HeadPattern, seen: &Head) -> Result<(), String> {
    if !expected.start.matches(&bytes(&seen.start)) {
        return Err(format!("expected {:?}, saw {:?}", expected.start.show(), seen.start));
    }
    for name in &expected.absent {
        if let Some(value) = seen.field(name) {
            return Err(format!("expected no {name}, saw {value:?}"));
        }
    }
    compare_placed(expected, seen)?;
    compare_floating(expected, seen)
}

/// Fields from the other peer: exact case, exact order.
fn compare_placed(expected: &HeadPattern, seen: &Head) -> Result<(), String> {
    let mut seen = seen.fields.iter().filter(|(name, _)| !floats(name));
    for (name, value) in expected.fields.iter().filter(|(name, _)| !floats(name)) {
        let found = match expected.others {
            Others::Refused => seen.next(),
            Others::Allowed => seen.find(|(seen_name, _)| seen_name == name),
        };
        let matching = |(seen_name, seen_value): &&(String, String)| {
            seen_name == name && value.matches(&bytes(seen_value))
        };
        if found.filter(matching).is_none() {
            let seen = found.map_or("no such field".into(), |(name, value)| format!("{name}: {value}"));
            return Err(format!("expected the field \"{name}: {}\", saw {seen:?}", value.show()));
        }
    }
    match (expected.others, seen.next()) {
        (Others::Refused, Some((name, value))) => Err(format!("saw a field too many: \"{name}: {value}\"")),
        _ => Ok(()),
    }
}

/// Fields that the balancer writes: compared by name, with values joined as RFC 9110 section 5.3
/// allows, so that "appended to the line" and "appended as a line" are the same.
fn compare_floating(expected: &HeadPattern, seen: &Head) -> Result<(), String> {
    for name in ADDED.iter().chain(&REMADE) {
        let wanted = joined_texts(expected, name);
        let had = joined_values(seen, name);
        match (wanted, had) {
            (Some(wanted), Some(had)) if wanted.matches(&bytes(&had)) => {}
            (Some(wanted), had) => {
                return Err(format!(
                    "expected {name} {:?}, saw {:?}",
                    wanted.show(),
                    had.unwrap_or_default()
                ));
            }
            (None, Some(had)) if REMADE.contains(name) && expected.others == Others::Refused => {
                return Err(format!("saw a field too many: \"{name}: {had}\""));
            }
            (None, _) => {}
        }
    }
    Ok(())
}

fn floats(name: &str) -> bool {
    ADDED.iter().chain(&REMADE).any(|known| known.eq_ignore_ascii_case(name))
}

fn joined_texts(expected: &HeadPattern, name: &str) -> Option<Text> {
    let mut of_name = expected.fields.iter().filter(|(listed, _)| listed.eq_ignore_ascii_case(name));
    let mut joined = of_name.next()?.1.clone();
    for (_, text) in of_name {
        joined.push(b", ");
        joined.append(text);
    }
    Some(joined)
}

fn joined_values(seen: &Head, name: &str) -> Option<String> {
    let of_name = seen.fields.iter().filter(|(seen_name, _)| seen_name.eq_ignore_ascii_case(name));
    let values: Vec<&str> = of_name.map(|(_, value)| value.as_str()).collect();
    (!values.is_empty()).then(|| values.join(", "))
}

/// The bytes behind text that the reader made, one character for each.
fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|c| u8::try_from(u32::from(c)).unwrap_or(b'?')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compare(expected: &[&str], seen: &[(&str, &str)]) -> Result<(), String> {
        let mut pattern = HeadPattern { start: text("GET / HTTP/1.1"), ..HeadPattern::default() };
        for line in expected {
            match (line.split_once(": "), line.strip_prefix("! ")) {
                (_, Some(name)) => pattern.absent.push(name.into()),
                (Some((name, value)), _) => pattern.fields.push((name.into(), text(value))),
                (None, None) => pattern.others = Others::Allowed,
            }
        }
        let fields = seen.iter().map(|&(name, value)| (name.into(), value.into())).collect();
        compare_head(&pattern, &Head { start: "GET / HTTP/1.1".into(), fields })
    }

    fn text(line: &str) -> Text {
        Text::parse(line, &Default::default()).expect("a line")
    }

    #[test]
    fn case_order_and_number_of_a_peers_fields_matter() {
        let seen = [("Host", "h"), ("B", "2"), ("A", "1")];
        assert!(compare(&["Host: h", "B: 2", "A: 1"], &seen).is_ok());
        assert!(compare(&["Host: h", "A: 1", "B: 2"], &seen).is_err());
        assert!(compare(&["Host: h", "b: 2", "A: 1"], &seen).is_err());
        assert!(compare(&["Host: h", "B: 2"], &seen).is_err());
        assert!(compare(&["Host: h", "B: 2", "A: 1", "C: 3"], &seen).is_err());
    }

    #[test]
    fn dots_allow_other_fields_but_not_other_values() {
        let seen = [("Host", "h"), ("B", "2"), ("Connection", "close")];
        assert!(compare(&["B: 2", "..."], &seen).is_ok());
        assert!(compare(&["B: 3", "..."], &seen).is_err());
        assert!(compare(&["B: 2", "! Connection", "..."], &seen).is_err());
    }

    #[test]
    fn additions_may_be_unlisted_and_stand_anywhere() {
        let seen = [("Via", "1.1 a"), ("Host", "h"), ("Via", "1.1 b"), ("X-Real-IP", "::1")];
        assert!(compare(&["Host: h"], &seen).is_ok());
        assert!(compare(&["Host: h", "Via: 1.1 a, 1.1 b"], &seen).is_ok());
        assert!(compare(&["Host: h", "Via: 1.1 b"], &seen).is_err());
        assert!(compare(&["Host: h", "! X-Real-IP"], &seen).is_err());
    }

    #[test]
    fn connection_fields_must_be_listed() {
        let seen = [("Host", "h"), ("Connection", "close")];
        assert!(compare(&["Host: h"], &seen).is_err());
        assert!(compare(&["Connection: close", "Host: h"], &seen).is_ok());
    }
}

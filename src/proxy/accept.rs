//! The media type that a client prefers for our own answers (RFC 9110, section 12.5.1).

use std::cmp::Reverse;

use crate::http::{Field, Known};

/// The forms in which our answers come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MediaType {
    /// `text/plain`, for terminals, and for clients that do not say.
    Text,
    /// `application/json`, for programs.
    Json,
    /// `text/html`, for browsers.
    Html,
}

/// The form that a request prefers. Of two with equal weight, the one named by a more specific
/// range, then the one named first.
pub(super) fn preferred(fields: &[Field<'_>]) -> MediaType {
    let mut wishes = [MediaType::Text, MediaType::Json, MediaType::Html].map(|form| (form, StopMode::NONE));
    let accept = fields.iter().filter(|field| field.known == Known::Accept);
    let ranges = accept.flat_map(|field| field.value.split(|&byte| byte == b','));
    for (place, range) in ranges.enumerate() {
        let mut parts = range.split(|&byte| byte == b';').map(<[u8]>::trim_ascii);
        let name = parts.next().unwrap_or_default();
        let quality = parts.find_map(quality).unwrap_or(QUALITY_MAX);
        for (form, wish) in &mut wishes {
            let exactness = exactness(*form, name);
            // The range that names a form most exactly decides.
            if exactness > wish.exactness {
                *wish = StopMode { quality, exactness, place: Reverse(place) };
            }
        }
    }
    let liked = wishes.iter().filter(|(_, wish)| wish.quality > 0);
    // Text first, so that it wins ties.
    liked.rev().max_by_key(|(_, wish)| *wish).map_or(MediaType::Text, |(form, _)| *form)
}

/// The preference for a form. Ordered: a stronger preference is greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct StopMode {
    /// In thousandths.
    quality: u16,
    exactness: u8,
    place: Reverse<usize>,
}

impl StopMode {
    const NONE: Self = Self { quality: 0, exactness: 0, place: Reverse(0) };
}

const QUALITY_MAX: u16 = 1_000;

/// How specific a media range is for a form; 0 if it does not match.
fn exactness(form: MediaType, range: &[u8]) -> u8 {
    let (whole, part): (&[u8], &[u8]) = match form {
        MediaType::Text => (b"text/plain", b"text/*"),
        MediaType::Json => (b"application/json", b"application/*"),
        MediaType::Html => (b"text/html", b"text/*"),
    };
    // A client that accepts any kind of JSON gets JSON: `application/problem+json`.
    let ends_in_json = || range.last_chunk().is_some_and(|end: &[u8; 5]| end.eq_ignore_ascii_case(b"+json"));
    let kind_of_json = || form == MediaType::Json && ends_in_json();
    if range.eq_ignore_ascii_case(whole) {
        4
    } else if range.eq_ignore_ascii_case(part) {
        2
    } else if range == b"*/*" {
        1
    } else if kind_of_json() {
        3
    } else {
        0
    }
}

/// The value of a `q` parameter in thousandths; `None` for another parameter. One that is malformed
/// is as good as `q=0`.
fn quality(parameter: &[u8]) -> Option<u16> {
    let value = parameter.strip_prefix(b"q=").or_else(|| parameter.strip_prefix(b"Q="))?;
    let value = std::str::from_utf8(value).ok().and_then(|text| text.parse::<f32>().ok());
    let value = value.filter(|value| (0.0..=1.0).contains(value)).unwrap_or(0.0);
    Some((value * f32::from(QUALITY_MAX)).round() as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(lines: &[&'static str]) -> MediaType {
        let field =
            |line: &&'static str| Field { name: "Accept", value: line.as_bytes(), known: Known::Accept };
        preferred(&lines.iter().map(field).collect::<Vec<_>>())
    }

    #[test]
    fn browsers_get_html_programs_json_and_the_others_text() {
        for (accept, form) in [
            ("text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8", MediaType::Html),
            ("text/html", MediaType::Html),
            ("Text/HTML;level=1", MediaType::Html),
            ("application/json", MediaType::Json),
            ("application/json, text/plain, */*", MediaType::Json),
            ("application/json;charset=utf-8", MediaType::Json),
            ("application/problem+json", MediaType::Json),
            ("application/*", MediaType::Json),
            ("*/*", MediaType::Text),
            ("", MediaType::Text),
            ("text/*", MediaType::Text),
            ("text/plain, text/html", MediaType::Text),
            ("text/html, text/plain", MediaType::Html),
            ("image/png", MediaType::Text),
        ] {
            assert_eq!(of(&[accept]), form, "{accept}");
        }
        assert_eq!(of(&[]), MediaType::Text);
    }

    #[test]
    fn qualities_are_compared() {
        for (accept, form) in [
            ("text/html;q=0.5, application/json;q=0.6", MediaType::Json),
            ("text/html; q=1.0, application/json; q=0.999", MediaType::Html),
            ("text/html;q=0, */*", MediaType::Text),
            ("text/html;q=0, application/json;q=0, text/plain;q=0", MediaType::Text),
            ("text/plain;q=0.1, text/*;q=0.9", MediaType::Html),
            ("text/html;q=x, application/json;q=0.1", MediaType::Json),
            ("text/html;q=7, application/json;q=0.1", MediaType::Json),
            ("application/json;Q=0.2, text/html;Q=0.1", MediaType::Json),
        ] {
            assert_eq!(of(&[accept]), form, "{accept}");
        }
    }

    #[test]
    fn several_lines_are_one_list() {
        assert_eq!(of(&["text/plain;q=0.5", "application/json"]), MediaType::Json);
    }
}

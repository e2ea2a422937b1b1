//! Bodies of answers of our own: `{"502": {"file": "502.html"}, "500-599": {...}}`.

use std::ops::RangeInclusive;

use super::super::document::{Entry, Node};
use super::super::plan::ErrorPage;
use super::super::reader::{self, Fields, Problems};
use super::attached::{Content, Folder, Need, content};

/// The pages, those for the fewest statuses first: `"502"` counts before `"500-599"`,
/// wherever they stand.
pub(super) fn read(node: &Node, folder: &Folder<'_>, problems: &mut Problems) -> Vec<ErrorPage> {
    let entries = reader::entries(node, problems).unwrap_or_default();
    let mut pages: Vec<_> =
        entries.iter().filter_map(|entry| Some((page(entry, folder, problems)?, entry))).collect();
    pages.sort_by_key(|(page, _)| page.statuses.end() - page.statuses.start());
    for (index, (page, entry)) in pages.iter().enumerate() {
        let clash = pages[..index].iter().find(|(other, _)| crosses(&other.statuses, &page.statuses));
        if let Some((_, other)) = clash {
            let message = format!(
                "overlaps {}, so it is unclear which page the statuses in both get; make one range contain the other",
                other.at.pointer
            );
            problems.error(&entry.at, message);
        }
    }
    pages.into_iter().map(|(page, _)| page).collect()
}

/// Whether two ranges share statuses and neither is inside the other.
fn crosses(small: &RangeInclusive<u16>, large: &RangeInclusive<u16>) -> bool {
    let shares = small.start() <= large.end() && large.start() <= small.end();
    let inside = large.contains(small.start()) && large.contains(small.end());
    shares && (!inside || small == large)
}

fn page(entry: &Entry, folder: &Folder<'_>, problems: &mut Problems) -> Option<ErrorPage> {
    let statuses = statuses(entry, problems);
    if let Some(text) = reader::text_of(&entry.node) {
        let key = if text.trim().contains(['<', ' ']) { "body" } else { "file" };
        let text = reader::quoted(text);
        let message = format!("expected an object, found a string; did you mean {{{key:?}: {text}}}?");
        problems.error(&entry.node.at, message);
        return None;
    }
    let mut fields = Fields::open(&entry.node, problems)?;
    let content = content(&mut fields, Need::Body, "text/html; charset=utf-8", folder, problems);
    fields.close(problems);
    let Content { content_type, body } = content?;
    Some(ErrorPage { statuses: statuses?, content_type, body })
}

fn statuses(entry: &Entry, problems: &mut Problems) -> Option<RangeInclusive<u16>> {
    let range = reader::status_range(&entry.name);
    let range = range.filter(|range| *range.start() >= 400);
    if range.is_none() {
        let name = &entry.name;
        let message = several(name).unwrap_or_else(|| {
            format!("{name:?} is not an error status; write \"502\", or \"500-599\" for a range")
        });
        problems.error(&entry.at, message);
    }
    range
}

/// The message for a key such as `502 503`, as nginx lists statuses.
fn several(name: &str) -> Option<String> {
    let parts = name.split([' ', ',', '|']).filter(|part| !part.is_empty());
    let statuses: Vec<u16> = parts.map(|part| part.parse().ok()).collect::<Option<_>>()?;
    let ([first, .., last], true) = (statuses.as_slice(), statuses.iter().all(|it| (400..=599).contains(it)))
    else {
        return None;
    };
    let is_range = statuses.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    let range = if is_range { format!(", or \"{first}-{last}\" for all of them") } else { String::new() };
    Some(format!("{name:?} is several statuses; write one key for each{range}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cross_when_neither_holds_the_other() {
        for (small, large, expected) in [
            (502..=502, 500..=599, false),
            (500..=510, 500..=599, false),
            (500..=510, 511..=520, false),
            (500..=511, 511..=522, true),
            (502..=502, 502..=502, true),
        ] {
            assert_eq!(crosses(&small, &large), expected, "{small:?} {large:?}");
        }
    }
}

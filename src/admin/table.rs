//! Text tables for terminals and curl.
//!
//! Some cells contain what a client sent. Terminals interpret control characters, so all of them are
//! escaped.

/// Rows of cells. The first row is the header.
#[derive(Debug, Default)]
pub(super) struct Table {
    rows: Vec<Vec<String>>,
    right: Vec<usize>,
}

impl Table {
    /// A table with these columns.
    pub(super) fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|cell| (*cell).to_owned()).collect()], right: Vec::new() }
    }

    /// Right-aligns columns of numbers, counted from 0.
    pub(super) fn right(mut self, columns: &[usize]) -> Self {
        self.right = columns.to_vec();
        self
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        let harmless = |cell: String| if cell.is_empty() { "-".to_owned() } else { without_controls(&cell) };
        self.rows.push(cells.into_iter().map(harmless).collect());
    }

    /// Appends the lines to `text`, each column as wide as its widest cell.
    pub(super) fn write_to(&self, text: &mut String) {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            self.rows
                .iter()
                .filter_map(|row| row.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let gap = " ".repeat(width - cell.chars().count());
                if column > 0 {
                    line.push_str("  ");
                }
                if self.right.contains(&column) {
                    line.extend([gap.as_str(), cell]);
                } else {
                    line.extend([cell, gap.as_str()]);
                }
            }
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
}

/// Replaces each control character with `\u{..}`.
pub(super) fn without_controls(text: &str) -> String {
    if !text.contains(is_control) {
        return text.to_owned();
    }
    let shown = |c: char| if is_control(c) { c.escape_unicode().to_string() } else { c.to_string() };
    text.chars().map(shown).collect()
}

/// Control characters, and those that change the text direction.
fn is_control(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["NAME", "N", "WHY"]).right(&[1]);
        table.row(["a".into(), "10".into(), String::new()]);
        table.row(["bbbbbb".into(), "1".into(), "é\u{1b}[31m".into()]);
        let mut text = String::new();
        table.write_to(&mut text);
        assert_eq!(text, "NAME     N  WHY\na       10  -\nbbbbbb   1  é\\u{1b}[31m\n");
    }
}

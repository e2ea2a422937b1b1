//! A table of figures that are not those of a load: one row for each peer, columns of any kind.
//!
//! Like the report of a load it shows the median over the rounds and takes ratios round by
//! round. It must not know how anything was measured.

use crate::arguments::Mode;
use crate::peers::Peer;
use crate::report::{Spread, line, number};

/// Names of columns that the picture shows.
pub const KIB_EACH: &str = "KiB each";
pub const LOADED_MIB: &str = "MiB after the load";
pub const CORE_WITH: &str = "% of a core with them";

/// One kind of figure.
#[derive(Clone, Copy)]
pub struct Column {
    pub name: &'static str,
    /// Digits behind the point.
    pub digits: usize,
    pub compared: Compared,
}

/// Whether the first proxy is set in relation to the others.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Compared {
    Ratio,
    No,
}

/// What each peer gave in each round, in the order of the columns.
pub struct SheetRow {
    pub peer: Peer,
    pub rounds: Vec<Vec<Option<f64>>>,
    /// Requests that were not answered rightly.
    pub faults: u64,
}

/// All that belongs to one scene.
pub struct Sheet {
    pub mode: Mode,
    pub title: String,
    pub columns: Vec<Column>,
    pub rows: Vec<SheetRow>,
    /// Peers that could not be measured, and why.
    pub failures: Vec<(Peer, String)>,
}

impl Sheet {
    /// Whether every peer was measured and answered every request.
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty() && self.rows.iter().all(|row| row.faults == 0)
    }

    /// The section of the report.
    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n", self.title);
        self.write_figures(&mut text);
        self.write_ratios(&mut text);
        for (peer, reason) in &self.failures {
            line(&mut text, format_args!("**{} was not measured:** {reason}\n", peer.name()));
        }
        text
    }

    /// The median of one figure of one peer.
    pub fn figure(&self, peer: Peer, name: &str) -> Option<f64> {
        let column = self.columns.iter().position(|column| column.name == name)?;
        self.rows.iter().find(|row| row.peer == peer)?.median(column)
    }

    fn write_figures(&self, text: &mut String) {
        let names: String = self.columns.iter().map(|column| format!(" {} |", column.name)).collect();
        line(text, format_args!("| proxy |{names} errors |"));
        line(text, format_args!("|---|{}", "---:|".repeat(self.columns.len() + 1)));
        for row in &self.rows {
            let figures = self.columns.iter().enumerate();
            let figures: String = figures
                .map(|(index, column)| format!(" {} |", number(row.median(index), column.digits)))
                .collect();
            line(text, format_args!("| {} |{figures} {} |", row.peer.name(), row.faults));
        }
        text.push('\n');
    }

    /// The first proxy's row over each other one's.
    fn write_ratios(&self, text: &mut String) {
        let mut proxies = self.rows.iter().filter(|row| row.peer != Peer::Direct);
        let Some(subject) = proxies.next() else { return };
        let others: Vec<_> = proxies.collect();
        let compared: Vec<_> = self
            .columns
            .iter()
            .enumerate()
            .filter(|(_, column)| column.compared == Compared::Ratio)
            .collect();
        if others.is_empty() || compared.is_empty() {
            return;
        }
        let names: String = compared.iter().map(|(_, column)| format!(" {} |", column.name)).collect();
        line(text, format_args!("| {} ÷ |{names}", subject.peer.name()));
        line(text, format_args!("|---|{}", "---:|".repeat(compared.len())));
        for other in others {
            let ratios: String = compared
                .iter()
                .map(|(index, _)| subject.ratio(other, *index))
                .map(|ratio| format!(" {} |", ratio.map_or("–".to_owned(), Spread::ratio)))
                .collect();
            line(text, format_args!("| {} |{ratios}", other.peer.name()));
        }
        text.push('\n');
    }
}

impl SheetRow {
    fn column(&self, index: usize) -> impl Iterator<Item = Option<f64>> + '_ {
        self.rounds.iter().map(move |round| round.get(index).copied().flatten())
    }

    fn median(&self, index: usize) -> Option<f64> {
        Some(Spread::of(self.column(index))?.median)
    }

    /// A figure of nought has no ratio.
    fn ratio(&self, other: &Self, index: usize) -> Option<Spread> {
        let pairs = self.column(index).zip(other.column(index));
        Spread::of(pairs.map(|(mine, theirs)| Some(mine? / theirs.filter(|theirs| *theirs > 0.0)?)))
    }
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the benchmark itself is built without a test harness")]
mod tests {
    use super::*;

    fn sheet(rows: Vec<SheetRow>) -> Sheet {
        let column = |name, compared| Column { name, digits: 1, compared };
        let columns = vec![column(KIB_EACH, Compared::Ratio), column("still open", Compared::No)];
        Sheet { mode: Mode::Idle, title: "Idle".to_owned(), columns, rows, failures: Vec::new() }
    }

    fn row(peer: Peer, rounds: &[[f64; 2]]) -> SheetRow {
        let rounds = rounds.iter().map(|round| round.iter().copied().map(Some).collect()).collect();
        SheetRow { peer, rounds, faults: 0 }
    }

    #[test]
    fn figures_are_medians_and_ratios_are_taken_round_by_round() {
        let origin = row(Peer::Direct, &[[7.0, 9.0], [7.0, 9.0]]);
        let mine = row(Peer::Ropewalk, &[[1.0, 9.0], [3.0, 9.0]]);
        let theirs = row(Peer::Nginx, &[[2.0, 9.0], [2.0, 9.0]]);
        let sheet = sheet(vec![origin, mine, theirs]);
        assert_eq!(sheet.figure(Peer::Ropewalk, "KiB each"), Some(2.0));
        let text = sheet.markdown();
        assert!(text.contains("| ropewalk | 2.0 | 9.0 | 0 |"), "{text}");
        assert!(text.contains("| ropewalk ÷ | KiB each |\n"), "{text}");
        assert!(text.contains("| nginx | 1.00 (0.50–1.50) |"), "{text}");
    }

    #[test]
    fn what_is_missing_is_shown_and_not_clean() {
        let mut sheet = sheet(vec![row(Peer::Nginx, &[])]);
        assert!(sheet.is_clean());
        assert!(sheet.markdown().contains("| nginx | – | – | 0 |"));
        sheet.failures.push((Peer::Haproxy, "ended at once".to_owned()));
        assert!(!sheet.is_clean());
        sheet.failures.clear();
        sheet.rows[0].faults = 1;
        assert!(!sheet.is_clean());
    }
}

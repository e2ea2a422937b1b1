//! The report: what was measured, as Markdown.
//!
//! Requests per second are the median over the rounds, with the least and the most.
//! Latencies are quantiles over all rounds together. The ratios are taken round by
//! round, between measures that lie seconds apart, because on a shared machine only
//! such ratios hold; their spread says how far to believe them.
//!
//! It must not know how anything was measured.

use std::fmt::Write as _;
use std::time::Duration;

use hdrhistogram::Histogram;

use crate::arguments::{Case, Mode};
use crate::faults::Faults;
use crate::latency::{latencies, quantile_of};
use crate::origin::LARGE_BYTES;
use crate::peers::Peer;

/// One measure of one peer.
pub struct Round {
    pub latencies: Histogram<u64>,
    pub faults: Faults,
    pub elapsed: Duration,
    /// Processor time of the proxy; of an origin without one there is none.
    pub proxy_cpu: Option<Duration>,
    pub origin_cpu: Duration,
    pub generator_cpu: Duration,
}

/// All rounds of one peer.
pub struct Row {
    pub peer: Peer,
    pub rounds: Vec<Round>,
    pub memory_peak_kib: Option<u64>,
}

/// All that belongs to one case.
pub struct Table {
    pub case: Case,
    pub rows: Vec<Row>,
    /// Peers that could not be started or did not last, and why.
    pub failures: Vec<(Peer, String)>,
}

impl Table {
    /// Whether every peer lasted and answered every request.
    pub fn is_clean(&self) -> bool {
        self.failures.is_empty() && self.rows.iter().all(|row| row.faults().total() == 0)
    }

    /// The section of the report for this case.
    pub fn markdown(&self) -> String {
        let mut text = format!("## {}\n\n", title(self.case));
        self.write_results(&mut text);
        self.write_ratios(&mut text);
        for (peer, reason) in &self.failures {
            line(&mut text, format_args!("**{} was not measured:** {reason}\n", peer.name()));
        }
        for row in &self.rows {
            if row.faults().total() > 0 {
                line(&mut text, format_args!("**Errors of {}:** {}\n", row.peer.name(), row.faults()));
            }
        }
        text
    }

    fn write_results(&self, text: &mut String) {
        let extra = if self.case.is_large() { " MiB/s | CPU ms/GiB |" } else { "" };
        line(
            text,
            format_args!(
                "| proxy | requests/s | min–max |{extra} p50 ms | p99 ms | p99.9 ms | CPU µs/request | \
                 peak MiB | errors | origin µs | generator µs |"
            ),
        );
        let columns = 10 + extra.matches('|').count();
        line(text, format_args!("|---|{}", "---:|".repeat(columns)));
        for row in &self.rows {
            line(text, format_args!("{}", self.result(row)));
        }
        text.push('\n');
    }

    fn result(&self, row: &Row) -> String {
        let rates = row.rates();
        let mut text = format!("| {} | ", row.peer.name());
        match &rates {
            Some(rates) => {
                let _ = write!(text, "{:.0} | {:.0}–{:.0} |", rates.median, rates.least, rates.most);
            }
            None => text.push_str("– | – |"),
        }
        if self.case.is_large() {
            let mebibytes = LARGE_BYTES as f64 / MEBIBYTE;
            let rate = rates.map(|rates| rates.median * mebibytes);
            let _ = write!(text, " {} | {} |", number(rate, 0), number(row.cpu_per_gibibyte_ms(), 0));
        }
        for quantile in [0.5, 0.99, 0.999] {
            let _ = write!(text, " {} |", number(row.quantile_ms(quantile), 3));
        }
        let memory = row.memory_peak_kib.map(|kib| kib as f64 / 1024.0);
        let _ = write!(
            text,
            " {} | {} | {} | {} | {} |",
            number(row.cpu_per_request_us(), 1),
            number(memory, 1),
            row.faults().total(),
            number(row.per_request_us(|round| Some(round.origin_cpu)), 1),
            number(row.per_request_us(|round| Some(round.generator_cpu)), 1),
        );
        text
    }

    /// The first proxy measured over each other one: ropewalk, unless it was left out.
    fn write_ratios(&self, text: &mut String) {
        let mut proxies = self.rows.iter().filter(|row| row.peer != Peer::Direct);
        let Some(subject) = proxies.next() else { return };
        let others: Vec<_> = proxies.collect();
        if others.is_empty() {
            return;
        }
        let name = subject.peer.name();
        line(text, format_args!("| {name} ÷ | requests/s | CPU/request | p50 | p99 | p99.9 |"));
        line(text, format_args!("|---|{}", "---:|".repeat(5)));
        for other in others {
            let ratio = |value: &dyn Fn(&Round) -> Option<f64>| {
                let pairs = subject.rounds.iter().zip(&other.rounds);
                let ratios = pairs.map(|(mine, theirs)| Some(value(mine)? / value(theirs)?));
                Spread::of(ratios).map_or("–".to_owned(), |spread| spread.ratio())
            };
            line(
                text,
                format_args!(
                    "| {} | {} | {} | {} | {} | {} |",
                    other.peer.name(),
                    ratio(&|round| Some(round.rate())),
                    ratio(&|round| round.per_request_us(round.proxy_cpu?)),
                    ratio(&|round| round.quantile(0.5)),
                    ratio(&|round| round.quantile(0.99)),
                    ratio(&|round| round.quantile(0.999)),
                ),
            );
        }
        text.push('\n');
    }
}

impl Row {
    fn faults(&self) -> Faults {
        self.rounds.iter().fold(Faults::default(), |mut all, round| {
            all.merge(round.faults);
            all
        })
    }

    fn latencies(&self) -> Histogram<u64> {
        self.rounds.iter().fold(latencies(), |mut all, round| {
            // Both have the same bounds.
            all += &round.latencies;
            all
        })
    }

    /// Processor time of the proxy per request, in microseconds.
    pub fn cpu_per_request_us(&self) -> Option<f64> {
        self.per_request_us(|round| round.proxy_cpu)
    }

    /// Processor time of the proxy per GiB of large bodies, in milliseconds.
    pub fn cpu_per_gibibyte_ms(&self) -> Option<f64> {
        let per_body_ms = self.cpu_per_request_us()? / 1000.0;
        Some(per_body_ms * 1024.0 * MEBIBYTE / LARGE_BYTES as f64)
    }

    /// The median over the rounds.
    pub fn requests_per_second(&self) -> Option<f64> {
        Some(self.rates()?.median)
    }

    /// Of all rounds together, in milliseconds.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        quantile_of(&self.latencies(), quantile).map(|nanos| nanos as f64 / 1e6)
    }

    fn rates(&self) -> Option<Spread> {
        Spread::of(self.rounds.iter().map(|round| Some(round.rate())))
    }

    fn per_request_us(&self, cpu: impl Fn(&Round) -> Option<Duration>) -> Option<f64> {
        let cpu: Duration = self.rounds.iter().map(cpu).sum::<Option<_>>()?;
        let answered: u64 = self.rounds.iter().map(|round| round.latencies.len()).sum();
        (answered > 0).then(|| cpu.as_secs_f64() * 1e6 / answered as f64)
    }
}

impl Round {
    fn rate(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }

    fn per_request_us(&self, cpu: Duration) -> Option<f64> {
        let answered = self.latencies.len();
        (answered > 0).then(|| cpu.as_secs_f64() * 1e6 / answered as f64)
    }

    fn quantile(&self, quantile: f64) -> Option<f64> {
        quantile_of(&self.latencies, quantile).map(|nanos| nanos as f64)
    }
}

/// The middle and the ends of what the rounds gave.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    pub median: f64,
    pub least: f64,
    pub most: f64,
}

impl Spread {
    /// `None` when a round gave nothing: its absence may not flatter the others.
    pub fn of(values: impl Iterator<Item = Option<f64>>) -> Option<Self> {
        let mut values = values.collect::<Option<Vec<_>>>()?;
        values.sort_by(f64::total_cmp);
        let (least, most) = (*values.first()?, *values.last()?);
        let upper = values.len() / 2;
        let lower = (values.len() - 1) / 2;
        Some(Self { median: (values[lower] + values[upper]) / 2.0, least, most })
    }

    /// As it stands in a table.
    pub fn ratio(self) -> String {
        format!("{:.2} ({:.2}–{:.2})", self.median, self.least, self.most)
    }
}

impl Case {
    fn is_large(self) -> bool {
        matches!(self.mode, Mode::Download | Mode::Upload)
    }
}

fn title(case: Case) -> String {
    let delay = match case.origin_delay.as_millis() {
        0 => String::new(),
        millis => format!(", origins that take {millis} ms"),
    };
    let connections = case.connections;
    let title = match case.mode {
        Mode::KeepAlive => format!("Keep-alive, {connections} connections"),
        Mode::Close => format!("One connection per request, {connections} at a time"),
        Mode::Rate => format!("Fixed rate over {connections} connections"),
        Mode::Download => format!("Downloads of 10 MiB, {connections} at a time"),
        Mode::Upload => format!("Uploads of 10 MiB, {connections} at a time"),
        // Scenes say themselves what they show.
        Mode::Idle | Mode::SlowHeads | Mode::SlowBackend | Mode::Footprint => String::new(),
    };
    title + &delay
}

const MEBIBYTE: f64 = 1024.0 * 1024.0;

/// A figure, or a dash where there is none.
pub fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or("–".to_owned(), |value| format!("{value:.digits$}"))
}

/// Adds a line.
pub fn line(text: &mut String, arguments: std::fmt::Arguments) {
    // Writing to a String cannot fail.
    let _ = writeln!(text, "{arguments}");
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the benchmark itself is built without a test harness")]
mod tests {
    use super::*;
    use crate::faults::Fault;

    fn round(answered: u64, cpu: Option<Duration>) -> Round {
        let mut latencies = latencies();
        (0..answered).for_each(|_| latencies.saturating_record(1_000_000));
        Round {
            latencies,
            faults: Faults::default(),
            elapsed: Duration::from_secs(1),
            proxy_cpu: cpu,
            origin_cpu: Duration::ZERO,
            generator_cpu: Duration::ZERO,
        }
    }

    fn row(peer: Peer, answered: [u64; 2]) -> Row {
        let cpu = Some(Duration::from_millis(1));
        let rounds = answered.into_iter().map(|answered| round(answered, cpu)).collect();
        Row { peer, rounds, memory_peak_kib: Some(2048) }
    }

    fn table(rows: Vec<Row>) -> Table {
        Table {
            case: Case { mode: Mode::KeepAlive, connections: 4, origin_delay: Duration::ZERO },
            rows,
            failures: Vec::new(),
        }
    }

    #[test]
    fn ratios_are_taken_round_by_round() {
        let text = table(vec![row(Peer::Ropewalk, [100, 300]), row(Peer::Nginx, [100, 100])]).markdown();
        assert!(text.contains("| nginx | 2.00 (1.00–3.00) | 0.67 (0.33–1.00) |"), "{text}");
    }

    #[test]
    fn an_origin_is_no_subject_of_ratios() {
        let text = table(vec![row(Peer::Direct, [9, 9]), row(Peer::Nginx, [1, 1])]).markdown();
        assert!(!text.contains('÷'), "{text}");
    }

    #[test]
    fn errors_and_absences_are_shown_and_not_clean() {
        let mut with_error = table(vec![row(Peer::Nginx, [1, 1])]);
        assert!(with_error.is_clean());
        with_error.rows[0].rounds[1].faults.record(Fault::Status);
        assert!(!with_error.is_clean());
        assert!(with_error.markdown().contains("**Errors of nginx:** 1 not 2xx"));

        let mut with_absence = table(Vec::new());
        with_absence.failures.push((Peer::Haproxy, "ended at once".to_owned()));
        assert!(!with_absence.is_clean());
        assert!(with_absence.markdown().contains("**haproxy was not measured:** ended at once"));
    }

    #[test]
    fn a_peer_that_answered_nothing_has_no_numbers() {
        let text = table(vec![row(Peer::Nginx, [0, 0])]).markdown();
        assert!(text.contains("| nginx | 0 | 0–0 | – | – | – | – |"), "{text}");
    }

    #[test]
    fn every_line_of_a_table_has_as_many_columns() {
        for mode in [Mode::KeepAlive, Mode::Download, Mode::Upload] {
            let mut table = table(vec![row(Peer::Nginx, [1, 1])]);
            table.case.mode = mode;
            let text = table.markdown();
            let mut columns: Vec<_> = text
                .lines()
                .filter(|line| line.starts_with('|'))
                .map(|line| line.matches('|').count())
                .collect();
            columns.dedup();
            assert_eq!(columns.len(), 1, "{text}");
        }
    }
}

//! The main results as one SVG picture, drawn from the same figures as the tables.
//!
//! Rows of bars, a group for each load and in it a bar for each proxy. The groups lie decades
//! apart, so each has a scale of its own, its longest bar being the full height, and every bar
//! carries its figure. Colours follow the reader's light or dark scheme. Written by hand: it
//! is rectangles and text.
//!
//! It must not know how anything was measured.

use std::fmt::Write as _;

use crate::arguments::Mode;
use crate::peers::Peer;
use crate::report::{Row, Table, line};
use crate::sheet::{CORE_WITH, KIB_EACH, LOADED_MIB, Sheet};

/// Who is shown: what people would otherwise use, and the same on an async runtime.
const SHOWN: [(Peer, &str, &str); 4] = [
    (Peer::Ropewalk, "ropewalk", "a"),
    (Peer::Nginx, "nginx", "b"),
    (Peer::Haproxy, "HAProxy", "c"),
    (Peer::Async, "hyper + tokio", "d"),
];

const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#24292f}.h{font-size:14px;font-weight:600}\
.v{font-size:10px;text-anchor:middle}.g{text-anchor:middle}.s{font-size:10px;fill:#57606a}\
.bg{fill:#fff}.ax{stroke:#d0d7de}\
.a{fill:#d55e00}.b{fill:#0072b2}.c{fill:#009e73}.d{fill:#8c959f}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.s{fill:#9198a1}.bg{fill:#0d1117}\
.ax{stroke:#3d444d}.a{fill:#ff8a3d}.b{fill:#56b4e9}.c{fill:#2ec4a0}.d{fill:#7d8590}}";

const WIDTH: f64 = 880.0;
const MARGIN: f64 = 20.0;
/// From the top to the first row, and from one row to the next.
const TOP: f64 = 64.0;
const ROW: f64 = 152.0;
/// The longest bar.
const BAR: f64 = 80.0;
/// Below the last row.
const BOTTOM: f64 = 28.0;
/// The widest that a group may be, so that a row of two does not look like more.
const GROUP_MAX: f64 = 190.0;

/// One row of the picture.
struct Panel {
    title: &'static str,
    groups: Vec<Group>,
}

/// The same figure of all who are shown.
struct Group {
    label: String,
    figures: Vec<Option<f64>>,
}

/// Draws what there is of the main results; `machine` says where it was measured.
pub fn draw(tables: &[Table], sheets: &[Sheet], machine: &str) -> String {
    let mut panels = vec![
        keep_alive(tables, "Small keep-alive requests: thousands per second (more is better)", |row| {
            row.requests_per_second().map(|rate| rate / 1000.0)
        }),
        keep_alive(
            tables,
            "Small keep-alive requests: CPU µs per request (less is better)",
            Row::cpu_per_request_us,
        ),
        keep_alive(tables, "Small keep-alive requests: p99 latency, ms (less is better)", |row| {
            row.quantile_ms(0.99)
        }),
        Panel { title: "What else it costs (less is better)", groups: costs(tables, sheets) },
    ];
    panels.retain(|panel| !panel.groups.is_empty());

    let height = TOP + ROW * panels.len() as f64 + BOTTOM;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" role=\"img\">\n<title>ropewalk beside its peers</title>\n\
         <style>{STYLE}</style>\n<rect class=\"bg\" width=\"{WIDTH}\" height=\"{height}\" rx=\"6\"/>\n"
    );
    legend(&mut svg);
    for (index, panel) in panels.iter().enumerate() {
        panel.draw(&mut svg, TOP + ROW * index as f64);
    }
    text(&mut svg, "s", MARGIN, height - 14.0, machine);
    svg.push_str("</svg>\n");
    svg
}

fn keep_alive(tables: &[Table], title: &'static str, figure: impl Fn(&Row) -> Option<f64>) -> Panel {
    let groups = tables
        .iter()
        .filter(|table| table.case.mode == Mode::KeepAlive && table.case.origin_delay.is_zero())
        .map(|table| Group::of(plural(table.case.connections), table, &figure));
    Panel { title, groups: groups.filter(Group::is_measured).collect() }
}

fn costs(tables: &[Table], sheets: &[Sheet]) -> Vec<Group> {
    let bodies = [(Mode::Download, "downloads: CPU ms/GiB"), (Mode::Upload, "uploads: CPU ms/GiB")];
    let bodies = bodies.into_iter().filter_map(|(mode, label)| {
        let table = tables.iter().find(|table| table.case.mode == mode)?;
        Some(Group::of(label.to_owned(), table, Row::cpu_per_gibibyte_ms))
    });
    let memory = [
        (Mode::Idle, KIB_EACH, "KiB per idle connection"),
        (Mode::Footprint, LOADED_MIB, "MiB after a load"),
        (Mode::SlowHeads, CORE_WITH, "% of a core, slow heads"),
    ];
    let memory = memory.into_iter().filter_map(|(mode, name, label)| {
        let sheet = sheets.iter().find(|sheet| sheet.mode == mode)?;
        let figures = SHOWN.iter().map(|(peer, ..)| sheet.figure(*peer, name)).collect();
        Some(Group { label: label.to_owned(), figures })
    });
    bodies.chain(memory).filter(Group::is_measured).collect()
}

impl Group {
    fn of(label: String, table: &Table, figure: impl Fn(&Row) -> Option<f64>) -> Self {
        let of_peer = |peer| table.rows.iter().find(|row| row.peer == peer).and_then(&figure);
        Self { label, figures: SHOWN.iter().map(|(peer, ..)| of_peer(*peer)).collect() }
    }

    fn is_measured(&self) -> bool {
        self.figures.iter().any(Option::is_some)
    }

    fn draw(&self, svg: &mut String, left: f64, width: f64, base: f64) {
        let largest = self.figures.iter().flatten().copied().fold(f64::MIN_POSITIVE, f64::max);
        let step = (width - 16.0) / SHOWN.len() as f64;
        for (index, (figure, (.., class))) in self.figures.iter().zip(SHOWN).enumerate() {
            let (x, bar) = (left + 8.0 + step * index as f64, step - 3.0);
            let height = figure.map_or(0.0, |figure| figure / largest * BAR);
            let top = base - height;
            line(
                svg,
                format_args!(
                    "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{top:.1}\" width=\"{bar:.1}\" height=\"{height:.1}\"/>"
                ),
            );
            text(svg, "v", x + bar / 2.0, top - 3.0, &short(*figure));
        }
        text(svg, "g", left + width / 2.0, base + 16.0, &self.label);
    }
}

impl Panel {
    fn draw(&self, svg: &mut String, top: f64) {
        text(svg, "h", MARGIN, top + 4.0, self.title);
        let base = top + 28.0 + BAR;
        let width = ((WIDTH - 2.0 * MARGIN) / self.groups.len() as f64).min(GROUP_MAX);
        for (index, group) in self.groups.iter().enumerate() {
            group.draw(svg, MARGIN + width * index as f64, width, base);
        }
        let right = MARGIN + width * self.groups.len() as f64;
        line(
            svg,
            format_args!(
                "<line class=\"ax\" x1=\"{MARGIN}\" x2=\"{right:.1}\" y1=\"{base}\" y2=\"{base}\"/>"
            ),
        );
    }
}

fn legend(svg: &mut String) {
    let mut x = MARGIN;
    for (_, name, class) in SHOWN {
        line(
            svg,
            format_args!("<rect class=\"{class}\" x=\"{x}\" y=\"16\" width=\"12\" height=\"12\" rx=\"2\"/>"),
        );
        text(svg, "", x + 18.0, 26.0, name);
        x += 120.0;
    }
    text(svg, "s", x + 20.0, 26.0, "Each group of bars has a scale of its own.");
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, words: &str) {
    let words = words.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    // Writing to a String cannot fail.
    let _ = writeln!(svg, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{words}</text>");
}

fn plural(connections: usize) -> String {
    format!("{connections} connection{}", if connections == 1 { "" } else { "s" })
}

/// Three digits that count, which is more than a measure is good for.
fn short(figure: Option<f64>) -> String {
    match figure {
        None => "–".to_owned(),
        Some(figure) if figure >= 100.0 => format!("{figure:.0}"),
        Some(figure) if figure >= 10.0 => format!("{figure:.1}"),
        Some(figure) => format!("{figure:.2}"),
    }
}

#[cfg(test)]
#[allow(dead_code, unused_imports, reason = "the benchmark itself is built without a test harness")]
mod tests {
    use super::*;
    use crate::sheet::{Column, Compared, SheetRow};

    fn idle(rows: &[(Peer, f64)]) -> Sheet {
        let row = |(peer, figure): &(Peer, f64)| SheetRow {
            peer: *peer,
            rounds: vec![vec![Some(*figure)]],
            faults: 0,
        };
        let column = Column { name: KIB_EACH, digits: 2, compared: Compared::Ratio };
        Sheet {
            mode: Mode::Idle,
            title: String::new(),
            columns: vec![column],
            rows: rows.iter().map(row).collect(),
            failures: Vec::new(),
        }
    }

    #[test]
    fn bars_are_in_proportion_and_carry_their_figures() {
        let svg = draw(&[], &[idle(&[(Peer::Ropewalk, 0.5), (Peer::Nginx, 2.0)])], "here");
        assert!(svg.contains("height=\"20.0\"") && svg.contains("height=\"80.0\""), "{svg}");
        assert!(svg.contains(">0.50<") && svg.contains(">2.00<"), "{svg}");
        // Who was not measured has no bar, and no place of somebody else's.
        assert_eq!(svg.matches(">–<").count(), 2, "{svg}");
    }

    #[test]
    fn what_was_not_measured_is_not_drawn() {
        let svg = draw(&[], &[], "a < b & c");
        assert!(!svg.contains("Small keep-alive"), "{svg}");
        assert!(svg.contains("a &lt; b &amp; c"), "{svg}");
        assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
    }
}

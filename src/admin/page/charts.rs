//! The charts of the status page, as inline SVG.
//!
//! Sizes and positions are attributes, because the page allows no styles but those of the stylesheet.
//! Each chart describes itself in words.

use std::fmt::Write;

use humantime::format_rfc3339_seconds;
use maud::{Markup, html};

use crate::admin::figures;
use crate::admin::operations::ProbeStatus;
use crate::base::limits::ADMIN_RATES_MAX;

const HEIGHT: f64 = 20.0;

/// The rates of the last minute as a line, with the latest at the right.
pub(super) fn sparkline(rates: &[f64], size: &str) -> Markup {
    let highest = rates.iter().copied().fold(0.0, f64::max);
    // Do not magnify a line that stays near zero.
    let scale = (HEIGHT - 2.0) / highest.max(1.0);
    let width = (ADMIN_RATES_MAX - 1) as f64;
    let first = width - rates.len().saturating_sub(1) as f64;
    let mut line = String::new();
    for (index, rate) in rates.iter().enumerate() {
        // Writing to a string cannot fail.
        let _ = write!(line, "{:.0},{:.2} ", first + index as f64, HEIGHT - 1.0 - rate * scale);
    }
    let area = format!("{first:.0},{HEIGHT} {line}{width:.0},{HEIGHT}");
    let says = format!("requests per second over the last minute, peak {}", figures::rate(highest));
    html! {
        svg.spark.(size) viewBox={ "0 0 " (width) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(says) {
            title { (says) }
            @if rates.len() > 1 {
                polygon points=(area) {}
                polyline points=(line.trim_end()) {}
            }
        }
    }
}

/// How much of a limit is used up.
pub(super) fn meter(value: u64, limit: u64) -> Markup {
    let share = 100.0 * value as f64 / limit.max(1) as f64;
    let is_high = share >= 80.0;
    html! {
        svg.meter.high[is_high] viewBox="0 0 100 4" preserveAspectRatio="none" role="img" aria-label={ (format!("{share:.0}")) " % of the limit" } {
            rect.track width="100" height="4" {}
            rect.fill width={ (format!("{:.1}", share.min(100.0))) } height="4" {}
        }
    }
}

/// The outcomes of requests as a bar and in words: response classes, requests without a response, and
/// failed attempts that were retried.
pub(super) fn responses(counts: &[u64; 6], retried: u64) -> Markup {
    const CLASSES: [&str; 7] = ["1xx", "2xx", "3xx", "4xx", "5xx", "none", "retried"];
    let counts = || counts.iter().copied().chain([retried]);
    let total = counts().sum::<u64>().max(1) as f64;
    let mut left = 0.0;
    let parts = CLASSES.iter().zip(counts()).map(|(class, count)| {
        let part = (*class, count, left, 100.0 * count as f64 / total);
        left += part.3;
        part
    });
    let parts: Vec<_> = parts.filter(|(_, count, ..)| *count > 0).collect();
    html! {
        svg.bar viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true" {
            rect.track width="100" height="4" {}
            @for (class, _, left, width) in &parts {
                rect.{ "c" (class) } x=(format!("{left:.2}")) width=(format!("{width:.2}")) height="4" {}
            }
        }
        span.classes {
            @for (class, count, ..) in &parts {
                span.{ "c" (class) } title=(figures::count(*count)) { (class) " " b { (figures::compact(*count)) } }
            }
            @if parts.is_empty() { span.quiet { "none yet" } }
        }
    }
}

/// The last probes, oldest first. A failed one is taller and has another colour.
pub(super) fn probes(probes: &[ProbeStatus]) -> Markup {
    let failed = probes.iter().filter(|probe| !probe.ok).count();
    let says = match probes.last() {
        None => "no probes yet".to_owned(),
        Some(last) => format!(
            "the last {} probes, {failed} failed; the last one {} s ago: {}",
            probes.len(),
            last.age_s.round(),
            last.text
        ),
    };
    html! {
        @if probes.is_empty() { span.quiet { "none yet" } }
        @else {
            span.strip role="img" aria-label=(says) {
                @for probe in probes {
                    i.failed[!probe.ok] title={
                        (format_rfc3339_seconds(probe.at)) "\n" (figures::latency(probe.latency_ms)) "\n" (probe.text)
                    } {}
                }
            }
        }
    }
}

//! A pool on the status page: one row per backend, shown as a card on narrow screens.

use maud::{Markup, html};

use super::charts;
use crate::admin::figures;
use crate::admin::history::Figures;
use crate::admin::operations::{BackendStatus, PoolStatus};
use crate::admin::text;

/// The section of one pool. Takes the figures of its backends from `figures`, in their order.
pub(super) fn section<'a>(pool: &PoolStatus, figures: &mut impl Iterator<Item = &'a Figures>) -> Markup {
    html! {
        section.pool {
            h2 {
                (pool.name)
                small { (pool.strategy) ", " (pool.usable()) " of " (pool.backends.len()) " up" }
            }
            table {
                thead {
                    tr {
                        th.w14 scope="col" { "Backend" }
                        th.w8 scope="col" { "State" }
                        th.number.w10 scope="col" { "Weight" }
                        th.number.w7 scope="col" { "In flight" }
                        th.number.w5 scope="col" title="connections kept open for the next request" { "Idle" }
                        th.number.w8 scope="col" { "Requests" }
                        th.number.w10 scope="col" { "Per second" }
                        th.number.w7 scope="col" { "p50" }
                        th.number.w7 scope="col" { "p99" }
                        th.w14 scope="col" { "Responses" }
                        th.w10 scope="col" { "Probes" }
                    }
                }
                tbody {
                    @for backend in &pool.backends {
                        (row(backend, figures.next().unwrap_or(&Figures::default())))
                    }
                }
            }
        }
    }
}

fn row(backend: &BackendStatus, figures: &Figures) -> Markup {
    let state = text::state(backend);
    let tone = match state {
        "UP" => "good",
        "DRAINED" => "note",
        _ => "bad",
    };
    html! {
        tr.(tone) {
            th.name scope="row" {
                (backend.name)
                @if backend.address != backend.name { span.quiet { (backend.address) } }
                @if !backend.reason.is_empty() { span.reason { (backend.reason) } }
            }
            td.state data-label="State" {
                span.pill.(tone) { (state) }
                @if let Some(time) = text::ejected_for(backend) { span.quiet { (time) } }
            }
            td.number data-label="Weight" { (weight(backend)) }
            td.number data-label="In flight" { (figures::count(u64::from(backend.active))) }
            td.number data-label="Idle" { (figures::count(backend.idle_connections as u64)) }
            td.number data-label="Requests" { (figures::count(backend.requests)) }
            td.number.rate data-label="Per second" {
                (charts::sparkline(&figures.rates, "small"))
                span { (figures::rate(figures.requests_per_s)) }
            }
            td.number data-label="p50" { (latency(figures.p50_ms)) }
            td.number data-label="p99" { (latency(figures.p99_ms)) }
            td.responses data-label="Responses" { (charts::responses(&backend.responses, backend.retried)) }
            td.probes data-label="Probes" { (charts::probes(&backend.probes)) }
        }
    }
}

fn weight(backend: &BackendStatus) -> Markup {
    html! {
        (backend.weight)
        @if backend.overridden {
            span.quiet.line { "configured " (backend.configured_weight) }
            @match backend.override_left_s {
                Some(left) => span.quiet.line { (figures::time(left)) " left" },
                None => span.quiet.line { "by hand" },
            }
        }
    }
}

/// A latency, or a dash if there were no requests.
pub(super) fn latency(ms: Option<f64>) -> String {
    ms.map_or_else(|| "–".to_owned(), figures::latency)
}

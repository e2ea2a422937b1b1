//! `GET /`: the status page. Rendered on the server, without scripts or external resources, so that it
//! works in any browser. It reloads itself.
//!
//! All values are inserted as text into `maud` markup, which escapes them. Colours always come with a
//! word or a shape.

mod charts;
mod pool;

use maud::{DOCTYPE, Markup, html};

use super::figures;
use super::history::{Figures, Recent};
use super::operations::Status;
use super::response::Response;
use super::text;

const STYLE: &str = include_str!("style.css");

/// How often the page reloads itself, in seconds; 0 for never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Refresh(u32);

impl Refresh {
    const USUAL: Self = Self(5);
    const SECONDS_MAX: u32 = 3_600;

    /// Parses `?refresh=`.
    ///
    /// # Errors
    /// It is not a number of seconds.
    pub(super) fn parse(typed: Option<&str>) -> Result<Self, String> {
        let Some(typed) = typed else { return Ok(Self::USUAL) };
        match typed.parse() {
            Ok(seconds) if seconds <= Self::SECONDS_MAX => Ok(Self(seconds)),
            _ => Err(format!("{typed:?} is not a number of seconds from 0 to {}", Self::SECONDS_MAX)),
        }
    }
}

/// The stylesheet.
pub(super) fn stylesheet() -> Response {
    Response::new(200, "text/css; charset=utf-8", STYLE.to_owned())
}

/// The page.
pub(super) fn page(status: &Status, recent: &Recent, refresh: Refresh) -> Response {
    let state = text::readiness(status);
    let mut figures = recent.backends.iter().map(|backend| &backend.figures);
    let document = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if refresh.0 > 0 { meta http-equiv="refresh" content=(refresh.0); }
                title { (title(status, state)) }
                link rel="icon" href="data:,";
                link rel="stylesheet" href="style.css";
            }
            body {
                (header(status, state, refresh))
                main {
                    (notices(status))
                    (tiles(status, &recent.total))
                    @for pool in &status.pools { (pool::section(pool, &mut figures)) }
                    (details(status))
                }
                (footer())
            }
        }
    };
    Response::new(200, "text/html; charset=utf-8", document.into_string())
}

/// The title says, even in a background tab, whether to look.
fn title(status: &Status, state: &str) -> String {
    let backends = status.pools.iter().flat_map(|pool| &pool.backends);
    match backends.filter(|backend| !backend.up).count() {
        0 => format!("ropewalk: {state}"),
        down => format!("({down} down) ropewalk: {state}"),
    }
}

fn header(status: &Status, state: &str, refresh: Refresh) -> Markup {
    let listeners: Vec<_> = status.listeners.iter().map(|listener| listener.address.as_str()).collect();
    let tone = match state {
        "ready" => "good",
        "draining" => "note",
        _ => "bad",
    };
    html! {
        header {
            h1 { "ropewalk" }
            span.pill.(tone) { (state) }
            p.facts {
                span { "up " b { (figures::time(status.uptime_s)) } }
                span { "listening on " b { (listeners.join(", ")) } }
                span { (status.version) ", pid " (status.pid) }
            }
            p.refresh {
                @if refresh.0 > 0 {
                    "every " (refresh.0) " s · " a href="?refresh=0" { "pause" }
                } @else {
                    "paused · " a href="/" { "resume" }
                }
            }
        }
    }
}

/// What an operator should attend to.
fn notices(status: &Status) -> Markup {
    let dead = status.pools.iter().filter(|pool| pool.usable() == 0);
    let dead: Vec<_> = dead.map(|pool| pool.name.as_str()).collect();
    html! {
        @if status.draining {
            p.notice.note { b { "Draining." } " ropewalk is stopping; requests in flight are finishing." }
        }
        @if !dead.is_empty() {
            p.notice.bad {
                b { "No usable backend" } " in " (dead.join(", "))
                ": all are down, ejected or drained, and clients get 503."
            }
        }
        @if !status.reloads.last_error.is_empty() {
            div.notice.bad {
                b { "The last reload failed; the previous configuration is still in use." }
                pre { (status.reloads.last_error.trim_end()) }
            }
        }
        @if status.access_log_dropped > 0 {
            p.notice.note {
                b { (figures::count(status.access_log_dropped)) @if status.access_log_dropped == 1 { " line" } @else { " lines" } }
                " of the access log lost: the disk or pipe is full, failing or too slow."
            }
        }
        @if status.panics > 0 {
            p.notice.bad {
                b { "A worker survived " (figures::count(status.panics)) @if status.panics == 1 { " panic." } @else { " panics." } }
                " That is a bug: please report it with the log."
            }
        }
    }
}

fn tiles(status: &Status, total: &Figures) -> Markup {
    let backends = || status.pools.iter().flat_map(|pool| &pool.backends);
    let (all, up) = (backends().count(), backends().filter(|backend| backend.takes_requests()).count());
    let in_flight: u64 = backends().map(|backend| u64::from(backend.active)).sum();
    let connections = &status.connections;
    let workers = &status.workers;
    html! {
        section.tiles aria-label="Summary" {
            div.tile.wide {
                h2 { "Requests" }
                p.figure { (figures::rate(total.requests_per_s)) small { "per second" } }
                (charts::sparkline(&total.rates, "large"))
            }
            div.tile {
                h2 { "Latency, median" }
                p.figure { (pool::latency(total.p50_ms)) }
                p.sub { "p99 " b { (pool::latency(total.p99_ms)) } }
            }
            div.tile {
                h2 { "Backends" }
                p.figure { (up) small { "of " (all) " up" } }
                p.sub { b { (figures::count(in_flight)) } " in flight" }
            }
            div.tile {
                h2 { "Connections" }
                p.figure { (figures::count(connections.open as u64)) small { "open" } }
                (charts::meter(connections.open as u64, connections.limit as u64))
                p.sub { "of " b { (figures::count(connections.limit as u64)) } " allowed" }
            }
            div.tile {
                h2 { "Workers" }
                p.figure { (workers.running) small { "of " (workers.running + workers.idle) " running" } }
                p.sub title="connections with work to do, waiting for a worker" {
                    b { (figures::count(status.ready_queue_length as u64)) } " queued"
                }
            }
            div.tile {
                h2 { "Memory" }
                p.figure { (figures::bytes(status.resident_bytes)) }
                p.sub { "resident" }
            }
        }
    }
}

/// What is seldom needed.
fn details(status: &Status) -> Markup {
    let connections = &status.connections;
    let answers = status.requests.iter().filter(|row| row.backend.is_empty());
    let mut own: Vec<(u16, u64)> = Vec::new();
    for row in answers {
        match own.iter_mut().find(|(code, _)| *code == row.code) {
            Some((_, count)) => *count += row.count,
            None => own.push((row.code, row.count)),
        }
    }
    own.sort_unstable();
    html! {
        section.details aria-label="Details" {
            dl {
                dt { "Listeners" }
                @for listener in &status.listeners {
                    dd { (listener.address) @if listener.name != listener.address { " " span.quiet { (listener.name) } } }
                }
            }
            dl {
                dt { "Client connections" }
                dd title="active a moment ago" {
                    "watched by workers " b { (figures::count(connections.warm as u64)) }
                }
                dd title="quiet for a while" {
                    "watched by the poller " b { (figures::count(connections.parked as u64)) }
                }
                dd title="WebSockets and other upgraded connections, counted above too" {
                    "tunnels " b { (figures::count(connections.tunnel as u64)) }
                }
            }
            dl {
                dt { "Retries, by what failed" }
                @for (reason, count) in &status.retries { dd { (reason) " " b { (figures::count(*count)) } } }
                @if status.retries.is_empty() { dd.quiet { "none" } }
            }
            dl {
                dt { "Answered by ropewalk itself" }
                @for (code, count) in own.iter() { dd { (code) " " b { (figures::count(*count)) } } }
                @if own.is_empty() { dd.quiet { "none" } }
            }
            dl {
                dt { "Reloads" }
                dd { "applied " b { (status.reloads.applied) } }
                dd { "refused " b { (status.reloads.refused) } }
            }
            dl {
                dt { "Access log" }
                dd { "lines lost " b { (figures::count(status.access_log_dropped)) } }
            }
        }
    }
}

fn footer() -> Markup {
    html! {
        footer {
            nav aria-label="Other views" {
                a href="status" { "status as JSON" }
                a href="status?format=text" { "as text" }
                a href="requests?format=text" { "requests in flight" }
                a href="metrics" { "metrics" }
            }
        }
    }
}

//! What a configuration can make the process take at most: a sum of named terms, each a count from
//! the plan or from `base/limits.rs` times the bytes of one.
//!
//! Pure arithmetic on a plan. What is counted is what ropewalk asks the allocator for, and a share
//! for what an allocator adds. What the kernel keeps for sockets is not ours to bound and not here.
//!
//! With `limits.memory`, every connection is sure of small buffers only. What is left of the memory
//! then is large buffers, and there are no more of them than fit.

use std::fmt;

use super::plan::{Action, ErrorPage, HealthCheck, Parts, Probe, RateLimitKey, RoutePlan};
use crate::base::counted::Counted;
use crate::base::limits::{
    ADMIN_CONNECTIONS_MAX, ADMIN_HEAD_BYTES_MAX, ADMIN_HELD_BYTES_MAX, BUFFER_LARGE_BYTES,
    BUFFER_SMALL_BYTES, BUFFERS_KEPT_MAX, BUFFERS_LARGE_KEPT_MAX, CREDENTIALS_KEPT_MAX, LOG_BATCHES_MAX,
    LOG_BUFFER_BYTES, LOG_TARGET_BYTES_MAX, LOG_TEXT_BYTES_MAX, LOG_WRITE_BYTES, NOTE_KEPT_BYTES_MAX,
    NOTES_KEPT_MAX, PINNED_PER_CLIENT_MAX, RATE_LIMIT_SETS, RATE_LIMIT_WAYS, RESOLVE_THREADS_MAX,
    TASK_BYTES_MAX, WARM_MAX,
};

/// One kind of thing, how many there may be and how large each may be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// What it is, as people call it.
    pub name: &'static str,
    /// How many there may be.
    pub count: u64,
    /// Bytes of one.
    pub each: u64,
}

impl Term {
    /// Bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.count.saturating_mul(self.each)
    }
}

/// What a configuration can take at most.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorstCase {
    /// Its terms, without those that are 0; the largest first.
    pub terms: Vec<Term>,
    /// Large buffers that there may be at once; `None` if only the number of connections bounds them.
    pub large_buffers: Option<u64>,
}

impl WorstCase {
    /// The worst case of a plan.
    pub fn of(plan: &Parts) -> Self {
        let mut terms = fixed(plan);
        let connections = plan.limits.connections as u64;
        let large_buffers = match plan.limits.memory {
            None => {
                terms.push(Term { name: "connections", count: connections, each: of_connection(plan) });
                terms.push(large(plan.workers as u64 * BUFFERS_LARGE_KEPT_MAX as u64));
                None
            }
            Some(memory) => {
                terms.push(Term { name: "connections", count: connections, each: of_small_connection(plan) });
                let needed = with_allocator(sum(&terms));
                // What an allocator adds is left out of what is left, so that the sum holds.
                let left = memory.saturating_sub(needed) / ALLOCATOR_SHARE * (ALLOCATOR_SHARE - 1);
                // What the other workers keep in stock, one cannot have; a long head needs one more.
                let least = plan.workers as u64 * BUFFERS_LARGE_KEPT_MAX as u64 + 1;
                let count = (left / BUFFER_LARGE_BYTES as u64).max(least);
                terms.push(large(count));
                Some(count)
            }
        };
        terms.push(Term { name: "allocator", count: 1, each: with_allocator(sum(&terms)) - sum(&terms) });
        terms.retain(|term| term.bytes() > 0);
        terms.sort_by_key(|term| std::cmp::Reverse(term.bytes()));
        Self { terms, large_buffers }
    }

    /// Bytes of everything together.
    pub fn bytes(&self) -> u64 {
        sum(&self.terms)
    }

    /// How many connections would fit into `memory` bytes; `None` if not even one.
    pub fn connections_within(plan: &Parts, memory: u64) -> Option<usize> {
        let fits = |connections: usize| {
            let mut fewer = plan.clone();
            fewer.limits.connections = connections;
            fewer.limits.memory = Some(memory);
            Self::of(&fewer).bytes() <= memory
        };
        let (mut fit, mut too_many) = (0, plan.limits.connections.max(1));
        while too_many - fit > 1 {
            let middle = fit + (too_many - fit) / 2;
            *(if fits(middle) { &mut fit } else { &mut too_many }) = middle;
        }
        (fit > 0).then_some(fit)
    }
}

impl fmt::Display for WorstCase {
    /// The sum, and what it is made of as far as that matters.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let total = self.bytes();
        write!(f, "at most {}", Size(total))?;
        // What is less than a hundredth goes together.
        let (shown, small): (Vec<&Term>, Vec<&Term>) =
            self.terms.iter().partition(|term| term.bytes() >= total / 100);
        for (index, Term { name, count, each }) in shown.into_iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { ", " })?;
            match count {
                1 => write!(f, "{name} {}", Size(*each))?,
                _ => write!(f, "{count} {name} x {}", Size(*each))?,
            }
        }
        match small.iter().map(|term| term.bytes()).sum() {
            0 => Ok(()),
            rest => write!(f, ", others {}", Size(rest)),
        }
    }
}

/// What a configuration typically takes, from the measurements in docs/performance.md. An estimate,
/// not a bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Typical {
    /// Clients that are connected.
    pub clients: u64,
    /// Those of them that wait for a backend; the others are idle.
    pub waiting: u64,
    /// Bytes that are resident then.
    pub bytes: u64,
}

impl Typical {
    /// With a thousand clients, or the limit if that is lower, one in ten of which waits for a
    /// backend.
    pub fn of(plan: &Parts) -> Self {
        const CLIENTS: u64 = 1_000;
        let clients = CLIENTS.min(plan.limits.connections as u64);
        let waiting = clients.div_ceil(10);
        let workers = plan.workers as u64;
        let limited = plan.routes.iter().filter(|route| route.rate_limit.is_some()).count() as u64;
        let parts = [
            IDLE_PROCESS,
            workers * IDLE_WORKER,
            (clients - waiting) * IDLE_CLIENT,
            waiting * WAITING_REQUEST,
            plan.admin.iter().len() as u64 * IDLE_ADMIN,
            plan.log.access.iter().len() as u64 * (IDLE_LOG + workers * LOG_OF_WORKER),
            limited * LIMITED_ROUTE,
            pages(plan) as u64,
        ];
        Self { clients, waiting, bytes: parts.iter().sum() }
    }
}

const IDLE_PROCESS: u64 = 5_600 << 10;
const IDLE_WORKER: u64 = 14 << 10;
const IDLE_CLIENT: u64 = 920;
const WAITING_REQUEST: u64 = 5_260;
const IDLE_ADMIN: u64 = 20 << 10;
const IDLE_LOG: u64 = 16 << 10;
const LOG_OF_WORKER: u64 = 32 << 10;
const LIMITED_ROUTE: u64 = 520 << 10;

impl fmt::Display for Typical {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { clients, waiting, bytes } = *self;
        let clients = Counted(clients as usize, "client");
        let mebibytes = bytes.div_ceil(1 << 20);
        write!(f, "about {mebibytes}MiB with {clients}, {waiting} of them waiting for a backend")
    }
}

/// A number of bytes for people: rounded up, so that what is shown is enough.
pub(super) struct Size(pub(super) u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            bytes @ 0..=9_999 => write!(f, "{bytes}B"),
            bytes if bytes < 10 << 20 => write!(f, "{}KiB", bytes.div_ceil(1 << 10)),
            bytes => write!(f, "{}MiB", bytes.div_ceil(1 << 20)),
        }
    }
}

/// What does not grow with the number of connections.
fn fixed(plan: &Parts) -> Vec<Term> {
    let of_worker =
        BUFFERS_KEPT_MAX * BUFFER_SMALL_BYTES + NOTES_KEPT_MAX * NOTE_KEPT_BYTES_MAX + THREAD_BYTES;
    let backends: usize = plan.pools.iter().map(|pool| pool.backends.len()).sum();
    let tables = |has: fn(&RoutePlan) -> bool| plan.routes.iter().filter(|route| has(route)).count();
    let limited =
        tables(|route| matches!(&route.rate_limit, Some(limit) if limit.key == RateLimitKey::Client));
    let guarded = tables(|route| route.basic_auth.is_some());
    // Each may lately have had all requests that there can be.
    let kept = match plan.limits.upstream_idle {
        0 => 0,
        idle => idle.max(plan.limits.connections),
    };
    let logs = plan.log.access.iter().len();
    let admin = plan.admin.iter().len();
    let term = |name, count: usize, each: usize| Term { name, count: count as u64, each: each as u64 };
    vec![
        term("process", 1, PROCESS_BYTES),
        term("workers", plan.workers, of_worker),
        term("other threads", OTHER_THREADS + RESOLVE_THREADS_MAX, THREAD_BYTES),
        term("probes", http_probes(plan), BUFFER_LARGE_BYTES.max(grown(plan.limits.head))),
        term(
            "queued requests",
            (plan.pools.len() * plan.limits.queue).min(plan.limits.connections),
            QUEUED_BYTES,
        ),
        term("warm sets", plan.workers * WARM_MAX.min(plan.limits.connections), WARM_BYTES),
        term("kept connections", backends * kept, KEPT_BYTES),
        // Buffers are made only when none comes back: those that wait, and one in each hand.
        term("access-log buffers", logs * (LOG_BATCHES_MAX + plan.workers + 1), LOG_BUFFER_BYTES),
        term("access-log write", logs, LOG_WRITE_BYTES + LOG_BUFFER_BYTES),
        term("rate-limit tables", limited + guarded, RATE_LIMIT_SETS * RATE_LIMIT_WAYS * BUCKET_BYTES),
        term("remembered credentials", guarded * CREDENTIALS_KEPT_MAX, CREDENTIAL_BYTES),
        term("pages", 1, pages(plan)),
        // Twice, for there is an old one while a new one is read.
        term("routes", 2 * plan.routes.len(), DESCRIBED_BYTES),
        term("backends", 2 * backends, DESCRIBED_BYTES),
        term(
            "counters",
            plan.workers * plan.listeners.len().max(1) * (backends + plan.routes.len()),
            COUNTERS_BYTES,
        ),
        term("admin connections", admin * ADMIN_CONNECTIONS_MAX, ADMIN_HEAD_BYTES_MAX),
        // An answer in the making is in memory twice: as data and as text, then as text and as bytes.
        term(
            "admin answers",
            admin,
            ADMIN_HELD_BYTES_MAX + 2 * ADMIN_REQUESTS_BYTES.max(backends * ADMIN_BACKEND_BYTES),
        ),
    ]
}

/// Probes in flight that may each hold the head of an answer.
fn http_probes(plan: &Parts) -> usize {
    let has_heads = |check: &HealthCheck| matches!(check.probe, Probe::Http { .. });
    let pools = plan.pools.iter().filter(|pool| pool.health_check.as_ref().is_some_and(has_heads));
    pools.map(|pool| pool.backends.len()).sum::<usize>().min(plan.probes_in_flight_max())
}

/// A connection that has every buffer it could have: what the client sent, what goes to the backend,
/// what that sent, and what goes to the client.
fn of_connection(plan: &Parts) -> u64 {
    let buffer = BUFFER_LARGE_BYTES.max(grown(plan.limits.head)) as u64;
    of_task(plan) + 4 * buffer + 2 * written_beside(plan)
}

/// A connection for which there were only small buffers. The two that are written to grow to twice
/// that: a head is longer when it is written anew.
fn of_small_connection(plan: &Parts) -> u64 {
    let longer = 2 * grown(plan.limits.head).saturating_sub(BUFFER_LARGE_BYTES) as u64;
    of_task(plan) + (2 + 2 * 2) * BUFFER_SMALL_BYTES as u64 + 2 * longer + 2 * written_beside(plan)
}

/// What a connection takes beside its buffers: the task, its places in the car park and the channel,
/// and what the logs want to know.
fn of_task(plan: &Parts) -> u64 {
    let noted = plan.log.access.is_some() || plan.admin.is_some();
    let note = if noted { LOG_TARGET_BYTES_MAX + 4 * LOG_TEXT_BYTES_MAX + NOTE_BYTES } else { 0 };
    (TASK_BYTES_MAX + plan.workers * PARKED_BYTES + TRIES_BYTES + CLIENT_BYTES + PINNED_BYTES + note) as u64
}

/// The most that a configuration adds to a head, or puts into an answer of ours.
fn written_beside(plan: &Parts) -> u64 {
    let fields = |fields: &[(String, String)]| -> usize {
        fields.iter().map(|(name, value)| name.len() + value.len() + 4).sum()
    };
    let of_route = |route: &RoutePlan| {
        let ops = [&route.request_headers, &route.response_headers];
        let added = ops.map(|ops| fields(&ops.set) + fields(&ops.add)).into_iter().max().unwrap_or(0);
        let answer = match &route.action {
            Action::Respond(response) => response.body.len(),
            Action::Forward(_) | Action::Redirect { .. } => 0,
        };
        added + answer.max(largest(&route.error_pages))
    };
    plan.routes.iter().map(of_route).max().unwrap_or(0).max(largest(&plan.error_pages)) as u64
}

fn largest(pages: &[ErrorPage]) -> usize {
    pages.iter().map(|page| page.body.len()).max().unwrap_or(0)
}

/// Bodies in the configuration. Twice, as above.
fn pages(plan: &Parts) -> usize {
    let of = |pages: &[ErrorPage]| pages.iter().map(|page| page.body.len()).sum::<usize>();
    let of_route = |route: &RoutePlan| match &route.action {
        Action::Respond(response) => of(&route.error_pages) + response.body.len(),
        Action::Forward(_) | Action::Redirect { .. } => of(&route.error_pages),
    };
    2 * (of(&plan.error_pages) + plan.routes.iter().map(of_route).sum::<usize>())
}

/// The capacity of a buffer that has to hold a head of this size and one byte more.
fn grown(head: usize) -> usize {
    let mut capacity = BUFFER_LARGE_BYTES;
    while capacity <= head {
        capacity *= 2;
    }
    capacity
}

fn large(count: u64) -> Term {
    Term { name: "large buffers", count, each: BUFFER_LARGE_BYTES as u64 }
}

fn sum(terms: &[Term]) -> u64 {
    terms.iter().map(Term::bytes).fold(0, u64::saturating_add)
}

/// What an allocator makes of this size.
fn with_allocator(bytes: u64) -> u64 {
    bytes.saturating_add(bytes / (ALLOCATOR_SHARE - 1))
}

/// Of everything, one part in so many is what the allocator rounds up, and what it cannot give back
/// because something else lives behind it.
const ALLOCATOR_SHARE: u64 = 8;

/// The program itself, its libraries and what it has before it has a configuration: 10 MiB were
/// measured of an unoptimised build, most of which is the program's text.
const PROCESS_BYTES: usize = 12 << 20;

/// What a thread touches of its stack, and its lists. The deepest calls take a tenth of a stack.
const THREAD_BYTES: usize = crate::base::limits::THREAD_STACK_BYTES / 4;

/// `main`, the poller, health, admin, the access log, diagnostics, reloads and signals.
const OTHER_THREADS: usize = 8;

/// A slot in a shard of the car park and its link in the wheel, in lists that double, and a place in
/// the ready channel. Every connection may have been parked by every worker.
const PARKED_BYTES: usize = 160;

/// A client's entry in the table of connections by address, which is at least half full and has up to
/// two for each that is in use, its count, and the connection's place among those that may give way.
const CLIENT_BYTES: usize = 2 * (2 * 40 + 48) + 2 * 64;

/// A task's entry in a warm set and in the list for `poll`, both of which double.
const WARM_BYTES: usize = 128;

/// Notes of tries, at most a dozen.
const TRIES_BYTES: usize = 12 * 64;

/// What its own backend connections take beside the kernel's memory.
const PINNED_BYTES: usize = PINNED_PER_CLIENT_MAX * 80;

/// A note about a request but for its text.
const NOTE_BYTES: usize = 160;

/// A request's place in a queue.
const QUEUED_BYTES: usize = 128;

/// An idle connection to a backend, in a list that doubles.
const KEPT_BYTES: usize = 64;

/// A bucket: whose it is, and when it will be full.
const BUCKET_BYTES: usize = 16;

/// Verified credentials, in a table that is at least half full when it grows.
const CREDENTIAL_BYTES: usize = 64;

/// A route or a backend with its texts, and what is known of it.
const DESCRIBED_BYTES: usize = 8 * 1024;

/// What one worker counts of one backend or route through one listener, for the 64 statuses that are
/// told apart, in a table that is at least half full. A backend chooses what it answers.
const COUNTERS_BYTES: usize = 64 * 256;

/// A list of requests: 1 000 of the longest.
const ADMIN_REQUESTS_BYTES: usize = 768 * 1024;

/// What the status page, `/status` and `/metrics` say of one backend: at most this.
const ADMIN_BACKEND_BYTES: usize = 6 * 1024;

#[cfg(test)]
mod tests {
    use super::super::Document;
    use super::*;
    use crate::config::plan::Plan;

    fn checked(limits: &str) -> Result<Plan, String> {
        let text = format!(
            r#"{{ "workers": 2, "limits": {{ {limits} }}, "backends": [ {{ "url": "http://127.0.0.1:1" }} ] }}"#
        );
        let checked = Document::from_json("c", &text).and_then(|document| document.check());
        checked.map(|checked| checked.plan).map_err(|errors| errors.to_string())
    }

    fn worst(limits: &str) -> WorstCase {
        WorstCase::of(&checked(limits).unwrap())
    }

    #[test]
    fn the_sum_is_that_of_the_terms_and_connections_weigh_most() {
        let worst = worst(r#""connections": 1000"#);
        assert_eq!(worst.bytes(), worst.terms.iter().map(|term| term.count * term.each).sum::<u64>());
        let Term { name, count, each } = worst.terms[0].clone();
        assert_eq!((name, count), ("connections", 1000));
        assert!((4 * 64 * 1024..300 * 1024).contains(&each), "{each}");
        assert_eq!(worst.large_buffers, None);
        assert!(worst.to_string().starts_with("at most "), "{worst}");
    }

    #[test]
    fn an_ordinary_day_is_far_from_the_worst_case() {
        for limits in [
            "",
            r#""connections": 1"#,
            r#""connections": 100000"#,
            r#""memory": "64MiB", "connections": 600"#,
        ] {
            let plan = checked(limits).unwrap();
            let (typical, worst) = (Typical::of(&plan), WorstCase::of(&plan).bytes());
            assert!(typical.bytes < worst && typical.bytes < 8 << 20, "{limits}: {typical}, {worst}");
            assert!(typical.clients <= plan.limits.connections as u64);
        }
    }

    #[test]
    fn a_bound_is_kept_whatever_it_is() {
        for memory in ["64MiB", "100MiB", "257MiB", "1GiB"] {
            let worst = worst(&format!(r#""connections": 500, "memory": "{memory}""#));
            let bound = super::super::units::size(memory).unwrap();
            assert!(worst.bytes() <= bound, "{worst}");
            // And used: what is left would not do for another two large buffers.
            assert!(worst.bytes() + 3 * (64 << 10) > bound, "{worst}");
        }
    }

    #[test]
    fn an_admin_listener_fits_into_a_small_bound() {
        let text = |memory: &str| {
            format!(
                r#"{{ "workers": 2, "admin": "127.0.0.1:0", "limits": {{ "connections": 100, "memory": "{memory}" }},
                     "backends": [ {{ "url": "http://127.0.0.1:1" }} ] }}"#
            )
        };
        let check = |text: &str| Document::from_json("c", text).and_then(|document| document.check());
        let checked = check(&text("32MiB")).unwrap_or_else(|errors| panic!("{errors}"));
        let admin: u64 = WorstCase::of(&checked.plan)
            .terms
            .iter()
            .filter(|term| term.name.starts_with("admin"))
            .map(Term::bytes)
            .sum();
        assert!((1 << 20..5 << 20).contains(&admin), "{admin}");
    }

    #[test]
    fn what_does_not_fit_is_refused_with_what_would() {
        let error = checked(r#""memory": "64MiB""#).unwrap_err();
        let connections: usize = error
            .split_once(r#"lower "connections" to "#)
            .and_then(|(_, rest)| rest.split_once(','))
            .and_then(|(number, _)| number.parse().ok())
            .unwrap_or_else(|| panic!("{error}"));
        assert!(error.contains("/limits/memory"), "{error}");
        assert!(error.contains("10000 connections x"), "{error}");
        checked(&format!(r#""memory": "64MiB", "connections": {connections}"#)).unwrap();
        checked(&format!(r#""memory": "64MiB", "connections": {}"#, connections + 1)).unwrap_err();
        let error = checked(r#""memory": "1MiB", "connections": 1"#).unwrap_err();
        assert!(error.contains("even one connection would not fit: raise \"memory\" to at least"), "{error}");
    }

    #[test]
    fn what_a_route_keeps_is_counted() {
        let of = |route: &str| {
            let text = format!(
                r#"{{ "workers": 2, "routes": [ {{ "respond": {{ "status": 200, "body": "x" }} {route} }} ] }}"#
            );
            let checked = Document::from_json("c", &text).and_then(|document| document.check());
            WorstCase::of(&checked.unwrap_or_else(|errors| panic!("{errors}")).plan)
        };
        let table = |worst: WorstCase| worst.terms.into_iter().find(|term| term.name == "rate-limit tables");
        assert_eq!(table(of("")), None);
        let limited = table(of(r#", "rate_limit": { "requests": 1, "per": "1s" }"#)).unwrap();
        assert_eq!((limited.count, limited.each), (1, 512 * 1024));
    }
}

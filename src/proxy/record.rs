//! What is noted about a request on its way, and told to the metrics and the access log when it
//! has ended: once for each request that has begun, however it ends.

use std::ops::Range;

use crate::base::clock::Moment;
use crate::base::limits::NOTES_KEPT_MAX;
use crate::http::RequestHead;
use crate::observe::metrics::Key;
use crate::proxy::context::Context;
use crate::proxy::task::{Request, Task};
use crate::upstream::backend::Lease;

/// Texts of a request head, kept for the logs.
#[derive(Debug, Default)]
pub struct Note {
    text: Vec<u8>,
    method: Range<usize>,
    host: Range<usize>,
    target: Range<usize>,
    referer: Range<usize>,
    user_agent: Range<usize>,
}

impl Note {
    /// Writes down what a head says.
    pub(super) fn take(&mut self, head: &RequestHead<'_, '_>) {
        self.text.clear();
        let field = |name: &str| head.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        self.method = self.keep(&[head.method_token.as_bytes()]);
        self.host = self.keep(&[head.host.unwrap_or_default().as_bytes()]);
        self.target = self.keep(&[head.target_prefix.as_bytes(), head.target.as_bytes()]);
        self.referer = self.keep(&[field("referer").map_or(&[][..], |field| field.value)]);
        self.user_agent = self.keep(&[field("user-agent").map_or(&[][..], |field| field.value)]);
    }

    fn keep(&mut self, parts: &[&[u8]]) -> Range<usize> {
        let start = self.text.len();
        for part in parts {
            self.text.extend_from_slice(part);
        }
        start..self.text.len()
    }

    fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// The method, the host and the target were checked to be ASCII.
    fn text(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(self.bytes(range)).unwrap_or_default()
    }

    /// The method and the target.
    pub(super) fn line(&self) -> (&str, &str) {
        (self.text(&self.method), self.text(&self.target))
    }
}

/// The tries of one request. Nearly always there is one, which is kept in place.
#[derive(Debug, Default)]
pub struct Attempts {
    last: Option<Attempt>,
    earlier: Vec<Attempt>,
}

/// One try at one backend.
#[derive(Clone, Copy, Debug)]
pub(super) struct Attempt {
    /// The backend's place in the pool.
    index: u16,
    /// Its number.
    backend: u32,
    reused: bool,
    began: Moment,
    connected: Option<Moment>,
    first_byte: Option<Moment>,
    outcome: Option<&'static str>,
}

impl Attempts {
    /// Notes that a try begins.
    pub(super) fn begin(&mut self, lease: &Lease, kept: bool, now: Moment) {
        let attempt = Attempt {
            index: lease.index(),
            backend: lease.backend().id(),
            reused: kept,
            began: now,
            connected: kept.then_some(now),
            first_byte: None,
            outcome: None,
        };
        self.earlier.extend(self.last.replace(attempt));
    }

    /// Notes that the connection took its first byte.
    pub(super) fn connected(&mut self, now: Moment) {
        if let Some(last) = &mut self.last {
            last.connected.get_or_insert(now);
        }
    }

    /// Notes that a response head is there.
    pub(super) fn answered(&mut self, now: Moment) {
        if let Some(last) = &mut self.last {
            last.first_byte.get_or_insert(now);
        }
    }

    /// Notes how the last try failed.
    pub(super) fn failed(&mut self, outcome: &'static str) {
        if let Some(last) = &mut self.last {
            last.outcome.get_or_insert(outcome);
        }
    }

    /// How many there were.
    pub(super) fn len(&self) -> usize {
        self.earlier.len() + usize::from(self.last.is_some())
    }

    fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.earlier.iter().chain(&self.last)
    }
}

/// Begins the record of a request.
pub(super) fn begin(request: &mut Request, head: &RequestHead<'_, '_>, cx: &mut Context) {
    if cx.takes_notes() {
        let mut note = cx.notes.pop().unwrap_or_default();
        note.take(head);
        request.note = Some(note);
    }
}

/// Ends the record of the request under way, if one has begun: counts it, and writes its line.
pub(super) fn end(task: &mut Task, cx: &mut Context) {
    if !std::mem::replace(&mut task.request.begun, false) {
        return;
    }
    let Task { client, request, snapshot, .. } = task;
    let took = cx.now.since(request.started);
    // Nobody was told anything: what nginx and HAProxy made the custom for a client that left.
    let code = if request.status == 0 { 499 } else { request.status };
    let pool = request.pool.map(|pool| snapshot.pool(pool));
    let key = Key {
        listener: client.entrance.id,
        pool: pool.map_or(0, |pool| pool.id()),
        backend: request.attempts.last.map_or(0, |attempt| attempt.backend),
        code,
    };
    if let Some(shard) = cx.shared.shards.get(cx.worker) {
        shard.request(key, took, request.uploaded, request.downloaded);
    }
    if let Some(note) = request.note.take()
        && cx.notes.len() < NOTES_KEPT_MAX
    {
        cx.notes.push(note);
    }
}

//! What is noted about a request on its way, and told to the metrics and the access log when it
//! has ended: once for each request that has begun, however it ends.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::base::clock::{self, Moment};
use crate::base::limits::{LOG_TARGET_BYTES_MAX, LOG_TEXT_BYTES_MAX, NOTE_KEPT_BYTES_MAX, NOTES_KEPT_MAX};
use crate::http::{self, RequestHead, Version};
use crate::observe::batch::Batch;
use crate::observe::metrics::Key;
use crate::observe::record::{Attempt as AttemptRecord, Record};
use crate::proxy::client::Client;
use crate::proxy::connection::Connection;
use crate::proxy::context::Context;
use crate::proxy::end::End;
use crate::proxy::evidence;
use crate::proxy::exchange::Exchange;
use crate::proxy::failure::Failure;
use crate::upstream::lease::Lease;
use crate::upstream::snapshot::Snapshot;

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

/// A note of a head that could not be read.
static NOTHING: Note =
    Note { text: Vec::new(), method: 0..0, host: 0..0, target: 0..0, referer: 0..0, user_agent: 0..0 };

impl Note {
    /// Writes down what a head says.
    pub(super) fn take(&mut self, head: &RequestHead<'_, '_>) {
        self.text.clear();
        let field = |name: &str| head.fields.iter().find(|field| field.name.eq_ignore_ascii_case(name));
        // No line has more of a text than this.
        let text = LOG_TEXT_BYTES_MAX;
        self.method = self.keep(text, &[head.method_token.as_bytes()]);
        self.host = self.keep(text, &[head.host.unwrap_or_default().as_bytes()]);
        self.target =
            self.keep(LOG_TARGET_BYTES_MAX, &[head.target_prefix.as_bytes(), head.target.as_bytes()]);
        self.referer = self.keep(text, &[field("referer").map_or(&[][..], |field| field.value)]);
        self.user_agent = self.keep(text, &[field("user-agent").map_or(&[][..], |field| field.value)]);
    }

    /// Writes down the method and the target of a head that breaks a rule. A method ends in a space
    /// and is a token; a target goes on to the next space or the end of the line.
    fn take_first_line(&mut self, head: &[u8]) {
        *self = Self { text: std::mem::take(&mut self.text), ..Self::default() };
        self.text.clear();
        let head = head.strip_prefix(b"\r\n").unwrap_or(head);
        // Only the part that is kept is examined.
        let line = head.get(..LOG_TEXT_BYTES_MAX + LOG_TARGET_BYTES_MAX).unwrap_or(head);
        let line = line.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
        let mut words = line.splitn(3, |&byte| byte == b' ');
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return };
        if http::is_token(method) {
            self.method = self.keep(LOG_TEXT_BYTES_MAX, &[method]);
            self.target = self.keep(LOG_TARGET_BYTES_MAX, &[String::from_utf8_lossy(target).as_bytes()]);
        }
    }

    /// Keeps one more byte of each part than is ever shown, so that it is seen to have been cut.
    fn keep(&mut self, max: usize, parts: &[&[u8]]) -> Range<usize> {
        let start = self.text.len();
        for part in parts {
            let part = part.get(..=max).unwrap_or(part);
            self.text.reserve_exact(part.len());
            self.text.extend_from_slice(part);
        }
        start..self.text.len()
    }

    fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.text.get(range.clone()).unwrap_or_default()
    }

    /// The method, the host and the target were checked to be text.
    fn text(&self, range: &Range<usize>) -> &str {
        std::str::from_utf8(self.bytes(range)).unwrap_or_default()
    }

    /// The method and the target.
    pub(super) fn line(&self) -> (&str, &str) {
        (self.text(&self.method), self.text(&self.target))
    }
}

/// What the metrics and the access log are told about a request.
#[derive(Default)]
pub(super) struct RequestRecord {
    /// The request has begun and has not been recorded yet.
    pub(super) begun: bool,
    /// What the logs want to know of its head; `None` when nobody listens.
    pub(super) note: Option<Box<Note>>,
    /// The tries so far.
    pub(super) attempts: Attempts,
    /// What the client was told; 0 if nothing yet.
    pub(super) status: u16,
    /// Why it ended, if that is not that it was completed.
    pub(super) end: Option<End>,
    /// What was wrong, such as the rule that it breaks, if it got an answer of our own.
    pub(super) reason: Option<Failure>,
    /// How long it waited for a place at a backend.
    pub(super) waited: Duration,
}

impl RequestRecord {
    /// Notes what it ends with. The cause of a server error stays, whatever comes of telling the
    /// client about it: its record is there to name that cause.
    pub(super) fn fail(&mut self, failure: Failure) {
        if self.status < 500 || self.end.is_none() {
            self.end = Some(End::Failed(failure));
        }
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
    /// The backend's number.
    backend: u32,
    reused: bool,
    began: Moment,
    connected: Option<Moment>,
    first_byte: Option<Moment>,
    outcome: Option<Failure>,
}

impl Attempts {
    /// Notes that a try begins.
    pub(super) fn begin(&mut self, lease: &Lease, kept: bool, now: Moment) {
        let attempt = Attempt {
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
    pub(super) fn failed(&mut self, failure: Failure) {
        if let Some(last) = &mut self.last {
            last.outcome.get_or_insert(failure);
        }
    }

    /// The numbers of the backends that were tried.
    pub(super) fn backends(&self) -> impl Iterator<Item = u32> {
        self.iter().map(|attempt| attempt.backend)
    }

    /// How many there were.
    pub(super) fn len(&self) -> usize {
        self.earlier.len() + usize::from(self.last.is_some())
    }

    fn iter(&self) -> impl Iterator<Item = &Attempt> {
        self.earlier.iter().chain(&self.last)
    }
}

/// Begins the record of a request whose head could not be read, with as much of its first line as
/// has the form of one.
pub(super) fn begin_malformed(record: &mut RequestRecord, head: &[u8], cx: &mut Context) {
    if cx.takes_notes() && record.note.is_none() {
        let mut note = cx.notes.pop().unwrap_or_default();
        note.take_first_line(head);
        record.note = Some(note);
    }
}

/// The same for a request of which no whole head has come.
pub(super) fn begin_unread(client: &Client, exchange: &mut Exchange, cx: &mut Context) {
    if !exchange.record.begun {
        begin_malformed(&mut exchange.record, client.inbound.bytes(), cx);
    }
}

/// Begins the record of a request.
pub(super) fn begin(record: &mut RequestRecord, head: &RequestHead<'_, '_>, cx: &mut Context) {
    if cx.takes_notes() {
        let mut note = cx.notes.pop().unwrap_or_default();
        note.take(head);
        record.note = Some(note);
    }
}

/// Ends the record of a request that the stop of the balancer cuts off.
pub fn cut_off(connection: &mut Connection, cx: &mut Context) {
    let Connection { client, exchange, .. } = connection;
    exchange.record.end = Some(End::Stopped);
    end(client, exchange, cx);
}

/// Ends the record of the request under way, if one has begun: counts it, and writes its line.
pub(super) fn end(client: &Client, exchange: &mut Exchange, cx: &mut Context) {
    if !std::mem::replace(&mut exchange.record.begun, false) {
        return;
    }
    evidence::settle_unanswered(exchange, client.peer, cx.now);
    let took = cx.now.since(exchange.asked.started);
    // Nobody was told anything: what nginx and HAProxy made the custom for a client that left.
    let code = if exchange.record.status == 0 { 499 } else { exchange.record.status };
    let pool = match &exchange.kept {
        Some(kept) => kept.pool.as_ref().map(|(id, _)| *id),
        None => exchange.routed.pool.map(|pool| exchange.snapshot.pool(pool).id()),
    };
    let key = Key {
        listener: client.listener.id,
        pool: pool.unwrap_or(0),
        backend: exchange.record.attempts.last.map_or(0, |attempt| attempt.backend),
        code,
    };
    if let Some(shard) = cx.shared.shards.get(cx.worker) {
        shard.request(key, took, exchange.upload.bytes, exchange.download.bytes);
    }
    let newer = (!Arc::ptr_eq(&exchange.snapshot, cx.snapshot())).then(|| Arc::clone(cx.snapshot()));
    if let Some(batch) = cx.log() {
        write_line(client, exchange, newer.as_deref(), batch, code, took);
    }
    if let Some(note) = exchange.record.note.take()
        && note.text.capacity() <= NOTE_KEPT_BYTES_MAX
        && cx.notes.len() < NOTES_KEPT_MAX
    {
        cx.notes.push(note);
    }
}

/// Writes the line of a request that has ended. `newer` is the present configuration,
/// if that is another than its own.
fn write_line(
    client: &Client,
    exchange: &Exchange,
    newer: Option<&Snapshot>,
    batch: &mut Batch,
    status: u16,
    total: Duration,
) {
    let end = exchange.record.end.unwrap_or(End::Completed).word();
    let since = |began: Moment, then: Option<Moment>| then.map(|then| then.since(began));
    // Whoever waited in the queue may have been given a backend that only the present one knows.
    let kept_names = exchange.kept.as_ref().map_or(&[][..], |kept| &kept.backends);
    let name_of = |id: u32| {
        if let Some((_, name)) = kept_names.iter().find(|(known, _)| *known == id) {
            return Some(name.as_str());
        }
        let mut known = [Some(&*exchange.snapshot), newer].into_iter().flatten().flat_map(Snapshot::backends);
        known.find(|backend| backend.id() == id).map(|backend| backend.name())
    };
    let line = |attempt: &Attempt| AttemptRecord {
        backend: name_of(attempt.backend).unwrap_or_default(),
        reused: attempt.reused,
        connect: since(attempt.began, attempt.connected),
        first_byte: since(attempt.began, attempt.first_byte),
        outcome: attempt.outcome.map_or(end, Failure::word),
    };
    // One try, as nearly always, needs no allocation.
    let last = exchange.record.attempts.last.as_ref().map(line);
    let all: Vec<_>;
    let attempts = if exchange.record.attempts.earlier.is_empty() {
        last.as_slice()
    } else {
        all = exchange.record.attempts.iter().map(line).collect();
        &all
    };
    let note = exchange.record.note.as_deref().unwrap_or(&NOTHING);
    let (route, pool, user) = match &exchange.kept {
        Some(kept) => {
            (kept.route.as_deref(), kept.pool.as_ref().map(|(_, name)| name.as_str()), kept.user.as_deref())
        }
        None => (
            exchange.routed.route.map(|route| exchange.snapshot.route(route).name.as_str()),
            exchange.routed.pool.map(|pool| exchange.snapshot.pool(pool).name()),
            exchange.routed.user.and_then(|user| exchange.snapshot.routes.user(user)),
        ),
    };
    batch.append(&Record {
        time: clock::wall_time(exchange.asked.started),
        id: exchange.asked.id.as_bytes(),
        client: exchange.asked.client(client.peer),
        peer: client.peer,
        listener: &client.listener.name,
        user,
        method: note.text(&note.method),
        host: note.text(&note.host),
        target: note.text(&note.target),
        version: match exchange.asked.version {
            Version::Http10 => "HTTP/1.0",
            Version::Http11 => "HTTP/1.1",
        },
        referer: note.bytes(&note.referer),
        user_agent: note.bytes(&note.user_agent),
        status,
        bytes_in: exchange.upload.bytes,
        bytes_out: exchange.download.bytes,
        route,
        pool,
        attempts,
        queue: exchange.record.waited,
        total,
        end,
        reason: exchange.record.reason.map(|failure| failure.text()),
    });
}

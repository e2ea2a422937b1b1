//! Every bound that the configuration does not set, with its reason.

/// Fields in one head, unless `limits.fields` says otherwise. More than any browser or API client
/// sends; the array for them lives on the stack.
pub const HEAD_FIELDS_DEFAULT: usize = 100;

/// LIMIT: fields in one head that `limits.fields` may allow. Each of them is looked for in the
/// Connection fields, so the worst head costs this many times [`CONNECTION_BYTES_MAX`].
pub const HEAD_FIELDS_MAX: usize = 300;

/// LIMIT: bytes of all Connection fields of a head together. Each of up to a hundred fields is
/// looked for in them: a head full of options was measured at 1.5 ms, a hundred times the usual.
pub const CONNECTION_BYTES_MAX: usize = 1024;

/// LIMIT: bytes of a method. The longest registered one, `UPDATEREDIRECTREF`, has 17.
pub const METHOD_BYTES_MAX: usize = 64;

/// LIMIT: a Content-Length. Many backends read it into a signed 64-bit integer.
pub const CONTENT_LENGTH_MAX: u64 = i64::MAX as u64;

/// Bytes of a request target, unless `limits.target` says otherwise. What most origins accept.
pub const TARGET_BYTES_DEFAULT: usize = 8 * 1024;

/// LIMIT: bytes of a request target that `limits.target` may allow. A target may be looked up in
/// 32 readings, each of which costs its length.
pub const TARGET_BYTES_MAX: usize = 64 * 1024;

/// LIMIT: bytes of a target in a line of the access log, and in what the admin listener shows.
pub const LOG_TARGET_BYTES_MAX: usize = 8 * 1024;

/// LIMIT: extra tries that `retries` may ask for. Keeps the list of tried backends inline.
pub const RETRIES_MAX: u32 = 10;

/// LIMIT: worker threads that `workers` may ask for.
pub const WORKERS_MAX: usize = 256;

/// LIMIT: bytes of a small buffer. Holds nearly every head that is seen in practice.
pub const BUFFER_SMALL_BYTES: usize = 8 * 1024;

/// LIMIT: bytes of a large buffer, and so of what one connection holds of a body in one
/// direction. Past this size a system call's fixed cost no longer shows.
pub const BUFFER_LARGE_BYTES: usize = 64 * 1024;

/// LIMIT: pipes through which large bodies go. Whoever gets none copies. A slow reader holds one
/// with up to [`PIPE_BYTES`] of the kernel's memory, so this is 16 MiB at most.
pub const PIPES_MAX: usize = 32;

/// LIMIT: empty pipes that a worker keeps for the next large bodies.
pub const PIPES_KEPT_MAX: usize = 4;

/// LIMIT: bytes of a body in a pipe. At the kernel's own 64 KiB the two calls for a piece cost as
/// much as the copy that they save; from here on larger ones are no longer cheaper.
pub const PIPE_BYTES: usize = 512 * 1024;

/// A body of which less than this is left is copied, which is one call less to begin with.
pub const SPLICE_BYTES_MIN: u64 = 64 * 1024;

/// Bytes that go through a pipe for the price of one that is copied. A turn is as long for both.
pub const SPLICED_PER_COPIED: usize = 2;

/// LIMIT: small buffers that a worker keeps for the next requests.
pub const BUFFERS_KEPT_MAX: usize = 128;

/// LIMIT: large buffers that a worker keeps. One comes back within the same turn unless a peer is
/// slow.
pub const BUFFERS_LARGE_KEPT_MAX: usize = 4;

/// LIMIT: bytes of a rewritten head and the body behind it that are kept so that the request can be
/// sent again: what a large buffer holds, so that keeping them takes one buffer and no more.
pub const REPLAY_BYTES_MAX: usize = BUFFER_LARGE_BYTES;

/// LIMIT: bytes of a thread's stack. The deepest calls, two heads' worth of fields, take a
/// tenth of it; only what is touched is resident.
pub const THREAD_STACK_BYTES: usize = 512 * 1024;

/// LIMIT: bytes of a task, which is there for every connection, idle ones too. A test holds it.
pub const TASK_BYTES_MAX: usize = 1024;

/// LIMIT: bytes that a task may touch before the next task gets its turn. Handing over costs less
/// than a microsecond.
pub const TURN_BYTES: usize = 256 * 1024;

/// LIMIT: how long a turn may last, counted from its first 32 KiB. [`TURN_BYTES`] of an ordinary
/// body take a tenth of a millisecond.
pub const TURN_TIME: std::time::Duration = std::time::Duration::from_micros(500);

/// A task that touches at least this many bytes in a turn counts as bulk: its next turn waits
/// behind tasks with short turns.
pub const BULK_BYTES: usize = 64 * 1024;

/// LIMIT: pipelined requests answered before the next task gets its turn.
pub const TURN_REQUESTS: u32 = 16;

/// LIMIT: our own Via in a request this often means that it goes round in a loop.
pub const VIA_LOOPS_MAX: usize = 10;

/// LIMIT: entries of X-Forwarded-For, from its end, that become elements of `Forwarded`. Longer
/// chains are not seen in practice, and an element is longer than its entry.
pub const FORWARDED_HOPS_MAX: usize = 16;

/// A clock that is earlier than this was never set: the start of the year in which this version was
/// written, in seconds since 1970.
pub const CLOCK_SET_SINCE: std::time::Duration = std::time::Duration::from_secs(1_767_225_600);

/// LIMIT: backend connections pinned to one client connection, because the client logged in over
/// them: one for each pool that it uses. Beyond that the oldest is closed, and the client must log
/// in again.
pub const PINNED_PER_CLIENT_MAX: usize = 4;

/// LIMIT: bytes read and thrown away from a client of the admin listener that is being closed,
/// so that what we sent it is not destroyed by a reset.
pub const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// LIMIT: how long the close of a client's connection may take when its request has been read.
pub const LINGER_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(2);

/// LIMIT: how long a client may be silent if it was answered before the end of its request. Many
/// clients read the answer only after sending everything.
pub const LINGER_UNREAD_IDLE_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// LIMIT: how long such a client may keep sending. It holds its connection and no memory.
pub const LINGER_UNREAD_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// LIMIT: connections that wait in the kernel to be accepted. std's 128 overflows in a burst.
pub const ACCEPT_BACKLOG: i32 = 4096;

/// LIMIT: listening sockets that a service manager may pass.
pub const INHERITED_MAX: i32 = 256;

/// LIMIT: bytes that the kernel takes for a client beyond what it has on the way to it. Without
/// a limit it takes megabytes for each, and a thousand clients that do not read use up the memory
/// that the kernel has for all TCP connections of the machine. What is on the way is not counted,
/// so a slow link is as fast with it.
pub const UNSENT_BYTES_MAX: u32 = 64 * 1024;

/// LIMIT: the same for a client that has taken [`WIDEN_AFTER_BYTES`] of a body: what a pipe holds.
/// In pieces of 64 KiB a large body costs a third more processor time.
pub const UNSENT_BYTES_WIDE_MAX: u32 = PIPE_BYTES as u32;

/// Bytes of one body that a client has taken when it is trusted to take more at once. To make us
/// hold so much for it, a client has to read as much first.
pub const WIDEN_AFTER_BYTES: u64 = PIPE_BYTES as u64;

/// LIMIT: connections accepted before the poller looks at its other events.
pub const ACCEPT_BATCH: usize = 64;

/// Clients that are remembered though they hold no connection, before a sweep forgets them.
pub const CLIENT_ADDRESSES_KEPT: usize = 1024;

/// LIMIT: idle connections that one new connection displaces: one, unless a reload has lowered the
/// limit.
pub const DISPLACED_AT_ONCE_MAX: usize = 8;

/// How long a scan for idle connections stays valid, as a multiple of the time that it took, so that
/// the poller spends at most a sixteenth of its time scanning. A scan of 10 000 takes a millisecond.
pub const LOOK_OVER_SHARE: u32 = 16;

/// The least time that a scan stays valid.
pub const LOOK_OVER_EVERY_MIN: std::time::Duration = std::time::Duration::from_millis(1);

/// LIMIT: parked tasks that are looked at under one hold of their lock, which a worker may want.
pub const SURVEY_BATCH: usize = 256;

/// LIMIT: events that a thread takes from the kernel at once.
pub const EVENTS_BATCH: usize = 512;

/// LIMIT: tasks that a worker keeps warm. Looking at a socket costs 40 ns, parking it and fetching
/// it forty times that; and those beyond the limit wait for their turn.
pub const WARM_MAX: usize = 4096;

/// LIMIT: tasks that a worker takes from the ready channel before it looks at its warm set.
pub const TAKE_BATCH: usize = 64;

/// How long a worker sits in `poll` before it parks what has stayed quiet. Shorter parks
/// clients that are about to speak again, longer delays nothing but keeps a list.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_millis(1);

/// Polls that a task may stay quiet through before it is parked, on a worker that is busy with
/// others. Looking at a socket once costs about 40 ns, parking and fetching it 1 to 2 µs.
pub const QUIET_POLLS_MAX: u32 = 32;

/// Tasks that may wait in the ready channel for each worker that is awake before another one is
/// woken. A worker gets through so many small requests in half a millisecond.
pub const QUEUE_PER_WORKER: usize = 128;

/// How long a worker works without a pause before it gives half of what is ready to another.
/// Shorter spreads work that one thread does more cheaply; longer keeps clients waiting.
pub const SATURATED_AFTER: std::time::Duration = std::time::Duration::from_millis(10);

/// After how long a worker reports what became of its time. Schedulers let a thread run for up to
/// 4 ms while others wait, so much less would say little.
pub const CREW_WINDOW: std::time::Duration = std::time::Duration::from_millis(10);

/// How long the crew of workers keeps its size after one more, or one fewer, was of no use; each
/// time four times as long, up to the second of these. A trial takes 30 ms.
pub const CREW_PAUSE_MIN: std::time::Duration = std::time::Duration::from_millis(250);
/// See [`CREW_PAUSE_MIN`].
pub const CREW_PAUSE_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// How long the poller sleeps after it has accepted connections while workers are busy, as a
/// network card spaces its interrupts. Being woken for each connection took a quarter of the
/// processor time of one with a single request; 100 µs save a third of that, 400 no more than 200.
pub const ACCEPT_SPACING: std::time::Duration = std::time::Duration::from_micros(200);

/// How long accepting pauses when the process is out of descriptors or memory.
pub const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// How long a client may still send a request on an idle connection after a stop began. One
/// that is on its way when we close would be lost, and that client would see a failure.
pub const DRAIN_GRACE: std::time::Duration = std::time::Duration::from_secs(1);

/// What `Retry-After` tells clients, in seconds: by then a health check has had its say.
pub const RETRY_AFTER_S: u32 = 5;
/// LIMIT: bytes of chunk extensions after one chunk size. Nobody uses them; without
/// a bound, a peer could send megabytes of them for each byte of data.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 256;

/// LIMIT: bytes of a trailer section. It is kept whole until it is complete, so
/// it must fit into the smallest buffer that a body is relayed through.
pub const TRAILER_BYTES_MAX: usize = 4 * 1024;

/// LIMIT: fields in a trailer section. A checksum, a status and a few timings are usual.
pub const TRAILER_FIELDS_MAX: usize = 32;
/// LIMIT: a backend's weight. Enough to tell 1 from 256; a rotation stays short.
pub const WEIGHT_MAX: u32 = 256;

/// LIMIT: bytes of a configuration file. Thousands of backends fit; `/dev/zero` does not.
pub const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// LIMIT: any configured wait, in seconds: 30 days. Longer is a slip of the unit.
pub const DURATION_SECS_MAX: u64 = 30 * 24 * 60 * 60;

/// LIMIT: probes of each backend that are kept to be shown.
pub const PROBES_KEPT_MAX: usize = 32;

/// LIMIT: probes in flight at once, each with a descriptor. A thousand backends may hang at once
/// without delaying the others; beyond that, probes wait their turn.
pub const PROBES_IN_FLIGHT_MAX: usize = 1024;

/// LIMIT: bytes of the body of an answer to a probe that are read to check its framing.
pub const PROBE_BODY_BYTES_MAX: u64 = 64 * 1024;

/// LIMIT: bytes of interim responses that a probe reads, however many `limits.interim` allows
/// requests: the health thread reads them in one go.
pub const PROBE_INTERIM_BYTES_MAX: u64 = 1024 * 1024;

/// LIMIT: probes in a second that are made ahead of their schedule, over all backends.
pub const PROBES_AHEAD_PER_SECOND: u32 = 200;

/// How often a backend is probed ahead of its schedule, at most.
pub const PROBE_AHEAD_EVERY: std::time::Duration = std::time::Duration::from_millis(250);

/// For how long a backend is probed ahead of its schedule while it has not been up since the start,
/// or since its address changed, or while its pool has no usable backend.
pub const PROBE_AHEAD_FOR: std::time::Duration = std::time::Duration::from_secs(60);

/// LIMIT: threads that look up names. One that hangs in the system's resolver holds one.
pub const RESOLVE_THREADS_MAX: usize = 4;

/// LIMIT: addresses of one name that probes and requests try. More than any name that is meant as
/// one backend has; a hostile DNS answer may hold thousands.
pub const ADDRESSES_MAX: usize = 64;

/// How often the names of backends are looked up again.
pub const RESOLVE_EVERY: std::time::Duration = std::time::Duration::from_secs(10);

/// How soon a name may be looked up again when all of its addresses refuse.
pub const RESOLVE_AHEAD_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// How often a backend is probed whose last probe contradicts the verdict on it, unless its
/// `interval` is shorter still.
pub const PROBE_EVERY_IN_TRANSITION: std::time::Duration = std::time::Duration::from_secs(1);

/// LIMIT: retries of requests that a backend may have acted on, in percent of a pool's recent
/// requests. A fifth more load is what a pool in trouble can be asked to bear.
pub const RETRY_PERCENT: u64 = 20;

/// What counts as recent for that: this window and the one before it.
pub const RETRY_WINDOW: std::time::Duration = std::time::Duration::from_secs(10);

/// So many retries at once are allowed whatever the percentage says, or else a pool with
/// little traffic could never retry.
pub const RETRIES_IN_FLIGHT_MIN: u32 = 3;

/// LIMIT: earlier routes that `check` compares a route with, to say that it can never be reached. If
/// very many share a host and a path, it may miss one.
pub const ROUTES_COMPARED_MAX: usize = 256;

/// LIMIT: routes, pools, backends of a pool and users of a route. A request remembers each of them
/// by its place, in two bytes.
pub const PLACES_MAX: usize = u16::MAX as usize;

/// LIMIT: places for the buckets of a route's rate limit, as sets of so many ways: 32 768
/// clients at once in half a mebibyte. With more, the oldest lose their place.
pub const RATE_LIMIT_SETS: usize = 4096;

/// LIMIT: buckets that a look-up compares.
pub const RATE_LIMIT_WAYS: usize = 8;

/// LIMIT: credentials that a route remembers as verified.
pub const CREDENTIALS_KEPT_MAX: usize = 1024;

/// LIMIT: passwords that a route hashes for one client in a second: more than people mistype, and
/// at crypt's own default some 5 ms of a worker, which serves nobody else meanwhile.
pub const HASHES_PER_SECOND: u32 = 2;

/// LIMIT: passwords that a route hashes for one client at once: those of people behind one address
/// who come at the same time. Each is hashed once, and not again when they come back.
pub const HASHES_AT_ONCE: u32 = 20;

/// LIMIT: passwords that wait to be hashed, in all routes together. At crypt's own default the last
/// of them waits for a third of a second.
pub const PASSWORDS_WAITING_MAX: usize = 64;

/// LIMIT: how long a request waits for its password to be hashed.
pub const PASSWORD_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// LIMIT: bytes of a password. The time a hash takes grows with it.
pub const PASSWORD_BYTES_MAX: usize = 128;

/// LIMIT: notes about requests that a worker keeps for the next requests.
pub const NOTES_KEPT_MAX: usize = 256;

/// LIMIT: bytes of a note that is kept. A worker would else hold on to what the longest heads said.
pub const NOTE_KEPT_BYTES_MAX: usize = 2 * 1024;

/// LIMIT: bytes of a file that the configuration names, or of a body that stands in it. Each is
/// kept in memory and sent as one piece; more than this is a job for a web server.
pub const ATTACHED_BYTES_MAX: u64 = 64 * 1024;

/// LIMIT: fields that `remove`, `set` or `add` of a route may each name. A head with all of them
/// still has room for what the peer sent.
pub const HEADER_OPS_MAX: usize = 32;

/// LIMIT: bytes of a field's value in the configuration, so that a head with some of them still
/// fits into what peers accept.
pub const HEADER_VALUE_BYTES_MAX: usize = 4 * 1024;

/// LIMIT: rounds that a password hash may ask for. Every login costs them; crypt's own default
/// is 5 000, and twenty times that is some 50 ms of a worker.
pub const CRYPT_ROUNDS_MAX: u32 = 100_000;

/// LIMIT: bytes of one text in a line of the access log, as written there; of a target, that of
/// targets. A line with names of usual length then has less than [`LOG_BATCH_BYTES`].
pub const LOG_TEXT_BYTES_MAX: usize = 1024;

/// A worker hands its lines of the access log over when there are more bytes of them. A write of
/// so many costs little more than the copy; and a line is not held back for long.
pub const LOG_BATCH_BYTES: usize = 16 * 1024;

/// LIMIT: bytes of a buffer for such lines: what may be there already, and the longest line. Pages
/// that no line has reached cost nothing.
pub const LOG_BUFFER_BYTES: usize = 2 * LOG_BATCH_BYTES;

/// LIMIT: handed-over buffers that wait to be written: 4 to 8 MiB if all are full, as they are
/// only while the disk stands still. At 5 000 requests/s that is two seconds' worth of lines.
pub const LOG_BATCHES_MAX: usize = 256;

/// So many of them make the thread that writes them hurry.
pub const LOG_BATCHES_HURRY: usize = LOG_BATCHES_MAX / 4;

/// LIMIT: bytes of the access log that go into one write. What a pipe holds.
pub const LOG_WRITE_BYTES: usize = 64 * 1024;

/// How long lines may wait for others to be written with them. Waking a thread for each would
/// cost as much as the request.
pub const LOG_LINGER: std::time::Duration = std::time::Duration::from_millis(20);

/// LIMIT: how long a stop waits for a sink of the access log that takes nothing.
pub const LOG_STOP_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

/// How often a file of the access log that cannot be written to is opened anew, and how long
/// writing must have gone well before it is said to be.
pub const LOG_RETRY_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// LIMIT: how long a caller waits for a reload before it is told what the reload is doing. Ten
/// thousand routes take a second or two; anything slower probably hangs.
pub const RELOAD_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// LIMIT: requests for a reload that wait for its result.
pub const RELOAD_WAITERS_MAX: usize = 64;

/// LIMIT: how long shutdown waits for a reload that is being applied.
pub const RELOAD_STOP_WAIT: std::time::Duration = std::time::Duration::from_millis(500);

/// LIMIT: lines of diagnostics that wait to be written to stderr. A list of all requests that
/// SIGQUIT prints fits, and so does a burst of health changes of some thousand backends.
pub const DIAGNOSTIC_LINES_MAX: usize = 4096;

/// LIMIT: bytes of those lines.
pub const DIAGNOSTIC_BYTES_MAX: usize = 1024 * 1024;

/// LIMIT: bytes of one line of diagnostics. Error texts are shorter; what a peer has sent is not.
pub const DIAGNOSTIC_LINE_BYTES_MAX: usize = 8 * 1024;

/// LIMIT: how long the process waits at exit for diagnostics to be written, in case the reader of
/// stderr has stalled.
pub const DIAGNOSTICS_FLUSH_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

/// LIMIT: connections to the admin listener. Operators and scrapers are few; one more than this
/// closes the oldest.
pub const ADMIN_CONNECTIONS_MAX: usize = 32;

/// LIMIT: bytes of a request head to the admin listener: browsers and scrapers send a tenth.
pub const ADMIN_HEAD_BYTES_MAX: usize = 16 * 1024;

/// LIMIT: bytes of a request body to the admin listener. Nothing there reads one.
pub const ADMIN_BODY_BYTES_MAX: u64 = 4 * 1024;

/// LIMIT: how long an admin client may take to send its request, and to take the answer.
pub const ADMIN_DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);

/// How often the admin listener looks how much has been done, to show it over time.
pub const ADMIN_SAMPLE_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// LIMIT: rates that are kept of each backend: a minute of them.
pub const ADMIN_RATES_MAX: usize = 60;

/// LIMIT: bytes of a target that `/requests` and SIGQUIT show. With a thousand of the longest, one
/// answer would take 8 MiB.
pub const SHOWN_TARGET_BYTES_MAX: usize = 256;

/// LIMIT: bytes of answers that admin clients have not taken yet, beside the newest. When there are
/// more, the oldest connections with an answer are closed.
pub const ADMIN_HELD_BYTES_MAX: usize = 512 * 1024;

/// LIMIT: requests that `/requests` lists, the oldest. An answer is held in memory until it is
/// taken, and somebody who looks for a stuck request wants the oldest.
pub const ADMIN_REQUESTS_MAX: usize = 1_000;

/// How long connections to a backend are not reused after it sent unsolicited bytes, or closed most
/// connections when they were reused.
pub const KEEP_NOTHING_FOR: std::time::Duration = std::time::Duration::from_secs(30);

/// Reused connections that may die before an answer within ten seconds, if they are at least half
/// of all reuses. One or two are normal for a backend that closes idle connections earlier than we
/// do.
pub const REUSE_DEATHS_MAX: u64 = 3;

/// LIMIT: clients per backend that are remembered because a failed request of theirs was counted
/// within ten seconds. Beyond that the oldest are forgotten and may count again.
pub const EVIDENCE_CLIENTS_MAX: usize = 1024;

/// How long only an idempotent request may try an ejected backend, before any request may.
pub const TRIAL_IDEMPOTENT_FIRST: std::time::Duration = std::time::Duration::from_secs(1);

/// LIMIT: picks of one request. Another thread may take the place, or the trial of an ejected
/// backend, between the pick and the taking.
pub const PICKS_MAX: usize = 3;

/// The pause before a backend that refused a connection is dialled again; each is twice as long as
/// the one before, within `timeouts.connect`.
pub const REDIAL_PAUSE_MIN: std::time::Duration = std::time::Duration::from_millis(50);

/// How often a request that waits for its response looks whether probes have found the backend
/// down meanwhile.
pub const LOOK_AGAIN_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

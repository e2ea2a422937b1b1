//! Every bound that is not configurable, with its reason.

/// Fields in one head, unless `limits.fields` says otherwise. More than any browser or API client
/// sends; their array lives on the stack.
pub const HEAD_FIELDS_DEFAULT: usize = 100;

/// LIMIT: fields in one head that `limits.fields` may allow. Each of them is looked up in the
/// Connection fields, so the worst head costs this many times [`CONNECTION_BYTES_MAX`].
pub const HEAD_FIELDS_MAX: usize = 300;

/// LIMIT: bytes of all Connection fields of a head together. Each of up to a hundred fields is looked
/// up in them: a head full of options was measured at 1.5 ms, a hundred times the usual.
pub const CONNECTION_BYTES_MAX: usize = 1024;

/// LIMIT: bytes of a method. The longest registered one, `UPDATEREDIRECTREF`, has 17.
pub const METHOD_BYTES_MAX: usize = 64;

/// LIMIT: a Content-Length. Many backends read it into a signed 64-bit integer.
pub const CONTENT_LENGTH_MAX: u64 = i64::MAX as u64;

/// Bytes of a request target, unless `limits.target` says otherwise. What most servers accept.
pub const TARGET_BYTES_DEFAULT: usize = 8 * 1024;

/// LIMIT: bytes of a request target that `limits.target` may allow. A target may be looked up in 32
/// readings, and each costs time proportional to its length.
pub const TARGET_BYTES_MAX: usize = 64 * 1024;

/// LIMIT: bytes of a target in a line of the access log, and in what the admin listener shows.
pub const LOG_TARGET_BYTES_MAX: usize = 8 * 1024;

/// LIMIT: retries that `retries` may allow. Keeps the list of tried backends inline.
pub const RETRIES_MAX: u32 = 10;

/// LIMIT: worker threads that `workers` may set.
pub const WORKERS_MAX: usize = 256;

/// LIMIT: bytes of a small buffer. Fits nearly every head seen in practice.
pub const BUFFER_SMALL_BYTES: usize = 8 * 1024;

/// LIMIT: bytes of a large buffer, and so of a body that one connection buffers in one direction.
/// Beyond this size the fixed cost of a system call is negligible.
pub const BUFFER_LARGE_BYTES: usize = 64 * 1024;

/// LIMIT: pipes for splicing large bodies. A body that gets none is copied. A slow reader ties one up
/// with up to [`PIPE_BYTES`] of kernel memory, so this is 16 MiB at most.
pub const PIPES_MAX: usize = 32;

/// LIMIT: empty pipes that a worker keeps for later bodies.
pub const PIPES_KEPT_MAX: usize = 4;

/// LIMIT: bytes of a body in a pipe. At the kernel's default of 64 KiB the two calls per piece cost as
/// much as the copy that they save; beyond this size they get no cheaper.
pub const PIPE_BYTES: usize = 512 * 1024;

/// A body with less than this left to relay is copied, which takes one system call less to start with.
pub const SPLICE_BYTES_MIN: u64 = 64 * 1024;

/// Bytes that can be spliced for the price of one that is copied, so that a turn takes equally long
/// either way.
pub const SPLICED_PER_COPIED: usize = 2;

/// LIMIT: unused small buffers that a worker keeps.
pub const BUFFERS_KEPT_MAX: usize = 128;

/// LIMIT: unused large buffers that a worker keeps. A large buffer comes back within the same turn
/// unless a peer is slow.
pub const BUFFERS_LARGE_KEPT_MAX: usize = 4;

/// LIMIT: bytes of a rewritten head and the body behind it that are kept so that the request can be
/// retried: what fits into one large buffer.
pub const REPLAY_BYTES_MAX: usize = BUFFER_LARGE_BYTES;

/// LIMIT: bytes of a thread's stack. The deepest calls, with the fields of two heads, use a tenth of
/// it; only touched pages are resident.
pub const THREAD_STACK_BYTES: usize = 512 * 1024;

/// LIMIT: bytes of a task. Every connection has one, idle ones too. A test enforces it.
pub const TASK_BYTES_MAX: usize = 1024;

/// Streams of one task: its client's and one to a backend. What is armed when a task is parked is
/// kept on the stack.
pub const STREAMS_PER_TASK_MAX: usize = 2;

/// LIMIT: bytes that a task may touch before the next task gets its turn. Switching costs less than a
/// microsecond.
pub const TURN_BYTES: usize = 256 * 1024;

/// LIMIT: how long a turn may last, counted from its first 32 KiB. [`TURN_BYTES`] of an ordinary body
/// take a tenth of a millisecond.
pub const TURN_TIME: std::time::Duration = std::time::Duration::from_micros(500);

/// A task that touches at least this many bytes in a turn counts as bulk: its next turn waits behind
/// tasks with short turns.
pub const BULK_BYTES: usize = 64 * 1024;

/// LIMIT: pipelined requests answered before the next task gets its turn.
pub const TURN_REQUESTS: u32 = 16;

/// LIMIT: this many of our own Via entries in a request mean that it is looping.
pub const VIA_LOOPS_MAX: usize = 10;

/// LIMIT: entries at the end of X-Forwarded-For that are converted to `Forwarded`. Longer chains are
/// not seen in practice, and an element of `Forwarded` is longer than its entry.
pub const FORWARDED_HOPS_MAX: usize = 16;

/// A wall clock before this was never set: the start of the year in which this version was written, in
/// seconds since 1970.
pub const CLOCK_SET_SINCE: std::time::Duration = std::time::Duration::from_secs(1_767_225_600);

/// LIMIT: backend connections pinned to one client connection because the client logged in over them:
/// one for each pool it uses. Beyond that the oldest is closed, and the client must log in again.
pub const PINNED_PER_CLIENT_MAX: usize = 4;

/// LIMIT: bytes read and discarded from an admin client that is being closed, so that a reset does not
/// destroy what we sent it.
pub const LINGER_BYTES_MAX: usize = 1024 * 1024;

/// LIMIT: how long closing a client's connection may take if its request was read in full.
pub const LINGER_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(2);

/// LIMIT: how long a client may be silent if it was answered before the end of its request. Many
/// clients read the response only after sending everything.
pub const LINGER_UNREAD_IDLE_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// LIMIT: how long such a client may keep sending. It holds a connection but no memory.
pub const LINGER_UNREAD_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(30);

/// LIMIT: connections that wait in the kernel to be accepted. The 128 of std overflow in a burst.
pub const ACCEPT_BACKLOG: i32 = 4096;

/// LIMIT: listening sockets that a service manager may pass.
pub const INHERITED_MAX: i32 = 256;

/// LIMIT: unsent bytes that the kernel buffers for a client. Without a limit it takes megabytes for
/// each, and a thousand clients that do not read use up the memory for all TCP connections of the
/// machine. Bytes in flight do not count, so slow links lose no throughput.
pub const UNSENT_BYTES_MAX: u32 = 64 * 1024;

/// LIMIT: the same for a client that has read [`WIDEN_AFTER_BYTES`] of a body: what a pipe holds. With
/// 64 KiB a large body costs a third more processor time.
pub const UNSENT_BYTES_WIDE_MAX: u32 = PIPE_BYTES as u32;

/// Bytes of one body that a client must have read before it gets the larger limit. To make us buffer
/// that much, it first has to read as much.
pub const WIDEN_AFTER_BYTES: u64 = PIPE_BYTES as u64;

/// LIMIT: connections accepted before the poller turns to its other events.
pub const ACCEPT_BATCH: usize = 64;

/// Clients without a connection that are remembered before a sweep drops them.
pub const CLIENT_ADDRESSES_KEPT: usize = 1024;

/// LIMIT: idle connections that one new connection may displace. It is one, unless a reload has lowered
/// the limit.
pub const DISPLACED_AT_ONCE_MAX: usize = 8;

/// How long a scan for idle connections stays valid, as a multiple of the time it took, so that the
/// poller spends at most a sixteenth of its time scanning. A scan of 10 000 takes a millisecond.
pub const LOOK_OVER_SHARE: u32 = 16;

/// The minimum time that a scan stays valid.
pub const LOOK_OVER_EVERY_MIN: std::time::Duration = std::time::Duration::from_millis(1);

/// LIMIT: parked tasks inspected per hold of their lock, which a worker may be waiting for.
pub const SURVEY_BATCH: usize = 256;

/// LIMIT: events that a thread takes from the kernel per call.
pub const EVENTS_BATCH: usize = 512;

/// LIMIT: tasks that a worker keeps warm. Polling a socket costs 40 ns; parking it and fetching it back
/// costs forty times that. Tasks beyond the limit wait for their turn.
pub const WARM_MAX: usize = 4096;

/// LIMIT: tasks that a worker takes from the ready channel before it polls its warm set.
pub const TAKE_BATCH: usize = 64;

/// How long a worker waits in `poll` before it parks tasks that stay quiet. Shorter parks clients that
/// are about to send again; longer delays nothing but makes for a longer list.
pub const PATIENCE: std::time::Duration = std::time::Duration::from_millis(1);

/// Polls that a task may stay quiet for before a busy worker parks it. Polling a socket costs about 40
/// ns; parking and fetching it back costs 1 to 2 µs.
pub const QUIET_POLLS_MAX: u32 = 32;

/// Tasks in the ready channel per awake worker before another worker is woken. A worker serves this
/// many small requests in half a millisecond.
pub const QUEUE_PER_WORKER: usize = 128;

/// How long a worker works without a pause before it gives half of its ready tasks to another. Shorter
/// spreads work that one thread does more cheaply; longer keeps clients waiting.
pub const SATURATED_AFTER: std::time::Duration = std::time::Duration::from_millis(10);

/// How often a worker reports how it spent its time. Schedulers let a thread run for up to 4 ms while
/// others wait, so a much shorter window would say little.
pub const CREW_WINDOW: std::time::Duration = std::time::Duration::from_millis(10);

/// How long the crew of workers keeps its size after adding or removing a worker did not help. The
/// pause grows fourfold each time, up to [`CREW_PAUSE_MAX`]. A trial takes 30 ms.
pub const CREW_PAUSE_MIN: std::time::Duration = std::time::Duration::from_millis(250);
/// See [`CREW_PAUSE_MIN`].
pub const CREW_PAUSE_MAX: std::time::Duration = std::time::Duration::from_secs(5);

/// How long the poller sleeps after it has accepted connections while workers are busy, as a network
/// card moderates its interrupts. Waking up for each connection cost a quarter of the processor time of
/// a connection with a single request. 100 µs save a third of that; 400 save no more than 200.
pub const ACCEPT_SPACING: std::time::Duration = std::time::Duration::from_micros(200);

/// How long accepting pauses when the process is out of descriptors or memory.
pub const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// How long a client may still send a request on an idle connection after a stop begins. A request
/// already on its way when we close would be lost, and that client would see a failure.
pub const DRAIN_GRACE: std::time::Duration = std::time::Duration::from_secs(1);

/// The `Retry-After` that clients are sent, in seconds: by then health checks have reacted.
pub const RETRY_AFTER_S: u32 = 5;
/// LIMIT: bytes of chunk extensions after one chunk size. Nothing uses them, and without a bound a peer
/// could send megabytes of them for each byte of data.
pub const CHUNK_EXTENSION_BYTES_MAX: usize = 256;

/// LIMIT: bytes of a trailer section. It is buffered until it is complete, so it must fit into the
/// smallest buffer that a body is relayed through.
pub const TRAILER_BYTES_MAX: usize = 4 * 1024;

/// LIMIT: fields in a trailer section. A checksum, a status and a few timings are typical.
pub const TRAILER_FIELDS_MAX: usize = 32;
/// LIMIT: a backend's weight. Fine enough for any ratio in practice, and keeps a rotation short.
pub const WEIGHT_MAX: u32 = 256;

/// LIMIT: bytes of a configuration file. Thousands of backends fit; `/dev/zero` does not.
pub const CONFIG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// LIMIT: any configured duration, in seconds: 30 days. Anything longer is a mistake in the unit.
pub const DURATION_SECS_MAX: u64 = 30 * 24 * 60 * 60;

/// LIMIT: recent probes of each backend that are kept for display.
pub const PROBES_KEPT_MAX: usize = 32;

/// LIMIT: probes in flight, each with a file descriptor. A thousand backends may hang at once without
/// delaying the others; beyond that, probes wait their turn.
pub const PROBES_IN_FLIGHT_MAX: usize = 1024;

/// LIMIT: bytes of a probe's response body that are read to check its framing.
pub const PROBE_BODY_BYTES_MAX: u64 = 64 * 1024;

/// LIMIT: bytes of interim responses that a probe reads, no matter what `limits.interim` allows for
/// requests: the health thread reads them in one go.
pub const PROBE_INTERIM_BYTES_MAX: u64 = 1024 * 1024;

/// LIMIT: probes per second ahead of schedule, over all backends.
pub const PROBES_AHEAD_PER_SECOND: u32 = 200;

/// The minimum time between two probes of a backend ahead of schedule.
pub const PROBE_AHEAD_EVERY: std::time::Duration = std::time::Duration::from_millis(250);

/// How long a backend is probed ahead of schedule if it has not been up since the start or since its
/// address changed, or if its pool has no usable backend.
pub const PROBE_AHEAD_FOR: std::time::Duration = std::time::Duration::from_secs(60);

/// LIMIT: threads that resolve names. A lookup that hangs in the system's resolver blocks one.
pub const RESOLVE_THREADS_MAX: usize = 4;

/// LIMIT: addresses of one name that probes and requests try. More than a name meant as one backend
/// has; a hostile DNS response may contain thousands.
pub const ADDRESSES_MAX: usize = 64;

/// How often backend names are resolved again.
pub const RESOLVE_EVERY: std::time::Duration = std::time::Duration::from_secs(10);

/// How soon a name may be resolved again if all of its addresses refuse connections.
pub const RESOLVE_AHEAD_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// How often a backend is probed while its last probe contradicts its state, unless its `interval` is
/// shorter.
pub const PROBE_EVERY_IN_TRANSITION: std::time::Duration = std::time::Duration::from_secs(1);

/// LIMIT: retries of requests that a backend may have acted on, as a percentage of a pool's recent
/// requests. A pool in trouble can be asked to bear a fifth more load.
pub const RETRY_PERCENT: u64 = 20;

/// "Recent" means this window and the one before it.
pub const RETRY_WINDOW: std::time::Duration = std::time::Duration::from_secs(10);

/// This many concurrent retries are always allowed; otherwise a pool with little traffic could never
/// retry.
pub const RETRIES_IN_FLIGHT_MIN: u32 = 3;

/// LIMIT: earlier routes that `check` compares a route with to find out that it is unreachable. If very
/// many routes share a host and a path, it may miss one.
pub const ROUTES_COMPARED_MAX: usize = 256;

/// LIMIT: routes, pools, backends of a pool and users of a route. A request stores the index of each in
/// two bytes.
pub const PLACES_MAX: usize = u16::MAX as usize;

/// LIMIT: sets of buckets for a route's rate limit: 32 768 clients at a time, in half a mebibyte. With
/// more, the oldest are evicted.
pub const RATE_LIMIT_SETS: usize = 4096;

/// LIMIT: buckets in a set, all of which a lookup compares.
pub const RATE_LIMIT_WAYS: usize = 8;

/// LIMIT: verified credentials that a route remembers.
pub const CREDENTIALS_KEPT_MAX: usize = 1024;

/// LIMIT: passwords that a route hashes for one client per second: more than people mistype. At crypt's
/// default cost each takes some 5 ms of a worker, which serves no other request meanwhile.
pub const HASHES_PER_SECOND: u32 = 2;

/// LIMIT: passwords that a route hashes for one client in a burst, for when people behind one address
/// arrive together. Each password is hashed once, not again on later requests.
pub const HASHES_AT_ONCE: u32 = 20;

/// LIMIT: passwords that wait to be hashed, over all routes. At crypt's default cost the last of them
/// waits for a third of a second.
pub const PASSWORDS_WAITING_MAX: usize = 64;

/// LIMIT: how long a request waits for its password to be hashed.
pub const PASSWORD_WAIT: std::time::Duration = std::time::Duration::from_secs(5);

/// LIMIT: bytes of a password. Hashing takes longer the longer it is.
pub const PASSWORD_BYTES_MAX: usize = 128;

/// LIMIT: unused request notes that a worker keeps.
pub const NOTES_KEPT_MAX: usize = 256;

/// LIMIT: bytes of a note that is kept. Otherwise a worker would hold on to the memory of the longest
/// heads.
pub const NOTE_KEPT_BYTES_MAX: usize = 2 * 1024;

/// LIMIT: bytes of a file that the configuration names, or of an inline body. Each is kept in memory
/// and sent in one piece; larger files are a job for a web server.
pub const ATTACHED_BYTES_MAX: u64 = 64 * 1024;

/// LIMIT: fields that `remove`, `set` or `add` of a route may each name. A head with all of them still
/// has room for the fields that the peer sent.
pub const HEADER_OPS_MAX: usize = 32;

/// LIMIT: bytes of a field value in the configuration, so that a head with some of them still fits into
/// what peers accept.
pub const HEADER_VALUE_BYTES_MAX: usize = 4 * 1024;

/// LIMIT: rounds of a password hash. Every login pays for them; crypt's default is 5 000, and twenty
/// times that takes some 50 ms of a worker.
pub const CRYPT_ROUNDS_MAX: u32 = 100_000;

/// LIMIT: escaped bytes of one text in an access log line; targets have their own limit. A line with
/// names of usual length is then shorter than [`LOG_BATCH_BYTES`].
pub const LOG_TEXT_BYTES_MAX: usize = 1024;

/// A worker hands over its access log lines once they exceed this. Writing this much costs little more
/// than the copy, and no line is held back for long.
pub const LOG_BATCH_BYTES: usize = 16 * 1024;

/// LIMIT: bytes of a buffer for such lines: a batch and the longest line. Untouched pages cost nothing.
pub const LOG_BUFFER_BYTES: usize = 2 * LOG_BATCH_BYTES;

/// LIMIT: handed-over buffers that wait to be written: 4 to 8 MiB if all are full, which happens only
/// while the disk is stalled. At 5 000 requests/s this is two seconds' worth of lines.
pub const LOG_BATCHES_MAX: usize = 256;

/// This many waiting buffers make the writer stop lingering.
pub const LOG_BATCHES_HURRY: usize = LOG_BATCHES_MAX / 4;

/// LIMIT: bytes of the access log per write: what a pipe holds.
pub const LOG_WRITE_BYTES: usize = 64 * 1024;

/// How long lines may wait for others to be written with them. Waking a thread for each would cost as
/// much as the request itself.
pub const LOG_LINGER: std::time::Duration = std::time::Duration::from_millis(20);

/// LIMIT: how long a stop waits for a stalled access log sink.
pub const LOG_STOP_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

/// How often an access log file that cannot be written is reopened, and how long writing must succeed
/// before it is reported as recovered.
pub const LOG_RETRY_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// LIMIT: how long a caller waits for a reload before it is told what the reload is doing. Ten thousand
/// routes take a second or two; anything slower has probably hung.
pub const RELOAD_WAIT: std::time::Duration = std::time::Duration::from_secs(10);

/// LIMIT: callers that wait for the result of a reload.
pub const RELOAD_WAITERS_MAX: usize = 64;

/// LIMIT: how long shutdown waits for a reload that is being applied.
pub const RELOAD_STOP_WAIT: std::time::Duration = std::time::Duration::from_millis(500);

/// LIMIT: diagnostic lines that wait to be written to stderr. Fits the list of requests that SIGQUIT
/// prints, or a burst of health changes of some thousand backends.
pub const DIAGNOSTIC_LINES_MAX: usize = 4096;

/// LIMIT: bytes of those lines.
pub const DIAGNOSTIC_BYTES_MAX: usize = 1024 * 1024;

/// LIMIT: bytes of one diagnostic line. Error texts are shorter; text from a peer may not be.
pub const DIAGNOSTIC_LINE_BYTES_MAX: usize = 8 * 1024;

/// LIMIT: how long the process waits at exit for diagnostics to be written if the reader of stderr has
/// stalled.
pub const DIAGNOSTICS_FLUSH_WAIT: std::time::Duration = std::time::Duration::from_secs(1);

/// LIMIT: connections to the admin listener. Operators and scrapers are few; one more than this
/// closes the oldest.
pub const ADMIN_CONNECTIONS_MAX: usize = 32;

/// LIMIT: bytes of a request head to the admin listener. Browsers and scrapers send a tenth of it.
pub const ADMIN_HEAD_BYTES_MAX: usize = 16 * 1024;

/// LIMIT: bytes of a request body to the admin listener. Nothing there reads one.
pub const ADMIN_BODY_BYTES_MAX: u64 = 4 * 1024;

/// LIMIT: how long an admin client may take to send its request and to read the response.
pub const ADMIN_DEADLINE: std::time::Duration = std::time::Duration::from_secs(5);

/// How often the admin listener samples the counters, to show rates over time.
pub const ADMIN_SAMPLE_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// LIMIT: samples kept per backend: one minute.
pub const ADMIN_RATES_MAX: usize = 60;

/// LIMIT: bytes of a target shown by `/requests` and SIGQUIT. A thousand of the longest would make a
/// response of 8 MiB.
pub const SHOWN_TARGET_BYTES_MAX: usize = 256;

/// LIMIT: bytes of responses that admin clients have not read yet, not counting the newest. Beyond
/// that, the oldest connections with a response are closed.
pub const ADMIN_HELD_BYTES_MAX: usize = 512 * 1024;

/// LIMIT: requests that `/requests` lists, oldest first. The response is held in memory until it is
/// read, and an operator looking for a stuck request wants the oldest.
pub const ADMIN_REQUESTS_MAX: usize = 1_000;

/// How long connections to a backend are not reused after it sent unsolicited bytes, or closed most of
/// its connections on reuse.
pub const KEEP_NOTHING_FOR: std::time::Duration = std::time::Duration::from_secs(30);

/// Reused connections that may die before a response within ten seconds, provided that they are at
/// least half of all reuses. One or two are normal for a backend that closes idle connections earlier
/// than we do.
pub const REUSE_DEATHS_MAX: u64 = 3;

/// LIMIT: clients per backend that are remembered because one of their failed requests was counted
/// within ten seconds. Beyond that the oldest are forgotten and may count again.
pub const EVIDENCE_CLIENTS_MAX: usize = 1024;

/// For this long only idempotent requests may try an ejected backend; after that, any request may.
pub const TRIAL_IDEMPOTENT_FIRST: std::time::Duration = std::time::Duration::from_secs(1);

/// LIMIT: picks per request. Another thread may take the last slot, or the trial of an ejected backend,
/// between the pick and the lease.
pub const PICKS_MAX: usize = 3;

/// The first pause before dialling a backend again that refused a connection; the pause doubles each
/// time, within `timeouts.connect`.
pub const REDIAL_PAUSE_MIN: std::time::Duration = std::time::Duration::from_millis(50);

/// How often a request that waits for its response checks whether probes have found the backend down
/// meanwhile.
pub const LOOK_AGAIN_EVERY: std::time::Duration = std::time::Duration::from_secs(1);

/// LIMIT: connections that a sample origin serves at once, each on a thread of its own. The next one
/// is told 503.
pub const ORIGIN_CONNECTIONS_MAX: usize = 4096;

/// The stack of a thread of a sample origin. Only what is touched takes memory; a head of
/// [`HEAD_FIELDS_MAX`] fields takes 20 KiB of it.
pub const ORIGIN_STACK_BYTES: usize = 256 * 1024;

/// LIMIT: bytes of a head that a sample origin takes: all that a balancer may forward, and more.
pub const ORIGIN_HEAD_BYTES_MAX: usize = 64 * 1024;

/// LIMIT: bytes of a body that a sample origin takes.
pub const ORIGIN_BODY_BYTES_MAX: u64 = 1 << 30;

/// LIMIT: bytes of a WebSocket message that a sample origin echoes; it holds one of them.
pub const ORIGIN_MESSAGE_BYTES_MAX: usize = 64 * 1024;

/// LIMIT: how long a sample origin keeps an idle connection. It is longer than the 30 s of
/// `timeouts.upstream_idle`, so that a balancer closes first and meets no dead connection.
pub const ORIGIN_IDLE_MAX: std::time::Duration = std::time::Duration::from_secs(75);

/// LIMIT: how long a request head may take to arrive at a sample origin, from its first byte.
pub const ORIGIN_HEAD_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(10);

/// LIMIT: how long a request body may take to arrive at a sample origin.
pub const ORIGIN_BODY_TIME_MAX: std::time::Duration = std::time::Duration::from_secs(600);

/// LIMIT: how long a sample origin waits for a client that sends no byte of its body, or reads no
/// byte of its response.
pub const ORIGIN_STALL_MAX: std::time::Duration = std::time::Duration::from_secs(30);

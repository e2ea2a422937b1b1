//! What every task in flight is doing, as a table for people: SIGQUIT prints it.

use std::fmt::Write as _;

use ropewalk::side::admin::operations::RequestInFlight;

/// The table, with a line that says how many there are.
pub(crate) fn table(requests: &[RequestInFlight]) -> String {
    let mut text = format!("{} requests in flight\n", requests.len());
    for request in requests {
        let RequestInFlight { id, stage, place, client, method, target, route, backend, .. } = request;
        let deadline = request.deadline_ms.map(|ms| format!(", {ms} ms to its deadline")).unwrap_or_default();
        // Writing to memory does not fail.
        let _ = writeln!(
            text,
            "  {:>8} ms  {stage}{deadline}  [{place}]  {client}  {method} {target}  route={route} backend={backend} attempts={} id={id}",
            request.age_ms, request.attempts,
        );
    }
    text.truncate(text.trim_end().len());
    text
}

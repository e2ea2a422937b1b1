//! How requests end: one closed list, from which the access log takes its words.

use crate::proxy::failure::Failure;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The client was sent the whole response of a backend.
    Completed,
    /// The route redirected it.
    Redirected,
    /// The route, or ropewalk itself, answered it.
    Responded,
    /// A side of the tunnel that it became has closed.
    TunnelClosed,
    /// Nothing passed through that tunnel for too long.
    TunnelIdle,
    /// ropewalk was stopped and did not wait any longer.
    Stopped,
    /// Something went wrong.
    Failed(Failure),
}

impl End {
    /// What logs call it: one word of a closed list, which docs/access-log.md explains.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::Redirected => "redirected",
            Self::Responded => "responded",
            Self::TunnelClosed => "tunnel_closed",
            Self::TunnelIdle => "tunnel_idle",
            Self::Stopped => "stopped",
            Self::Failed(failure) => failure.word(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::proxy::failure::WORDS;

    #[test]
    fn the_documentation_explains_every_way_for_a_request_to_end_and_no_other() {
        let page = include_str!("../../docs/access-log.md");
        let own = [
            End::Completed,
            End::Redirected,
            End::Responded,
            End::TunnelClosed,
            End::TunnelIdle,
            End::Stopped,
        ];
        let known: BTreeSet<_> = own.into_iter().map(End::word).chain(WORDS.iter().copied()).collect();
        // The list begins with the word for a request without trouble.
        let list = page.split_once("\n| `completed` |").map_or("", |(_, list)| list);
        let list = list.split_once("\n\n").map_or(list, |(list, _)| list);
        let rows = list.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
        let explained: BTreeSet<_> = rows.chain(["completed"]).collect();
        assert_eq!(known, explained);
    }
}

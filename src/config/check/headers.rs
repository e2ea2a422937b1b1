//! `headers`: which fields are added to every message, and which names are let through.

use super::super::document::Node;
use super::super::plan::{HeaderPlan, Underscores};
use super::super::reader::{self, Fields, Problems};

const UNDERSCORES: &[(&str, Underscores)] = &[("drop", Underscores::Drop), ("allow", Underscores::Allow)];

/// `headers`. Without it: Via, no Forwarded, and no names with underscores.
pub(super) fn read(node: Option<&Node>, problems: &mut Problems) -> HeaderPlan {
    let mut plan = HeaderPlan::default();
    let Some(mut fields) = node.and_then(|node| Fields::open(node, problems)) else { return plan };
    for (name, into) in [("via", &mut plan.via), ("forwarded", &mut plan.forwarded)] {
        let read = fields.take(name).and_then(|node| reader::boolean(node, problems));
        *into = read.unwrap_or(*into);
    }
    let read = fields.take("underscores").and_then(|node| reader::word(node, UNDERSCORES, problems));
    plan.underscores = read.unwrap_or(plan.underscores);
    fields.close(problems);
    plan
}

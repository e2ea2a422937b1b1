//! `limits.memory` against the worst case of everything else.

use super::super::document::Node;
use super::super::memory::{Size, WorstCase};
use super::super::plan::Parts;
use super::super::reader::{Fields, Problems};

/// Refuses a configuration that cannot keep to its `limits.memory`, and says what to lower.
pub(super) fn refuse(plan: &Parts, limits: Option<&Node>, problems: &mut Problems) {
    let (Some(memory), Some(limits)) = (plan.limits.memory, limits) else { return };
    let worst = WorstCase::of(plan);
    if worst.bytes() <= memory {
        return;
    }
    let mut silent = Problems::default();
    let node = Fields::open(limits, &mut silent).and_then(|mut fields| fields.take("memory"));
    let at = &node.unwrap_or(limits).at;
    let remedy = match WorstCase::connections_within(plan, memory) {
        Some(connections) => {
            format!(
                r#"lower "connections" to {connections}, which would fit, or raise "memory" to {}"#,
                Size(worst.bytes())
            )
        }
        None => {
            let least = |plan: &Parts| {
                let mut least = plan.clone();
                least.limits.connections = 1;
                Size(WorstCase::of(&least).bytes()).to_string()
            };
            let without = match plan.admin {
                Some(_) => {
                    let plan = Parts { admin: None, ..plan.clone() };
                    format!(r#"; without "admin" it would need {}"#, least(&plan))
                }
                None => String::new(),
            };
            format!(
                r#"even one connection would not fit: raise "memory" to at least {}{without}"#,
                least(plan)
            )
        }
    };
    problems.error(
        at,
        format!("{} is not enough, since this configuration may need {worst}; {remedy}", Size(memory)),
    );
}

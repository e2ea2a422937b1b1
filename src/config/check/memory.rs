//! `limits.memory` against the worst case of everything else.

use super::super::document::Node;
use super::super::memory::{Size, WorstCase};
use super::super::plan::Plan;
use super::super::reader::{Fields, Problems};

/// Refuses a configuration that cannot keep to its `limits.memory`, and says what to lower.
pub(super) fn refuse(plan: &Plan, limits: Option<&Node>, problems: &mut Problems) {
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
        None => r#"even a single connection would not fit: raise "memory", or have fewer of what stands first, "workers" perhaps"#.to_owned(),
    };
    problems.error(
        at,
        format!("{} is not enough, for this configuration may need {worst}; {remedy}", Size(memory)),
    );
}

//! Where and with what a report was made: without it, its numbers mean nothing.

use std::fs;
use std::process::Command;

use crate::arguments::Plan;

/// The head of the report.
pub fn describe(plan: &Plan) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let versions: String = plan
        .peers
        .iter()
        .filter_map(|peer| Some(format!("- {}: {}\n", peer.name(), peer.version(plan.baseline.as_deref())?)))
        .collect();
    format!(
        "# ropewalk against its peers\n\n\
         - commit: {}\n\
         - machine: {cores} cores, {}, Linux {}, TCP {}\n\
         - command: `{}`\n\
         - {} workers each, {} rounds of {:?} after {:?} of warm-up, {} requests/s in the \
         fixed-rate mode\n\
         {versions}\n",
        commit().unwrap_or_else(|| "unknown".to_owned()),
        cpu_model().unwrap_or_else(|| "unknown processor".to_owned()),
        kernel_setting("kernel/osrelease"),
        // bbr paces even loopback, which changes what a large body costs.
        kernel_setting("net/ipv4/tcp_congestion_control"),
        command(),
        plan.workers,
        plan.rounds,
        plan.measure,
        plan.warm_up,
        plan.rate,
    )
}

/// The same in one line, for the picture.
pub fn line(plan: &Plan) -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "commit {}; {cores} cores, {}; {} workers each; medians of {} rounds of {:?}; loopback",
        commit().unwrap_or_else(|| "unknown".to_owned()),
        cpu_model().unwrap_or_else(|| "unknown processor".to_owned()),
        plan.workers,
        plan.rounds,
        plan.measure,
    )
}

fn kernel_setting(name: &str) -> String {
    let text = fs::read_to_string(format!("/proc/sys/{name}")).unwrap_or_default();
    text.trim().to_owned()
}

fn cpu_model() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix("model name"))?;
    Some(line.trim_start_matches([' ', '\t', ':']).to_owned())
}

fn commit() -> Option<String> {
    let revision = git(&["rev-parse", "--short=12", "HEAD"])?;
    let dirty =
        if git(&["status", "--porcelain", "--untracked-files=no"])?.is_empty() { "" } else { "-dirty" };
    Some(revision + dirty)
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).current_dir(env!("CARGO_MANIFEST_DIR")).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// What to type for the same run; cargo adds `--bench` by itself.
fn command() -> String {
    let options: Vec<_> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    format!("cargo bench --bench compare -- {}", options.join(" ")).trim_end_matches([' ', '-']).to_owned()
}

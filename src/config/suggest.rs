//! "Did you mean": the allowed word that is closest to what was typed.
//!
//! Pure text. Four ways to be close, tried in this order: the same word in another spelling
//! (`roundRobin`, `round_robin`), one slip of the finger (`stategy`), its beginning or more than
//! all of it (`least_conn`, `warning`), and a few slips (`randmoo`). No suggestion is better than
//! a silly one, so all are strict.

/// The word of `allowed` that `typed` was probably meant to be.
pub(super) fn closest<'a>(typed: &str, allowed: &[&'a str]) -> Option<&'a str> {
    let bare = normalise(typed);
    let same = allowed.iter().find(|word| normalise(word) == bare);
    let begun = || {
        let mut begun = allowed.iter().filter(|word| {
            let word = normalise(word);
            bare.len().min(word.len()) >= 4 && (word.starts_with(&bare) || bare.starts_with(&word))
        });
        // A beginning that fits two words suggests neither.
        begun.next().filter(|_| begun.next().is_none())
    };
    let near = |slips: fn(&str) -> usize| {
        allowed
            .iter()
            .map(|word| (distance(&bare, &normalise(word)), word))
            .filter(|(distance, word)| *distance <= slips(word))
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, word)| word)
    };
    same.or_else(|| near(one_slip_allowed)).or_else(begun).or_else(|| near(slips_allowed)).copied()
}

/// Whether two words differ in their spelling only: `roundRobin`, `round_robin`.
pub(super) fn is_same_word(a: &str, b: &str) -> bool {
    normalise(a) == normalise(b)
}

/// `did you mean "x"?`, or what is allowed when nothing is close.
pub(super) fn did_you_mean(typed: &str, allowed: &[&str]) -> String {
    match closest(typed, allowed) {
        Some(word) => format!("did you mean {word:?}?"),
        None => format!("allowed here: {}", allowed.join(", ")),
    }
}

fn normalise(word: &str) -> String {
    word.chars().filter(|c| c.is_alphanumeric()).take(40).collect::<String>().to_lowercase()
}

/// One slip for a short word, up to three for a long one, and none for one that is hardly a word.
fn slips_allowed(word: &str) -> usize {
    (word.len() / 3).min(3)
}

fn one_slip_allowed(word: &str) -> usize {
    slips_allowed(word).min(1)
}

/// Insertions, deletions, replacements and swaps of neighbours that make `a` into `b`
/// (optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    // Rows of the usual table: two ago, the last, and the one being filled.
    let mut before: Vec<usize> = vec![0; b.len() + 1];
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i; b.len() + 1];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            row[j] = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                row[j] = row[j].min(before[j - 2] + 1);
            }
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRATEGIES: &[&str] = &["round-robin", "weighted-round-robin", "least-connections", "random"];

    #[test]
    fn near_words_are_suggested() {
        for (typed, meant) in [
            ("round_robin", "round-robin"),
            ("RoundRobin", "round-robin"),
            ("roundrobbin", "round-robin"),
            ("least_conn", "least-connections"),
            ("weighted", "weighted-round-robin"),
            ("randmo", "random"),
            ("randmoo", "random"),
            ("randomly", "random"),
        ] {
            assert_eq!(closest(typed, STRATEGIES), Some(meant), "{typed}");
        }
    }

    #[test]
    fn far_words_are_not() {
        for typed in ["", "r", "fastest", "ip-hash", "\u{1f980}"] {
            assert_eq!(closest(typed, STRATEGIES), None, "{typed}");
        }
    }

    #[test]
    fn one_slip_counts_more_than_a_beginning() {
        assert_eq!(closest("path_prfix", &["path", "path_prefix"]), Some("path_prefix"));
    }

    #[test]
    fn a_beginning_of_two_words_suggests_neither() {
        assert_eq!(closest("least", &["least-connections", "least-time"]), None);
    }

    #[test]
    fn distances() {
        for (a, b, expected) in [("", "", 0), ("", "ab", 2), ("ab", "ba", 1), ("kitten", "sitting", 3)] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }
}

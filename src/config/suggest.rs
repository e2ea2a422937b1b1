//! "Did you mean": the allowed word that is closest to what was typed.
//!
//! Pure text. Four ways to be close, tried in this order: the same word in another spelling
//! (`roundRobin`, `round_robin`), one typing mistake (`stategy`), a common beginning
//! (`least_conn`, `warning`), and a few typing mistakes (`randmoo`). A wrong suggestion is worse
//! than none, so all four are strict.

use strsim::osa_distance;

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
    let near = |most: fn(&str) -> usize| {
        allowed
            .iter()
            .map(|word| (osa_distance(&bare, &normalise(word)), word))
            .filter(|(distance, word)| *distance <= most(word))
            .min_by_key(|(distance, _)| *distance)
            .map(|(_, word)| word)
    };
    same.or_else(|| near(one_typo_allowed)).or_else(begun).or_else(|| near(typos_allowed)).copied()
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

/// Typing mistakes allowed: one in a short word, up to three in a long one, none in one or two letters.
fn typos_allowed(word: &str) -> usize {
    (word.len() / 3).min(3)
}

fn one_typo_allowed(word: &str) -> usize {
    typos_allowed(word).min(1)
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
    fn one_typo_counts_more_than_a_beginning() {
        assert_eq!(closest("path_prfix", &["path", "path_prefix"]), Some("path_prefix"));
    }

    #[test]
    fn a_beginning_of_two_words_suggests_neither() {
        assert_eq!(closest("least", &["least-connections", "least-time"]), None);
    }
}

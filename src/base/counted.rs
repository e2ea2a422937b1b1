//! A count and its noun, in the right plural: `1 line`, `2 lines`.

use std::fmt;

/// `1 line`, `2 lines`.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a>(pub usize, pub &'a str);

impl fmt::Display for Counted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(count, noun) = self;
        write!(f, "{count} {noun}{}", if *count == 1 { "" } else { "s" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_nothing_else_is() {
        let said = [0, 1, 2, 21].map(|count| Counted(count, "line").to_string());
        assert_eq!(said, ["0 lines", "1 line", "2 lines", "21 lines"]);
    }
}

//! Names that people choose from, and the ones that they write instead.
//!
//! Layer 0. Other systems call the same things otherwise; an error that knows the name says which one is meant here.

use crate::error::Error;

/// The error for a name of a `what` that is none of `choices`. `others` are names that mean one of them, as letters and
/// digits in lower case; capitals, spaces and signs are passed over.
pub(crate) fn unknown(what: &str, name: &str, choices: &[&str], others: &[(&str, &str)]) -> Error {
    let plain = |text: &str| -> String {
        text.chars().filter(|letter| letter.is_alphanumeric()).flat_map(char::to_lowercase).collect()
    };
    let given = plain(name);
    let known = choices.iter().map(|&choice| (choice, choice)).chain(others.iter().copied());
    let meant = known.into_iter().find(|(other, _)| plain(other) == given);
    let quoted: Vec<String> = choices.iter().map(|choice| format!("{choice:?}")).collect();
    let (last, rest) = quoted.split_last().map_or(("", &[][..]), |(last, rest)| (last.as_str(), rest));
    let choices = format!("{} or {last}", rest.join(", "));
    Error::invalid(match meant {
        Some((_, meant)) => format!("unknown {what} {name:?}: did you mean {meant:?}? use {choices}"),
        None => format!("unknown {what} {name:?}: use {choices}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_other_systems_are_understood_whatever_their_signs() {
        let message = |name| unknown("metric", name, &["l2", "dot"], &[("innerproduct", "dot")]).message().to_owned();
        assert_eq!(
            message("Inner-Product"),
            r#"unknown metric "Inner-Product": did you mean "dot"? use "l2" or "dot""#
        );
        assert_eq!(message("L2"), r#"unknown metric "L2": did you mean "l2"? use "l2" or "dot""#);
        assert_eq!(message("hamming"), r#"unknown metric "hamming": use "l2" or "dot""#);
        assert_eq!(message(""), r#"unknown metric "": use "l2" or "dot""#);
    }
}

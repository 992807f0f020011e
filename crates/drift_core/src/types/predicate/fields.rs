//! The fields that a predicate asks for: which of a collection they mean, and which are misspelt.
//!
//! Layer 0. A test of a field that no row has is false everywhere, and its negation true: a misspelt name would find
//! nothing, or delete everything. Rows may get any field later, though, so a name is only refused when it is nearly that of a
//! field there is, and the predicate does not ask itself whether the field exists.

use super::{Predicate, Test};
use crate::error::{Error, Result};
use crate::types::{EXPIRES_FIELD, Field, FieldType, Fields};

/// Most fields that an error lists: a line that a person reads.
const LISTED_MAX: usize = 12;

/// Characters between the words of a name.
const SEPARATORS: [char; 4] = ['_', '-', ' ', '.'];

/// What other databases put before the names of fields.
const WRAPPERS: [&str; 4] = ["metadata", "meta", "payload", "properties"];

/// Characters of the shortest word of which a slip is told from another word.
const WORD_MIN: usize = 3;

impl Predicate {
    /// Checks that fields are among `fields`, paths into them, or not misspelt names of them. Where fields are fixed, there can
    /// be no others.
    pub fn check_fields(&self, fields: &Fields) -> Result<()> {
        let mut unknown: Vec<(&str, &Test)> = Vec::new();
        self.visit(&mut |name, test| {
            if name != EXPIRES_FIELD && resolve(fields, name).is_none() {
                unknown.push((name, test));
            }
        });
        let is_asked = |name: &str| unknown.iter().any(|(own, test)| *own == name && **test == Test::Exists);
        for (name, _) in &unknown {
            match meant(&fields.list, name) {
                Some(meant) if fields.is_fixed || !is_asked(name) => {
                    return Err(Error::invalid(format!(
                        "the filter asks for the field {name:?}, which no row has: did you mean {meant:?}?"
                    )));
                }
                None if fields.is_fixed => return Err(Error::invalid(not_declared(&fields.list, name))),
                _ => {}
            }
        }
        Ok(())
    }

    /// Visits all tests, from left to right.
    fn visit<'a>(&'a self, visit: &mut dyn FnMut(&'a str, &'a Test)) {
        match self {
            Predicate::And(parts) | Predicate::Or(parts) => parts.iter().for_each(|part| part.visit(visit)),
            Predicate::Not(part) => part.visit(visit),
            Predicate::Test(name, test) => visit(name, test),
        }
    }
}

/// The field that a name means, and the path into it.
pub fn resolve<'a>(fields: &Fields, name: &'a str) -> Option<(String, Option<&'a str>)> {
    if fields.kind(name).is_some() {
        return Some((name.to_owned(), None));
    }
    let is_json = |name: &str| fields.kind(name).filter(|kind| *kind == FieldType::Json).map(|_| name.to_owned());
    split(name, is_json).map(|(field, path)| (field, Some(path)))
}

/// The longest part of a dotted name that `find` knows, and the rest.
pub fn split<T>(name: &str, find: impl Fn(&str) -> Option<T>) -> Option<(T, &str)> {
    name.rmatch_indices('.').find_map(|(at, _)| Some((find(&name[..at])?, &name[at + 1..])))
}

/// Says that fields are fixed, and which there are.
fn not_declared(fields: &[Field], name: &str) -> String {
    let mut names: Vec<String> = fields.iter().take(LISTED_MAX).map(|field| format!("{:?}", field.name)).collect();
    if fields.len() > LISTED_MAX {
        names.push(format!("{} more", fields.len() - LISTED_MAX));
    }
    let names = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
    format!("the filter asks for the field {name:?}: the collection was created with the fields {names}")
}

/// What was meant by `name`, which is no field; none when it is nearly that of no field.
fn meant(fields: &[Field], name: &str) -> Option<String> {
    if let Some((root, path)) = name.split_once('.') {
        if WRAPPERS.contains(&root) && fields.iter().any(|field| field.name == path) {
            return Some(path.to_owned());
        }
        let mut json = fields.iter().filter(|field| field.kind == FieldType::Json);
        if let Some(field) = json.find(|field| is_misspelt(root, &field.name)) {
            return Some(format!("{}.{path}", field.name));
        }
    }
    fields.iter().find(|field| is_misspelt(name, &field.name)).map(|field| field.name.clone())
}

/// Whether `name` is `field` with other separators or capitals, or with a slip in some of its words.
fn is_misspelt(name: &str, field: &str) -> bool {
    let words = |name: &str| -> Vec<Vec<char>> {
        name.split(SEPARATORS).map(|word| word.chars().flat_map(char::to_lowercase).collect()).collect()
    };
    let (name, field) = (words(name), words(field));
    name.concat() == field.concat()
        || name.len() == field.len()
            && name.iter().zip(&field).all(|(name, field)| name == field || is_slip(name, field))
}

/// Whether a word is most likely another one with a slip: one change in up to five characters, two in more. Short words and
/// those that differ in digits (`tag1`, `tag2`) are words of their own.
fn is_slip(a: &[char], b: &[char]) -> bool {
    let digits = |word: &[char]| word.iter().filter(|letter| letter.is_numeric()).copied().collect::<Vec<char>>();
    let length = a.len().min(b.len());
    let changes = if length <= 5 { 1 } else { 2 };
    length >= WORD_MIN && a.len().abs_diff(b.len()) <= changes && digits(a) == digits(b) && edits(a, b) <= changes
}

/// Least number of characters that are put in, left out, replaced, or swapped with the next to make one text of the other
/// (optimal string alignment).
fn edits(a: &[char], b: &[char]) -> usize {
    let mut before: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    for i in 1..=a.len() {
        let mut row = vec![i];
        for j in 1..=b.len() {
            let replaced = last[j - 1] + usize::from(a[i - 1] != b[j - 1]);
            let mut least = replaced.min(last[j] + 1).min(row[j - 1] + 1);
            if i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] {
                least = least.min(before[j - 2] + 1);
            }
            row.push(least);
        }
        before = std::mem::replace(&mut last, row);
    }
    last[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::predicate::{Comparison, Literal};

    fn fields(is_fixed: bool) -> Fields {
        let of = |(name, kind): (&str, FieldType)| Field { name: name.to_owned(), kind };
        let list = [
            ("year", FieldType::Int),
            ("author", FieldType::Json),
            ("tag1", FieldType::Str),
            ("created_at", FieldType::Timestamp),
            ("n", FieldType::Int),
        ];
        Fields { list: list.map(of).into(), is_fixed }
    }

    fn eq(name: &str) -> Predicate {
        Predicate::Test(name.to_owned(), Test::Compare(Comparison::Eq, Literal::Int(1)))
    }

    fn exists(name: &str) -> Predicate {
        Predicate::Test(name.to_owned(), Test::Exists)
    }

    #[test]
    fn misspelt_fields_are_refused_with_what_was_meant() {
        for (name, meant) in [
            ("yaer", "year"),
            ("Year", "year"),
            ("years", "year"),
            ("yeer", "year"),
            ("metadata.year", "year"),
            ("autor.name", "author.name"),
            ("createdAt", "created_at"),
            ("created-at", "created_at"),
            ("craeted_at", "created_at"),
        ] {
            let negated = Predicate::Not(Box::new(Predicate::Or(vec![eq("year"), eq(name)])));
            for (predicate, is_fixed) in
                [(eq(name), false), (eq(name), true), (negated.clone(), false), (negated, true)]
            {
                let error = predicate.check_fields(&fields(is_fixed)).unwrap_err();
                assert!(
                    error.message().contains(&format!("{name:?}, which no row has: did you mean {meant:?}?")),
                    "{error}"
                );
            }
        }
    }

    #[test]
    fn other_unknown_fields_are_refused_where_fields_are_fixed() {
        for name in ["price", "tag2", "tag", "m", "ye", "year.month", "author2.name", "created", "item.year", "\u{df}"]
        {
            assert!(eq(name).check_fields(&fields(false)).is_ok(), "{name}");
            let error = eq(name).check_fields(&fields(true)).unwrap_err();
            assert!(error.message().contains("created with the fields \"year\", \"author\", \"tag1\""), "{error}");
        }
        let many = (0..40).map(|at| Field { name: format!("field{at}"), kind: FieldType::Int }).collect();
        let error = eq("x").check_fields(&Fields { list: many, is_fixed: true }).unwrap_err();
        assert!(error.message().ends_with("\"field11\", 28 more"), "{error}");
        assert!(eq("x").check_fields(&Fields { list: Vec::new(), is_fixed: true }).is_err());
    }

    #[test]
    fn known_fields_and_those_whose_existence_is_asked_pass() {
        for name in ["year", "author.name", "author.a.b", EXPIRES_FIELD] {
            assert!(eq(name).check_fields(&fields(false)).is_ok(), "{name}");
            assert!(eq(name).check_fields(&fields(true)).is_ok(), "{name}");
        }
        assert!(eq("year").check_fields(&Fields::default()).is_ok());
        let asked = Predicate::And(vec![eq("yaer"), Predicate::Not(Box::new(exists("yaer")))]);
        for predicate in [exists("yaer"), asked.clone()] {
            assert!(predicate.check_fields(&fields(false)).is_ok());
            assert!(predicate.check_fields(&fields(true)).is_err());
        }
        assert!(Predicate::Or(vec![asked, eq("yeer")]).check_fields(&fields(false)).is_err());
    }

    #[test]
    fn edits_are_counted() {
        let count = |a: &str, b: &str| edits(&a.chars().collect::<Vec<_>>(), &b.chars().collect::<Vec<_>>());
        for (a, b, wanted) in
            [("", "", 0), ("", "ab", 2), ("yaer", "year", 1), ("abc", "abd", 1), ("kitten", "sitting", 3)]
        {
            assert_eq!((count(a, b), count(b, a)), (wanted, wanted), "{a} {b}");
        }
    }
}

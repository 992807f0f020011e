//! Tests of JSON values, and of what stands at a path within them.
//!
//! Layer 0. A path is member names with dots between; an array on the way means each of its elements.

use super::{Comparison, Test, Value};
use serde_json::Value as Json;

/// Whether the JSON value, or what stands at `path` in it, passes. Writes refuse what is no JSON (`Columns::find_bad_value`); what an
/// earlier version stored has nothing.
pub fn holds(test: &Test, text: &str, path: Option<&str>) -> bool {
    let Ok(value) = serde_json::from_str::<Json>(text) else { return false };
    within(test, &value, path)
}

fn within(test: &Test, value: &Json, path: Option<&str>) -> bool {
    match (value, path) {
        (Json::Array(items), Some(_)) => items.iter().any(|item| within(test, item, path)),
        (Json::Object(members), Some(path)) => {
            // A member's name may have dots itself.
            let direct = members.get(path).is_some_and(|member| within(test, member, None));
            direct
                || path.match_indices('.').any(|(at, _)| {
                    members.get(&path[..at]).is_some_and(|member| within(test, member, Some(&path[at + 1..])))
                })
        }
        (_, Some(_)) => false,
        (value, None) => one(test, value),
    }
}

fn one(test: &Test, value: &Json) -> bool {
    match (test, value) {
        (_, Json::Null) => false,
        (Test::Exists, _) => true,
        (Test::Contains(wanted), Json::Array(items)) => {
            let equals = Test::Compare(Comparison::Eq, wanted.clone());
            items.iter().any(|item| one(&equals, item))
        }
        (test, Json::Array(items)) => items.iter().any(|item| one(test, item)),
        (_, Json::Object(_)) => false,
        (test, Json::Bool(value)) => test.holds_for_one(Value::Bool(*value)),
        (test, Json::String(text)) => test.holds_for_one(Value::Str(text)),
        (test, Json::Number(number)) => match number.as_i64() {
            Some(int) => test.holds_for_one(Value::Int(int)),
            None => number.as_f64().is_some_and(|float| test.holds_for_one(Value::Float(float))),
        },
    }
}

//! Tests of predicates on rows.

use super::*;
use crate::types::{Column, Columns};

fn rows() -> Columns {
    let mut columns = Columns::new(3);
    let column = |kind, values: [Value<'_>; 3]| {
        let mut column = Column::new(kind);
        values.into_iter().for_each(|value| column.push(value));
        column
    };
    columns.add("year", column(FieldType::Int, [Value::Int(2020), Value::Int(2024), Value::Null])).unwrap();
    columns.add("score", column(FieldType::Float, [Value::Float(0.5), Value::Null, Value::Float(2.0)])).unwrap();
    columns.add("name", column(FieldType::Str, [Value::Str("alpha"), Value::Str("beta"), Value::Null])).unwrap();
    let mut tags = Column::new(FieldType::List);
    tags.push_list(["a", "b"].into_iter());
    tags.push_list([].into_iter());
    tags.push(Value::Null);
    columns.add("tags", tags).unwrap();
    let json = [Value::Json(r#"{"a":{"b":[1,2.5]},"c.d":"x"}"#), Value::Json("[3,\"y\"]"), Value::Json("null")];
    columns.add("meta", column(FieldType::Json, json)).unwrap();
    columns
}

fn matching(predicate: &Predicate) -> Vec<usize> {
    (0..3).filter(|&row| predicate.holds(Some(&rows()), row)).collect()
}

fn test(field: &str, test: Test) -> Predicate {
    Predicate::Test(field.to_owned(), test)
}

fn eq(field: &str, literal: Literal) -> Predicate {
    test(field, Test::Compare(Comparison::Eq, literal))
}

#[test]
fn tests_of_missing_values_are_false_and_their_negations_true() {
    assert_eq!(matching(&eq("year", Literal::Float(2020.0))), [0]);
    assert_eq!(matching(&Predicate::Not(Box::new(eq("year", Literal::Int(2020))))), [1, 2]);
    assert_eq!(matching(&test("score", Test::Compare(Comparison::Lt, Literal::Int(1)))), [0]);
    assert_eq!(matching(&test("nowhere", Test::Exists)), [0usize; 0]);
    assert_eq!(matching(&eq("year", Literal::Str("2020".into()))), [0usize; 0]);
    assert!(Predicate::Not(Box::new(test("x", Test::Exists))).holds(None, 0));
}

#[test]
fn texts_and_lists_have_parts_and_items() {
    assert_eq!(matching(&test("name", Test::Contains(Literal::Str("et".into())))), [1]);
    assert_eq!(matching(&test("name", Test::StartsWith("al".into()))), [0]);
    assert_eq!(matching(&test("tags", Test::Contains(Literal::Str("b".into())))), [0]);
    assert_eq!(matching(&eq("tags", Literal::Str("a".into()))), [0]);
    assert_eq!(matching(&test("tags", Test::Exists)), [0, 1]);
}

#[test]
fn paths_reach_into_json() {
    assert_eq!(matching(&eq("meta.a.b", Literal::Float(2.5))), [0]);
    assert_eq!(matching(&eq("meta.c.d", Literal::Str("x".into()))), [0]);
    assert_eq!(matching(&test("meta", Test::Contains(Literal::Int(3)))), [1]);
    assert_eq!(matching(&test("meta.a", Test::Exists)), [0]);
    assert_eq!(matching(&test("meta.a.x", Test::Exists)), [0usize; 0]);
}

#[test]
fn numbers_compare_by_value_beyond_the_precision_of_floats() {
    let big = (1i64 << 53) + 1;
    assert_eq!(compare(Value::Int(big), &Literal::Float(9_007_199_254_740_992.0)), Some(std::cmp::Ordering::Greater));
    assert_eq!(compare(Value::Int(i64::MAX), &Literal::Float(9.3e18)), Some(std::cmp::Ordering::Less));
    assert_eq!(compare(Value::Int(-1), &Literal::Float(-0.5)), Some(std::cmp::Ordering::Less));
    assert_eq!(compare(Value::Float(f64::NAN), &Literal::Float(0.0)), None);
    assert_eq!(compare(Value::Int(0), &Literal::Float(f64::INFINITY)), Some(std::cmp::Ordering::Less));
}

#[test]
fn deep_and_long_predicates_are_refused() {
    let mut deep = test("a", Test::Exists);
    for _ in 0..DEPTH_MAX {
        deep = Predicate::Not(Box::new(deep));
    }
    assert!(deep.validate().unwrap_err().message().contains("deeper"));
    let long = test("a", Test::In(vec![Literal::Int(0); TESTS_MAX + 1]));
    assert!(long.validate().unwrap_err().message().contains("tests"));
}

//! Tests of the column readers: accepted types, shared memory, and messages that name the row.

use super::*;
use arrow_array::builder::{FixedSizeListBuilder, Float32Builder, ListBuilder};
use arrow_array::{
    FixedSizeListArray, Float16Array, Float64Array, Int64Array, ListArray, StringViewArray, UInt64Array,
};
use half::f16;

const PLACE: Place<'static> = Place { source: "a.parquet", column: "c", first_row: 100 };

fn lists(rows: &[&[Option<f32>]]) -> ListArray {
    let mut builder = ListBuilder::new(Float32Builder::new());
    for row in rows {
        builder.append_value(row.iter().copied());
    }
    builder.finish()
}

#[test]
fn integer_and_string_columns_of_every_width_become_ids() {
    let unsigned = UInt64Array::from(vec![0, 7, i64::MAX as u64]);
    assert_eq!(ids(&unsigned, IdType::Int, &PLACE).unwrap(), Ids::Int(vec![0, 7, i64::MAX]));
    let text = ids(&StringViewArray::from(vec!["a", "a longer one than twelve"]), IdType::Str, &PLACE).unwrap();
    assert_eq!(text.get(1), crate::types::IdRef::Str("a longer one than twelve"));
}

#[test]
fn ids_out_of_range_null_or_of_another_type_are_refused_with_their_row() {
    let message = |array: &dyn Array, id_type| ids(array, id_type, &PLACE).unwrap_err().message().to_owned();
    assert!(message(&UInt64Array::from(vec![0, u64::MAX]), IdType::Int).contains("column \"c\", row 101: id 184467"));
    assert!(message(&Int64Array::from(vec![-1]), IdType::Int).contains("row 100: id -1"));
    assert!(message(&Int64Array::from(vec![Some(1), None]), IdType::Int).contains("row 101: is null"));
    assert!(message(&StringViewArray::from(vec!["x", ""]), IdType::Str).contains("row 101: id has 0 bytes"));
    assert!(message(&Int64Array::from(vec![1]), IdType::Str).contains("id_type is \"str\""));
    assert!(message(&Float64Array::from(vec![1.0]), IdType::Int).contains("not Float64"));
}

#[test]
fn a_sliced_fixed_size_list_shares_its_memory() {
    let values = Float16Array::from((0..8).map(|i| f16::from_f32(i as f32)).collect::<Vec<_>>());
    let start = values.values().as_ptr();
    let field = Arc::new(arrow_schema::Field::new("element", DataType::Float16, false));
    let array = FixedSizeListArray::new(field, 2, Arc::new(values), None).slice(1, 2);
    let found = vectors(&array, 2, &PLACE).unwrap();
    let Vectors::F16(found) = found.as_vectors() else { panic!("f16 must stay f16") };
    assert_eq!(found.iter().map(|v| v.to_f32()).collect::<Vec<_>>(), [2.0, 3.0, 4.0, 5.0]);
    assert_eq!(found.as_ptr(), start.wrapping_add(2));
}

#[test]
fn sliced_lists_of_equal_length_are_vectors_and_others_name_their_row() {
    let rows: [&[Option<f32>]; 3] = [&[Some(1.0)], &[Some(2.0), Some(3.0)], &[Some(4.0), Some(5.0)]];
    let array = lists(&rows);
    let found = vectors(&array.slice(1, 2), 2, &PLACE).unwrap();
    let Vectors::F32(found) = found.as_vectors() else { panic!("f32 must stay f32") };
    assert_eq!(found, [2.0, 3.0, 4.0, 5.0]);
    let error = vectors(&array, 2, &PLACE).unwrap_err();
    assert!(error.message().contains("row 100: the vector has 1 values"), "{error}");
}

#[test]
fn null_vectors_and_null_values_are_refused_with_their_row() {
    let error = vectors(&lists(&[&[Some(1.0), Some(2.0)], &[Some(3.0), None]]), 2, &PLACE).unwrap_err();
    assert!(error.message().contains("row 101: value 1 of the vector is null"), "{error}");
    let mut builder = FixedSizeListBuilder::new(Float32Builder::new(), 1);
    builder.values().append_value(1.0);
    builder.append(true);
    builder.values().append_null();
    builder.append(false);
    let error = vectors(&builder.finish(), 1, &PLACE).unwrap_err();
    assert!(error.message().contains("row 101: is null"), "{error}");
    let error = vectors(&builder.finish(), 3, &PLACE).unwrap_err();
    assert!(error.message().contains("vectors have 1 values, but the collection's dim is 3"), "{error}");
}

#[test]
fn chunks_are_one_column_whose_rows_count_on() {
    let chunks: Vec<ArrayRef> = vec![Arc::new(Int64Array::from(vec![1, 2])), Arc::new(Int64Array::from(vec![3]))];
    assert_eq!(chunked_ids(&chunks, IdType::Int, &PLACE).unwrap(), Ids::Int(vec![1, 2, 3]));
    let chunks: Vec<ArrayRef> = vec![Arc::new(lists(&[&[Some(1.0)]])), Arc::new(lists(&[&[Some(2.0)], &[None]]))];
    let found = chunked_vectors(&chunks[..1], 1, &PLACE).unwrap();
    assert_eq!(found.as_vectors().values(), 1);
    let error = chunked_vectors(&chunks, 1, &PLACE).unwrap_err();
    assert!(error.message().contains("row 102: value 0"), "{error}");
}

//! Tests of the Parquet source: order, projection, element type, and errors found before the first row.

use super::*;
use crate::types::{ElementType, IdType, Ids, Metric};
use ::parquet::arrow::ArrowWriter;
use arrow_array::{ArrayRef, FixedSizeListArray, Float16Array, RecordBatch, StringArray, UInt64Array};
use arrow_schema::{DataType, Field};
use half::f16;
use std::path::Path;
use std::sync::Arc;

fn write(path: &Path, ids: std::ops::Range<u64>, dim: i32) {
    let count = (ids.end - ids.start) as usize;
    let values = Float16Array::from(vec![f16::from_f32(0.5); count * dim as usize]);
    let element = Arc::new(Field::new("element", DataType::Float16, false));
    let columns: [(&str, ArrayRef); 3] = [
        ("name", Arc::new(StringArray::from(vec!["unread"; count]))),
        ("embedding", Arc::new(FixedSizeListArray::new(element, dim, Arc::new(values), None))),
        ("id", Arc::new(UInt64Array::from(ids.collect::<Vec<_>>()))),
    ];
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(path).unwrap(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

fn names() -> ColumnNames {
    ColumnNames { id: "id".into(), vector: "embedding".into(), payload: crate::types::Include::Nothing }
}

#[test]
fn several_files_are_read_in_order_and_stay_f16() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("a.parquet"), folder.path().join("b.parquet")];
    write(&paths[0], 0..100, 8);
    write(&paths[1], 100..130, 8);
    let schema = Schema::new(8, Metric::L2, IdType::Int).unwrap();
    let mut source = ParquetSource::open(&paths, names(), &schema).unwrap();
    assert_eq!(source.rows_total(), Some(130));
    let mut seen = Vec::new();
    while let Some(batch) = source.next().unwrap() {
        batch.validate(&schema).unwrap();
        assert_eq!(batch.vectors.as_vectors().element_type(), ElementType::F16);
        let Ids::Int(ids) = batch.ids else { panic!("the ids are integers") };
        seen.extend(ids);
    }
    assert_eq!(seen, (0..130).collect::<Vec<i64>>());
    assert!(source.locate(105).ends_with("b.parquet, row 5"));
}

#[test]
fn a_wrong_second_file_fails_before_the_first_row_and_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let paths = [folder.path().join("a.parquet"), folder.path().join("b.parquet")];
    write(&paths[0], 0..2, 8);
    write(&paths[1], 2..4, 4);
    let schema = Schema::new(8, Metric::L2, IdType::Int).unwrap();
    let error = ParquetSource::open(&paths, names(), &schema).unwrap_err();
    assert!(error.message().contains("b.parquet, column \"embedding\": vectors have 4 values"), "{error}");
    let error = ParquetSource::open(&paths[..1], ColumnNames { id: "key".into(), ..names() }, &schema).unwrap_err();
    assert!(error.message().contains("no column \"key\""), "{error}");
    std::fs::write(&paths[1], b"not a parquet file").unwrap();
    let error = ParquetSource::open(&paths, names(), &schema).unwrap_err();
    assert!(error.message().contains("b.parquet: cannot read the Parquet file"), "{error}");
    std::fs::remove_file(&paths[1]).unwrap();
    assert_eq!(ParquetSource::open(&paths, names(), &schema).unwrap_err().kind(), crate::error::ErrorKind::NotFound);
}

//! Behaviour of segments as a whole: round trips, damage, deaths.

use super::*;
use crate::quant::sq8::{Clip, code_stride, encode};
use crate::storage::{Backend, MemoryBackend, names};
use crate::types::{Column, Field, FieldType, IdType, Metric, Schema, StrIds, Value};

const OWNER: u128 = 3;
const DIM: usize = 5;

fn schema(id_type: IdType) -> Schema {
    Schema::new(DIM, Metric::L2, id_type).expect("a schema")
}

fn vector(row: usize) -> Vec<f32> {
    (0..DIM).map(|at| (row * DIM + at) as f32 * 0.25).collect()
}

/// A field of text, which two rows lack, and one of lists.
struct Words;

impl PayloadSource for Words {
    fn fields(&self) -> Vec<Field> {
        [("word", FieldType::Str), ("list", FieldType::List)]
            .map(|(name, kind)| Field { name: name.into(), kind })
            .to_vec()
    }

    fn column(&self, field: &Field) -> Result<Column> {
        let mut column = Column::new(field.kind);
        for row in 0..7 {
            match field.kind {
                _ if row % 4 == 2 => column.push(Value::Null),
                FieldType::List => column.push_list(["a", "bc", "d"].into_iter().take(row % 4)),
                _ => column.push(Value::Str(["", "ü", "xyz"][row % 3])),
            }
        }
        Ok(column)
    }
}

#[test]
fn values_are_read_one_by_one_as_in_their_columns() {
    let backend = MemoryBackend::open("", true, false).expect("a store");
    let written = write(&backend, IdType::Int, ElementType::F16);
    let opened = Segment::open(&backend, OWNER, written.file(), &schema(IdType::Int)).expect("open");
    let mut scratch = Vec::new();
    for segment in [&written, &opened] {
        for field in Words.fields() {
            let whole = Words.column(&field).expect("a column");
            assert_eq!(segment.read_column(&field.name).expect("read"), Some(whole.clone()));
            let mut single = Column::new(field.kind);
            (0..7).for_each(|row| segment.read_value(row, &field.name, &mut single, &mut scratch).expect("read"));
            assert_eq!(single, whole);
        }
        assert_eq!(segment.read_column("nowhere").expect("read"), None);
    }
}

/// Seven rows in buckets 2 (four rows) and 9 (three).
fn write(backend: &MemoryBackend, id_type: IdType, element_type: ElementType) -> Segment {
    let schema = schema(id_type);
    let mut writer = SegmentWriter::create(backend, OWNER, FileId(77), &schema, element_type, 7).expect("create");
    for (bucket, rows) in [(2, 0..4usize), (9, 4..7)] {
        let mut ids = Ids::empty(id_type);
        let mut vectors = VectorBuf::with_capacity(element_type, 0);
        let (mut codes, mut factors) = (Vec::new(), Vec::new());
        for row in rows.clone() {
            match &mut ids {
                Ids::Int(ids) => ids.push(row as i64 * 10),
                Ids::Str(ids) => ids.push(&format!("row {row}")),
            }
            let values = vector(row);
            let half: Vec<f16> = values.iter().map(|value| f16::from_f32(*value)).collect();
            match element_type {
                ElementType::F32 => vectors.extend(&Vectors::F32(&values)),
                ElementType::F16 => vectors.extend(&Vectors::F16(&half)),
            }
            let mut code = vec![0; code_stride(DIM)];
            factors.push(encode(&values, Clip::NONE, &mut code));
            codes.extend(code);
        }
        let seqs: Vec<Seq> = rows.map(|row| row as Seq + 100).collect();
        let seconds: Vec<u32> = (0..ids.len() as u32).collect();
        let rows = RunRows {
            ids: &ids,
            seqs: &seqs,
            vectors: vectors.as_ref(),
            codes: &codes,
            factors: &factors,
            seconds: &seconds,
        };
        writer.push_run(BucketId(bucket), rows).expect("push");
    }
    writer.finish(backend, &Words).expect("finish")
}

fn check(segment: &Segment, id_type: IdType) {
    assert_eq!(segment.runs().collect::<Vec<_>>(), [(BucketId(2), 0..4), (BucketId(9), 4..7)]);
    let mut strings = StrIds::default();
    (0..7).for_each(|row| strings.push(&format!("row {row}")));
    let (mut out, mut scratch) = (vec![0.0; 7 * DIM], Vec::new());
    segment.read_vectors(0..7, &mut out, &mut scratch).expect("read");
    for row in 0..7u32 {
        let id = match id_type {
            IdType::Int => IdRef::Int(i64::from(row) * 10),
            IdType::Str => IdRef::Str(strings.get(row as usize)),
        };
        assert_eq!((segment.id(row), segment.seq(row)), (id, Seq::from(row) + 100));
        assert!(segment.may_contain(id.hash64()));
        assert_eq!(&out[row as usize * DIM..][..DIM], vector(row as usize));
        assert_eq!(segment.codes(row..row + 1).len(), code_stride(DIM));
    }
    assert_eq!(segment.find(4..7, 105), Some(5));
    assert_eq!(segment.find(4..7, 103), None);
    segment.verify(&mut |_| Ok(())).expect("intact");
}

#[test]
fn rows_come_back_as_written() {
    for (id_type, element_type) in [(IdType::Int, ElementType::F32), (IdType::Str, ElementType::F16)] {
        let backend = MemoryBackend::open("", true, false).expect("a store");
        let written = write(&backend, id_type, element_type);
        check(&written, id_type);
        let opened = Segment::open(&backend, OWNER, written.file(), &schema(id_type)).expect("open");
        check(&opened, id_type);
        let error = Segment::open(&backend, OWNER + 1, written.file(), &schema(id_type)).err();
        assert!(error.is_some(), "another collection's segment");
    }
}

#[test]
fn every_flipped_byte_is_found_by_open_or_verify() {
    let backend = MemoryBackend::open("", true, false).expect("a store");
    let file = write(&backend, IdType::Int, ElementType::F16).file();
    let bytes = backend.read(&names::segment(FileId(77))).expect("read");
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << (at % 8);
        let copy = MemoryBackend::open("", true, false).expect("a store");
        copy.put_if_absent(&names::segment(FileId(77)), &damaged).expect("put");
        let found =
            Segment::open(&copy, OWNER, file, &schema(IdType::Int)).and_then(|segment| segment.verify(&mut |_| Ok(())));
        assert!(found.is_err(), "byte {at}");
    }
}

#[test]
fn a_damaged_vector_is_an_error_and_never_a_value() {
    let backend = MemoryBackend::open("", true, false).expect("a store");
    let file = write(&backend, IdType::Int, ElementType::F32).file();
    let mut bytes = backend.read(&names::segment(FileId(77))).expect("read");
    bytes[4096 + 30] ^= 4;
    let copy = MemoryBackend::open("", true, false).expect("a store");
    copy.put_if_absent(&names::segment(FileId(77)), &bytes).expect("put");
    let segment = Segment::open(&copy, OWNER, file, &schema(IdType::Int)).expect("the hot part is intact");
    let damaged = 30 / (4 * DIM as u32 + 4);
    let read = |row| segment.read_row(row, &mut [0.0; DIM], &mut Vec::new());
    for row in 0..segment.rows() {
        assert_eq!(read(row).is_err(), row == damaged, "row {row}");
    }
    let error = read(damaged).expect_err("damage");
    assert!(error.message().contains(&format!("offset {}", 4096 + damaged * (4 * DIM as u32 + 4))), "{error}");
    let all = segment.read_vectors(0..segment.rows(), &mut vec![0.0; DIM * segment.rows() as usize], &mut Vec::new());
    assert!(all.expect_err("damage").message().contains("offset 4096"));
}

#[test]
fn a_death_hides_a_row_from_later_snapshots_only() {
    let backend = MemoryBackend::open("", true, false).expect("a store");
    let segment = write(&backend, IdType::Int, ElementType::F32);
    segment.mark_dead(2, 200);
    assert!(segment.is_visible(2, 199) && !segment.is_visible(2, 200) && !segment.is_visible(2, 101));
    assert_eq!((segment.death(2), segment.death(3), segment.dead_rows()), (200, 0, 1));
}

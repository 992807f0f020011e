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
    let mut scratch = Scratch::default();
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

/// One column.
struct One(Column);

impl PayloadSource for One {
    fn fields(&self) -> Vec<Field> {
        vec![Field { name: "one".into(), kind: self.0.kind() }]
    }

    fn column(&self, _: &Field) -> Result<Column> {
        Ok(self.0.clone())
    }
}

/// A segment of one bucket with this column.
fn write_column_of(backend: &MemoryBackend, column: &Column) -> Segment {
    let (schema, rows) = (schema(IdType::Int), column.len());
    let mut writer = SegmentWriter::create(backend, OWNER, FileId(5), &schema, ElementType::F32, rows).expect("create");
    let seqs: Vec<Seq> = (1..=rows as Seq).collect();
    let rows = RunRows {
        ids: &Ids::Int((0..rows as i64).collect()),
        seqs: &seqs,
        vectors: Vectors::F32(&vec![0.5; rows * DIM]),
        codes: &vec![0; rows * code_stride(DIM)],
        factors: &vec![encode(&[0.5; DIM], Clip::NONE, &mut vec![0; code_stride(DIM)]); rows],
        seconds: &vec![0; rows],
    };
    writer.push_run(BucketId(1), rows).expect("push");
    writer.finish(backend, &One(column.clone())).expect("finish")
}

/// A column of any type, long enough for several blocks; `noise` is what no compressor makes smaller.
fn column_of(kind: FieldType, rows: usize, noise: bool) -> Column {
    let mut column = Column::new(kind);
    for row in 0..rows {
        let word = xxhash_rust::xxh3::xxh3_64(&(row as u64).to_le_bytes());
        let number = if noise { word as i64 } else { row as i64 / 7 };
        let text: String = match noise {
            true => (0..40).filter_map(|at| char::from_u32(0x4e00 + (word >> at & 0x1fff) as u32)).collect(),
            false => format!("größe {}", row % 9),
        };
        match kind {
            _ if row % 11 == 3 => column.push(Value::Null),
            FieldType::Bool => column.push(Value::Bool(row % 2 == 0)),
            FieldType::Int => column.push(Value::Int(number)),
            FieldType::Timestamp => column.push(Value::Timestamp(-number)),
            FieldType::Float => column.push(Value::Float(f64::from_bits(number as u64))),
            FieldType::Str => column.push(Value::Str(&text)),
            FieldType::Json => column.push(Value::Json(&text)),
            FieldType::List => column.push_list((0..row % 4).map(|_| text.as_str())),
        }
    }
    column
}

#[test]
fn columns_in_blocks_and_plain_ones_are_read_alike() {
    for (code, rows, noise) in (1..8).flat_map(|code| [1, 127, 128, 129, 700].map(|rows| (code, rows, rows % 2 == 1))) {
        let kind = FieldType::from_code(code).expect("a type");
        let backend = MemoryBackend::open("", true, false).expect("a store");
        let column = column_of(kind, rows, noise);
        let written = write_column_of(&backend, &column);
        let opened = Segment::open(&backend, OWNER, written.file(), &schema(IdType::Int)).expect("open");
        let blocks = opened.payload[0].section.encoding != footer::RAW;
        assert!(blocks || noise || rows < 128, "{kind:?}: {rows} rows that repeat compress");
        assert!(!blocks || kind != FieldType::Int || !noise, "noise does not");
        for segment in [&written, &opened] {
            assert_eq!(segment.read_column("one").expect("read"), Some(column.clone()), "{kind:?} {rows}");
            let (mut single, mut scratch) = (Column::new(kind), Scratch::default());
            for row in (0..rows as u32).rev() {
                segment.read_value(row, "one", &mut single, &mut scratch).expect("read");
            }
            assert!((0..rows).all(|row| single.get(rows - 1 - row) == column.get(row)), "{kind:?} {rows}");
        }
    }
}

#[test]
fn a_damaged_block_is_an_error_for_its_rows_alone() {
    let backend = MemoryBackend::open("", true, false).expect("a store");
    let column = column_of(FieldType::Str, 12_800, true);
    let file = write_column_of(&backend, &column).file();
    let mut bytes = backend.read(&names::segment(FileId(5))).expect("read");
    let opened = Segment::open(&backend, OWNER, file, &schema(IdType::Int)).expect("open");
    let section = opened.payload[0].section;
    assert_eq!(section.encoding, footer::BLOCKS);
    bytes[(section.offset + section.length / 2) as usize] ^= 1;
    let copy = MemoryBackend::open("", true, false).expect("a store");
    copy.put_if_absent(&names::segment(FileId(5)), &bytes).expect("put");
    let segment = Segment::open(&copy, OWNER, file, &schema(IdType::Int)).expect("the hot part is intact");
    assert!(segment.read_column("one").is_err());
    let mut scratch = Scratch::default();
    let mut read = |row| segment.read_value(row, "one", &mut Column::new(FieldType::Str), &mut scratch);
    let unreadable: Vec<u32> = (0..12_800).filter(|&row| read(row).is_err()).collect();
    assert!(!unreadable.is_empty() && unreadable.len() <= 3 * 128, "{} rows", unreadable.len());
}

#[test]
fn an_encoding_of_a_newer_drift_is_refused_as_such() {
    use prost::Message;
    let backend = MemoryBackend::open("", true, false).expect("a store");
    let file = write_column_of(&backend, &column_of(FieldType::Int, 700, false)).file();
    let bytes = backend.read(&names::segment(FileId(5))).expect("read");
    let trailer = &bytes[bytes.len() - footer::TRAILER_BYTES..];
    let (offset, length, sum) = footer::decode_trailer(trailer, file.id, file.length, "f").expect("a trailer");
    let body = &bytes[offset as usize..(offset + length) as usize];
    let (mut end, sums) = footer::decode(body, file.id, offset, sum, "f").expect("a footer");
    end.payload[0].column.encoding = footer::BLOCKS + 1;
    assert_eq!(end.encoded_len() as u64, u64::from_le_bytes(body[..8].try_into().expect("eight bytes")));
    let forged = [&bytes[..offset as usize], &footer::encode(&end, &sums, file.id, offset)].concat();
    let copy = MemoryBackend::open("", true, false).expect("a store");
    copy.put_if_absent(&names::segment(FileId(5)), &forged).expect("put");
    let error = Segment::open(&copy, OWNER, file, &schema(IdType::Int)).err().expect("refused");
    assert_eq!(error.kind(), crate::error::ErrorKind::UnsupportedFormat);
    assert!(error.message().contains("field \"one\" has encoding 2"), "{error}");
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

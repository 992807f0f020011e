//! Rows of one or several Parquet files.
//!
//! Layer 6. Every footer is read and checked first, so that a wrong column or dimension in the last file fails before
//! the first row is read, and the number of rows is known. Only the columns that are asked for are decoded, batch by
//! batch, so memory stays at one batch whatever the size of a file or of its row groups.

use super::payload::names as payload_names;
use super::unwind::caught;
use super::{ColumnNames, check_columns, row_batch};
use crate::error::{Error, Result};
use crate::ingest::source::{RowBatch, RowSource};
use crate::types::Schema;
use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use ::parquet::basic::Compression;
use arrow_schema::ArrowError;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of vectors in one batch, as f32: large enough that the cost per batch is lost, small enough for the cache of
/// a decoder and for a bounded queue.
const BATCH_BYTES: usize = 8 << 20;

/// The compressions that the decoder is built with.
const CODECS: &str = "snappy, zstd, gzip, lz4 or none";

/// One file whose footer was read.
struct Input {
    name: String,
    file: File,
    metadata: ArrowReaderMetadata,
    rows: u64,
    columns: ColumnNames,
}

/// The rows of Parquet files, in order.
pub struct ParquetSource {
    inputs: Vec<Input>,
    schema: Schema,
    current: usize,
    reader: Option<ParquetRecordBatchReader>,
    rows_read: u64,
}

impl std::fmt::Debug for ParquetSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.inputs.iter().map(|input| input.name.as_str()).collect();
        write!(f, "ParquetSource({names:?}, {:?})", self.inputs.first().map(|input| &input.columns))
    }
}

impl ParquetSource {
    /// Opens the files and checks names, types and dimension of both columns in each of them.
    pub fn open(paths: &[PathBuf], columns: ColumnNames, schema: &Schema) -> Result<ParquetSource> {
        if paths.is_empty() {
            return Err(Error::invalid("no Parquet file was given"));
        }
        let mut inputs = Vec::with_capacity(paths.len());
        for path in paths {
            let name = path.display().to_string();
            let file = File::open(path).map_err(|e| cannot_open(&name, path, e))?;
            check_is_parquet(&name, &file)?;
            let metadata = decode(&name, None, || ArrowReaderMetadata::load(&file, Default::default()))?;
            let columns = columns.clone().with_time(metadata.schema(), schema);
            check_columns(metadata.schema(), &columns, schema, &name)?;
            check_codecs(&name, &metadata, &columns)?;
            let rows = metadata.metadata().file_metadata().num_rows();
            let rows = u64::try_from(rows)
                .map_err(|_| Error::invalid(format!("{name}: the footer claims {rows} rows: the file is damaged")))?;
            inputs.push(Input { name, file, metadata, rows, columns });
        }
        Ok(ParquetSource { inputs, schema: schema.clone(), current: 0, reader: None, rows_read: 0 })
    }

    /// A reader of the current file's two columns.
    fn open_reader(&self) -> Result<ParquetRecordBatchReader> {
        let input = &self.inputs[self.current];
        let file = input.file.try_clone().map_err(|e| Error::io(format!("cannot read {}", input.name), e))?;
        let mask = columns_read(&input.metadata, &input.columns);
        let batch_rows = (BATCH_BYTES / (4 * self.schema.dim)).clamp(64, 65_536);
        let metadata = input.metadata.clone();
        decode(&input.name, None, || {
            ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
                .with_projection(mask)
                .with_batch_size(batch_rows)
                .build()
        })
    }
}

/// The columns of a file that a load reads.
fn columns_read(metadata: &ArrowReaderMetadata, columns: &ColumnNames) -> ProjectionMask {
    let arrow = metadata.schema();
    let names = [columns.id.as_str(), &columns.vector].into_iter().chain(payload_names(arrow, columns));
    ProjectionMask::roots(metadata.parquet_schema(), names.filter_map(|name| arrow.index_of(name).ok()))
}

impl RowSource for ParquetSource {
    fn rows_total(&self) -> Option<u64> {
        Some(self.inputs.iter().map(|input| input.rows).sum())
    }

    fn next(&mut self) -> Result<Option<RowBatch>> {
        while self.current < self.inputs.len() {
            let mut reader = match self.reader.take() {
                Some(reader) => reader,
                None => self.open_reader()?,
            };
            let input = &self.inputs[self.current];
            let (batch, reader) = decode(&input.name, Some(self.rows_read), || {
                let batch = reader.next().transpose()?;
                Ok::<_, ArrowError>((batch, reader))
            })?;
            match batch {
                Some(batch) => {
                    let rows = row_batch(&batch, &input.columns, &self.schema, &input.name, self.rows_read)?;
                    self.rows_read += rows.rows() as u64;
                    self.reader = Some(reader);
                    return Ok(Some(rows));
                }
                None => {
                    self.current += 1;
                    self.rows_read = 0;
                }
            }
        }
        Ok(None)
    }

    fn locate(&self, row: u64) -> String {
        let mut row = row;
        for input in &self.inputs {
            if row < input.rows {
                return format!("{}, row {row}", input.name);
            }
            row -= input.rows;
        }
        format!("row {row} after the last file")
    }
}

fn cannot_open(name: &str, path: &Path, error: std::io::Error) -> Error {
    match (error.kind(), std::path::absolute(path)) {
        (std::io::ErrorKind::NotFound, Ok(full)) if full != path => {
            Error::not_found(format!("there is no file {name}: it would be {}", full.display())).with_source(error)
        }
        (std::io::ErrorKind::NotFound, _) => Error::not_found(format!("there is no file {name}")).with_source(error),
        _ => Error::io(format!("cannot open {name}"), error),
    }
}

/// What a Parquet file begins and ends with.
const MAGIC: &[u8; 4] = b"PAR1";

/// Tells an empty file, a file of another kind and one that was cut off from one that the decoder should read.
fn check_is_parquet(name: &str, file: &File) -> Result<()> {
    let failed = |error| Error::io(format!("cannot read {name}"), error);
    let length = file.metadata().map_err(failed)?.len();
    if length == 0 {
        return Err(Error::invalid(format!("{name} is empty: was its download or its writing cut off?")));
    }
    let mut start = [0; 4];
    let known = usize::try_from(length).map_or(4, |length| length.min(4));
    file.read_exact_at(&mut start[..known], 0).map_err(failed)?;
    if start != *MAGIC {
        let shown = String::from_utf8_lossy(&start[..known]).into_owned();
        return Err(Error::invalid(format!(
            "{name} is no Parquet file, it begins with {shown:?}: read it with pandas, polars or pyarrow and load the table"
        )));
    }
    let mut end = [0; 4];
    file.read_exact_at(&mut end, length - 4).map_err(failed)?;
    // An encrypted footer has another mark, which is the decoder's to refuse.
    if length < 12 || (end != *MAGIC && end != *b"PARE") {
        return Err(Error::invalid(format!(
            "{name} does not end as a Parquet file does: was it cut off? copy it again"
        )));
    }
    Ok(())
}

/// Refuses columns that are compressed in a way that is not read, before a row of any file is.
fn check_codecs(name: &str, metadata: &ArrowReaderMetadata, columns: &ColumnNames) -> Result<()> {
    let mask = columns_read(metadata, columns);
    for group in metadata.metadata().row_groups() {
        for (leaf, chunk) in group.columns().iter().enumerate().filter(|(leaf, _)| mask.leaf_included(*leaf)) {
            let codec = match chunk.compression() {
                Compression::BROTLI(_) => "brotli",
                Compression::LZO => "lzo",
                _ => continue,
            };
            let column = metadata.parquet_schema().get_column_root(leaf).name();
            return Err(Error::invalid(format!(
                "{name}, column {column:?} is compressed with {codec}, which drift does not read: write the file again \
                 with {CODECS}"
            )));
        }
    }
    Ok(())
}

/// Calls the decoder, whose errors and panics are those of the file.
fn decode<T, E>(name: &str, row: Option<u64>, call: impl FnOnce() -> std::result::Result<T, E>) -> Result<T>
where
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    match caught(call) {
        Ok(decoded) => decoded.map_err(|error| parquet_error(name, row, error)),
        Err(panic) => Err(parquet_error(name, row, format!("{panic}: it is damaged, copy it again or write it anew"))),
    }
}

/// A file that cannot be decoded is wrong input: the database is not touched by it.
fn parquet_error(name: &str, row: Option<u64>, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let error = error.into();
    let place = row.map_or_else(|| name.to_owned(), |row| format!("{name}, near row {row}"));
    Error::invalid(format!("{place}: cannot read the Parquet file: {error}")).with_source(error)
}

#[cfg(test)]
#[path = "parquet_test.rs"]
mod tests;

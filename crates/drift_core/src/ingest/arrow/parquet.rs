//! Rows of one or several Parquet files.
//!
//! Layer 6. Every footer is read and checked first, so that a wrong column or dimension in the last file fails before
//! the first row is read, and the number of rows is known. Only the columns that are asked for are decoded, batch by
//! batch, so memory stays at one batch whatever the size of a file or of its row groups.

use super::payload::names as payload_names;
use super::{ColumnNames, check_columns, row_batch};
use crate::error::{Error, Result};
use crate::ingest::source::{RowBatch, RowSource};
use crate::types::Schema;
use ::parquet::arrow::ProjectionMask;
use ::parquet::arrow::arrow_reader::{ArrowReaderMetadata, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes of vectors in one batch, as f32: large enough that the cost per batch is lost, small enough for the cache of
/// a decoder and for a bounded queue.
const BATCH_BYTES: usize = 8 << 20;

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
            let metadata =
                ArrowReaderMetadata::load(&file, Default::default()).map_err(|e| parquet_error(&name, None, e))?;
            let columns = columns.clone().with_time(metadata.schema(), schema);
            check_columns(metadata.schema(), &columns, schema, &name)?;
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
        let arrow = input.metadata.schema();
        let payload = payload_names(arrow, &input.columns);
        let names = [input.columns.id.as_str(), &input.columns.vector].into_iter().chain(payload);
        let roots = names.filter_map(|name| arrow.index_of(name).ok());
        let mask = ProjectionMask::roots(input.metadata.parquet_schema(), roots);
        let batch_rows = (BATCH_BYTES / (4 * self.schema.dim)).clamp(64, 65_536);
        ParquetRecordBatchReaderBuilder::new_with_metadata(file, input.metadata.clone())
            .with_projection(mask)
            .with_batch_size(batch_rows)
            .build()
            .map_err(|e| parquet_error(&input.name, None, e))
    }
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
            match reader.next() {
                Some(Ok(batch)) => {
                    let rows = row_batch(&batch, &input.columns, &self.schema, &input.name, self.rows_read)?;
                    self.rows_read += rows.rows() as u64;
                    self.reader = Some(reader);
                    return Ok(Some(rows));
                }
                Some(Err(e)) => return Err(parquet_error(&input.name, Some(self.rows_read), e)),
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

/// A file that cannot be decoded is wrong input: the database is not touched by it.
fn parquet_error(name: &str, row: Option<u64>, error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    let error = error.into();
    let place = row.map_or_else(|| name.to_owned(), |row| format!("{name}, near row {row}"));
    Error::invalid(format!("{place}: cannot read the Parquet file: {error}")).with_source(error)
}

#[cfg(test)]
#[path = "parquet_test.rs"]
mod tests;

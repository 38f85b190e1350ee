//! Stays as Parquet: columns that any engine reads (`docs/fleet.md`). Engines on the JVM know no
//! unsigned numbers and no timestamps in nanoseconds, so there are none; and for gzip they need no library
//! of the machine's own.

mod columns;

use std::io::{self, Write};
use std::sync::Arc;

use parquet::basic::{Compression, GzipLevel};
use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};

use self::columns::{COLUMNS, Get, schema};
use super::row::Row;

/// Version of the columns, in the file's `tcptrace.schema`.
const SCHEMA: &str = "1";
/// Rows of a group at most.
const MOST_ROWS: usize = 1 << 16;
/// Bytes of text in a group, about: what is in memory at once.
const MOST_BYTES: usize = 64 << 20;
/// What a text takes up beside its bytes.
const TEXT: usize = size_of::<ByteArray>() + 32;
/// Of long texts an index keeps no more.
const INDEXED_BYTES: usize = 64;

/// Writes rows, in groups of bounded size: memory does not grow with their number.
pub struct Writer<W: Write + Send> {
    file: SerializedFileWriter<W>,
    group: Group,
    most_rows: usize,
}

impl<W: Write + Send> Writer<W> {
    /// Begins a file of stays of a window, described as `from` and `to` if it has such ends.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn new(out: W, from: Option<String>, to: Option<String>) -> io::Result<Self> {
        let about = [
            ("tcptrace.schema", Some(SCHEMA.to_owned())),
            ("tcptrace.from", from),
            ("tcptrace.to", to),
        ];
        let about = about.map(|(key, value)| KeyValue::new(key.to_owned(), value));
        let properties = WriterProperties::builder()
            .set_created_by(concat!("tcptrace version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_compression(Compression::GZIP(GzipLevel::default()))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_statistics_truncate_length(Some(INDEXED_BYTES))
            .set_key_value_metadata(Some(
                about.into_iter().filter(|kv| kv.value.is_some()).collect(),
            ))
            .build();
        let schema = Arc::new(schema().map_err(cause)?);
        let file = SerializedFileWriter::new(out, schema, Arc::new(properties)).map_err(cause)?;
        Ok(Self { file, group: Group::new(), most_rows: MOST_ROWS })
    }

    /// Adds a row.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&mut self, row: &Row<'_>) -> io::Result<()> {
        self.group.push(row);
        if self.group.rows >= self.most_rows || self.group.bytes >= MOST_BYTES {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes the rest. Without it there is no file that anybody could read.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn finish(mut self) -> io::Result<()> {
        self.flush()?;
        self.file.close().map_err(cause)?;
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.group.rows == 0 {
            return Ok(());
        }
        let group = std::mem::replace(&mut self.group, Group::new());
        group.write(&mut self.file).map_err(cause)
    }
}

/// The error of whoever took the bytes, if it was that.
fn cause(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(inner) => match inner.downcast() {
            Ok(error) => *error,
            Err(inner) => io::Error::other(inner),
        },
        error => io::Error::other(error),
    }
}

/// Rows that wait, column by column.
struct Group {
    columns: Vec<Column>,
    rows: usize,
    bytes: usize,
}

impl Group {
    fn new() -> Self {
        let column = |get: &Get| match get {
            Get::Text(_) => Column::Text(Values::default()),
            Get::Number(_) | Get::Moment(_) => Column::Number(Values::default()),
            Get::Real(_) => Column::Real(Values::default()),
            Get::Flag(_) => Column::Flag(Values::default()),
        };
        Self { columns: COLUMNS.iter().map(|(_, _, get)| column(get)).collect(), rows: 0, bytes: 0 }
    }

    fn push(&mut self, row: &Row<'_>) {
        self.rows += 1;
        for ((_, _, get), column) in COLUMNS.iter().zip(&mut self.columns) {
            match (get, column) {
                (Get::Text(get), Column::Text(values)) => {
                    let text = get(row);
                    self.bytes += text.as_ref().map_or(0, |text| TEXT + text.len());
                    values.push(text.map(|text| ByteArray::from(text.into_owned().into_bytes())));
                }
                (Get::Number(get), Column::Number(values)) => values.push(get(row)),
                (Get::Moment(get), Column::Number(values)) => {
                    values.push(get(row).map(jiff::Timestamp::as_microsecond));
                }
                (Get::Real(get), Column::Real(values)) => values.push(Some(get(row))),
                (Get::Flag(get), Column::Flag(values)) => values.push(Some(get(row))),
                _ => unreachable!("columns are made by the same table"),
            }
        }
    }

    fn write<W: Write + Send>(
        self,
        file: &mut SerializedFileWriter<W>,
    ) -> Result<(), ParquetError> {
        let mut group = file.next_row_group()?;
        for column in self.columns {
            let Some(writer) = group.next_column()? else { break };
            match column {
                Column::Text(values) => values.write::<ByteArrayType>(writer),
                Column::Number(values) => values.write::<Int64Type>(writer),
                Column::Real(values) => values.write::<DoubleType>(writer),
                Column::Flag(values) => values.write::<BoolType>(writer),
            }?;
        }
        group.close()?;
        Ok(())
    }
}

enum Column {
    Text(Values<ByteArray>),
    Number(Values<i64>),
    Real(Values<f64>),
    Flag(Values<bool>),
}

/// What is known, and for each row whether it is: 1 or 0, as the format wants it.
struct Values<T> {
    known: Vec<T>,
    levels: Vec<i16>,
}

impl<T> Default for Values<T> {
    fn default() -> Self {
        Self { known: Vec::new(), levels: Vec::new() }
    }
}

impl<T> Values<T> {
    fn push(&mut self, value: Option<T>) {
        self.levels.push(value.is_some().into());
        self.known.extend(value);
    }

    /// Columns that always have a value have no levels, and ignore them.
    fn write<D: DataType<T = T>>(
        self,
        mut writer: SerializedColumnWriter<'_>,
    ) -> Result<(), ParquetError> {
        writer.typed::<D>().write_batch(&self.known, Some(&self.levels), None)?;
        writer.close()
    }
}

#[cfg(test)]
mod tests;

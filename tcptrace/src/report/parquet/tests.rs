use core::time::Duration;
use std::fs::File;

use parquet::file::metadata::RowGroupMetaData;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row as Read};

use super::*;
use crate::model::history::PastStay;
use crate::model::profile::window::Window;
use crate::report::row::Rows;
use crate::report::samples::past;

fn file(stays: &[PastStay], most_rows: usize) -> File {
    let file = tempfile::tempfile().unwrap();
    let mut writer = Writer::new(file.try_clone().unwrap(), None, Some("then".into())).unwrap();
    writer.most_rows = most_rows;
    let mut rows = Rows::new(Window::ALL);
    for stay in stays {
        writer.write(&rows.of(stay).unwrap()).unwrap();
    }
    writer.finish().unwrap();
    file
}

fn field<'a>(row: &'a Read, name: &str) -> &'a Field {
    row.get_column_iter().find(|(column, _)| *column == name).unwrap().1
}

#[test]
fn groups_are_bounded_and_nothing_is_lost_between_them() {
    let stays: Vec<_> =
        (0..10).map(|i| PastStay { lasted: Duration::from_nanos(i), ..past::stay() }).collect();
    let reader = SerializedFileReader::new(file(&stays, 4)).unwrap();
    let groups = reader.metadata().row_groups();
    assert_eq!(groups.iter().map(RowGroupMetaData::num_rows).collect::<Vec<_>>(), [4, 4, 2]);
    let rows = reader.get_row_iter(None).unwrap();
    let lasted: Vec<_> = rows.map(|row| field(&row.unwrap(), "lasted_ns").clone()).collect();
    assert_eq!(lasted, (0..10).map(Field::Long).collect::<Vec<_>>());
    let about = reader.metadata().file_metadata().key_value_metadata().unwrap();
    let about: Vec<_> = about.iter().map(|kv| (&*kv.key, kv.value.as_deref())).collect();
    assert_eq!(about, [("tcptrace.schema", Some("1")), ("tcptrace.to", Some("then"))]);
}

#[test]
fn unknown_is_null_and_names_are_kept_byte_for_byte() {
    let stays = past::stays();
    let reader = SerializedFileReader::new(file(&stays, MOST_ROWS)).unwrap();
    let rows: Vec<_> = reader.get_row_iter(None).unwrap().map(Result::unwrap).collect();
    assert_eq!(rows.len(), stays.len());
    for (row, stay) in rows.iter().zip(&stays) {
        let text = |text: Option<&str>| text.map_or(Field::Null, |text| Field::Str(text.into()));
        let process = stay.process.as_deref();
        assert_eq!(*field(row, "comm"), text(process.map(|p| &*p.comm)));
        assert_eq!(*field(row, "unit"), text(process.and_then(|p| p.unit.as_deref())));
        assert_eq!(*field(row, "code"), text(stay.code.as_deref()));
        let began = stay.began.as_microsecond();
        assert_eq!(*field(row, "began"), Field::TimestampMicros(began));
        assert_eq!(*field(row, "socket_seconds"), Field::Double(stay.lasted.as_secs_f64()));
    }
}

#[test]
fn without_stays_there_is_a_file_with_columns() {
    let reader = SerializedFileReader::new(file(&[], 1)).unwrap();
    let file = reader.metadata().file_metadata();
    assert_eq!((file.num_rows(), file.schema_descr().num_columns()), (0, COLUMNS.len()));
}

#[test]
fn a_reader_that_has_left_is_known_as_such() {
    struct Left;
    impl Write for Left {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::BrokenPipe.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let stay = past::stay();
    let written = Writer::new(Left, None, None).and_then(|mut writer| {
        writer.write(&Rows::new(Window::ALL).of(&stay).unwrap())?;
        writer.finish()
    });
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
}

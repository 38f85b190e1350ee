//! Shards that cannot be read, and shards that are deleted.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::*;
use crate::journal::shard;
use crate::model::history::GapKind;

/// Three shards of a minute each, with 500 stays in each.
fn three_shards(dir: &Path) -> Vec<PathBuf> {
    let span = Duration::from_secs(60);
    let (mut writer, _) = writer(Settings { span, ..settings(dir, 100) });
    for part in 0..3 {
        let began = 100 + 60 * part;
        for serial in 0..500 {
            writer.entry(kept(10_000 * part + serial, began));
            writer.entry(ended(10_000 * part + serial, began, began + 5));
        }
        writer.clock(began + 6);
    }
    writer.take_leave();
    shard::list(dir).unwrap()
}

fn unreadable(history: &mut History) -> Vec<(Timestamp, Timestamp, String)> {
    let gaps = history.gaps(ALWAYS).unwrap().into_iter();
    gaps.filter_map(|gap| match gap.why {
        GapKind::Unreadable(why) => Some((gap.from, gap.to, why.into())),
        _ => None,
    })
    .collect()
}

/// A part of what is said of it, and how it is done.
type Damage = (&'static str, fn(&Path));

#[test]
fn damage_is_named_and_the_rest_is_read() {
    let damage: [Damage; 5] = [
        ("it is truncated", |path| truncate(path, 50)),
        ("it is truncated", |path| truncate(path, 0)),
        ("malformed", |path| truncate(path, 40_960)),
        ("it is no journal", |path| write(path, 0, b"<script>")),
        ("schema version 7", |path| write(path, 60, &7u32.to_be_bytes())),
    ];
    for (why, damage) in damage {
        let dir = tempfile::tempdir().unwrap();
        let shards = three_shards(dir.path());
        damage(&shards[1]);
        let mut history = open(dir.path());
        let read = stays(&mut history);
        assert!((1000..1500).contains(&read.len()), "{why}: {}", read.len());
        assert!(history.warnings()[0].why.contains(why), "{:?}", history.warnings());
        let gaps = unreadable(&mut history);
        assert_eq!((gaps[0].0, gaps[0].1), (wall(166), wall(226)), "{why}");
        assert!(gaps[0].2.contains(why));
    }
}

#[test]
fn garbage_in_the_middle_makes_no_panic() {
    for page in 1..12 {
        let dir = tempfile::tempdir().unwrap();
        let shards = three_shards(dir.path());
        write(&shards[1], page * 4096, &[0xa5; 4096]);
        let mut history = open(dir.path());
        let read = stays(&mut history).len();
        assert!(read >= 1000, "page {page}: {read}");
        let _ = history.gaps(ALWAYS).unwrap();
    }
}

#[test]
fn nobody_waits_for_a_pipe_with_the_name_of_a_shard() {
    let dir = tempfile::tempdir().unwrap();
    let shards = three_shards(dir.path());
    fs::remove_file(&shards[1]).unwrap();
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RWXU);
    rustix::fs::mknodat(rustix::fs::CWD, &shards[1], kind, mode, 0).unwrap();
    let mut history = open(dir.path());
    assert_eq!(stays(&mut history).len(), 1000);
    assert!(history.warnings()[0].why.contains("no regular file"), "{:?}", history.warnings());
}

#[test]
fn a_view_in_the_place_of_a_table_is_not_asked() {
    let dir = tempfile::tempdir().unwrap();
    let shards = three_shards(dir.path());
    let changed = rusqlite::Connection::open(&shards[1]).unwrap();
    let endless = "PRAGMA foreign_keys = OFF; ALTER TABLE run RENAME TO was; CREATE VIEW run AS \
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
        SELECT was.* FROM was, n";
    changed.execute_batch(endless).unwrap();
    drop(changed);
    let mut history = open(dir.path());
    assert_eq!(stays(&mut history).len(), 1000);
    let why = &history.warnings()[0].why;
    assert!(why.contains("other things in it than a journal has"), "{why}");
}

fn truncate(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

fn write(path: &Path, at: u64, bytes: &[u8]) {
    OpenOptions::new().write(true).open(path).unwrap().write_all_at(bytes, at).unwrap();
}

#[test]
fn recording_goes_on_beside_a_damaged_shard() {
    let dir = tempfile::tempdir().unwrap();
    let (mut first, _) = writer(settings(dir.path(), 100));
    first.entry(kept(1, 100));
    first.clock(101);
    first.take_leave();
    let shards = shard::list(dir.path()).unwrap();
    let length = fs::metadata(&shards[0]).unwrap().len();
    // All but the header and the schema.
    for page in 1..length / 4096 {
        write(&shards[0], page * 4096, &[0xa5; 4096]);
    }
    let (mut second, status) = writer(settings(dir.path(), 200));
    second.entry(kept(1, 200));
    second.clock(201);
    second.clock(202);
    assert_eq!(status.lock().unwrap().error, None);
    assert_eq!(status.lock().unwrap().committed, 1);
    assert_eq!(lengths(&mut open(dir.path())), [(200, 2)]);
}

#[test]
fn a_directory_that_is_gone_is_made_again() {
    let parent = tempfile::tempdir().unwrap();
    let dir = parent.path().join("a/b");
    let (mut writer, status) = writer(settings(&dir, 100));
    writer.entry(kept(1, 100));
    writer.clock(101);
    fs::remove_dir_all(&dir).unwrap();
    writer.entry(kept(2, 101));
    writer.clock(102);
    assert_eq!(status.lock().unwrap().error, None);
    assert_eq!(lengths(&mut open(&dir)), [(100, 2), (101, 1)], "with what went on");
    fs::remove_file(&shard::list(&dir).unwrap()[0]).unwrap();
    writer.clock(103);
    assert_eq!(lengths(&mut open(&dir)), [(100, 3), (101, 2)]);
}

#[test]
fn whole_shards_are_deleted_by_age_but_never_the_running_one() {
    let dir = tempfile::tempdir().unwrap();
    let (span, keep) = (Duration::from_secs(60), Duration::from_secs(100));
    let (mut writer, _) = writer(Settings { span, keep, ..settings(dir.path(), 100) });
    for second in (100..1000).step_by(10) {
        writer.clock(second);
    }
    let began = |path: &PathBuf| shard::began(path).unwrap();
    let left: Vec<_> = shard::list(dir.path()).unwrap().iter().map(began).collect();
    // The one of 820 has what was written until 880, less than 100 s before the last change.
    assert_eq!(left, [wall(820), wall(880), wall(940)]);
    writer.take_leave();
    let others = fs::read_dir(dir.path()).unwrap().filter(|entry| {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        name.ends_with("-wal") && !name.starts_with("20010909T020220")
    });
    assert_eq!(others.count(), 0);
}

#[test]
fn the_oldest_are_deleted_by_size_and_a_newer_version_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let shards = three_shards(dir.path());
    write(&shards[0], 60, &7u32.to_be_bytes());
    let size = fs::metadata(&shards[1]).unwrap().len();
    shard::retain(dir.path(), &shards[2], wall(1000), Settings::KEEP, 4 * size).unwrap();
    assert_eq!(shard::list(dir.path()).unwrap(), shards);
    shard::retain(dir.path(), &shards[2], wall(1000), Settings::KEEP, size).unwrap();
    assert_eq!(shard::list(dir.path()).unwrap(), [shards[0].clone(), shards[2].clone()]);
    shard::retain(dir.path(), &shards[2], wall(1000), Settings::KEEP, 0).unwrap();
    assert_eq!(shard::list(dir.path()).unwrap().len(), 2);
    // Nor does a writer go on in it.
    write(&shards[2], 60, &7u32.to_be_bytes());
    let (mut next, status) = writer(settings(dir.path(), 250));
    next.clock(251);
    assert_eq!(status.lock().unwrap().error, None);
    assert_eq!(shard::list(dir.path()).unwrap().len(), 3);
}

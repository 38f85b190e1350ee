//! The files of a journal: what they are called, how one begins, which are deleted.

use core::time::Duration;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use rusqlite::{Connection, OpenFlags};

use super::schema::{self, APPLICATION, CREATE, NotOurs, VERSION};

const FORMAT: &str = "%Y%m%dT%H%M%SZ";
const EXTENSION: &str = "db";
/// Read by the group at most, before the umask.
const MODE: u32 = 0o640;
/// How long to wait for somebody with a `sqlite3` of his own.
const PATIENCE: Duration = Duration::from_secs(1);
/// The wall clock may go back by this before a shard counts as one of the future.
const SLACK: Duration = Duration::from_secs(60);
/// Bytes that the WAL keeps on disk when it is empty.
const WAL_KEPT: u32 = 4 << 20;

/// When the shard at `path` began, which its name tells; `None` for other files.
pub fn began(path: &Path) -> Option<Timestamp> {
    if path.extension()? != EXTENSION {
        return None;
    }
    let began = DateTime::strptime(FORMAT, path.file_stem()?.to_str()?).ok()?;
    Some(began.to_zoned(TimeZone::UTC).ok()?.timestamp())
}

/// The shards in `dir`, the oldest first.
///
/// # Errors
/// If it cannot be listed.
pub fn list(dir: &Path) -> Result<Vec<PathBuf>> {
    let listed = fs::read_dir(dir).and_then(|entries| {
        entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>()
    });
    let mut paths = listed.with_context(|| format!("cannot list {}", dir.display()))?;
    paths.retain(|path| began(path).is_some());
    paths.sort();
    Ok(paths)
}

/// The file and its companions, in the order in which they may go.
fn files(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    })
}

/// Bytes on disk, with the WAL.
fn size(path: &Path) -> u64 {
    files(path).iter().filter_map(|file| Some(fs::metadata(file).ok()?.len())).sum()
}

/// Bytes on disk of all shards in `dir`.
pub fn size_on_disk(dir: &Path) -> u64 {
    list(dir).unwrap_or_default().iter().map(|path| size(path)).sum()
}

/// How long shards are.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// A shard takes up this much time.
    pub span: Duration,
    /// And about this many bytes.
    pub size: u64,
}

/// A shard that is written to.
#[derive(Debug)]
pub struct Shard {
    /// Its database.
    pub connection: Connection,
    /// Where it is.
    pub path: PathBuf,
    began: Timestamp,
    inode: u64,
}

impl Shard {
    /// Makes an empty one in `dir`.
    ///
    /// # Errors
    /// If that is not possible; then there is none.
    pub fn create(dir: &Path, now: Timestamp) -> Result<Self> {
        let mut began = now;
        let path = loop {
            let path = dir.join(began.strftime(FORMAT).to_string()).with_extension(EXTENSION);
            if !path.try_exists()? {
                break path;
            }
            began = began.checked_add(Duration::from_secs(1))?;
        };
        // A file has its name once it is complete, so that no reader meets half of a schema.
        let unnamed = path.with_extension("new");
        let _ = fs::remove_file(&unnamed);
        let made = make(&unnamed).with_context(|| format!("cannot write {}", path.display()));
        if let Err(error) = made {
            let _ = fs::remove_file(&unnamed);
            return Err(error);
        }
        fs::rename(&unnamed, &path)?;
        File::open(dir)?.sync_all()?;
        Self::open(path)
    }

    /// Opens the one at `path` to write to.
    ///
    /// # Errors
    /// If it is none of ours, of an older version, or damaged.
    pub fn open(path: PathBuf) -> Result<Self> {
        let shown = || format!("cannot write {}", path.display());
        let version = schema::identify(&path).with_context(shown)?.with_context(shown)?;
        ensure!(version == VERSION, "{} has schema version {version}", path.display());
        let connection = open(&path).with_context(shown)?;
        let inode = fs::metadata(&path).with_context(shown)?.ino();
        let began = began(&path).unwrap_or_default();
        Ok(Self { connection, path, began, inode })
    }

    /// Opens the latest in `dir` if it is not yet full at `now`.
    pub fn latest(dir: &Path, now: Timestamp, limits: Limits) -> Option<Self> {
        let shard = Self::open(list(dir).ok()?.pop()?).ok()?;
        (!shard.is_full(now, limits)).then_some(shard)
    }

    /// Whether what follows goes into another one. A wall clock that was set back makes it full, too:
    /// names tell what is in a shard.
    pub fn is_full(&self, now: Timestamp, limits: Limits) -> bool {
        let age = now.duration_since(self.began);
        age.is_negative() && age.unsigned_abs() > SLACK
            || !age.is_negative() && age.unsigned_abs() >= limits.span
            || size(&self.path) >= limits.size
    }

    /// Whether its file is still there.
    pub fn is_in_place(&self) -> bool {
        fs::metadata(&self.path).is_ok_and(|there| there.ino() == self.inode)
    }
}

fn make(path: &Path) -> Result<()> {
    // Who talked to whom is not for everybody. SQLite gives its companions the same mode.
    OpenOptions::new().write(true).create_new(true).mode(MODE).open(path)?;
    let mut connection = Connection::open(path)?;
    // In a rollback journal first: the header is then in the file itself.
    connection.pragma_update(None, "application_id", APPLICATION)?;
    connection.pragma_update(None, "user_version", VERSION)?;
    let transaction = connection.transaction()?;
    transaction.execute_batch(CREATE)?;
    transaction.commit()?;
    Ok(connection.pragma_update(None, "journal_mode", "WAL")?)
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(PATIENCE)?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "journal_size_limit", WAL_KEPT)?;
    connection.set_prepared_statement_cache_capacity(64);
    connection.query_row("SELECT count(*) FROM run", [], |_| Ok(()))?;
    Ok(connection)
}

/// Deletes the shards in `dir` that are older than `keep`, and the oldest ones until the rest has no
/// more than `keep_size` bytes. Leaves alone the one at `running` and what is not known to be ours.
///
/// # Errors
/// If it cannot be listed, or something cannot be deleted.
pub fn retain(
    dir: &Path,
    running: &Path,
    now: Timestamp,
    keep: Duration,
    keep_size: u64,
) -> Result<()> {
    let paths = list(dir)?;
    let mut total: u64 = paths.iter().map(|path| size(path)).sum();
    for (at, path) in paths.iter().enumerate() {
        let foreign =
            matches!(schema::identify(path), Ok(Err(NotOurs::Newer(_) | NotOurs::Other)) | Err(_));
        if path == running || foreign {
            continue;
        }
        // What was written to it last is from before the next one began.
        let ended = paths.get(at + 1).and_then(|next| began(next));
        let old = ended
            .is_some_and(|ended| now.duration_since(ended).unsigned_abs() > keep && ended < now);
        if old || total > keep_size {
            total -= size(path);
            for file in files(path) {
                if file.try_exists()? {
                    fs::remove_file(&file)
                        .with_context(|| format!("cannot delete {}", file.display()))?;
                }
            }
        }
    }
    Ok(())
}

//! One shard, opened to read.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags, Row, ffi};

use super::super::schema;
use crate::model::history::{PastEnd, RunEnd};

/// A run as one shard has it.
#[derive(Clone, Debug)]
pub struct ShardRun {
    /// Its number in this shard.
    pub id: i64,
    pub host: Arc<str>,
    pub boot_id: Arc<str>,
    pub version: String,
    pub probes: String,
    pub thresholds: String,
    pub recording_ns: i64,
    pub began_ns: i64,
    pub began_wall: i64,
    pub from_ns: i64,
    pub from_wall: i64,
    pub alive_ns: i64,
    pub alive_wall: i64,
    pub ended: Option<String>,
    /// What became of the stays that go on in this shard; `None`: a later one has them.
    pub open: Option<PastEnd>,
    /// How the run ended, as far as this shard knows.
    pub end: RunEnd,
}

impl ShardRun {
    /// What it is known by in all shards.
    pub fn key(&self) -> (Arc<str>, i64) {
        (Arc::clone(&self.boot_id), self.began_ns)
    }

    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            id: row.get("id")?,
            host: row.get("host")?,
            boot_id: row.get("boot_id")?,
            version: row.get("version")?,
            probes: row.get("probes")?,
            thresholds: row.get("thresholds")?,
            recording_ns: row.get("recording_ns")?,
            began_ns: row.get("began_ns")?,
            began_wall: row.get("began_wall")?,
            from_ns: row.get("from_ns")?,
            from_wall: row.get("from_wall")?,
            alive_ns: row.get("alive_ns")?,
            alive_wall: row.get("alive_wall")?,
            ended: row.get("ended")?,
            open: None,
            end: RunEnd::Died,
        })
    }
}

/// See the module.
#[derive(Debug)]
pub struct Source {
    /// The file, as it was named.
    pub path: PathBuf,
    /// Its directory.
    pub dir: PathBuf,
    /// What it has of each run, the earliest first.
    pub runs: Vec<ShardRun>,
    copy: Option<Copied>,
}

impl Source {
    /// Opens the shard at `path` and reads which runs are in it.
    ///
    /// # Errors
    /// If it is none, damaged, or of a later version.
    pub fn open(path: &Path) -> Result<Self> {
        schema::identify(path)??;
        let dir = directory(path).to_owned();
        let mut source = Self { path: path.to_owned(), dir, runs: Vec::new(), copy: None };
        let connection = match connect(path) {
            Err(error) if needs_writing(&error) => {
                // What a recorder left in the WAL can only be read where a new index of it can be
                // written.
                let copy = Copied::of(path).with_context(|| {
                    format!("{error}; make its directory writable, or copy it elsewhere")
                })?;
                let connection = connect(&copy.path)?;
                source.copy = Some(copy);
                connection
            }
            connection => connection?,
        };
        let mut statement = connection.prepare("SELECT * FROM run ORDER BY from_ns, id")?;
        let runs = statement.query_map([], ShardRun::read)?;
        source.runs = runs.collect::<rusqlite::Result<_>>()?;
        Ok(source)
    }

    /// A connection that only reads. What a recorder commits meanwhile does not show in a query that
    /// has begun.
    ///
    /// # Errors
    /// If it can no longer be opened.
    pub fn connect(&self) -> rusqlite::Result<Connection> {
        connect(self.copy.as_ref().map_or(&self.path, |copy| &copy.path))
    }

    /// The run with this number.
    pub fn run(&self, id: i64) -> Option<&ShardRun> {
        self.runs.iter().find(|run| run.id == id)
    }
}

/// The directory that `path` is in.
pub fn directory(path: &Path) -> &Path {
    let named = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    named.unwrap_or(Path::new("."))
}

fn connect(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(core::time::Duration::from_secs(5))?;
    // A shard may come from anybody. Whoever made it has no say in what is done to read it.
    connection.pragma_update(None, "trusted_schema", false)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    check(&connection)?;
    connection.query_row("SELECT count(*) FROM run", [], |_| Ok(()))?;
    Ok(connection)
}

/// That there are only tables with rows, as in a journal, and the view for people, which is not read: a view or a virtual table in the place of one
/// would do whatever it says when it is read, for as long as it likes.
fn check(connection: &Connection) -> rusqlite::Result<()> {
    const OTHERS: &str = "SELECT count(*) FROM sqlite_schema \
        WHERE type NOT IN ('table', 'index') AND name <> 'stays' \
        OR type = 'table' AND rootpage = 0";
    if connection.query_row(OTHERS, [], |row| row.get::<_, i64>(0))? == 0 {
        return Ok(());
    }
    let why = "it has other things in it than a journal has".to_owned();
    Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_NOTADB), Some(why)))
}

fn needs_writing(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly))
}

/// A copy of a shard in a directory of its own, which goes with it.
#[derive(Debug)]
struct Copied {
    dir: PathBuf,
    path: PathBuf,
}

impl Copied {
    fn of(path: &Path) -> io::Result<Self> {
        use std::os::unix::fs::DirBuilderExt as _;
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let (pid, number) = (std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = std::env::temp_dir().join(format!("tcptrace-{pid}-{number}"));
        fs::DirBuilder::new().mode(0o700).create(&dir)?;
        let copy = Self { path: dir.join("shard.db"), dir };
        fs::copy(path, &copy.path)?;
        let mut wal = path.as_os_str().to_owned();
        wal.push("-wal");
        if Path::new(&wal).try_exists()? {
            fs::copy(&wal, copy.dir.join("shard.db-wal"))?;
        }
        Ok(copy)
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        // It is in a directory for temporary files: what stays there is no harm.
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// The moment that a shard has as nanoseconds since 1970.
pub fn moment(nanos: i64) -> Timestamp {
    Timestamp::from_nanosecond(nanos.into()).unwrap_or_default()
}

/// The same for a window's edge.
pub fn edge(at: Timestamp) -> i64 {
    super::super::clock::nanos(at)
}

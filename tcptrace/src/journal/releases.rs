//! What `release` has done, beside the shards: lines of JSON that are only ever added.
//!
//! A file of its own, since the shards belong to the one process that records; and whoever releases may
//! do so beside it, or where nothing records.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use super::Error;

/// Its name in the journal's directory.
pub const NAME: &str = "releases.jsonl";

/// See the module.
#[derive(Debug)]
pub struct Releases {
    file: File,
    path: PathBuf,
}

impl Releases {
    /// Opens the file in `dir`, which is made if it is missing.
    ///
    /// # Errors
    /// If it cannot be written to.
    pub fn open(dir: &Path) -> Result<Self, Error> {
        let path = dir.join(NAME);
        let open = || {
            DirBuilder::new().recursive(true).mode(0o750).create(dir)?;
            OpenOptions::new().append(true).create(true).mode(0o640).open(&path)
        };
        match open() {
            Ok(file) => Ok(Self { file, path }),
            Err(source) => Err(Error::Directory { dir: dir.to_owned(), source }),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds whole `lines`. They are on the disk when this returns.
    ///
    /// # Errors
    /// If they are not.
    pub fn add(&mut self, lines: &[u8]) -> io::Result<()> {
        // In one call: what others add at the same time comes before or after it.
        self.file.write_all(lines)?;
        self.file.sync_data()
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn lines_of_several_runs_follow_one_another() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("a/b");
        let (mut first, mut second) =
            (Releases::open(&inside).unwrap(), Releases::open(&inside).unwrap());
        first.add(b"1\n").unwrap();
        second.add(b"2\n").unwrap();
        first.add(b"3\n").unwrap();
        assert_eq!(std::fs::read(first.path()).unwrap(), b"1\n2\n3\n");
        let mode = std::fs::metadata(first.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o137, 0, "{mode:o}: not for everybody");
    }

    #[test]
    fn a_file_in_the_place_of_the_directory_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = Releases::open(file.path()).unwrap_err().to_string();
        assert!(error.contains(&file.path().display().to_string()), "{error}");
    }
}

//! Where a report goes: stdout, or a file that appears when it is complete.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

/// Has `write` write to the file at `path`, or to stdout for `-`.
///
/// A regular file is written beside its place and renamed, so that nobody sees half of it and a failure
/// leaves what was there; anything else, like a pipe, is written to.
pub fn write(
    path: &Path,
    write: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<()>,
) -> Result<()> {
    if path == Path::new("-") {
        return to_stdout(write);
    }
    to_file(path, write).with_context(|| format!("cannot write {}", path.display()))
}

/// Has `write` write to stdout. A reader that has left, as one leaves a pager, is no error.
pub fn to_stdout(write: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<()>) -> Result<()> {
    let mut out = BufWriter::new(io::stdout());
    match write(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
            // Nor does what is still in the buffer go anywhere.
            let _ = out.into_parts();
            Ok(())
        }
        result => result.context("cannot write to stdout"),
    }
}

fn to_file(
    path: &Path,
    write: impl FnOnce(&mut (dyn Write + Send)) -> io::Result<()>,
) -> io::Result<()> {
    // The kernel knows whose links are not to be followed (fs.protected_symlinks), but is not asked when
    // they are only read.
    match fs::metadata(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    // A link stays one, and its file is replaced.
    let path = match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_owned(),
        path => path?,
    };
    if path.exists() && !path.is_file() {
        let mut out = BufWriter::new(File::options().write(true).open(path)?);
        return write(&mut out).and_then(|()| out.flush());
    }
    let beside = beside(&path)?;
    let file = File::create_new(&beside)?;
    let mut out = BufWriter::new(file);
    let written = write(&mut out)
        .and_then(|()| out.into_inner()?.sync_all())
        .and_then(|()| fs::rename(&beside, &path));
    if written.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&beside);
    }
    written
}

fn beside(path: &Path) -> io::Result<PathBuf> {
    let name = path.file_name();
    let name = name.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file name"))?;
    let hidden = format!(".{}.{}", name.to_string_lossy(), std::process::id());
    Ok(path.with_file_name(hidden))
}

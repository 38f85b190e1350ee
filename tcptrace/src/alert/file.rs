//! Lines of JSON, appended to a file.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::OFlags;

use super::message::Message;
use super::{Deliver, Failure};
use crate::cli::config::sink;

pub struct File {
    path: PathBuf,
    open: Option<fs::File>,
}

impl File {
    pub fn open(sink: &sink::File) -> Self {
        Self { path: sink.path.clone(), open: None }
    }

    /// The file that is at the path now: a rotated one is left.
    fn current(&mut self) -> io::Result<&mut fs::File> {
        let identity = |there: &fs::Metadata| (there.dev(), there.ino());
        let there = fs::symlink_metadata(&self.path).ok();
        let ours = self.open.as_ref().and_then(|file| file.metadata().ok());
        if ours.is_none() || there.as_ref().map(identity) != ours.as_ref().map(identity) {
            self.open = Some(open(&self.path)?);
        }
        self.open.as_mut().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let file = self.current()?;
        let before = file.metadata()?.len();
        file.write_all(line).inspect_err(|_| {
            // A full disk may have taken a part of it. What cannot be undone is a broken line.
            let _ = file.set_len(before);
        })
    }
}

fn open(path: &Path) -> io::Result<fs::File> {
    // Neither somebody else's link nor a pipe without a reader.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")),
    }
}

impl Deliver for File {
    fn deliver(&mut self, message: &Message) -> Result<String, Failure> {
        let path = self.path.clone();
        self.append(&message.json()).map(|()| "appended".to_owned()).map_err(|error| {
            let failure = Failure::later(format!("cannot append to {}: {error}", path.display()));
            failure.and_try("see that its directory is there, writable and not full")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::tests::sample_group;

    fn sink(path: &Path) -> File {
        File::open(&sink::File { path: path.to_owned(), ..sink::File::default() })
    }

    #[test]
    fn a_rotated_file_is_left_and_the_new_one_found() {
        let dir = tempfile::tempdir().unwrap();
        let (path, old) = (dir.path().join("alerts"), dir.path().join("alerts.1"));
        let mut sink = sink(&path);
        let line = sample_group().json();
        sink.deliver(&sample_group()).unwrap();
        sink.deliver(&sample_group()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), [&*line, &*line].concat());
        fs::rename(&path, &old).unwrap();
        sink.deliver(&sample_group()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), line);
        assert_eq!(fs::read(&old).unwrap().len(), 2 * line.len());
    }

    #[test]
    fn links_and_pipes_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let [link, pipe, there] = ["link", "pipe", "there"].map(|name| dir.path().join(name));
        std::os::unix::fs::symlink(&there, &link).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &pipe,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        for path in [&link, &pipe] {
            assert!(sink(path).deliver(&sample_group()).is_err(), "{}", path.display());
        }
        assert!(!there.exists());
    }
}

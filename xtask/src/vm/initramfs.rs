//! What a guest boots into: our programs, busybox, and the few tools that the tests call.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use super::kernels::{Arch, Image};
use crate::shell::{output, run, show};

const INIT: &str = include_str!("init");
/// Of the machine that builds it, with their libraries: what busybox's own do not do.
const TOOLS: [&str; 6] = ["ip", "ss", "nstat", "setpriv", "bash", "unshare"];
/// In an order in which each finds what it needs. One that is compiled into the kernel is no file.
const MODULES: [&str; 3] = ["inet_diag", "tcp_diag", "unix_diag"];

/// Where the programs under test are, on this machine and, as tests know one another by their
/// paths, in the guest.
#[derive(Clone, Debug)]
pub struct Programs {
    pub arch: Arch,
    pub live: PathBuf,
    pub tcptrace: PathBuf,
    /// The folder that tests keep their files in.
    pub scratch: PathBuf,
}

/// A folder that becomes an archive.
struct Tree<'a>(&'a Path);

/// Makes `archive` for one guest; `settings` are lines that its first process sources.
pub fn make(archive: &Path, programs: &Programs, image: &Image, settings: &str) -> Result<()> {
    let root = archive.with_extension("root");
    let _ = fs::remove_dir_all(&root);
    let tree = Tree(&root);
    for folder in ["dev", "proc", "sys", "tmp", "run", "root", "bin", "sbin", "etc", "modules"] {
        fs::create_dir_all(root.join(folder))?;
    }
    match &image.tools {
        None => {
            tree.copy(&find("busybox")?, Path::new("/bin/busybox"))?;
            for tool in TOOLS {
                tree.program(&find(tool)?, &Path::new("/usr/bin").join(tool))?;
            }
            // What scripts name by its path.
            symlink("/bin/busybox", root.join("bin/sh"))?;
            for program in [&programs.live, &programs.tcptrace] {
                tree.program(program, program)?;
            }
        }
        Some(tools) => {
            for folder in ["bin", "sbin", "lib", "usr/bin", "usr/sbin", "usr/lib"] {
                tree.all_of(&tools.join(folder), folder)?;
            }
            let _ = fs::remove_dir_all(root.join("lib/modules"));
            symlink("/bin/busybox", root.join("bin/sh"))?;
            for program in [&programs.live, &programs.tcptrace] {
                tree.copy(program, program)?;
            }
        }
    }
    fs::create_dir_all(tree.place(&programs.scratch))?;
    if let Some(modules) = &image.modules {
        tree.modules(modules)?;
    }
    fs::write(root.join("etc/guest"), settings)?;
    fs::write(root.join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n")?;
    fs::write(root.join("init"), INIT)?;
    fs::set_permissions(root.join("init"), fs::Permissions::from_mode(0o755))?;
    tree.pack(archive)?;
    fs::remove_dir_all(&root)?;
    Ok(())
}

impl Tree<'_> {
    /// Where `path` of the guest is.
    fn place(&self, path: &Path) -> PathBuf {
        self.0.join(path.strip_prefix("/").unwrap_or(path))
    }

    fn copy(&self, from: &Path, to: &Path) -> Result<()> {
        let to = self.place(to);
        fs::create_dir_all(to.parent().context("a file has a folder")?)?;
        fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(())
    }

    /// A folder with what is in it, links as they are.
    fn all_of(&self, from: &Path, to: &str) -> Result<()> {
        fs::create_dir_all(self.0.join(to))?;
        run(Command::new("cp").arg("-a").arg(from.join(".")).arg(self.0.join(to)))
    }

    /// A program with the libraries it is linked to.
    fn program(&self, from: &Path, to: &Path) -> Result<()> {
        self.copy(from, to)?;
        let linked = output(Command::new("ldd").arg(from))?;
        let words = linked.split_whitespace().filter(|word| word.starts_with('/'));
        for library in words.map(Path::new).collect::<BTreeSet<_>>() {
            self.copy(library, library)?;
        }
        Ok(())
    }

    fn modules(&self, from: &Path) -> Result<()> {
        let kernel = from.join("kernel");
        for (i, name) in MODULES.iter().enumerate() {
            let find = Command::new("find")
                .arg(&kernel)
                .args(["-name", &format!("{name}.ko*")])
                .output()?;
            let found = String::from_utf8_lossy(&find.stdout);
            let Some(found) = found.lines().next() else { continue };
            let to = self.0.join(format!("modules/{i}-{name}.ko"));
            match found.rsplit('.').next() {
                Some("ko") => drop(fs::copy(found, &to)?),
                Some("xz") => {
                    let mut unpack = Command::new("busybox");
                    run(unpack.args(["xzcat", found]).stdout(File::create(&to)?))?;
                }
                other => anyhow::bail!("{found}: cannot unpack {other:?}"),
            }
        }
        Ok(())
    }

    /// In the kernel's format. Not compressed: unpacking would be emulated.
    fn pack(&self, archive: &Path) -> Result<()> {
        let mut list =
            Command::new("find").arg(".").current_dir(self.0).stdout(Stdio::piped()).spawn()?;
        let mut pack = Command::new("busybox");
        pack.args(["cpio", "-o", "-H", "newc"]).current_dir(self.0).stderr(Stdio::null());
        pack.stdin(list.stdout.take().context("no list")?).stdout(File::create(archive)?);
        let packed = pack.status();
        ensure!(list.wait()?.success(), "find failed in {}", self.0.display());
        ensure!(packed?.success(), "{} failed", show(&pack));
        Ok(())
    }
}

/// Where a program of this machine is.
fn find(program: &str) -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let dirs = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    let mut places = dirs.map(|dir| dir.join(program));
    places.find(|place| place.is_file()).with_context(|| format!("no `{program}` in PATH"))
}

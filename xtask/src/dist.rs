//! What users install: a static binary, packages, and the list of what is in them.

mod check;
mod deb;
mod rpm;
mod sbom;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::build::{self, OBJECT};
use crate::setup;
use crate::shell::{cargo, output, root, run, step, target};

const SUMMARY: &str = "Who left these sockets in CLOSE_WAIT and FIN_WAIT_2, since when, and why";
const DESCRIPTION: &[&str] = &[
    "tcptrace follows every TCP state change with an eBPF program, knows the age of",
    "every half-closed socket, names the process that holds it and the reason it is",
    "stuck, and says so when it has lasted too long.",
];
/// Files that belong to the administrator once they are there.
const CONFIGURATION: &str = "/etc/tcptrace/config.toml";

/// What is made, in one place.
struct Dist {
    /// Where it is made.
    dir: PathBuf,
    version: String,
    /// The files as they will be installed, below `/`.
    tree: PathBuf,
}

/// Makes everything; with `check`, installs and removes it again.
pub fn all(check: bool) -> Result<()> {
    setup::for_dist()?;
    let object = build::ebpf()?;
    step("building the static binary");
    let mut build = cargo();
    build.args(["build", "--locked", "--profile", "dist", "--package", "tcptrace"]);
    run(build::statically(&mut build)?.env(OBJECT, object))?;
    step("packing");
    let dist = Dist::begin(&target().join(build::STATIC).join("dist/tcptrace"))?;
    let made =
        [dist.dir.join("tcptrace"), sbom::write(&dist)?, deb::build(&dist)?, rpm::build(&dist)?];
    dist.sum(&made)?;
    for path in made {
        let bytes = fs::metadata(&path)?.len();
        println!("{:>7.1} MB  {}", bytes as f64 / 1e6, path.display());
    }
    if check { check::all(&dist) } else { Ok(()) }
}

impl Dist {
    /// Puts the files in their places.
    fn begin(binary: &Path) -> Result<Self> {
        let dir = target().join("dist");
        let tree = dir.join("tree");
        if dir.exists() {
            fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
        }
        fs::create_dir_all(&tree)?;
        let version = output(Command::new(binary).arg("--version"))?;
        let version = version.trim().strip_prefix("tcptrace ").context("no version")?.to_owned();
        let dist = Self { dir, version, tree };
        let contrib = root().join("contrib");
        dist.place(binary, "usr/bin/tcptrace", 0o755)?;
        // Beside the packages, with what the container's recipe takes.
        fs::copy(binary, dist.dir.join("tcptrace"))?;
        fs::copy(contrib.join("config.toml"), dist.dir.join("config.toml"))?;
        dist.place(&contrib.join("config.toml"), &CONFIGURATION[1..], 0o644)?;
        let unit = contrib.join("systemd/tcptrace.service");
        dist.place(&unit, "usr/lib/systemd/system/tcptrace.service", 0o644)?;
        for entry in fs::read_dir(contrib.join("systemd"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|extension| extension == "conf") {
                let name = path.file_name().context("no name")?.to_string_lossy().into_owned();
                dist.place(&path, &format!("usr/share/doc/tcptrace/systemd/{name}"), 0o644)?;
            }
        }
        for name in ["CHANGELOG.md", "LICENSE-MIT", "LICENSE-APACHE"] {
            dist.place(&root().join(name), &format!("usr/share/doc/tcptrace/{name}"), 0o644)?;
        }
        dist.generate(binary)?;
        Ok(dist)
    }

    fn place(&self, from: &Path, to: &str, mode: u32) -> Result<()> {
        let to = self.tree.join(to);
        fs::create_dir_all(to.parent().context("a file is in a folder")?)?;
        fs::copy(from, &to).with_context(|| format!("cannot copy {}", from.display()))?;
        Ok(fs::set_permissions(&to, fs::Permissions::from_mode(mode))?)
    }

    /// Man pages and completions, written by the very binary that they describe.
    fn generate(&self, binary: &Path) -> Result<()> {
        let made = self.dir.join("generated");
        run(Command::new(binary).arg("generate").arg(&made))?;
        for entry in fs::read_dir(made.join("man"))? {
            let path = entry?.path();
            // Without name and time, so that the same input makes the same package.
            run(Command::new("gzip").args(["-9", "--no-name"]).arg(&path))?;
            let name = path.file_name().context("no name")?.to_string_lossy().into_owned();
            let page = path.with_file_name(format!("{name}.gz"));
            self.place(&page, &format!("usr/share/man/man1/{name}.gz"), 0o644)?;
        }
        for (name, place) in [
            ("tcptrace.bash", "bash-completion/completions/tcptrace"),
            ("_tcptrace", "zsh/site-functions/_tcptrace"),
            ("tcptrace.fish", "fish/vendor_completions.d/tcptrace.fish"),
        ] {
            let from = made.join("completions").join(name);
            self.place(&from, &format!("usr/share/{place}"), 0o644)?;
        }
        Ok(fs::remove_dir_all(made)?)
    }

    /// Every file of the tree, as it will be installed.
    fn files(&self) -> Result<Vec<String>> {
        let listed =
            output(Command::new("find").args([".", "-type", "f"]).current_dir(&self.tree))?;
        let mut files: Vec<_> = listed.lines().map(|line| line[1..].to_owned()).collect();
        files.sort();
        Ok(files)
    }

    /// Writes `SHA256SUMS` of `files`.
    fn sum(&self, files: &[PathBuf]) -> Result<()> {
        let names = files.iter().filter_map(|path| path.file_name());
        let sums = output(Command::new("sha256sum").args(names).current_dir(&self.dir))?;
        Ok(fs::write(self.dir.join("SHA256SUMS"), sums)?)
    }

    /// When the last change was made: the time of everything in the packages.
    fn epoch() -> Result<String> {
        let time =
            output(Command::new("git").args(["log", "-1", "--format=%ct"]).current_dir(root()))?;
        Ok(time.trim().to_owned())
    }
}

//! Installs the packages into a system of their own, uses them, and removes them again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::{CONFIGURATION, Dist};
use crate::shell::{as_root, output, run, step, target};

/// The binary in the packages.
const BINARY: &str = "/usr/bin/tcptrace";

/// Checks everything that was made.
pub fn all(dist: &Dist) -> Result<()> {
    step("checking the .deb");
    deb(dist)?;
    step("checking the .rpm");
    rpm(dist)?;
    step("checking completions and the list of crates");
    completions(dist)?;
    sbom(dist)
}

/// A folder that stands for `/`, removed in the end.
struct Root(PathBuf);

impl Root {
    fn new(name: &str) -> Result<Self> {
        let root = Self(target().join("dist").join(name));
        fs::create_dir_all(&root.0)?;
        Ok(root)
    }

    /// Every file in it, but for the package manager's own.
    fn files(&self, own: &str) -> Result<Vec<String>> {
        let mut find = as_root("find");
        find.args([".", "-not", "-type", "d", "-not", "-path", own]).current_dir(&self.0);
        let listed = output(&mut find)?;
        let mut files: Vec<_> = listed.lines().map(|line| line[1..].to_owned()).collect();
        files.sort();
        Ok(files)
    }

    /// Every folder, likewise.
    fn folders(&self) -> Result<Vec<String>> {
        let listed = output(as_root("find").args([".", "-type", "d"]).current_dir(&self.0))?;
        Ok(listed.lines().map(|line| line[1..].to_owned()).collect())
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        let _ = as_root("rm").arg("-rf").arg(&self.0).status();
    }
}

fn deb(dist: &Dist) -> Result<()> {
    let root = Root::new("debian")?;
    for folder in ["var/lib/dpkg/info", "var/lib/dpkg/updates"] {
        fs::create_dir_all(root.0.join(folder))?;
    }
    fs::write(root.0.join("var/lib/dpkg/status"), "")?;
    let dpkg = |what: &str, argument: &Path| {
        let mut dpkg = as_root("dpkg");
        // There is no shell in there; the scripts know by DPKG_ROOT.
        dpkg.arg(format!("--root={}", root.0.display())).arg("--force-script-chrootless");
        // The packages of this machine are not in there either.
        dpkg.args(["--force-depends", "--no-triggers", what]).arg(argument);
        run(&mut dpkg)
    };
    let package = dist.dir.join(format!("tcptrace_{}_amd64.deb", dist.version));
    dpkg("--install", &package)?;
    let own = "./var/lib/dpkg/*";
    let (installed, expected) = (root.files(own)?, dist.files()?);
    ensure!(installed == expected, "installed {installed:#?}, expected {expected:#?}");
    works(&root.0, &dist.version)?;

    // A file of the administrator's stays, and so does the record, until the package is purged.
    dpkg("--remove", Path::new("tcptrace"))?;
    let left = root.files(own)?;
    let kept = |path: &String| path == CONFIGURATION || path.starts_with("/var/lib/tcptrace/");
    ensure!(left.iter().all(kept) && left.len() > 1, "remove leaves {left:#?}");
    dpkg("--purge", Path::new("tcptrace"))?;
    let left = root.files(own)?;
    ensure!(left.is_empty(), "purge leaves {left:#?}");
    let folders = root.folders()?;
    let ours: Vec<_> = folders.iter().filter(|path| path.contains("tcptrace")).collect();
    ensure!(ours.is_empty(), "purge leaves {ours:#?}");
    Ok(())
}

/// Runs what is installed below `root`, where there is nothing else: no libraries, no shell.
fn works(root: &Path, version: &str) -> Result<()> {
    let shown = output(as_root("chroot").arg(root).args([BINARY, "--version"]))?;
    ensure!(shown.trim() == format!("tcptrace {version}"), "its version is {shown}");
    let installed = root.join(&BINARY[1..]);
    let doctor = output(as_root(&installed).args(["doctor", "--output", "json"]))?;
    let checks =
        doctor.lines().map(serde_json::from_str::<Value>).collect::<Result<Vec<_>, _>>()?;
    let programs = checks.iter().find(|check| check["name"] == "tp_btf/inet_sock_set_state");
    let programs = programs.context("doctor says nothing of the kernel programs")?;
    ensure!(programs["status"] == "good", "the kernel programs do not load: {programs}");
    let record = root.join("var/lib/tcptrace");
    let mut watch = as_root(&installed);
    watch.args(["watch", "--for", "2s", "--output", "json", "--record"]).arg(&record);
    let last = output(&mut watch)?;
    let last: Value = serde_json::from_str(last.lines().last().context("watch says nothing")?)?;
    ensure!(last["type"] == "summary", "the last line of watch is {last}");
    Ok(())
}

fn rpm(dist: &Dist) -> Result<()> {
    let package = dist.dir.join(format!("tcptrace-{}-1.x86_64.rpm", dist.version));
    let root = Root::new("redhat")?;
    let ask = |what: &[&str]| {
        let mut rpm = Command::new("rpm");
        output(rpm.arg(format!("--dbpath={}/rpm", root.0.display())).args(what).arg(&package))
    };
    let verified = ask(&["--checksig"])?;
    ensure!(verified.contains("digests OK"), "{verified}");
    let query = |what: &str| ask(&["--query", what, "-p"]);
    let listed = query("--list")?;
    let missing: Vec<_> =
        dist.files()?.into_iter().filter(|file| !listed.lines().any(|l| l == file)).collect();
    ensure!(missing.is_empty(), "the .rpm lacks {missing:#?}");
    ensure!(query("--configfiles")?.trim() == CONFIGURATION, "its configuration is not marked");
    let needed = query("--requires")?;
    let foreign = |line: &&str| !line.starts_with("rpmlib(") && !line.starts_with("/bin/sh");
    ensure!(!needed.lines().any(|line| foreign(&line)), "it needs {needed}");

    let rpm = |what: &[&str], argument: &Path| {
        let mut rpm = as_root("rpm");
        // There is no shell in there for the scripts.
        rpm.arg(format!("--root={}", root.0.display())).arg("--dbpath=/rpm").args(what);
        run(rpm.args(["--noscripts", "--nodeps"]).arg(argument))
    };
    let package = package.canonicalize()?;
    rpm(&["--install"], &package)?;
    let own = "./rpm/*";
    let (installed, expected) = (root.files(own)?, dist.files()?);
    ensure!(installed == expected, "installed {installed:#?}, expected {expected:#?}");
    let shown = output(as_root("chroot").arg(&root.0).args([BINARY, "--version"]))?;
    ensure!(shown.trim() == format!("tcptrace {}", dist.version), "its version is {shown}");
    rpm(&["--erase"], Path::new("tcptrace"))?;
    let left = root.files(own)?;
    ensure!(left.is_empty(), "erasing leaves {left:#?}");
    Ok(())
}

/// Asks bash what it would complete.
fn completions(dist: &Dist) -> Result<()> {
    let script = dist.tree.join("usr/share/bash-completion/completions/tcptrace");
    let ask = "set -e; source \"$0\"; COMP_WORDS=(tcptrace wat); COMP_CWORD=1; \
        _tcptrace tcptrace wat tcptrace; echo \"${COMPREPLY[@]}\"";
    let reply = output(Command::new("bash").args(["-c", ask]).arg(script))?;
    if reply.trim() != "watch" {
        bail!("bash completes `tcptrace wat` to {reply:?}");
    }
    Ok(())
}

fn sbom(dist: &Dist) -> Result<()> {
    let path = dist.dir.join(format!("tcptrace-{}.cdx.json", dist.version));
    let document: Value = serde_json::from_str(&fs::read_to_string(path)?)?;
    let components = document["components"].as_array().context("no components")?;
    ensure!(components.len() > 50, "only {} components", components.len());
    for component in components {
        ensure!(component["licenses"].is_array(), "no licence: {component}");
        let own = component["name"].as_str().is_some_and(|name| name.starts_with("tcptrace"));
        let from_registry = component["purl"].as_str().is_some_and(|p| p.starts_with("pkg:cargo/"));
        ensure!(
            !from_registry || own || component["hashes"].is_array(),
            "no checksum: {component}"
        );
    }
    Ok(())
}

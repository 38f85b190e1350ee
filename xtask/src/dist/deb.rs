//! The package for Debian and Ubuntu, by `dpkg-deb`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{CONFIGURATION, DESCRIPTION, Dist, SUMMARY};
use crate::shell::run;

/// A service that runs goes on with the new binary; one that was not asked for does not begin.
/// `DPKG_ROOT` is a system that is not running.
const POSTINST: &str = r#"#!/bin/sh
set -e
if [ "$1" = configure ] && [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
    [ -z "$2" ] || systemctl try-restart tcptrace.service
fi
"#;
const PRERM: &str = r#"#!/bin/sh
set -e
if [ "$1" = remove ] && [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
    systemctl disable --now tcptrace.service
fi
"#;
/// The record is the administrator's until the package is purged.
const POSTRM: &str = r#"#!/bin/sh
set -e
if [ "$1" = purge ]; then
    rm -rf "$DPKG_ROOT/var/lib/tcptrace" "$DPKG_ROOT/var/lib/private/tcptrace"
fi
if [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
    systemctl daemon-reload
fi
"#;

/// Makes it.
pub fn build(dist: &Dist) -> Result<PathBuf> {
    let tree = dist.dir.join("deb");
    run(Command::new("cp").arg("-a").args([&dist.tree, &tree]))?;
    let control = tree.join("DEBIAN");
    fs::create_dir(&control)?;
    let bytes: u64 = dist
        .files()?
        .iter()
        .map(|file| fs::metadata(dist.tree.join(&file[1..])).map_or(0, |found| found.len()))
        .sum();
    let description: String = DESCRIPTION.iter().map(|line| format!(" {line}\n")).collect();
    let fields = format!(
        "Package: tcptrace\nVersion: {}\nArchitecture: amd64\nSection: net\nPriority: optional\n\
         Maintainer: The tcptrace authors <maintainers@tcptrace.invalid>\nInstalled-Size: {}\n\
         Description: {SUMMARY}\n{description}",
        dist.version,
        bytes.div_ceil(1024),
    );
    fs::write(control.join("control"), fields)?;
    fs::write(control.join("conffiles"), format!("{CONFIGURATION}\n"))?;
    for (name, script) in [("postinst", POSTINST), ("prerm", PRERM), ("postrm", POSTRM)] {
        let path = control.join(name);
        fs::write(&path, script)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    }
    let package = dist.dir.join(format!("tcptrace_{}_amd64.deb", dist.version));
    let mut build = Command::new("dpkg-deb");
    build.args(["--root-owner-group", "-Zxz", "--build"]).arg(&tree).arg(&package);
    run(build.env("SOURCE_DATE_EPOCH", Dist::epoch()?))?;
    fs::remove_dir_all(tree)?;
    Ok(package)
}

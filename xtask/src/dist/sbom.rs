//! What is in the binary, as CycloneDX: every crate that is linked, with version, licence and checksum.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::Dist;
use crate::build::BPF_TARGET;
use crate::build::STATIC;
use crate::shell::{cargo, output, root};

/// A crate's name and version.
type Crate = (String, String);

/// Writes it, beside the packages and into them.
pub fn write(dist: &Dist) -> Result<PathBuf> {
    let path = dist.dir.join(format!("tcptrace-{}.cdx.json", dist.version));
    let text = serde_json::to_string_pretty(&document(&dist.version)?)? + "\n";
    fs::write(&path, text)?;
    dist.place(&path, "usr/share/doc/tcptrace/tcptrace.cdx.json", 0o644)?;
    Ok(path)
}

fn document(version: &str) -> Result<Value> {
    // The kernel programs are part of the binary.
    let mut linked = linked("tcptrace", STATIC)?;
    linked.extend(linked_of_kernel_programs()?);
    linked.remove(&("tcptrace".into(), version.into()));
    let metadata = output(cargo().args(["metadata", "--locked", "--format-version", "1"]))?;
    let metadata: Value = serde_json::from_str(&metadata)?;
    let packages = metadata["packages"].as_array().context("cargo metadata has no packages")?;
    let known: BTreeMap<Crate, &Value> = packages
        .iter()
        .filter_map(|package| {
            let text = |field: &str| package[field].as_str().map(str::to_owned);
            Some(((text("name")?, text("version")?), package))
        })
        .collect();
    let sums = checksums(&fs::read_to_string(root().join("Cargo.lock"))?);
    let mut components = Vec::new();
    for package in &linked {
        let details =
            known.get(package).with_context(|| format!("cargo does not know {package:?}"))?;
        components.push(component(package, details, sums.get(package)));
        if package.0 == "libsqlite3-sys" {
            components.push(sqlite(details)?);
        }
    }
    components.push(standard_library()?);
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": { "component": {
            "type": "application",
            "bom-ref": format!("pkg:cargo/tcptrace@{version}"),
            "name": "tcptrace",
            "version": version,
            "licenses": [{ "expression": "MIT OR Apache-2.0" }],
        } },
        "components": components,
    }))
}

/// The crates that are linked into `package`: no build scripts, no macros, nothing of tests.
fn linked(package: &str, target: &str) -> Result<BTreeSet<Crate>> {
    let mut tree = cargo();
    tree.args(["tree", "--locked", "--package", package, "--target", target]);
    tree.args(["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}"]);
    let lines = output(&mut tree)?;
    let crates = lines.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.strip_prefix('v')?.to_owned()))
    });
    Ok(crates.collect())
}

fn linked_of_kernel_programs() -> Result<BTreeSet<Crate>> {
    linked("tcptrace-ebpf", BPF_TARGET)
}

fn component((name, version): &Crate, package: &Value, sum: Option<&String>) -> Value {
    let purl = format!("pkg:cargo/{name}@{version}");
    let mut component = json!({
        "type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl,
    });
    if let Some(licence) = package["license"].as_str() {
        // An old way to write it.
        let licence = licence.replace('/', " OR ");
        component["licenses"] = json!([{ "expression": licence }]);
    }
    if let Some(sum) = sum {
        component["hashes"] = json!([{ "alg": "SHA-256", "content": sum }]);
    }
    component
}

/// C that comes with a crate, under the version that its flaws are reported for.
fn sqlite(package: &Value) -> Result<Value> {
    let manifest = package["manifest_path"].as_str().context("no manifest")?;
    let header = Path::new(manifest).with_file_name("sqlite3").join("sqlite3.h");
    let header =
        fs::read_to_string(&header).with_context(|| format!("cannot read {}", header.display()))?;
    let version = header
        .lines()
        .find_map(|line| line.strip_prefix("#define SQLITE_VERSION "))
        .context("sqlite3.h tells no version")?;
    let version = version.trim().trim_matches('"');
    Ok(json!({
        "type": "library", "bom-ref": format!("pkg:generic/sqlite@{version}"), "name": "sqlite",
        "version": version, "purl": format!("pkg:generic/sqlite@{version}"),
        "cpe": format!("cpe:2.3:a:sqlite:sqlite:{version}:*:*:*:*:*:*:*"),
        "licenses": [{ "license": { "id": "blessing" } }],
    }))
}

/// Rust's own library, which has musl in it.
fn standard_library() -> Result<Value> {
    let shown = output(Command::new("rustc").arg("-vV").current_dir(root()))?;
    let version = shown.lines().find_map(|line| line.strip_prefix("release: "));
    let version = version.context("rustc tells no version")?;
    Ok(json!({
        "type": "framework", "bom-ref": format!("pkg:generic/rust-std@{version}"), "name": "rust-std",
        "version": version, "purl": format!("pkg:generic/rust-std@{version}"),
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
    }))
}

/// The checksums of a lockfile.
fn checksums(lockfile: &str) -> BTreeMap<Crate, String> {
    let packages = lockfile.split("[[package]]").skip(1);
    packages
        .filter_map(|package| {
            let field = |name: &str| {
                let lines = package.lines();
                let mut values =
                    lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
                values.next()?.strip_suffix('"').map(str::to_owned)
            };
            Some(((field("name")?, field("version")?), field("checksum")?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_belongs_to_one_version() {
        let lockfile = "version = 4\n\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\n\
            source = \"x\"\nchecksum = \"00ff\"\n\n[[package]]\nname = \"own\"\nversion = \"0.1.0\"\n";
        let sums = checksums(lockfile);
        assert_eq!(sums.len(), 1);
        assert_eq!(sums[&("a".into(), "1.0.0".into())], "00ff");
    }

    #[test]
    fn what_only_builds_or_tests_is_not_in_it() {
        let linked = linked("tcptrace", STATIC).unwrap();
        let has = |name: &str| linked.iter().any(|(linked, _)| linked == name);
        for name in ["tcptrace-common", "libsqlite3-sys", "clap", "aya"] {
            assert!(has(name), "{name}");
        }
        for name in ["cc", "insta", "proptest", "clap_derive", "serde_derive", "xtask"] {
            assert!(!has(name), "{name}");
        }
    }
}

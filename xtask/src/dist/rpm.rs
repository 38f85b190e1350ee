//! The package for Fedora, RHEL and SUSE, by `rpmbuild`.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::Result;

use super::{CONFIGURATION, DESCRIPTION, Dist, SUMMARY};
use crate::shell::{root, run};

/// As those of the other package: a service that runs goes on with the new binary.
const SCRIPTS: &str = r#"
%post
if [ -d /run/systemd/system ]; then systemctl daemon-reload || :; fi

%preun
if [ "$1" = 0 ] && [ -d /run/systemd/system ]; then
    systemctl disable --now tcptrace.service || :
fi

%postun
if [ -d /run/systemd/system ]; then
    systemctl daemon-reload || :
    [ "$1" = 0 ] || systemctl try-restart tcptrace.service || :
fi
"#;

/// Makes it.
pub fn build(dist: &Dist) -> Result<PathBuf> {
    let top = dist.dir.join("rpm");
    fs::create_dir(&top)?;
    let spec = top.join("tcptrace.spec");
    let files: String = dist
        .files()?
        .iter()
        .map(|file| match &**file {
            CONFIGURATION => format!("%config(noreplace) {file}\n"),
            _ if file.starts_with("/usr/share/doc/") => format!("%doc {file}\n"),
            _ => format!("{file}\n"),
        })
        .collect();
    let text = format!(
        "Name: tcptrace\nVersion: {}\nRelease: 1\nSummary: {SUMMARY}\n\
         License: MIT OR Apache-2.0\nGroup: Applications/Internet\n\
         AutoReqProv: no\n\n\
         %description\n{}\n\n\
         %install\ncp -a {}/. %{{buildroot}}\n{SCRIPTS}\n\
         %files\n%defattr(-,root,root,-)\n%dir /etc/tcptrace\n%dir /usr/share/doc/tcptrace\n\
         %dir /usr/share/doc/tcptrace/systemd\n{files}",
        dist.version,
        DESCRIPTION.join("\n"),
        dist.tree.display(),
    );
    fs::write(&spec, text)?;
    let mut build = Command::new("rpmbuild");
    build.args(["-bb", "--quiet", "--target", "x86_64-linux"]);
    for define in [
        format!("_topdir {}", top.display()),
        format!("_rpmdir {}", dist.dir.display()),
        // Flat, and by the name that other tools give it.
        "_rpmfilename %{NAME}-%{VERSION}-%{RELEASE}.%{ARCH}.rpm".into(),
        // The files are as they should be: nothing is to be stripped or compressed again.
        "__os_install_post %{nil}".into(),
        "debug_package %{nil}".into(),
        "_build_id_links none".into(),
        "_binary_payload w6.xzdio".into(),
        "_buildhost localhost".into(),
        "use_source_date_epoch_as_buildtime 1".into(),
        "clamp_mtime_to_source_date_epoch 1".into(),
    ] {
        build.arg("--define").arg(define);
    }
    build.arg(&spec).env("SOURCE_DATE_EPOCH", Dist::epoch()?);
    run(build.current_dir(root()))?;
    fs::remove_dir_all(top)?;
    Ok(dist.dir.join(format!("tcptrace-{}-1.x86_64.rpm", dist.version)))
}

//! Debian's kernels, fetched through apt with lists, sources and a cache of our own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, bail, ensure};

use crate::shell::{output, run, step};

/// What a guest's processor is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    Amd64,
    Arm64,
}

impl Arch {
    /// As Debian calls it.
    const fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::Arm64 => "arm64",
        }
    }
}

/// Which of Debian's suites has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kernel {
    /// As a user asks for it.
    pub name: &'static str,
    arch: Arch,
    version: &'static str,
    suite: &'static str,
    /// Where its point releases come from besides.
    security: Option<&'static str>,
}

/// Every kernel that is tested, from the oldest to the newest. Debian 13's own 6.12 panics under
/// emulation in one boot of seven, the same version as built for Debian 12 in none.
pub const ALL: [Kernel; 6] = [
    Kernel::amd64("5.10", "bullseye", Some("bullseye-security")),
    Kernel::amd64("6.1", "bookworm", Some("bookworm-security")),
    Kernel::amd64("6.12", "bookworm-backports", None),
    Kernel::amd64("7.2", "sid", None),
    Kernel::amd64("6.1", "bookworm", Some("bookworm-security")).on_arm64("arm64-6.1"),
    Kernel::amd64("6.12", "trixie", Some("trixie-security")).on_arm64("arm64"),
];

/// How long a point release counts as the newest.
const FRESH: Duration = Duration::from_secs(7 * 24 * 3600);
/// What the tests call, where this machine's own cannot be: the archive has busybox in any case.
const TOOLS: [&str; 4] = ["busybox-static", "bash", "iproute2", "util-linux"];
const KEYS: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// A kernel on this machine's disk.
#[derive(Debug)]
pub struct Image {
    /// What the report calls it.
    pub name: String,
    pub vmlinuz: PathBuf,
    /// Where its modules are; a kernel given by its path alone has none.
    pub modules: Option<PathBuf>,
    pub arch: Arch,
    /// A root with the tests' tools, if this machine's are none for it.
    pub tools: Option<PathBuf>,
}

impl Kernel {
    const fn amd64(
        version: &'static str,
        suite: &'static str,
        security: Option<&'static str>,
    ) -> Self {
        Self { name: version, arch: Arch::Amd64, version, suite, security }
    }

    const fn on_arm64(self, name: &'static str) -> Self {
        Self { name, arch: Arch::Arm64, ..self }
    }

    /// Whether this machine's programs run on it.
    pub fn is_native(&self) -> bool {
        self.arch == Arch::Amd64
    }

    /// The one that a user calls so.
    pub fn named(name: &str) -> Result<Self> {
        let names = || ALL.map(|kernel| kernel.name).join(", ");
        let found = ALL.into_iter().find(|kernel| kernel.name == name);
        found.with_context(|| format!("no kernel `{name}`: there are {}", names()))
    }

    /// Its newest point release: from the cache, unless that has grown old.
    pub fn fetch(self) -> Result<Image> {
        let dir = cache()?.join(self.name);
        let root = dir.join("root");
        let age = fs::metadata(&root)
            .and_then(|found| found.modified())
            .ok()
            .map(|made| SystemTime::now().duration_since(made).unwrap_or_default());
        if age.is_none_or(|age| age > FRESH) {
            match (self.download(&dir, &root), age) {
                (Ok(()), _) => {}
                // Without a network an old one is better than none.
                (Err(error), Some(_)) => {
                    eprintln!("no newer kernel {} could be fetched: {error:#}", self.name);
                }
                (Err(error), None) => {
                    let what = format!("cannot fetch Debian's kernel {}", self.name);
                    return Err(error.context(what));
                }
            }
        }
        let modules = modules(&root)?;
        let release = modules.file_name().context("no release")?.to_string_lossy().into_owned();
        if !release.starts_with(self.version) {
            let version = self.version;
            eprintln!("Debian has left {version} behind: what is tested as that is {release}");
        }
        Ok(Image {
            name: self.name.to_owned(),
            vmlinuz: vmlinuz(&root)?,
            modules: Some(modules),
            arch: self.arch,
            tools: (!self.is_native()).then_some(root),
        })
    }

    fn download(self, dir: &Path, root: &Path) -> Result<()> {
        step(&format!("fetching Debian's kernel {} ({})", self.name, self.suite));
        let apt = Apt::new(dir, &self.sources()?, self.arch)?;
        run(apt.command("apt-get").args(["-qq", "update"]))?;
        let mut packages = apt.linux_packages()?;
        if !self.is_native() {
            packages.append(&mut apt.with_what_they_need(&TOOLS)?);
        }
        let debs = dir.join("debs");
        let _ = fs::remove_dir_all(&debs);
        fs::create_dir_all(&debs)?;
        run(apt.command("apt-get").args(["-qq", "download"]).args(&packages).current_dir(&debs))?;
        let new = dir.join("new");
        let _ = fs::remove_dir_all(&new);
        for deb in fs::read_dir(&debs)? {
            run(Command::new("dpkg-deb").arg("-x").arg(deb?.path()).arg(&new))?;
        }
        fs::remove_dir_all(&debs)?;
        // The lists are larger than the kernel, and old by the next time.
        fs::remove_dir_all(dir.join("apt"))?;
        let _ = fs::remove_dir_all(root);
        fs::rename(&new, root)?;
        // `dpkg-deb` gives the folder the time it has in the archive.
        fs::File::open(root)?.set_modified(SystemTime::now())?;
        Ok(())
    }

    /// Lines of a sources.list, with the mirrors that this machine uses.
    fn sources(self) -> Result<String> {
        let mirrors = Mirrors::of_this_machine()?;
        let line = |mirror: &str, suite| {
            format!("deb [arch={} signed-by={KEYS}] {mirror} {suite} main\n", self.arch.name())
        };
        let mut lines = line(&mirrors.debian, self.suite);
        if let Some(suite) = self.security {
            lines += &line(&mirrors.security, suite);
        }
        Ok(lines)
    }
}

/// Where Debian's packages come from, by apt's own word.
struct Mirrors {
    debian: String,
    security: String,
}

impl Mirrors {
    fn of_this_machine() -> Result<Self> {
        let mut list = Command::new("apt-get");
        list.args(["indextargets", "--format", "$(REPO_URI)", "Created-By: Packages"]);
        let known = output(&mut list).context("the kernels come through apt, which Debian has")?;
        let mirror = |end: &str| {
            let mut known = known.lines().map(|uri| uri.trim_end_matches('/'));
            known.find(|uri| uri.ends_with(end)).map(str::to_owned)
        };
        let Some(debian) = mirror("/debian") else {
            bail!("apt on this machine knows no mirror of Debian: {known:?}");
        };
        let security = mirror("/debian-security").unwrap_or_else(|| format!("{debian}-security"));
        Ok(Self { debian, security })
    }
}

/// apt with everything of its own, so that the machine's stays as it is.
struct Apt {
    options: Vec<String>,
    arch: Arch,
}

impl Apt {
    fn new(dir: &Path, sources: &str, arch: Arch) -> Result<Self> {
        for folder in ["apt/lists/partial", "apt/cache/archives/partial", "apt/none"] {
            fs::create_dir_all(dir.join(folder))?;
        }
        let (apt, list) = (dir.join("apt"), dir.join("apt/sources.list"));
        fs::write(&list, sources)?;
        let option = |name: &str, value: &Path| format!("{name}={}", value.display());
        let options = vec![
            option("Dir::State", &apt),
            option("Dir::State::lists", &apt.join("lists")),
            option("Dir::State::status", Path::new("/dev/null")),
            option("Dir::Cache", &apt.join("cache")),
            option("Dir::Etc::sourcelist", &list),
            option("Dir::Etc::sourceparts", &apt.join("none")),
            option("Dir::Etc::preferencesparts", &apt.join("none")),
            format!("APT::Architecture={}", arch.name()),
            format!("APT::Architectures={}", arch.name()),
            "APT::Sandbox::User=root".to_owned(),
            "Acquire::Languages=none".to_owned(),
        ];
        Ok(Self { options, arch })
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        for option in &self.options {
            command.args(["-o", option]);
        }
        command
    }

    /// What the newest kernel's package needs of the kernel: later ones are in several parts.
    fn linux_packages(&self) -> Result<Vec<String>> {
        let suffix = format!("-cloud-{}", self.arch.name());
        let all_of_them = format!("linux-image{suffix}");
        let mut packages = vec![all_of_them.clone()];
        let mut next = 0;
        while next < packages.len() {
            let mut depends = self.command("apt-cache");
            let depends = output(depends.args(["depends", "--important", &packages[next]]))?;
            let names = depends.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
            for name in names.filter(|name| name.ends_with(&suffix)) {
                if !packages.iter().any(|known| known == name) {
                    packages.push(name.to_owned());
                }
            }
            next += 1;
        }
        // It is empty.
        packages.remove(0);
        ensure!(!packages.is_empty(), "{all_of_them} stands for no kernel");
        Ok(packages)
    }

    /// `packages`, and all that they depend on.
    fn with_what_they_need(&self, packages: &[&str]) -> Result<Vec<String>> {
        let mut install = self.command("apt-get");
        install.args(["-qq", "--simulate", "--no-install-recommends", "install"]);
        let told = output(install.args(packages))?;
        let names = told.lines().filter_map(|line| line.strip_prefix("Inst "));
        Ok(names.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect())
    }
}

/// `$XDG_CACHE_HOME/tcptrace/kernels`: the same for every checkout.
fn cache() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache"));
    let base = base.or_else(home).context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(base.join("tcptrace/kernels"))
}

/// The only folder of modules there is.
fn modules(root: &Path) -> Result<PathBuf> {
    let entries = ["lib/modules", "usr/lib/modules"].map(|dir| fs::read_dir(root.join(dir)));
    let mut found = entries.into_iter().flatten().flatten();
    let modules = found.next().with_context(|| format!("no modules in {}", root.display()))?;
    Ok(modules?.path())
}

fn vmlinuz(root: &Path) -> Result<PathBuf> {
    let found = fs::read_dir(root.join("boot")).into_iter().flatten().flatten();
    // Newer packages keep it beside the modules.
    let beside = modules(root)?.join("vmlinuz");
    let mut found = found.map(|entry| entry.path()).chain([beside]);
    let is_kernel = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
            && path.is_file()
    };
    found.find(is_kernel).with_context(|| format!("no kernel in {}", root.display()))
}

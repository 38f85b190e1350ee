//! Which unit and container a process belongs to, from the path of its cgroup.

/// What `/proc/PID/cgroup` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// The path, if it is not the root.
    pub path: Option<String>,
    /// The innermost systemd service or scope that is no container.
    pub unit: Option<String>,
    /// The container's id, 64 hexadecimal digits.
    pub container: Option<String>,
}

/// Reads the contents of `/proc/PID/cgroup`. The unified hierarchy counts first, then systemd's
/// own of version 1, then any other; a line that is not understood is passed over.
pub fn parse(contents: &[u8]) -> Cgroup {
    let text = String::from_utf8_lossy(contents);
    let rank = |controllers: &str| match controllers {
        "" => 0,
        "name=systemd" => 1,
        _ => 2,
    };
    let path = text
        .lines()
        .filter_map(|line| {
            let mut fields = line.splitn(3, ':').skip(1);
            let (controllers, path) = (fields.next()?, fields.next()?);
            (path.starts_with('/') && path != "/").then_some((rank(controllers), path))
        })
        .min_by_key(|&(rank, _)| rank)
        .map(|(_, path)| path);
    let Some(path) = path else { return Cgroup::default() };
    let container = path.split('/').rev().find_map(container_id);
    let unit = path
        .split('/')
        .rev()
        .filter(|part| container_id(part).is_none())
        .find(|part| part.ends_with(".service") || part.ends_with(".scope"));
    Cgroup {
        path: Some(path.to_owned()),
        unit: unit.map(str::to_owned),
        container: container.map(str::to_owned),
    }
}

/// The id in a path component of docker, containerd, CRI-O or podman: `ID`, `docker-ID.scope`,
/// `cri-containerd-ID.scope`, `libpod-ID`.
fn container_id(component: &str) -> Option<&str> {
    const DIGITS: usize = 64;
    let name = component.strip_suffix(".scope").unwrap_or(component);
    let id = name.get(name.len().checked_sub(DIGITS)?..)?;
    let prefix = &name[..name.len() - DIGITS];
    let hexadecimal = id.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    (hexadecimal && (prefix.is_empty() || prefix.ends_with(['-', ':']))).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn check(contents: &str, unit: Option<&str>, container: Option<&str>) {
        let cgroup = parse(contents.as_bytes());
        assert_eq!(cgroup.unit.as_deref(), unit, "{contents}");
        assert_eq!(cgroup.container.as_deref(), container, "{contents}");
    }

    #[test]
    fn units_and_containers_of_both_versions() {
        check("0::/system.slice/orders.service\n", Some("orders.service"), None);
        check("0::/\n", None, None);
        check(
            "12:pids:/x\n1:name=systemd:/system.slice/a.service\n0::/\n",
            Some("a.service"),
            None,
        );
        check(&format!("0::/system.slice/docker-{ID}.scope\n"), None, Some(ID));
        check(&format!("4:memory:/docker/{ID}\n"), None, Some(ID));
        check(
            &format!("0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-{ID}.scope\n"),
            None,
            Some(ID),
        );
        check(
            &format!("0::/machine.slice/libpod-{ID}.scope/container/app.service\n"),
            Some("app.service"),
            Some(ID),
        );
    }

    #[test]
    fn hostile_names_are_passed_through_or_over() {
        let cgroup = parse(b"0::/system.slice/\xff\x1b[31m.service\nnonsense\n::\n");
        assert_eq!(cgroup.unit.as_deref(), Some("\u{fffd}\u{1b}[31m.service"));
        assert_eq!(parse("0::/é".repeat(100).as_bytes()).container, None);
    }
}

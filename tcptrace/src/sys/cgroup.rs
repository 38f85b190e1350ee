//! Which unit, container and pod a process belongs to, from the path of its cgroup.

/// What `/proc/PID/cgroup` tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cgroup {
    /// The path, if it is not the root.
    pub path: Option<String>,
    /// The innermost systemd service or scope that is no container.
    pub unit: Option<String>,
    /// The container's id, 64 hexadecimal digits.
    pub container: Option<String>,
    /// The uid of the Kubernetes pod.
    pub pod: Option<String>,
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
    let pod = path.contains("kubepods").then(|| path.split('/').rev().find_map(pod_uid)).flatten();
    let unit = path
        .split('/')
        .rev()
        .filter(|part| container_id(part).is_none())
        .find(|part| part.ends_with(".service") || part.ends_with(".scope"));
    Cgroup {
        path: Some(path.to_owned()),
        unit: unit.map(str::to_owned),
        container: container.map(str::to_owned),
        // Kubernetes writes it with dashes, which separate the levels in the name of a slice.
        pod: pod.map(|uid| uid.replace('_', "-")),
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

/// The uid in a path component that the kubelet made: `podUID` with its cgroupfs driver,
/// `kubepods-burstable-podU_I_D.slice` with that of systemd, `:cri-containerd:ID` behind it
/// where the runtime uses the other one. A static pod's uid has no dashes.
fn pod_uid(component: &str) -> Option<&str> {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    const BARE: [usize; 1] = [32];
    let name = component.split_once(".slice").map_or(component, |(name, _)| name);
    let uid = name.strip_prefix("pod").or_else(|| Some(name.rsplit_once("-pod")?.1))?;
    let hexadecimal = |part: &str| part.bytes().all(|b| b.is_ascii_hexdigit());
    let parts: Vec<_> = uid.split(['-', '_']).collect();
    let lengths = parts.iter().map(|part| part.len());
    let whole = lengths.clone().eq(GROUPS) || lengths.eq(BARE);
    (whole && parts.into_iter().all(hexadecimal)).then_some(uid)
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
    fn pods_of_every_driver_and_runtime() {
        const POD: &str = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
        let uid = POD.replace('-', "_");
        let check = |path: &str, pod: Option<&str>| {
            for contents in [format!("0::{path}\n"), format!("3:cpu,cpuacct:{path}\n0::/\n")] {
                let cgroup = parse(contents.as_bytes());
                assert_eq!(cgroup.pod.as_deref(), pod, "{path}");
                assert_eq!(cgroup.container.as_deref(), Some(ID), "{path}");
            }
        };
        // cgroupfs: guaranteed pods are directly below.
        check(&format!("/kubepods/burstable/pod{POD}/{ID}"), Some(POD));
        check(&format!("/kubepods/pod{POD}/{ID}"), Some(POD));
        // systemd, with containerd and with CRI-O.
        let slices = "/kubepods.slice/kubepods-besteffort.slice";
        let slice = format!("kubepods-besteffort-pod{uid}.slice");
        check(&format!("{slices}/{slice}/cri-containerd-{ID}.scope"), Some(POD));
        check(&format!("{slices}/{slice}/crio-{ID}.scope/container"), Some(POD));
        check(&format!("/kubepods.slice/kubepods-pod{uid}.slice/docker-{ID}.scope"), Some(POD));
        check(&format!("/system.slice/containerd.service/{slice}:cri-containerd:{ID}"), Some(POD));
        // A cluster inside of a container.
        let kind = "/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-pod";
        check(&format!("{kind}{uid}.slice/cri-containerd-{ID}.scope"), Some(POD));
        // A static pod is known by a hash of its manifest.
        let hash = &ID[..32];
        check(&format!("/kubepods/burstable/pod{hash}/{ID}"), Some(hash));
        // Podman's own pods, and names that only look alike.
        check(&format!("/machine.slice/machine-libpod_pod_{ID}.slice/libpod-{ID}.scope"), None);
        check(&format!("/kubepods/burstable/pod-{POD}/{ID}"), None);
        check(&format!("/podcast.slice/mypod{hash}/docker-{ID}.scope"), None);
    }

    #[test]
    fn hostile_names_are_passed_through_or_over() {
        let cgroup = parse(b"0::/system.slice/\xff\x1b[31m.service\nnonsense\n::\n");
        assert_eq!(cgroup.unit.as_deref(), Some("\u{fffd}\u{1b}[31m.service"));
        assert_eq!(parse("0::/é".repeat(100).as_bytes()).container, None);
    }
}

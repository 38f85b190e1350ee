//! Which findings somebody wants to hear of. Filters choose what is told, never what is tracked.

use core::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::evidence::Evidence;
use super::history::{PastGroup, PastStay, ShortStays};
use super::process::Process;
use super::socket::{Endpoints, NetNs};
use super::stay::Stay;
use super::verdict::{Finding, Verdict};

/// Conditions of different kinds must all hold; of those of one kind, one is enough.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Holders by pid.
    pub pids: Vec<u32>,
    /// Holders by name.
    pub comms: Vec<String>,
    /// Holders by cgroup: a path and everything below it, a unit, a container or a pod.
    pub cgroups: Vec<String>,
    /// Verdicts.
    pub verdicts: Vec<Verdict>,
    /// What the sockets themselves must be.
    pub sockets: SocketFilter,
}

/// What can be told from a socket alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SocketFilter {
    /// Local or remote ports.
    pub ports: Vec<u16>,
    /// Local or remote addresses.
    pub networks: Vec<IpNet>,
    /// Network namespaces.
    pub namespaces: Vec<NetNs>,
}

fn any_or_none<T>(conditions: &[T], holds: impl FnMut(&T) -> bool) -> bool {
    conditions.is_empty() || conditions.iter().any(holds)
}

impl SocketFilter {
    /// Whether sockets of `netns` are asked for at all. A socket never leaves its namespace, so
    /// nothing of another one needs to be looked at.
    pub fn admits_namespace(&self, netns: NetNs) -> bool {
        any_or_none(&self.namespaces, |&wanted| wanted == netns)
    }

    /// Whether a socket in `netns`, which may not be known yet, may be asked for.
    pub fn may_admit(&self, netns: Option<NetNs>) -> bool {
        netns.is_none_or(|netns| self.admits_namespace(netns))
    }

    /// Whether a socket in `netns` with these ends is asked for.
    pub fn admits(&self, netns: Option<NetNs>, endpoints: &Endpoints) -> bool {
        let ends = [endpoints.local, endpoints.remote];
        any_or_none(&self.namespaces, |&wanted| Some(wanted) == netns)
            && any_or_none(&self.ports, |&port| ends.iter().any(|end| end.port() == port))
            && any_or_none(&self.networks, |network| {
                ends.iter().any(|end| contains(network, end.ip()))
            })
    }
}

fn contains(network: &IpNet, address: IpAddr) -> bool {
    network.contains(&address) || network.contains(&address.to_canonical())
}

impl Filter {
    /// Whether `finding` about `stay` is asked for: its processes are those that hold it and the one
    /// that is blamed.
    pub fn admits_finding(&self, stay: &Stay, evidence: &Evidence, finding: &Finding) -> bool {
        let holders = evidence.holders.iter().flatten().map(|holder| &*holder.process);
        let blamed = finding.blame.iter().map(|blame| &*blame.process);
        self.admits(stay.netns, &stay.endpoints, finding.verdict, holders.chain(blamed))
    }

    /// The same, of something that is to be done to the socket itself: of its processes only those
    /// count that hold it, or the listener it waits at.
    pub fn admits_held(&self, stay: &Stay, evidence: &Evidence, finding: &Finding) -> bool {
        let holders = match finding.verdict {
            Verdict::NotAccepted => &evidence.listener_holders,
            _ => evidence.holders.as_deref().unwrap_or_default(),
        };
        let processes = holders.iter().map(|holder| &*holder.process);
        self.admits(stay.netns, &stay.endpoints, finding.verdict, processes)
    }

    /// Whether something that no process holds is asked for.
    pub fn admits_unheld(
        &self,
        netns: Option<NetNs>,
        endpoints: &Endpoints,
        verdict: Verdict,
    ) -> bool {
        self.admits(netns, endpoints, verdict, core::iter::empty())
    }

    /// Whether it asks for anything that only a look at the holders shows.
    pub fn needs_holders(&self) -> bool {
        !(self.pids.is_empty()
            && self.comms.is_empty()
            && self.cgroups.is_empty()
            && self.verdicts.is_empty())
    }

    /// Whether `stay` is asked for. Of its processes a journal knows the one that was blamed, or held
    /// it.
    pub fn admits_past(&self, stay: &PastStay) -> bool {
        let endpoints = Endpoints { local: stay.local, remote: stay.remote };
        self.admits(stay.netns, &endpoints, stay.verdict, stay.process.iter().map(|p| &**p))
    }

    /// Whether `group` is asked for, by its process and its verdict: of its sockets a journal does not
    /// know which they were.
    pub fn admits_past_group(&self, group: &PastGroup) -> bool {
        self.admits_process(group.verdict, group.process.iter().map(|process| &**process))
    }

    /// Whether stays that were too short to be kept are asked for. Of these the name and the verdict
    /// are known at most, and what is not known is not asked for.
    pub fn admits_short(&self, kind: &ShortStays) -> bool {
        let of_others = Self { comms: Vec::new(), verdicts: Vec::new(), ..self.clone() };
        of_others == Self::default()
            && any_or_none(&self.verdicts, |&wanted| Some(wanted) == kind.verdict)
            && any_or_none(&self.comms, |comm| kind.comm.as_deref() == Some(comm))
    }

    fn admits<'a>(
        &self,
        netns: Option<NetNs>,
        endpoints: &Endpoints,
        verdict: Verdict,
        processes: impl Iterator<Item = &'a Process> + Clone,
    ) -> bool {
        self.sockets.admits(netns, endpoints) && self.admits_process(verdict, processes)
    }

    fn admits_process<'a>(
        &self,
        verdict: Verdict,
        processes: impl Iterator<Item = &'a Process> + Clone,
    ) -> bool {
        any_or_none(&self.verdicts, |&wanted| wanted == verdict)
            && any_or_none(&self.pids, |&pid| processes.clone().any(|p| p.pid == pid))
            && any_or_none(&self.comms, |comm| processes.clone().any(|p| &p.comm == comm))
            && any_or_none(&self.cgroups, |group| processes.clone().any(|p| in_group(p, group)))
    }
}

fn in_group(process: &Process, wanted: &str) -> bool {
    let below = |path: &str| {
        let rest = path.strip_prefix(wanted.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let named = |name: &Option<String>| name.as_deref() == Some(wanted);
    process.cgroup.as_deref().is_some_and(below)
        || named(&process.unit)
        || named(&process.container)
        || named(&process.pod)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::process::tests::process;
    use crate::model::socket::StayState;

    fn admits(filter: &Filter) -> bool {
        let endpoints = Endpoints {
            local: "[::ffff:127.0.0.1]:80".parse().unwrap(),
            remote: "[::ffff:10.1.2.3]:4000".parse().unwrap(),
        };
        let held_by = [process(7, 1, 1), process(8, 1, 1)];
        filter.admits(Some(NetNs(3)), &endpoints, Verdict::Drained, held_by.iter())
    }

    #[test]
    fn one_of_each_kind_is_enough_and_every_kind_must_hold() {
        assert!(admits(&Filter::default()));
        assert!(admits(&Filter { pids: vec![1, 8], ..Filter::default() }));
        assert!(!admits(&Filter { pids: vec![1], ..Filter::default() }));
        assert!(admits(&Filter { comms: vec!["program7".into()], ..Filter::default() }));
        assert!(admits(&Filter { verdicts: vec![Verdict::Drained], ..Filter::default() }));
        assert!(!admits(&Filter {
            pids: vec![7],
            verdicts: vec![Verdict::Orphan],
            ..Filter::default()
        }));
    }

    #[test]
    fn of_short_stays_only_what_is_known_can_be_asked_for() {
        let kind = |comm: Option<&str>| ShortStays {
            state: StayState::CloseWait,
            comm: comm.map(Into::into),
            verdict: comm.map(|_| Verdict::EofRead),
        };
        let (known, blind) = (kind(Some("java")), kind(None));
        let java = Filter { comms: vec!["java".into()], ..Filter::default() };
        let read = Filter { verdicts: vec![Verdict::EofRead], ..java.clone() };
        for filter in [&java, &read] {
            assert!(filter.admits_short(&known) && !filter.admits_short(&blind), "{filter:?}");
        }
        assert!(Filter::default().admits_short(&blind));
        assert!(!Filter { pids: vec![7], ..java }.admits_short(&known));
    }

    #[test]
    fn sockets_match_at_either_end_and_as_ipv4() {
        let sockets = |sockets| admits(&Filter { sockets, ..Filter::default() });
        assert!(sockets(SocketFilter { ports: vec![4000], ..Default::default() }));
        assert!(sockets(SocketFilter {
            networks: vec!["10.0.0.0/8".parse().unwrap()],
            ..Default::default()
        }));
        assert!(!sockets(SocketFilter {
            networks: vec!["192.0.2.0/24".parse().unwrap()],
            ..Default::default()
        }));
        assert!(!sockets(SocketFilter { namespaces: vec![NetNs(4)], ..Default::default() }));
    }

    #[test]
    fn a_pod_is_known_by_its_uid() {
        let uid = "0f1e2d3c-4b5a-6978-8796-a5b4c3d2e1f0";
        let pod = Process { pod: Some(uid.into()), ..process(7, 1, 1) };
        assert!(in_group(&pod, uid));
        assert!(!in_group(&process(7, 1, 1), uid));
    }

    #[test]
    fn a_cgroup_is_a_path_with_what_is_below_it_or_a_name() {
        for (wanted, matches) in [
            ("/system.slice", true),
            ("/system.slice/", true),
            ("/system", false),
            ("/system.slice/program.service", true),
            ("program.service", true),
            ("other.service", false),
        ] {
            let filter = Filter { cgroups: vec![wanted.into()], ..Filter::default() };
            assert_eq!(admits(&filter), matches, "{wanted}");
        }
    }
}

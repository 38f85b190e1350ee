//! What is kept of a stay.

use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::*;

fn any_ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|ip| Ipv4Addr::from(ip).into()),
        any::<u128>().prop_map(|ip| Ipv6Addr::from(ip).into()),
        any::<u32>().prop_map(|ip| Ipv4Addr::from(ip).to_ipv6_mapped().into()),
    ]
}

proptest! {
    /// However few bytes a stay is kept in, all that the kernel said comes out again.
    #[test]
    fn a_stay_says_what_its_transition_said(
        (local, remote) in (any_ip(), any_ip()),
        ports in any::<(u16, u16)>(),
        (cookie, netns) in (1..u64::MAX >> 1, prop::option::of(1..u32::MAX)),
        details in prop::option::of(any::<(u8, u16, [bool; 4], Option<bool>, (u32, u32, u32))>()),
        (opened, shut) in any::<(u32, u32)>(),
    ) {
        let endpoints = Endpoints { local: (local, ports.0).into(), remote: (remote, ports.1).into() };
        let circumstances = details.map(|(shutdown, err, flags, exiting, _)| {
            let [has_socket, has_file, dead, done] = flags;
            Circumstances { shutdown, err, has_socket, has_file, dead, done, exiting }
        });
        let progress = details
            .map(|(.., (snd_nxt, snd_una, rcv_nxt))| Progress { snd_nxt, snd_una, rcv_nxt });
        let netns = netns.map(NetNs);
        let mut tracker = tracker();
        tracker.apply(&by(opened, event(1, cookie, Close, SynSent)));
        tracker.apply(&by(shut, event(2, cookie, Established, FinWait1)));
        let entered = event(3, cookie, FinWait1, FinWait2);
        tracker.apply(&Transition { endpoints, netns, circumstances, progress, ..entered });
        let stay = tracker.stays().next().unwrap();
        prop_assert_eq!(stay, Stay {
            id: stay.id,
            key: entered.key,
            cookie: Some(cookie),
            netns,
            endpoints,
            state: StayState::FinWait2,
            orphan: circumstances.is_some_and(|at_entry| at_entry.dead),
            since: seconds(3),
            since_earliest: seconds(3),
            exact: true,
            entered: seconds(3),
            circumstances,
            progress,
            progress_at: seconds(3),
            opened: PathId::new(opened),
            accepted: false,
            shut: PathId::new(shut),
        });
        prop_assert_eq!(tracker.get(stay.id), Some(stay));
    }
}

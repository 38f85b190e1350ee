//! Families about sockets, and about who was told of them.

use core::fmt;

use super::families::Families;
use crate::model::figures::{Ages, STATES, Sockets};

pub fn encode(to: &mut Families<'_>, sockets: &Sockets) -> fmt::Result {
    half_closed(to, sockets)?;
    stuck(to, sockets)?;
    to.histogram(
        "tcptrace_stay_duration_seconds",
        "How long sockets were half-closed that no longer are, by what ended it.",
        sockets.ended.each().map(|(state, by, durations)| {
            ([("state", state.state().name()), ("ended_by", by.name())], durations)
        }),
    )?;
    let counts = &sockets.counts;
    let begun = STATES.map(|state| ([state_of(state)], counts.stays[state.index()]));
    to.counter("tcptrace_stays", "Sockets that became half-closed.", begun)?;
    told(to, sockets)?;
    let tracked = [([], sockets.tracked)];
    to.gauge("tcptrace_tracked_sockets", "Sockets in the table, healthy ones included.", tracked)
}

fn half_closed(to: &mut Families<'_>, sockets: &Sockets) -> fmt::Result {
    let ages = || STATES.into_iter().zip(&sockets.ages);
    to.gauge(
        "tcptrace_half_closed_sockets",
        "Sockets that are half-closed now.",
        ages().map(|(state, ages)| ([state_of(state)], ages.count())),
    )?;
    let mut bounds: Vec<_> = Ages::BOUNDS.iter().map(u64::to_string).collect();
    bounds.push("+Inf".to_owned());
    let up_to = ages().flat_map(|(state, ages)| {
        let mut sum = 0;
        let up_to = ages.buckets.into_iter().map(move |count| {
            sum += count;
            sum
        });
        bounds
            .iter()
            .zip(up_to)
            .map(move |(bound, sum)| ([state_of(state), ("up_to", &**bound)], sum))
    });
    to.gauge(
        "tcptrace_half_closed_sockets_by_age",
        "Sockets that are half-closed now and have been for up to so many seconds.",
        up_to,
    )?;
    to.gauge(
        "tcptrace_half_closed_oldest_age_seconds",
        "For how long the oldest socket that is half-closed now has been, at least.",
        ages().filter_map(|(state, ages)| Some(([state_of(state)], ages.oldest?.as_secs_f64()))),
    )
}

fn stuck(to: &mut Families<'_>, sockets: &Sockets) -> fmt::Result {
    to.gauge(
        "tcptrace_stuck_sockets",
        "Half-closed sockets that an alert is firing on, by why they are stuck.",
        sockets.stuck.iter().map(|(&(state, verdict, severity), &count)| {
            let verdict = ("verdict", verdict.name());
            ([state_of(state), verdict, ("severity", severity.name())], count)
        }),
    )?;
    let units = || sockets.units.iter().map(|(unit, figures)| (("unit", unit.name()), figures));
    to.gauge(
        "tcptrace_unit_stuck_sockets",
        "The same by the systemd unit of the process that is to blame.",
        units().flat_map(|(unit, figures)| {
            let by_state =
                STATES.map(|state| ([unit, state_of(state)], figures.stuck[state.index()]));
            by_state.into_iter().filter(|&(_, count)| count > 0)
        }),
    )?;
    to.gauge(
        "tcptrace_unit_descriptors_ratio",
        "The largest share of its descriptor limit that a process with stuck sockets has in use.",
        units().filter_map(|(unit, figures)| Some(([unit], figures.descriptors?))),
    )
}

fn told(to: &mut Families<'_>, sockets: &Sockets) -> fmt::Result {
    let Sockets { alerts, alerts_firing, groups, groups_resolved, .. } = *sockets;
    let counter =
        |to: &mut Families<'_>, name, help, value: u64| to.counter(name, help, [([], value)]);
    to.gauge("tcptrace_alerts_firing", "Alerts that are firing.", [([], alerts_firing)])?;
    counter(to, "tcptrace_alerts_fired", "Alerts fired, one a socket.", alerts)?;
    let resolved = alerts.saturating_sub(alerts_firing);
    counter(to, "tcptrace_alerts_resolved", "Alerts resolved.", resolved)?;
    let open = groups.saturating_sub(groups_resolved);
    to.gauge("tcptrace_groups_firing", "Groups of alerts with one cause, now.", [([], open)])?;
    counter(to, "tcptrace_groups_fired", "Groups told of.", groups)?;
    counter(to, "tcptrace_groups_resolved", "Groups told to be over.", groups_resolved)
}

fn state_of(state: crate::model::socket::StayState) -> (&'static str, &'static str) {
    ("state", state.state().name())
}

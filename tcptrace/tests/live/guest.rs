//! Which tests run in a guest (`cargo xtask vm`), where there is nothing but what it was booted with.

use libtest_mimic::Trial;

/// Names the set of tests to run; not set, all of them run.
const SET: &str = "TCPTRACE_GUEST";

/// What every change is tested with on every kernel: about a minute of an emulated processor's time.
const QUICK: &[&str] = &[
    "live::deeds::read_to_the_end_and_kept",
    "live::deeds::shut_down_and_kept",
    "live::endings::killed_and_resolved",
    "live::endings::reconnected_is_another_episode",
    "live::events::the_life_of_a_connection",
    "live::ls::every_kind_in_one_namespace",
    "live::orphans::to_its_real_end",
    "live::record::what_lasts_is_kept_and_how_it_ended",
    "live::replay::told_again_line_for_line",
    "live::usage::a_probe_that_is_not_to_be_had_is_said",
    "live::usage::doctor_tries_everything",
    "live::watch::eof_unread",
    "live::watch::eof_unread::tracepoint",
    "live::watch::never_accepted_in_another_namespace",
    "live::watch::shut_down_and_waiting_for_a_local_peer",
    "live::watch::there_first",
];

/// What the documentation tells of each kernel.
const EVIDENCE: &[&str] =
    &["live::budget::every_program_is_far_from_the_limits", "live::usage::doctor_tries_everything"];

/// What must work whatever is taken away.
const WATCH: &[&str] = &[
    "live::deeds::read_to_the_end_and_kept",
    "live::deeds::shut_down_and_kept",
    "live::endings::killed_and_resolved",
    "live::usage::a_probe_that_is_not_to_be_had_is_said",
    "live::usage::doctor_tries_everything",
    "live::watch::eof_unread",
    "live::watch::shut_down_and_waiting_for_a_local_peer",
];

/// Where the kernel does not tell its types.
const UNTYPED: &[&str] = &[
    "live::endings::killed_and_resolved::tracepoint",
    "live::usage::a_probe_that_is_not_to_be_had_is_said",
    "live::usage::doctor_tries_everything",
    "live::watch::eof_unread::tracepoint",
    "live::watch::never_accepted_in_another_namespace::tracepoint",
    "live::watch::shut_down_and_waiting_for_a_local_peer::tracepoint",
];

/// The sets by their names.
const SETS: [(&str, &[&str]); 4] =
    [("quick", QUICK), ("evidence", EVIDENCE), ("watch", WATCH), ("untyped", UNTYPED)];

/// The ones that are about code paths. The programs that copy stacks keep an emulated
/// processor's verifier busy for a quarter of a minute, so the others do without.
const STACKS: &[&str] = &[
    "live::deeds::read_to_the_end_and_kept",
    "live::deeds::what_became_of_the_others_on_the_same_path",
    "live::record::after_a_restart_the_finding_is_the_same",
];

/// Parts of the names of tests that want more than a guest has: a compiler and other languages, servers,
/// systemd, tmux, this source tree, a machine that is not emulated.
const ELSEWHERE: &[&str] = &[
    "live::code::",
    "live::corpus::",
    "live::endings::two_thousand_in_one_process::tracepoint",
    "live::hostile::",
    "live::lifecycle::a_hundred_starts",
    "live::lifecycle::twenty_starts",
    "live::load::",
    "live::loss::",
    "live::metrics::health::",
    "live::metrics::prometheus_",
    "live::metrics::promtool_",
    "live::record::two_programs_are_as_wide_as_they_say",
    "live::release::held::",
    "live::release::java::",
    "live::release::reused::",
    "live::service::manifest::",
    "live::service::the_units_privileges",
    "live::service::unit::",
    "live::service::what_",
    "live::sinks::a_private_authority",
    "live::sinks::a_sample_arrives_there",
    "live::sinks::alertmanager_",
    "live::sinks::two_processes_are_one_alert_there",
    "live::soak::",
    "live::top::",
    "live::usage::demo_shows_each_cause",
    "live::usage::the_readme_shows_what_demo_prints",
];

/// Whether tcptrace is to copy stacks for this test.
pub fn has_stacks(name: &str) -> bool {
    std::env::var(SET).is_err() || STACKS.contains(&name)
}

/// Those of `trials` that are to run here.
pub fn choose(trials: Vec<Trial>) -> Vec<Trial> {
    // Each name is of a test that there is, wherever this runs.
    for name in SETS.iter().flat_map(|(_, names)| *names) {
        assert!(trials.iter().any(|trial| trial.name() == *name), "there is no test {name}");
    }
    for part in ELSEWHERE {
        assert!(trials.iter().any(|trial| trial.name().contains(part)), "there is no test {part}");
    }
    let Ok(wanted) = std::env::var(SET) else { return trials };
    let set = SETS.iter().find(|(name, _)| *name == wanted);
    let here = |name: &str| match (set, wanted.as_str()) {
        (Some((_, names)), _) => names.contains(&name),
        (None, "all") => !ELSEWHERE.iter().any(|part| name.contains(part)),
        (None, other) => panic!("{SET}={other}: there is no such set"),
    };
    trials.into_iter().filter(|trial| here(trial.name())).collect()
}

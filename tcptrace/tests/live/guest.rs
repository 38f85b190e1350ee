//! Which tests run in a guest (`cargo xtask vm`), where there is nothing but what it was booted with.

use libtest_mimic::Trial;

/// Names the set of tests to run; not set, all of them run.
const SET: &str = "TCPTRACE_GUEST";

/// What every change is tested with on every kernel: about a minute of an emulated processor's time.
const QUICK: &[&str] = &[
    "live::budget::every_program_is_far_from_the_limits",
    "live::deeds::read_to_the_end_and_kept",
    "live::deeds::reset_and_kept",
    "live::deeds::shut_down_and_kept",
    "live::deeds::the_child_reads_and_the_parent_keeps",
    "live::events::the_life_of_a_connection",
    "live::events::the_life_of_a_connection_by_its_address",
    "live::ls::every_kind_in_one_namespace",
    "live::past::killed_it_knows_all_but_the_last_second_and_goes_on",
    "live::record::what_lasts_is_kept_and_how_it_ended",
    "live::replay::told_again_line_for_line",
    "live::usage::doctor_tries_everything",
    "live::usage::signals_end_it_with_a_summary",
    "live::watch::data_unread",
    "live::watch::drained",
    "live::watch::eof_unread",
    "live::watch::eof_unread::tracepoint",
    "live::watch::inherited_by_a_child",
    "live::watch::killed_and_resolved",
    "live::watch::never_accepted_in_another_namespace",
    "live::watch::orphan_to_its_real_end",
    "live::watch::reconnected_is_another_episode",
    "live::watch::shut_down_and_waiting_for_a_local_peer",
    "live::watch::there_first",
];

/// What must work whatever is taken away: lockdown, tracefs, the kernel's types.
const WATCH: &[&str] = &[
    "live::deeds::read_to_the_end_and_kept",
    "live::deeds::shut_down_and_kept",
    "live::usage::doctor_tries_everything",
    "live::watch::eof_unread",
    "live::watch::eof_unread::tracepoint",
    "live::watch::killed_and_resolved",
    "live::watch::shut_down_and_waiting_for_a_local_peer",
];

/// Parts of the names of tests that want more than a guest has: a compiler and other languages, this
/// source tree, a machine that is not emulated.
const ELSEWHERE: &[&str] = &[
    "live::code::",
    "live::corpus::",
    "live::load::",
    "live::record::two_programs_are_as_wide_as_they_say",
    "live::usage::the_readme_shows_what_demo_prints",
];

/// Those of `trials` that are to run here.
pub fn choose(trials: Vec<Trial>) -> Vec<Trial> {
    let named = |set: &[&str]| {
        for name in set {
            assert!(trials.iter().any(|trial| trial.name() == *name), "there is no test {name}");
        }
        set.iter().map(|&name| name.to_owned()).collect::<Vec<_>>()
    };
    // Each name is of a test that there is, wherever this runs.
    let (quick, watch) = (named(QUICK), named(WATCH));
    let wanted: Box<dyn Fn(&str) -> bool> = match std::env::var(SET).as_deref() {
        Err(_) => Box::new(|_| true),
        Ok("quick") => Box::new(move |name| quick.iter().any(|quick| quick == name)),
        Ok("watch") => Box::new(move |name| watch.iter().any(|watch| watch == name)),
        Ok("all") => Box::new(|name| !ELSEWHERE.iter().any(|part| name.contains(part))),
        Ok(other) => panic!("{SET}={other}: there is no such set"),
    };
    trials.into_iter().filter(|trial| wanted(trial.name())).collect()
}

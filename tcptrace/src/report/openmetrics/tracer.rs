//! Families about tcptrace itself: what it sees with, what it lost, what it costs.

use core::fmt;

use super::families::Families;
use crate::model::figures::Figures;

pub fn encode(to: &mut Families<'_>, figures: &Figures) -> fmt::Result {
    health(to, figures)?;
    losses(to, figures)?;
    kernel(to, figures)?;
    outputs(to, figures)?;
    process(to, figures)
}

fn health(to: &mut Families<'_>, figures: &Figures) -> fmt::Result {
    let (health, now) = &figures.health;
    to.gauge(
        "tcptrace_healthy",
        "1 if a connection of its own was seen lately, as /healthz tells.",
        [([], u64::from(health.check(*now).is_ok()))],
    )?;
    to.gauge(
        "tcptrace_own_connection_age_seconds",
        "How long ago a connection of its own was last seen; one is made every 5 seconds.",
        [([], health.age(*now).as_secs_f64())],
    )
}

fn losses(to: &mut Families<'_>, figures: &Figures) -> fmt::Result {
    let (counts, lost) = (&figures.sockets.counts, figures.lost);
    let seen = [([], counts.transitions)];
    to.counter("tcptrace_transitions", "Changes of TCP states that were seen.", seen)?;
    let kinds = [
        ("ring", Some(lost.ring)),
        ("recursion", lost.recursion),
        ("gaps", Some(counts.gaps)),
        ("deeds", Some(lost.deeds)),
    ];
    to.counter(
        "tcptrace_lost_events",
        "Events that did not arrive, by how they were lost.",
        kinds.into_iter().filter_map(|(kind, lost)| Some(([("kind", kind)], lost?))),
    )?;
    let counters = [
        (
            "tcptrace_repaired_sockets",
            "Sockets that a look found elsewhere than we knew.",
            counts.repaired,
        ),
        ("tcptrace_overflow_sockets", "Sockets not taken into the full table.", counts.overflow),
        (
            "tcptrace_undecodable_records",
            "Records that could not be understood.",
            figures.undecodable,
        ),
        (
            "tcptrace_unwritten_lines",
            "Lines left out because the reader of stdout was slow.",
            figures.unwritten,
        ),
    ];
    counters.into_iter().try_for_each(|(name, help, value)| to.counter(name, help, [([], value)]))
}

fn kernel(to: &mut Families<'_>, figures: &Figures) -> fmt::Result {
    let probes = figures.probes.iter();
    to.gauge(
        "tcptrace_probe_enabled",
        "What there is to see with: 1 if it is on.",
        probes.map(|&(probe, on)| ([("probe", probe)], u64::from(on))),
    )?;
    let programs =
        || figures.programs.iter().map(|program| ([("program", &*program.name)], program));
    to.counter(
        "tcptrace_bpf_program_runs",
        "Runs of a kernel program; only where kernel.bpf_stats_enabled is on.",
        programs().map(|(labels, program)| (labels, program.runs)),
    )?;
    to.counter(
        "tcptrace_bpf_program_run_seconds",
        "Time that a kernel program ran; only where kernel.bpf_stats_enabled is on.",
        programs().map(|(labels, program)| (labels, program.time.as_secs_f64())),
    )?;
    let ring = figures.ring;
    let gauges = [
        (
            "tcptrace_ring_size_bytes",
            "Size of the buffer between kernel and user space.",
            ring.size,
        ),
        ("tcptrace_ring_drained_bytes", "What was last taken from it in one go.", ring.drained),
        (
            "tcptrace_ring_drained_max_bytes",
            "The most that was taken from it in one go since the start.",
            ring.drained_max,
        ),
    ];
    gauges.into_iter().try_for_each(|(name, help, value)| to.gauge(name, help, [([], value)]))
}

fn outputs(to: &mut Families<'_>, figures: &Figures) -> fmt::Result {
    let queues = || figures.queues.iter().map(|queue| ([("queue", queue.name)], queue));
    let waiting = queues().map(|(labels, queue)| (labels, queue.waiting));
    to.gauge("tcptrace_queue_length", "What waits for a slow disk or reader.", waiting)?;
    let capacity = queues().map(|(labels, queue)| (labels, queue.capacity));
    to.gauge("tcptrace_queue_capacity", "How much can wait before more is left out.", capacity)?;
    let journal = || figures.journal.iter();
    let bytes = journal().map(|journal| ([], journal.bytes));
    to.gauge("tcptrace_journal_size_bytes", "Size of the record on disk.", bytes)?;
    let committed = journal().map(|journal| ([], journal.committed));
    to.counter("tcptrace_journal_entries", "Entries written to the record.", committed)?;
    let left_out = journal().map(|journal| ([], journal.left_out));
    to.counter("tcptrace_journal_left_out", "Entries that the record lacks.", left_out)?;
    let writable = journal().map(|journal| ([], u64::from(journal.writable)));
    to.gauge("tcptrace_journal_writable", "1 if the disk takes the record.", writable)?;
    let results = figures.sinks.iter().flat_map(|sink| {
        [("sent", sink.sent), ("failed", sink.failed), ("dropped", sink.dropped)]
            .map(|(result, count)| ([("sink", &*sink.name), ("result", result)], count))
    });
    to.counter("tcptrace_sink_messages", "Messages to a sink, by what became of them.", results)?;
    let waiting = figures.sinks.iter().map(|sink| ([("sink", &*sink.name)], sink.waiting));
    to.gauge("tcptrace_sink_waiting", "Messages that wait for a sink.", waiting)
}

/// By the names that client libraries of Prometheus give these.
fn process(to: &mut Families<'_>, figures: &Figures) -> fmt::Result {
    let usage = figures.usage;
    let labels = [("version", figures.version), ("kernel", &figures.kernel)];
    to.info("tcptrace_build", "The versions of tcptrace and of the kernel it runs on.", labels)?;
    let cpu = [([], usage.cpu.as_secs_f64())];
    to.counter("process_cpu_seconds", "Time on CPUs, in user space and in the kernel.", cpu)?;
    let resident = usage.resident.map(|bytes| ([], bytes));
    to.gauge("process_resident_memory_bytes", "Memory that is resident.", resident)?;
    let open = usage.descriptors.map(|open| ([], open));
    to.gauge("process_open_fds", "Descriptors that are open.", open)
}

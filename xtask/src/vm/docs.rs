//! docs/kernels.md: what each kernel allows, as its guest reported it.

use std::fs;

use anyhow::{Context as _, Result};
use serde_json::Value;

use super::Ran;
use crate::shell::root;

const PAGE: &str = "docs/kernels.md";
/// What stands below this is written by `cargo xtask vm --write-docs`.
const GENERATED: &str = "<!-- generated: cargo xtask vm --write-docs -->\n";

/// A row of the table: what it is called, and the check of `tcptrace doctor` that tells.
const EVIDENCE: [(&str, &str); 8] = [
    ("transitions", "tp_btf/inet_sock_set_state"),
    ("transitions, where that is not to be had", "tracepoint/sock/inet_sock_set_state"),
    ("sockets known by cookies", "socket cookies"),
    ("reads of the end of file", "reads of the end of file"),
    ("releases of what is over", "tp_btf/tcp_destroy_sock"),
    ("holders", "iter/task_file"),
    ("code paths", "code paths"),
    ("who accepts (`--stacks all`)", "accepts"),
];

/// Writes the page anew, but for what people have written at its top.
pub fn write(ran: &[Ran]) -> Result<()> {
    let path = root().join(PAGE);
    let page = fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let (by_hand, _) = page.split_once(GENERATED).with_context(|| format!("{PAGE}: no mark"))?;
    let page = format!("{by_hand}{GENERATED}\n{}\n{}", evidence(ran), verifier(ran));
    fs::write(&path, page).with_context(|| format!("cannot write {PAGE}"))?;
    println!("written to {PAGE}");
    Ok(())
}

fn header(ran: &[Ran], first: &str) -> String {
    let releases = ran.iter().map(|one| one.outcome.release.as_deref().unwrap_or("—"));
    let cells = releases.map(|release| format!(" {release} |")).collect::<String>();
    format!("| {first} |{cells}\n|---|{}\n", "---|".repeat(ran.len()))
}

fn row(ran: &[Ran], first: &str, cell: impl Fn(&Ran) -> String) -> String {
    let cells = ran.iter().map(|one| format!(" {} |", cell(one).replace('|', "\\|")));
    format!("| {first} |{}\n", cells.collect::<String>())
}

/// The line of the report about what is called so.
fn line<'a>(one: &'a Ran, kind: &str, name: &str) -> Option<&'a Value> {
    one.outcome.lines.iter().find(|line| line["type"] == kind && line["name"] == name)
}

fn evidence(ran: &[Ran]) -> String {
    let mut table = format!("## Evidence\n\n{}", header(ran, ""));
    for (title, check) in EVIDENCE {
        table += &row(ran, title, |one| match line(one, "check", check) {
            None => "not tried".into(),
            Some(line) => {
                let found = line["found"].as_str().unwrap_or_default();
                let found = found.trim_end_matches(" attaches");
                match line["status"].as_str() {
                    Some("good") if found.starts_with("loads") => "yes".into(),
                    Some("good") => found.to_owned(),
                    _ => format!("**no**: {}", found.trim_start_matches("no: ")),
                }
            }
        });
    }
    table
}

fn verifier(ran: &[Ran]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for line in ran.iter().flat_map(|one| &one.outcome.lines) {
        if let ("program", Some(name)) =
            (line["type"].as_str().unwrap_or(""), line["name"].as_str())
        {
            names.push(name);
        }
    }
    names.sort_unstable();
    names.dedup();
    let mut table = format!("## Verifier\n\n{}", header(ran, "program"));
    for name in names {
        table += &row(ran, &format!("`{name}`"), |one| {
            let Some(line) = line(one, "program", name) else { return "not loaded".into() };
            match (line["instructions"].as_u64(), line["stack"].as_str()) {
                (Some(instructions), Some(stack)) => format!("{instructions} · {stack}"),
                _ => "—".into(),
            }
        });
    }
    table
}

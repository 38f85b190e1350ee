//! `tcptrace generate`: man pages and shell completions, for packages.

use std::fs;

use anyhow::{Context as _, Result};
use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::{Cli, GenerateArgs};

/// Writes a page for every command, and completions for every shell that is common.
pub fn run(args: &GenerateArgs) -> Result<()> {
    let [man, completions] = ["man", "completions"].map(|name| args.dir.join(name));
    for dir in [&man, &completions] {
        fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    }
    let cannot_write = || format!("cannot write into {}", args.dir.display());
    clap_mangen::generate_to(Cli::command(), &man).with_context(cannot_write)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        let mut command = Cli::command();
        clap_complete::generate_to(shell, &mut command, "tcptrace", &completions)
            .with_context(cannot_write)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_and_is_completed() {
        let dir = tempfile::tempdir().unwrap();
        run(&GenerateArgs { dir: dir.path().into() }).unwrap();
        let read = |path: &str| fs::read_to_string(dir.path().join(path)).unwrap();
        let scripts = ["tcptrace.bash", "_tcptrace", "tcptrace.fish"];
        let scripts = scripts.map(|name| read(&format!("completions/{name}")));
        assert!(read("man/tcptrace.1").contains("CLOSE_WAIT"));
        let command = Cli::command();
        for command in command.get_subcommands().filter(|command| !command.is_hide_set()) {
            let name = command.get_name();
            assert!(read(&format!("man/tcptrace-{name}.1")).starts_with(".ie"), "{name}");
            assert!(scripts.iter().all(|script| script.contains(name)), "{name}");
        }
    }
}

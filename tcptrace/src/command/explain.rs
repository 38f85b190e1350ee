//! `tcptrace explain`: what a verdict means, what causes it and what to do.

use anyhow::Result;

use super::destination;
use crate::cli::{ExplainArgs, LanguageChoice};
use crate::report::patterns::{Language, page};

/// Prints the page.
pub fn run(args: &ExplainArgs) -> Result<()> {
    let language = match args.lang {
        LanguageChoice::En => Language::English,
        LanguageChoice::Zh => Language::Chinese,
        LanguageChoice::Auto => Language::of_locale(&locale()),
    };
    destination::to_stdout(|out| out.write_all(page(args.verdict, language).as_bytes()))
}

/// What POSIX has decide about messages.
fn locale() -> String {
    let set = ["LC_ALL", "LC_MESSAGES", "LANG"]
        .into_iter()
        .find_map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    set.unwrap_or_default()
}

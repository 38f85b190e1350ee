//! Figures for the terminal.

use super::results::{Part, show};

/// Prints what came of `part`.
pub fn print(part: &Part) {
    println!("\n{}, in {} s", part.title, part.seconds);
    for (index, figure) in part.figures.iter().enumerate() {
        if index == 0 || part.figures[index - 1].what != figure.what {
            println!("\n  {:<58} {:>9} {:>9} {:>9}", figure.what, "least", "median", "most");
        }
        let [least, median, most] = figure.spread().map(show);
        println!("    {:<56} {least:>9} {median:>9} {most:>9}", figure.who);
    }
    if !part.targets.is_empty() {
        println!();
    }
    for target in &part.targets {
        let verdict = if target.is_met() { "met" } else { "MISSED" };
        println!("  {verdict}: {} {}: {}", target.what, target.wanted(), show(target.measured));
    }
    for missing in &part.missing {
        println!("  could not be measured: {missing}");
    }
}

//! Configuration files.

#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use tcptrace::cli::config::Config;

fuzz_target!(|text: &str| {
    if let Err(error) = Config::parse(text, Path::new("config.toml")) {
        assert!(error.to_string().starts_with("config.toml: "));
    }
});

//! Points the library at the kernel programs, if `cargo xtask build` has built them. Without them
//! everything compiles and the pure parts are tested all the same; loading says what is missing.

use std::env;
use std::path::{Path, PathBuf};

const OBJECT: &str = "TCPTRACE_EBPF_OBJECT";

fn main() {
    println!("cargo::rerun-if-env-changed={OBJECT}");
    println!("cargo::rustc-check-cfg=cfg(ebpf_object)");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let object = env::var_os(OBJECT).map_or_else(
        || workspace.join("target/bpf/bpfel-unknown-none/release/tcptrace-ebpf"),
        PathBuf::from,
    );
    println!("cargo::rerun-if-changed={}", object.display());
    match object.canonicalize() {
        Ok(object) => {
            println!("cargo::rustc-cfg=ebpf_object");
            println!("cargo::rustc-env={OBJECT}={}", object.display());
        }
        Err(_) => println!(
            "cargo::warning=the kernel programs are not built, so this tcptrace will trace \
             nothing: cargo xtask build"
        ),
    }
}

//! BTF blobs: the kernel's own is trusted, a file of the same name need not be.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tcptrace::sys::btf::{self, Btf};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(btf) = Btf::parse(bytes) {
        let _ = btf::offsets(&btf);
        let _ = btf.arguments("f");
        // The names in the seeds.
        for (of, path) in [("outer", "a"), ("outer", "x"), ("outer", "in.y"), ("inner", "y")] {
            let _ = btf.structure(of).and_then(|of| of.offset(path, 4));
        }
        let _ = btf.enumerator("e", "ONE");
    }
});

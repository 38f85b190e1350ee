//! Records of the kernel programs, of any bytes and any length.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tcptrace::model::decode;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(transition) = decode::transition(bytes) {
        assert_ne!(transition.netns.map(|netns| netns.0), Some(0));
    }
    if let Ok(held) = decode::held_fd(bytes) {
        assert!(held.recv_queue <= i32::MAX.cast_unsigned());
        assert!(held.send_queue <= i32::MAX.cast_unsigned());
    }
    let _ = decode::deed(bytes);
});

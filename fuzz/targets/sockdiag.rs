//! Datagrams of a sock_diag dump.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tcptrace::sys::sockdiag::read_messages;

fuzz_target!(|datagram: &[u8]| {
    let mut found = Vec::new();
    let _ = read_messages(datagram, &mut found);
    // A message has a header of 16 bytes and, to be a socket, 72 more.
    assert!(found.len() <= datagram.len() / 88);
});

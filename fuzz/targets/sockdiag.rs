//! Datagrams of a sock_diag dump.

#![no_main]

use libfuzzer_sys::fuzz_target;
use tcptrace::sys::sockdiag::{RawSocket, read_messages};

fuzz_target!(|datagram: &[u8]| {
    let mut found = 0;
    let _ = read_messages(datagram, |message| {
        found += RawSocket::parse(message)
            .map_or(0, |socket| usize::from(socket.get().inode < u64::MAX));
    });
    // A message has a header of 16 bytes and, to be a socket, 72 more.
    assert!(found <= datagram.len() / 88);
});

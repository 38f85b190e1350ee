//! The actor's own end.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::io::{IoSlice, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsFd as _, AsRawFd as _, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::Duration;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// Obeys until its standard input ends.
#[expect(clippy::print_stdout, reason = "its answers")]
pub fn act() {
    let mut stage = Stage::default();
    for line in std::io::stdin().lines() {
        let line = line.unwrap();
        let words: Vec<_> = line.split_whitespace().collect();
        println!("ok {}", stage.obey(&words));
    }
    for child in &mut stage.children {
        let _ = child.kill();
    }
}

#[derive(Default)]
struct Stage {
    next: u32,
    listeners: BTreeMap<u32, TcpListener>,
    streams: BTreeMap<u32, TcpStream>,
    mailbox: Option<UnixListener>,
    received: Vec<OwnedFd>,
    background: Vec<thread::JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    spinner: Option<thread::JoinHandle<u64>>,
    children: Vec<Child>,
}

#[inline(never)]
fn connect_in_a_function_of_its_own(address: &str, port: u16) -> TcpStream {
    // Work after the call, so that this function is on the stack.
    let stream = TcpStream::connect((address, port)).unwrap();
    assert_eq!(stream.peer_addr().unwrap().port(), port);
    stream
}

impl Stage {
    fn obey(&mut self, words: &[&str]) -> String {
        match words {
            ["pid"] => std::process::id().to_string(),
            ["listen", address] => {
                let listener = TcpListener::bind((*address, 0)).unwrap();
                let port = listener.local_addr().unwrap().port();
                let cookie = rustix::net::sockopt::socket_cookie(&listener).unwrap();
                let id = self.id();
                self.listeners.insert(id, listener);
                format!("{id} {cookie} {port}")
            }
            ["connect", address, port] => {
                let stream = TcpStream::connect((*address, port.parse().unwrap())).unwrap();
                self.keep(stream)
            }
            ["connect-otherwise", address, port] => {
                self.keep(connect_in_a_function_of_its_own(address, port.parse().unwrap()))
            }
            ["accept", id] => {
                let (stream, _) = self.listeners[&id.parse().unwrap()].accept().unwrap();
                self.keep(stream)
            }
            ["close", ids @ ..] => {
                for id in ids {
                    let id = id.parse().unwrap();
                    let closed = self.streams.remove(&id).is_some();
                    assert!(closed | self.listeners.remove(&id).is_some());
                }
                String::new()
            }
            ["shutdown", id] => {
                self.stream(id).shutdown(Shutdown::Write).unwrap();
                String::new()
            }
            ["shutdown-both", id] => {
                self.stream(id).shutdown(Shutdown::Both).unwrap();
                String::new()
            }
            ["spin", id] => {
                let mut stream = self.stream(id).try_clone().unwrap();
                let stop = Arc::clone(&self.stop);
                self.spinner = Some(thread::spawn(move || {
                    let mut count = 0u64;
                    while !stop.load(Ordering::Relaxed) {
                        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
                        count += 1;
                    }
                    count
                }));
                String::new()
            }
            ["stop-spinning"] => {
                self.stop.store(true, Ordering::Relaxed);
                self.spinner.take().unwrap().join().unwrap().to_string()
            }
            ["send", id, bytes] => {
                self.stream(id).write_all(&vec![7; bytes.parse().unwrap()]).unwrap();
                String::new()
            }
            ["fill", id] => {
                let mut stream = self.stream(id);
                stream.set_nonblocking(true).unwrap();
                let chunk = [7; 65_536];
                let mut taken = 0;
                while let Ok(count) = stream.write(&chunk) {
                    taken += count;
                }
                stream.set_nonblocking(false).unwrap();
                taken.to_string()
            }
            ["recv", id] => self.stream(id).read(&mut [0; 65_536]).unwrap().to_string(),
            ["stream", id, millis] => {
                let mut stream = self.stream(id).try_clone().unwrap();
                let pause = Duration::from_millis(millis.parse().unwrap());
                let stop = Arc::clone(&self.stop);
                self.background.push(thread::spawn(move || {
                    while !stop.load(Ordering::Relaxed) {
                        stream.write_all(&[7]).unwrap();
                        thread::sleep(pause);
                    }
                }));
                String::new()
            }
            ["stop"] => {
                self.stop.store(true, Ordering::Relaxed);
                self.join();
                String::new()
            }
            ["reconnect", id, address, port] => {
                let stream = self.stream(id);
                rustix::net::connect_unspec(stream).unwrap();
                let target =
                    std::net::SocketAddr::new(address.parse().unwrap(), port.parse().unwrap());
                rustix::net::connect(stream, &target).unwrap();
                String::new()
            }
            ["swallow", id] => {
                let mut stream = self.stream(id).try_clone().unwrap();
                thread::spawn(move || while stream.read(&mut [0; 4096]).is_ok_and(|n| n > 0) {});
                String::new()
            }
            ["prepare", path] => {
                self.mailbox = Some(UnixListener::bind(path).unwrap());
                String::new()
            }
            ["pass", id, path] => {
                let mail = UnixStream::connect(path).unwrap();
                pass(&mail, self.stream(id));
                String::new()
            }
            ["receive"] => {
                let mailbox = self.mailbox.take().unwrap();
                let path = mailbox.local_addr().unwrap();
                let (mail, _) = mailbox.accept().unwrap();
                self.received.push(receive(&mail));
                std::fs::remove_file(path.as_pathname().unwrap()).unwrap();
                String::new()
            }
            ["recv-received"] => {
                let fd = self.received.last().unwrap();
                rustix::io::read(fd, &mut [0; 64]).unwrap().to_string()
            }
            ["idle-sockets"] => {
                use rustix::net::{AddressFamily, SocketType, bind, connect, socket};
                let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
                let make = || socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
                let (made, bound, refused) = (make(), make(), make());
                bind(&bound, &any).unwrap();
                // Nobody listens on a port that is only bound.
                let target = rustix::net::getsockname(&bound).unwrap();
                connect(&refused, &target).unwrap_err();
                self.received.extend([made, bound, refused]);
                String::new()
            }
            ["inherit", id] => {
                let stream = self.stream(id);
                rustix::io::fcntl_setfd(stream, rustix::io::FdFlags::empty()).unwrap();
                let mut child = Command::new("cat");
                let child = child.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
                let pid = child.id();
                self.children.push(child);
                pid.to_string()
            }
            ["name", hex] => {
                let byte = |i: usize| u8::from_str_radix(&hex[i..i + 2], 16).unwrap();
                let name: Vec<_> = (0..hex.len()).step_by(2).map(byte).collect();
                rustix::thread::set_name(&CString::new(name).unwrap()).unwrap();
                String::new()
            }
            ["churn", address, count] => {
                churn(address, count.parse().unwrap());
                String::new()
            }
            other => panic!("an actor cannot {other:?}"),
        }
    }

    fn id(&mut self) -> u32 {
        self.next += 1;
        self.next
    }

    fn stream(&self, id: &str) -> &TcpStream {
        &self.streams[&id.parse().unwrap()]
    }

    fn keep(&mut self, stream: TcpStream) -> String {
        let cookie = rustix::net::sockopt::socket_cookie(&stream).unwrap();
        let port = stream.local_addr().unwrap().port();
        let id = self.id();
        self.streams.insert(id, stream);
        format!("{id} {cookie} {port}")
    }

    fn join(&mut self) {
        for thread in self.background.drain(..) {
            thread.join().unwrap();
        }
    }
}

fn churn(address: &str, count: usize) {
    /// Connections under way: an accept queue that overflows would cost a second a time.
    const WINDOW: usize = 64;
    let listener = TcpListener::bind((address, 0)).unwrap();
    let target = listener.local_addr().unwrap();
    let (begin, begun) = sync_channel(WINDOW);
    let server = thread::spawn(move || {
        for () in begun {
            let (mut stream, _) = listener.accept().unwrap();
            while stream.read(&mut [0; 4096]).unwrap() > 0 {}
        }
    });
    for _ in 0..count {
        drop(TcpStream::connect(target).unwrap());
        begin.send(()).unwrap();
    }
    drop(begin);
    server.join().unwrap();
}

fn pass(mail: &UnixStream, stream: &TcpStream) {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [stream.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
    sendmsg(mail, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();
}

fn receive(mail: &UnixStream) -> OwnedFd {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut byte = [0];
    recvmsg(mail, &mut [IoSliceMut::new(&mut byte)], &mut control, RecvFlags::empty()).unwrap();
    let fds = control.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    let fd = fds.expect("a descriptor in the mail");
    assert!(fd.as_raw_fd() > 2);
    fd
}

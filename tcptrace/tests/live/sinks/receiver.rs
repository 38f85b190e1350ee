//! Somebody who receives by HTTP, well or badly.

use std::io::{BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::watcher::DEADLINE;

/// What becomes of a request that was read.
#[derive(Clone, Debug)]
pub enum Answer {
    /// This status, these headers.
    Status(&'static str, String),
    /// Half of a status line, and then nothing.
    HangHalfWay,
    /// A byte of a header every so often, for ever.
    Trickle(Duration),
    /// A good status, and then a body without end.
    WithoutEnd,
}

impl Answer {
    pub const GOOD: Self = Self::Status("204 No Content", String::new());
}

/// One request.
#[derive(Debug)]
pub struct Request {
    pub path: String,
    pub headers: Vec<String>,
    pub body: Value,
}

/// Receives on a port of its own, for as long as the test runs.
pub struct Http {
    pub port: u16,
    pub answer: Arc<Mutex<Answer>>,
    requests: Receiver<Request>,
    pub seen: Vec<Request>,
}

impl Http {
    pub fn start(answer: Answer) -> Self {
        Self::start_with(answer, None)
    }

    /// With TLS, by the certificate and the key in these files.
    pub fn start_tls(certificate: &str, key: &str) -> Self {
        let certificates = CertificateDer::pem_file_iter(certificate).unwrap();
        let certificates = certificates.collect::<Result<Vec<_>, _>>().unwrap();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(certificates, key)
            .unwrap();
        Self::start_with(Answer::GOOD, Some(Arc::new(config)))
    }

    fn start_with(answer: Answer, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let answer = Arc::new(Mutex::new(answer));
        let (sender, requests) = channel();
        let shared = Arc::clone(&answer);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, sender) = (stream.unwrap(), sender.clone());
                let (shared, tls) = (Arc::clone(&shared), tls.clone());
                // How it ends is up to the other side.
                thread::spawn(move || match tls {
                    None => drop(serve(stream, &shared, &sender)),
                    Some(config) => {
                        let connection = ServerConnection::new(config).unwrap();
                        drop(serve(StreamOwned::new(connection, stream), &shared, &sender));
                    }
                });
            }
        });
        Self { port, answer, requests, seen: Vec::new() }
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The next request that `wanted` accepts.
    pub fn wait_for(&mut self, what: &str, wanted: impl Fn(&Request) -> bool) -> Request {
        if let Some(i) = self.seen.iter().position(&wanted) {
            return self.seen.remove(i);
        }
        let deadline = Instant::now() + DEADLINE;
        let left = || deadline.saturating_duration_since(Instant::now());
        while let Ok(request) = self.requests.recv_timeout(left()) {
            if wanted(&request) {
                return request;
            }
            self.seen.push(request);
        }
        panic!("no {what} came; what came: {:#?}", self.seen);
    }

    /// The next message of a group with this status.
    pub fn group(&mut self, status: &str) -> Value {
        let wanted = |request: &Request| request.body["status"] == status;
        self.wait_for(&format!("{status} group"), wanted).body
    }
}

fn serve(
    mut stream: impl Read + Write,
    answer: &Mutex<Answer>,
    requests: &Sender<Request>,
) -> std::io::Result<()> {
    let request = read(&mut BufReader::new(&mut stream))?;
    let answer = answer.lock().unwrap().clone();
    // The test may be over.
    let _ = requests.send(request);
    match answer {
        Answer::Status(status, headers) => {
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n{headers}\r\n")?;
            stream.flush()
        }
        Answer::HangHalfWay => {
            stream.write_all(b"HTTP/1.1 200 O")?;
            stream.read_exact(&mut [0])
        }
        Answer::Trickle(pause) => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nX-Slow: ")?;
            loop {
                stream.write_all(b"x")?;
                thread::sleep(pause);
            }
        }
        Answer::WithoutEnd => {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10000000000\r\n\r\n")?;
            loop {
                stream.write_all(&[b'x'; 1 << 16])?;
            }
        }
    }
}

fn read(stream: &mut impl std::io::BufRead) -> std::io::Result<Request> {
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).map(|_| line.trim_end().to_owned())
    };
    let path = line()?.split(' ').nth(1).unwrap_or_default().to_owned();
    let mut headers = Vec::new();
    loop {
        let header = line()?;
        if header.is_empty() {
            break;
        }
        headers.push(header);
    }
    let length = headers.iter().find_map(|header| {
        let (name, value) = header.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse().unwrap())
    });
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body)?;
    Ok(Request { path, headers, body: serde_json::from_slice(&body).unwrap_or_default() })
}

/// What is at `path` of the server on `port`, by the test's own request.
pub fn get(port: u16, path: &str) -> std::io::Result<Value> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let body = answer.split_once("\r\n\r\n").map(|(_, body)| body).unwrap_or_default();
    serde_json::from_str(body).map_err(std::io::Error::other)
}

//! A small HTTP server for machines that ask for numbers, on a thread of its own.
//!
//! Whatever its clients do costs bounded time and memory, and the tracer nothing. One that takes its
//! time is closed after some seconds; where too many are there, the oldest makes room for the newest,
//! so that nobody is kept out by connections that are only held.

use core::convert::Infallible;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::thread;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use rustix::net::sockopt::set_tcp_user_timeout;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use crate::advice::Advice;

/// Connections at once.
const MOST: usize = 64;
/// Until the header is there.
const HEADER: Duration = Duration::from_secs(3);
/// Until everything is over: each connection is for one question.
const WHOLE: Duration = Duration::from_secs(10);
/// More than any client of ours says.
const HEADER_BYTES: usize = 16 << 10;
/// When no connection can be accepted, for want of descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What is answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status code.
    pub status: u16,
    /// Of which kind the body is.
    pub content_type: &'static str,
    /// The body.
    pub body: Vec<u8>,
}

impl Answer {
    /// A line or two for people.
    pub fn text(status: u16, text: impl Into<String>) -> Self {
        let body = text.into().into_bytes();
        Self { status, content_type: "text/plain; charset=utf-8", body }
    }
}

/// Who answers.
pub trait Answers: Send + Sync + 'static {
    /// To a question for `path`; `accept` is the header of that name.
    fn answer(&self, path: &str, accept: Option<&str>) -> impl Future<Output = Answer> + Send;
}

/// An address that is listened on; nobody is served yet.
#[derive(Debug)]
pub struct Listener {
    listener: StdListener,
    /// Where, with the port that was taken.
    pub address: SocketAddr,
}

impl Listener {
    /// Listens on `address`.
    ///
    /// # Errors
    /// If it cannot be taken.
    pub fn bind(address: SocketAddr) -> Result<Self> {
        let listen = || {
            let listener = StdListener::bind(address)?;
            listener.set_nonblocking(true)?;
            Ok(Self { address: listener.local_addr()?, listener })
        };
        listen().map_err(|error: io::Error| {
            let message = format!("cannot listen on {address}: {error}");
            let other = SocketAddr::new(address.ip(), 0);
            Advice::new(message)
                .and_try(format!("ss -Hltnp 'sport = :{}'", address.port()), "who has the port")
                .and_try(format!("tcptrace watch --listen {other}"), "any port that is free")
                .into()
        })
    }

    /// Serves from a thread of its own, as long as the process lives.
    ///
    /// # Errors
    /// If there can be no thread.
    pub fn serve(self, answers: impl Answers) -> Result<()> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.context("cannot start the event loop for metrics")?;
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(self.listener)?
        };
        let serve = move || runtime.block_on(accept(listener, Arc::new(answers)));
        thread::Builder::new()
            .name("metrics".into())
            .spawn(serve)
            .context("cannot serve metrics")?;
        Ok(())
    }
}

async fn accept(listener: TcpListener, answers: Arc<impl Answers>) {
    let mut connections = VecDeque::<JoinHandle<()>>::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(PAUSE).await;
            continue;
        };
        connections.retain(|connection| !connection.is_finished());
        if connections.len() >= MOST
            && let Some(oldest) = connections.pop_front()
        {
            oldest.abort();
        }
        connections.push_back(tokio::spawn(serve_one(stream, Arc::clone(&answers))));
    }
}

async fn serve_one(stream: TcpStream, answers: Arc<impl Answers>) {
    // What a client has not taken when it is closed does not stay in the kernel for long.
    let _ = set_tcp_user_timeout(&stream, WHOLE.as_millis() as u32);
    let service = service_fn(|request| {
        let answers = Arc::clone(&answers);
        async move { Ok::<_, Infallible>(respond(&*answers, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER)
        .keep_alive(false)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    if let Ok(Err(error)) = timeout(WHOLE, connection).await {
        tracing::debug!("a client of the metrics: {error}");
    }
}

async fn respond(answers: &impl Answers, request: Request<Incoming>) -> Response<Full<Bytes>> {
    // hyper leaves out the body where the question was HEAD.
    let allowed = matches!(*request.method(), Method::GET | Method::HEAD);
    let accept = request.headers().get(ACCEPT).and_then(|value| value.to_str().ok());
    let answer = match allowed {
        true => answers.answer(request.uri().path(), accept).await,
        false => Answer::text(405, "only GET and HEAD: nothing can be changed here\n"),
    };
    let mut response = Response::new(Full::from(answer.body));
    *response.status_mut() =
        StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(answer.content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if !allowed {
        headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    }
    response
}

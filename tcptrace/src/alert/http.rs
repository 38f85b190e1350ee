//! One exchange by HTTP: bounded in time and in bytes, without redirects, and without telling secrets.

use core::time::Duration;
use std::cell::OnceCell;
use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use ureq::http::{HeaderMap, StatusCode};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, TlsProvider, parse_pem};
use ureq::{Agent, Error, Proxy};

use super::{Again, Failure};
use crate::advice::Advice;
use crate::cli::config::secret::{Secret, SecretFrom};
use crate::cli::config::sink::Endpoint;

/// How much of an answer is read: enough to say what is wrong.
const MOST_READ: u64 = 1024;
/// How much of it is shown.
const MOST_SHOWN: usize = 200;
/// How long the connection may take to be made, if the whole exchange may take longer.
const CONNECT: Duration = Duration::from_secs(5);
/// No secret is as long as this.
const LONGEST_SECRET: u64 = 64 << 10;

/// Talks to one receiver.
pub struct Client {
    endpoint: Endpoint,
    agent: OnceCell<Agent>,
}

impl Client {
    /// Reads what the configuration names, so that what is missing is said at once.
    pub fn open(endpoint: Endpoint) -> Result<Self> {
        let url = read(&endpoint.url)?;
        let scheme = url.reveal().split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
        if !matches!(scheme.as_deref(), Some("http" | "https")) {
            let what = "its URL does not begin with http:// or https://";
            return Err(Advice::new(what).into());
        }
        endpoint.authorization.as_ref().map(read).transpose()?;
        let client = Self { endpoint, agent: OnceCell::new() };
        if client.endpoint.ca_file.is_some() {
            client.agent()?;
        }
        Ok(client)
    }

    /// Posts `body`, which is JSON, to the URL, completed by `complete`, and returns what was answered.
    pub fn post(&self, body: &[u8], complete: impl Fn(&str) -> String) -> Result<String, Failure> {
        let secret = |from| read(from).map_err(|why| Failure::later(format!("{why:#}")));
        let url = secret(&self.endpoint.url)?;
        let authorization = self.endpoint.authorization.as_ref().map(secret).transpose()?;
        let agent = self.agent().map_err(|why| Failure::later(format!("{why:#}")))?;
        let mut request =
            agent.post(complete(url.reveal())).header("Content-Type", "application/json");
        if let Some(authorization) = &authorization {
            request = request.header("Authorization", authorization.reveal());
        }
        for (name, value) in &self.endpoint.headers {
            request = request.header(name, value.reveal());
        }
        let secrets =
            || [&url].into_iter().chain(&authorization).chain(self.endpoint.headers.values());
        let scrub = |text: String| secrets().fold(text, |text, secret| secret.scrub(&text));
        let mut response = match request.send(body) {
            Ok(response) => response,
            Err(error) => {
                let (why, advice) = self.explain(&error, &url);
                return Err(Failure::later(scrub(why)).and_try(advice));
            }
        };
        let status = response.status();
        let mut answer = Vec::new();
        // The status says what became of it; the rest is for people.
        let _ = response.body_mut().as_reader().take(MOST_READ).read_to_end(&mut answer);
        let answer = scrub(first_line(&answer));
        judge(status, response.headers(), &answer).map_err(|failure| Failure {
            why: scrub(format!("{} answered {}", url.origin(), failure.why)),
            ..failure
        })
    }

    fn agent(&self) -> Result<&Agent> {
        if let Some(agent) = self.agent.get() {
            return Ok(agent);
        }
        let Endpoint { ca_file, timeout, proxy_from_environment, .. } = &self.endpoint;
        let roots = match ca_file {
            Some(path) => certificates(path)?,
            None if read(&self.endpoint.url)?.reveal().starts_with("http:") => Vec::new(),
            None => system_certificates(),
        };
        let provider = rustls::crypto::ring::default_provider();
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .unversioned_rustls_crypto_provider(Arc::new(provider))
            .root_certs(RootCerts::new_with_certs(&roots))
            .build();
        let config = Agent::config_builder()
            .tls_config(tls)
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(if *proxy_from_environment { Proxy::try_from_env() } else { None })
            .timeout_global(Some(*timeout))
            .timeout_connect(Some(CONNECT.min(*timeout)))
            // A connection that is kept is one in CLOSE_WAIT once the receiver has left.
            .max_idle_connections(0)
            .user_agent(concat!("tcptrace/", env!("CARGO_PKG_VERSION")))
            .build();
        Ok(self.agent.get_or_init(|| config.into()))
    }

    /// Why there is no answer, and what to do. No error is shown that has the URL in it.
    fn explain(&self, error: &Error, url: &Secret) -> (String, &'static str) {
        const THERE: &str = "see that it runs, and that url says where";
        const CERTIFICATE: &str =
            "name the authority that it is from in ca_file, if it is your own";
        let origin = url.origin();
        let tls = match error {
            Error::Rustls(error) => Some(error),
            Error::Io(error) => error.get_ref().and_then(|inner| inner.downcast_ref()),
            _ => None,
        };
        match (error, tls) {
            (_, Some(rustls::Error::InvalidCertificate(why))) => {
                (format!("{origin}: its certificate is not accepted: {why}"), CERTIFICATE)
            }
            (_, Some(error)) => (format!("{origin}: {error}"), THERE),
            (Error::BadUri(_) | Error::Http(_) | Error::RequireHttpsOnly(_), _) => {
                ("its URL or a header is not valid".to_owned(), "see that url is right")
            }
            (Error::Timeout(phase), _) => {
                let timeout = self.endpoint.timeout;
                let why = format!("{origin} did not answer in {timeout:?} ({phase})");
                (why, "see that it runs, or give it a longer timeout")
            }
            (Error::HostNotFound, _) => {
                (format!("{origin}: there is no host of this name"), "see that url is right")
            }
            (Error::Io(error), _) => (format!("{origin}: {error}"), THERE),
            (error, _) => (format!("{origin}: {error}"), THERE),
        }
    }
}

/// What a status means for the message.
fn judge(status: StatusCode, headers: &HeaderMap, answer: &str) -> Result<String, Failure> {
    let answered = format!("{status} {answer}").trim_end().to_owned();
    let header = |name| headers.get(name).and_then(|value| value.to_str().ok());
    match status.as_u16() {
        200..=299 => Ok(answered),
        300..=399 => {
            let to = header("location").map(|to| Secret::new(to).origin()).unwrap_or_default();
            let why = format!("{status} (to {to}): redirects are not followed");
            Err(Failure::never(why).and_try("set url to where it is now"))
        }
        408 | 429 | 500.. => {
            let asked = header("retry-after").and_then(|text| retry_after(text, Timestamp::now()));
            let again = asked.map_or(Again::Later, Again::After);
            Err(Failure { again, ..Failure::later(answered) })
        }
        401 | 403 => {
            Err(Failure::never(answered).and_try("see that url and authorization are right"))
        }
        404 | 405 | 410 => Err(Failure::never(answered).and_try("see that url is right")),
        _ => Err(Failure::never(answered)),
    }
}

/// Seconds, or a date.
fn retry_after(text: &str, now: Timestamp) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let date = jiff::fmt::rfc2822::parse(text.trim()).ok()?.timestamp();
    Duration::try_from(date.duration_since(now)).ok()
}

fn first_line(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    text.trim_start().lines().next().unwrap_or_default().chars().take(MOST_SHOWN).collect()
}

fn read(from: &SecretFrom) -> Result<Secret> {
    match from {
        SecretFrom::Here(secret) => Ok(secret.clone()),
        SecretFrom::File(path) => {
            let mut text = String::new();
            let file = fs::File::open(path);
            file.and_then(|file| file.take(LONGEST_SECRET).read_to_string(&mut text))
                .with_context(|| format!("cannot read {}", path.display()))?;
            Ok(Secret::new(&text))
        }
        SecretFrom::Environment(name) => {
            let text = std::env::var(name);
            let text = text.with_context(|| format!("cannot take the environment's {name}"))?;
            Ok(Secret::new(&text))
        }
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>> {
    let cannot = || format!("cannot take certificates from {}", path.display());
    let text = fs::read(path).with_context(cannot)?;
    let certificates: Vec<_> = parse_pem(&text)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(Ok(certificate)),
            Ok(_) => None,
            Err(why) => Some(Err(why)),
        })
        .collect::<Result<_, _>>()
        .with_context(cannot)?;
    match certificates.is_empty() {
        true => Err(Advice::new("there is no certificate in it")).with_context(cannot),
        false => Ok(certificates),
    }
}

/// Without any, every certificate is refused, which is said when it happens.
fn system_certificates() -> Vec<Certificate<'static>> {
    let found = rustls_native_certs::load_native_certs();
    for error in found.errors {
        tracing::info!("a certificate of the system cannot be used: {error}");
    }
    found.certs.iter().map(|der| Certificate::from_der(der).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_tried_again_and_what_is_not() {
        let again = |status, retry: &str| {
            let mut headers = HeaderMap::new();
            headers.insert("retry-after", retry.parse().unwrap());
            headers.insert("location", "https://elsewhere/s3cret".parse().unwrap());
            let status = StatusCode::from_u16(status).unwrap();
            judge(status, &headers, "because").map_err(|failure| (failure.again, failure.why))
        };
        assert_eq!(again(204, "").unwrap(), "204 No Content because");
        assert_eq!(again(503, "").unwrap_err().0, Again::Later);
        assert_eq!(again(429, "7").unwrap_err().0, Again::After(Duration::from_secs(7)));
        for status in [400, 401, 404, 413] {
            assert_eq!(again(status, "7").unwrap_err().0, Again::No);
        }
        let (again, why) = again(302, "").unwrap_err();
        assert_eq!(again, Again::No);
        assert!(why.contains("(to https://elsewhere): redirects are not followed"), "{why}");
    }

    #[test]
    fn a_date_is_a_time_to_come() {
        let now = "2026-03-01T12:00:00Z".parse().unwrap();
        let after = |text| retry_after(text, now).map(|after| after.as_secs());
        assert_eq!(after("Sun, 01 Mar 2026 12:01:30 GMT"), Some(90));
        assert_eq!(after("Sun, 01 Mar 2026 11:01:30 GMT"), None);
        assert_eq!((after("120"), after("soon")), (Some(120), None));
    }
}

//! What nobody may read, and whom to trust.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::process::Stdio;

use super::leak::Leak;
use super::receiver::{Answer, Http};
use super::{command, config};
use crate::host::run;
use crate::watcher::{finish, fresh_directory};

const SECRETS: [&str; 5] = ["hunter2", "t0ken", "k3y", "envpath", "fr0mfile"];

pub fn secrets_are_never_shown() {
    let mut good = Http::start(Answer::GOOD);
    let bad = Http::start(Answer::Status("401 Unauthorized", "X: t0ken\r\n".into()));
    let elsewhere = "Location: /hunter2/again\r\n".to_owned();
    let moved = Http::start(Answer::Status("302 Found", elsewhere));
    let nobody = "http://me:hunter2@127.0.0.1:1/hunter2";
    let secret = fresh_directory();
    fs::write(&secret, "Bearer fr0mfile\n").unwrap();
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
    let file = config(&format!(
        "[[sink.webhook]]\nname = 'good'\nurl_env = 'HOOK'\nauthorization_file = '{}'\n\
         headers = {{ X-Key = 'k3y' }}\n\
         [[sink.webhook]]\nname = 'bad'\nurl = '{}/hunter2'\nauthorization = 'Bearer t0ken'\n\
         [[sink.slack]]\nname = 'moved'\nurl = '{}/hunter2'\n\
         [[sink.alertmanager]]\nname = 'nobody'\nurl = '{nobody}'\n\
         [[sink.slack]]\nname = 'none'\nurl = 'http://host.invalid/hunter2'\ntimeout = '1s'\n\
         [[sink.slack]]\nname = 'wrong'\nurl = 'http://[hunter2/'\n",
        secret.display(),
        bad.url(),
        moved.url(),
    ));
    let hook = format!("{}/envpath", good.url());
    let mut shown = String::new();
    let mut leak = Leak::prepare();
    leak.grow(1);
    let port = leak.port().to_string();
    for args in [
        &["alert", "test", "-vv"][..],
        &["alert", "test", "-o", "json"],
        &["watch", "--close-wait", "100ms", "--no-record", "--for", "4s", "--port", &port, "-vv"],
        &[
            "watch",
            "--close-wait",
            "1ms",
            "--no-record",
            "--for",
            "2s",
            "--port",
            &port,
            "-o",
            "json",
        ],
    ] {
        let mut command = command(&file);
        command.args(args).env("HOOK", &hook).env("TCPTRACE_LOG", "trace");
        let (_, out, err) = finish(&mut command);
        shown += &(out + &err);
    }
    // With a mistake in the file.
    for mistake in
        ["urll = 'http://hunter2'", "url = 'hunter2", "url = ['hunter2']", "url = 'hunter2'"]
    {
        let file = config(&format!("[[sink.webhook]]\n{mistake}\n"));
        let (code, out, err) = finish(command(&file).args(["watch", "--for", "1ms"]));
        assert_eq!(code, Some(1), "{err}");
        shown += &(out + &err);
    }
    for secret in SECRETS {
        let line = shown.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret} is shown");
    }
    // Nothing of that is for want of anything shown, nor of secrets that were sent.
    assert!(shown.contains("401 Unauthorized") && shown.contains("302 Found"), "{shown}");
    let request = good.wait_for("request", |_| true);
    assert_eq!(request.path, "/envpath");
    let has = |name: &str, value: &str| {
        request.headers.iter().any(|header| {
            let (n, v) = header.split_once(": ").unwrap();
            n.eq_ignore_ascii_case(name) && v == value
        })
    };
    assert!(has("authorization", "Bearer fr0mfile") && has("x-key", "k3y"), "{request:#?}");
}

pub fn a_private_authority_is_trusted_when_it_is_named() {
    let dir = fresh_directory();
    fs::create_dir_all(&dir).unwrap();
    let path = |name: &str| dir.join(name).to_str().unwrap().to_owned();
    let request = |name: &str, more: &[&str]| {
        let (key, out) = (path(&format!("{name}.key")), path(&format!("{name}.pem")));
        let base = [
            "openssl",
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
            "-keyout",
            &key,
            "-out",
            &out,
        ];
        let output = std::process::Command::new(base[0])
            .args(&base[1..])
            .args(more)
            .stdin(Stdio::null())
            .output()
            .expect("openssl: cargo xtask test installs what the tests need");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        (out, key)
    };
    let (authority, authority_key) = request("authority", &["-subj", "/CN=the test's own"]);
    let by = ["-CA", &authority, "-CAkey", &authority_key, "-subj", "/CN=localhost"];
    let name = ["-addext", "subjectAltName=DNS:localhost", "-addext", "basicConstraints=CA:FALSE"];
    let (certificate, key) = request("server", &[&by[..], &name].concat());
    let mut receiver = Http::start_tls(&certificate, &key);
    let url = format!("https://localhost:{}/x", receiver.port);
    let test = |more: &str, url: &str| {
        let file = config(&format!("[[sink.webhook]]\nurl = '{url}'\n{more}"));
        finish(command(&file).args(["alert", "test"]))
    };
    let ca_file = format!("ca_file = '{authority}'");
    let (code, out, err) = test(&ca_file, &url);
    assert_eq!(code, Some(0), "{out}{err}");
    assert_eq!(receiver.group("firing")["rule"], "tcptrace alert test");
    let (code, out, _) = test("", &url);
    assert_eq!(code, Some(1), "the system does not know this authority");
    assert!(out.contains("its certificate is not accepted") && out.contains("ca_file"), "{out}");
    // The right authority, and another host than the certificate is for.
    let (code, out, _) = test(&ca_file, &url.replace("localhost", "127.0.0.1"));
    assert_eq!(code, Some(1));
    assert!(out.contains("its certificate is not accepted"), "{out}");
    run(&["rm", "-r", dir.to_str().unwrap()]);
}

//! The recipes for containers: what they promise, as far as no engine is needed to tell.

use std::fs;
use std::path::Path;

use clap::Parser as _;
use libtest_mimic::Trial;
use tcptrace::cli::Cli;
use yaml_rust2::{Yaml, YamlLoader};

use super::unit::setting;

pub fn trials() -> Vec<Trial> {
    crate::trials![
        the_daemon_set_takes_no_more_than_it_says,
        the_daemon_set_fits_together,
        the_image_is_the_binary_alone,
    ]
}

fn contrib(path: &str) -> String {
    let contrib = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contrib");
    fs::read_to_string(contrib.join(path)).unwrap()
}

fn daemon_set() -> Yaml {
    let documents = YamlLoader::load_from_str(&contrib("kubernetes/daemonset.yaml")).unwrap();
    let mut of_kind = documents.into_iter().filter(|d| d["kind"].as_str() == Some("DaemonSet"));
    let found = of_kind.next().unwrap();
    assert!(of_kind.next().is_none());
    found
}

fn words(list: &Yaml) -> Vec<&str> {
    list.as_vec().unwrap().iter().map(|word| word.as_str().unwrap()).collect()
}

fn the_daemon_set_takes_no_more_than_it_says() {
    let set = daemon_set();
    let pod = &set["spec"]["template"]["spec"];
    assert_eq!(pod["hostPID"].as_bool(), Some(true), "else it sees no holders");
    assert_eq!(pod["automountServiceAccountToken"].as_bool(), Some(false));
    for container in pod["containers"].as_vec().unwrap() {
        let context = &container["securityContext"];
        assert_eq!(context["privileged"].as_bool(), Some(false));
        assert_eq!(context["allowPrivilegeEscalation"].as_bool(), Some(false));
        assert_eq!(context["readOnlyRootFilesystem"].as_bool(), Some(true));
        let capabilities = &context["capabilities"];
        assert_eq!(words(&capabilities["drop"]), ["ALL"]);
        let added = words(&capabilities["add"]);
        assert!(!added.contains(&"SYS_ADMIN"), "{added:?}");
        // The floor is that of the unit, with which the tests run.
        for floor in setting("AmbientCapabilities").join(" ").split_whitespace() {
            assert!(added.contains(&floor.strip_prefix("CAP_").unwrap()), "{floor}: {added:?}");
        }
    }
}

fn the_daemon_set_fits_together() {
    let set = daemon_set();
    let template = &set["spec"]["template"];
    assert_eq!(set["spec"]["selector"]["matchLabels"], template["metadata"]["labels"]);
    let pod = &template["spec"];
    let container = &pod["containers"][0];
    let image = container["image"].as_str().unwrap();
    assert_eq!(image, concat!("tcptrace:", env!("CARGO_PKG_VERSION")));
    Cli::try_parse_from([&["tcptrace"], &words(&container["args"])[..]].concat()).unwrap();
    let volumes = pod["volumes"].as_vec().unwrap();
    let mounts = container["volumeMounts"].as_vec().unwrap();
    assert_eq!(volumes.len(), mounts.len());
    for (path, read_only) in [("/sys/kernel/btf", true), (tcptrace::journal::DIRECTORY, false)] {
        let mount = mounts.iter().find(|m| m["mountPath"].as_str() == Some(path)).unwrap();
        assert_eq!(mount["readOnly"].as_bool().unwrap_or(false), read_only, "{path}");
        let volume = volumes.iter().find(|volume| volume["name"] == mount["name"]).unwrap();
        assert_eq!(volume["hostPath"]["path"].as_str(), Some(path));
    }
}

fn the_image_is_the_binary_alone() {
    let recipe = contrib("container/Containerfile");
    let lines: Vec<_> = recipe.lines().filter(|line| !line.starts_with('#')).collect();
    let of = |word: &str| {
        let of = lines.iter().filter_map(|line| line.strip_prefix(word)?.strip_prefix(' '));
        of.collect::<Vec<_>>()
    };
    assert_eq!(of("FROM"), ["scratch"]);
    assert!(of("RUN").is_empty() && of("ADD").is_empty(), "nothing is run or fetched");
    // What `cargo xtask dist` leaves in `target/dist`.
    assert_eq!(of("COPY"), ["tcptrace /usr/bin/tcptrace", "config.toml /etc/tcptrace/config.toml"]);
    let list = |line: &str| serde_json::from_str::<Vec<String>>(line).unwrap();
    let command = [list(of("ENTRYPOINT")[0]), list(of("CMD")[0])].concat();
    Cli::try_parse_from(command).unwrap();
    assert_eq!(of("VOLUME"), [format!("[\"{}\"]", tcptrace::journal::DIRECTORY)]);
}

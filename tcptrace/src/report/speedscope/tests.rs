use serde_json::Value;

use super::*;
use crate::report::samples::past;

fn file() -> Value {
    let mut out = Vec::new();
    write(&mut out, &past::profile(past::window()), &past::about()).unwrap();
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn an_hour() {
    let mut file = file();
    file["exporter"] = "tcptrace".into();
    insta::assert_snapshot!(serde_json::to_string_pretty(&file).unwrap());
}

/// What `file-format-spec.ts` demands of a sampled profile.
#[test]
fn it_has_the_published_shape() {
    let file = file();
    assert_eq!(file["$schema"], SCHEMA);
    let frames = file["shared"]["frames"].as_array().unwrap();
    assert!(frames.iter().all(|frame| frame["name"].is_string()));
    for (profile, unit) in file["profiles"].as_array().unwrap().iter().zip(["seconds", "none"]) {
        assert_eq!((&profile["type"], &profile["unit"]), (&"sampled".into(), &unit.into()));
        let samples = profile["samples"].as_array().unwrap();
        let weights = profile["weights"].as_array().unwrap();
        assert_eq!(samples.len(), weights.len());
        for place in samples.iter().flat_map(|sample| sample.as_array().unwrap()) {
            assert!(place.as_u64().unwrap() < frames.len() as u64);
        }
        let (start, end) = (profile["startValue"].as_f64(), profile["endValue"].as_f64());
        assert!(end.unwrap() >= start.unwrap());
    }
}

//! `portguard schema`

use std::process::Command;

use crate::{binary, stdout};

#[test]
fn the_schema_is_printed_as_json() {
    let output = Command::new(binary()).arg("schema").output().expect("runs");
    assert_eq!(output.status.code(), Some(0));
    let shown: serde_json::Value = serde_json::from_str(&stdout(&output)).expect("JSON");
    assert_eq!(shown, portguard_policy::schema());
    assert_eq!(shown["required"], serde_json::json!(["version"]));
}

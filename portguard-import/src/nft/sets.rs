//! Named sets and maps, and the elements of those that stand in a rule.

use std::collections::BTreeMap;

use serde_json::Value;

/// A named set or map.
pub(super) struct Set {
    /// Elements; of a map, pairs of key and value.
    elements: Vec<Value>,
    /// Why it may be another one tomorrow.
    changing: Option<String>,
}

impl Set {
    pub(super) fn new(object: &Value) -> Self {
        let name = object["name"].as_str().unwrap_or_default();
        let has_flag = |flag: &str| {
            let flags = &object["flags"];
            flags == flag
                || flags
                    .as_array()
                    .is_some_and(|all| all.iter().any(|own| own == flag))
        };
        let changes = has_flag("timeout") || has_flag("dynamic");
        Self {
            elements: object["elem"].as_array().cloned().unwrap_or_default(),
            changing: changes
                .then(|| format!("the set `{name}`, which changes while the rules are in force")),
        }
    }
}

/// What a right side or a map holds.
pub(super) struct Elements {
    pub(super) values: Vec<Value>,
    pub(super) changing: Option<String>,
}

/// The elements of a value: of a set, named or not, or the value itself. `Err` names a set that is not there.
pub(super) fn elements(
    value: &Value,
    prefix: &str,
    sets: &BTreeMap<String, Set>,
) -> Result<Elements, String> {
    if let Some(name) = value.as_str().and_then(|text| text.strip_prefix('@')) {
        let set = sets.get(&format!("{prefix}{name}"));
        let set = set.ok_or_else(|| format!("there is no set `{name}`"))?;
        return Ok(Elements {
            values: set.elements.iter().map(plain).collect(),
            changing: set.changing.clone(),
        });
    }
    let values = match value.get("set") {
        Some(Value::Array(values)) => values.iter().map(plain).collect(),
        Some(one) => vec![plain(one)],
        None => vec![value.clone()],
    };
    Ok(Elements {
        values,
        changing: None,
    })
}

/// An element without its comment, counter and timeout.
fn plain(element: &Value) -> Value {
    if let Some(value) = element.get("elem").and_then(|own| own.get("val")) {
        return value.clone();
    }
    match element.as_array().map(Vec::as_slice) {
        Some([key, value]) if value.is_object() || value.is_null() => {
            Value::Array(vec![plain(key), value.clone()])
        }
        _ => element.clone(),
    }
}

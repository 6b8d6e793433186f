//! JSON as nft writes it for people: for comments and messages, not to be read again.

use serde_json::Value;

/// An object of the rule set on one line.
pub(super) fn object(kind: &str, value: &Value) -> String {
    let word = |key: &str| value[key].as_str().unwrap_or_default();
    match kind {
        "rule" => {
            let statements = value["expr"]
                .as_array()
                .map(Vec::as_slice)
                .unwrap_or_default();
            let mut words: Vec<String> = statements
                .iter()
                .filter_map(|statement| statement.as_object()?.iter().next())
                .map(|(name, value)| self::statement(name, value))
                .collect();
            if let Some(comment) = value["comment"].as_str() {
                words.push(format!("comment \"{comment}\""));
            }
            let place = ["family", "table", "chain"].map(word).join(" ");
            format!("{place}: {}", words.join(" "))
        }
        "chain" => {
            let place = ["family", "table", "name"].map(word).join(" ");
            let mut text = format!("chain {place}");
            if value.get("hook").is_some() {
                text.push_str(&format!(
                    " {{ type {} hook {} priority {}; policy {}; }}",
                    word("type"),
                    word("hook"),
                    value["prio"],
                    value["policy"].as_str().unwrap_or("accept")
                ));
            }
            text
        }
        _ => format!("{kind} {}", word("name")),
    }
}

/// A statement of a rule.
pub(super) fn statement(name: &str, value: &Value) -> String {
    let target = || expression(&value["target"]);
    match name {
        "match" => {
            let operator = match value["op"].as_str() {
                Some("!=") => " != ",
                Some("!") => " ! ",
                Some(own @ ("<" | ">" | "<=" | ">=")) => {
                    return format!(
                        "{} {own} {}",
                        expression(&value["left"]),
                        expression(&value["right"])
                    );
                }
                Some("==") if value["left"].get("&").is_some() => " == ",
                _ => " ",
            };
            format!(
                "{}{operator}{}",
                expression(&value["left"]),
                expression(&value["right"])
            )
        }
        "vmap" => format!(
            "{} vmap {}",
            expression(&value["key"]),
            expression(&value["data"])
        ),
        "jump" | "goto" => format!("{name} {}", target()),
        "limit" => {
            let over = if value["inv"] == true { "over " } else { "" };
            let word = |key: &str| value[key].as_str().unwrap_or_default();
            format!(
                "limit rate {over}{}/{} burst {} packets",
                value["rate"],
                word("per"),
                value["burst"]
            )
        }
        "set" => {
            let statements: Vec<String> = inner(&value["stmt"]);
            let operation = value["op"].as_str().unwrap_or_default();
            format!(
                "{operation} {} {{ {} {} }}",
                expression(&value["set"]),
                expression(&value["elem"]),
                statements.join(" ")
            )
        }
        "meter" => {
            let statements: Vec<String> = inner(&value["stmt"]);
            format!(
                "meter {} {{ {} {} }}",
                expression(&value["name"]),
                expression(&value["key"]),
                statements.join(" ")
            )
        }
        "reject" => match value["type"].as_str() {
            Some("tcp reset") => "reject with tcp reset".to_owned(),
            Some(kind) => format!("reject with {kind} {}", expression(&value["expr"])),
            None => "reject".to_owned(),
        },
        "log" => match value["prefix"].as_str() {
            Some(prefix) => format!("log prefix \"{prefix}\""),
            None => "log".to_owned(),
        },
        "counter" => "counter".to_owned(),
        _ if value.is_null() => name.to_owned(),
        _ => format!("{name} {value}"),
    }
}

fn inner(statements: &Value) -> Vec<String> {
    let all = match statements {
        Value::Array(all) => all.as_slice(),
        own => std::slice::from_ref(own),
    };
    all.iter()
        .filter_map(|own| own.as_object()?.iter().next())
        .map(|(name, value)| statement(name, value))
        .collect()
}

/// What a statement asks, or a value.
pub(super) fn expression(value: &Value) -> String {
    let list = |values: &[Value], between: &str| {
        let words: Vec<String> = values.iter().map(expression).collect();
        words.join(between)
    };
    match value {
        Value::String(text) => text.clone(),
        Value::Array(values) => match &values[..] {
            [key, own @ Value::Object(_)] if verdict(own).is_some() => {
                format!("{} : {}", expression(key), verdict(own).unwrap_or_default())
            }
            values => list(values, ","),
        },
        Value::Object(object) => {
            let Some((name, own)) = object.iter().next() else {
                return String::new();
            };
            let word = |key: &str| own[key].as_str().unwrap_or_default().to_owned();
            let values = own.as_array().map(Vec::as_slice).unwrap_or_default();
            match name.as_str() {
                "payload" if own.get("protocol").is_some() => {
                    format!("{} {}", word("protocol"), word("field"))
                }
                "meta" => match word("key").as_str() {
                    key @ ("iif" | "iifname" | "oif" | "oifname") => key.to_owned(),
                    key => format!("meta {key}"),
                },
                "ct" => format!("ct {}", word("key")),
                "fib" => format!(
                    "fib {} {}",
                    list(
                        own["flags"].as_array().map_or(&[][..], Vec::as_slice),
                        " . "
                    ),
                    word("result")
                ),
                "prefix" => format!("{}/{}", word("addr"), own["len"]),
                "range" => list(values, "-"),
                "concat" => list(values, " . "),
                "set" => match own {
                    Value::Array(values) => format!("{{ {} }}", list(values, ", ")),
                    own => format!("{{ {} }}", expression(own)),
                },
                "elem" => expression(&own["val"]),
                "&" => list(values, " & "),
                "|" => list(values, "|"),
                _ => value.to_string(),
            }
        }
        other => other.to_string(),
    }
}

fn verdict(value: &Value) -> Option<String> {
    let (name, own) = value.as_object()?.iter().next()?;
    let known = ["accept", "drop", "return", "continue", "jump", "goto"];
    known.contains(&name.as_str()).then(|| statement(name, own))
}

//! The shape of a policy as a JSON schema, for editors.
//!
//! The types here mirror the keys of a policy; nothing is ever read into them, since a schema cannot say all
//! that [`crate::check`] does. It knows keys, kinds of values and their spelling; whether a name exists, ranges
//! run forwards or rules make sense is left to `check`.

mod values;

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::transform::{RecursiveTransform, Transform as _};
use schemars::{JsonSchema, Schema};
use serde_json::{Value, json};

use values::{
    Address, Burst, FewOrMany, Host, IcmpType, Listen, Name, Port, Protocol, RateText, ServicePort,
    Snap, Text, Vlan,
};

/// The JSON schema of a policy, draft 2020-12.
pub fn schema() -> Value {
    let mut schema = SchemaSettings::draft2020_12()
        .into_generator()
        .into_root_schema_for::<Policy>();
    RecursiveTransform(without_null).transform(&mut schema);
    schema.insert("title".into(), "portguard policy".into());
    schema.to_value()
}

/// A key that may be left out may not be empty, as an `Option` could be.
fn without_null(schema: &mut Schema) {
    if let Some(Value::Array(kinds)) = schema.get_mut("type") {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            let kind = kind.clone();
            schema.insert("type".into(), kind);
        }
    }
    if let Some(Value::Array(choices)) = schema.get_mut("anyOf") {
        choices.retain(|choice| choice.get("type") != Some(&Value::from("null")));
        // A lone reference needs no choice around it.
        if let [Value::Object(only)] = choices.as_slice() {
            let only = only.clone();
            schema.remove("anyOf");
            for (key, value) in only {
                schema.insert(key, value);
            }
        }
    }
    if let Some(Value::Array(words)) = schema.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
}

/// What portguard does with packets. `portguard check FILE` explains every mistake in it.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "its shape is all that matters")]
struct Policy {
    /// Version of the policy language.
    version: Version,
    /// What to guard: names, globs, or `default-route`. May be left to `portguard run --interface`.
    interfaces: Option<FewOrMany<Text>>,
    /// Where the filter runs: in the driver, behind it, or where it can.
    attach: Option<Attach>,
    /// What happens to a packet that no rule decides. `pass` if not given.
    default: Option<Fate>,
    /// Whether replies to traffic that was started from this side pass, or are judged by the rules. `pass` if
    /// not given.
    replies: Option<Exemption>,
    /// Whether traffic without which a host falls off its network passes unless a rule means it. `pass` if not
    /// given.
    essential: Option<Exemption>,
    /// Frames that are not IP. `pass` if not given.
    non_ip: Option<Fate>,
    /// IP packets whose headers cannot be read. `drop` if not given.
    malformed: Option<Fate>,
    /// Later fragments that no rule decides. `pass` if not given.
    fragments: Option<Fragments>,
    /// `false`: everything is judged and counted, nothing is dropped.
    enforce: Option<bool>,
    /// Sources that no rule or limit stops.
    trusted: Option<FewOrMany<Trusted>>,
    /// The host's own names of ports.
    services: Option<BTreeMap<String, FewOrMany<ServicePort>>>,
    /// Addresses by name; a rule calls them `$name`.
    #[schemars(extend("propertyNames" = json!({ "pattern": "^[A-Za-z0-9._-]{1,128}$" })))]
    sets: Option<BTreeMap<String, Set>>,
    /// The first enforced rule that matches decides. `[]` if there are none on purpose.
    rules: Option<Vec<Entry>>,
    /// What the policy must do before it may take effect.
    #[schemars(rename = "assert")]
    assertions: Option<FewOrMany<Assertion>>,
    /// Where metrics can be scraped. Nowhere if not given.
    metrics: Option<Metrics>,
    /// Whether single drops are told, and how many at most. There are no events if not given.
    events: Option<Events>,
    /// What an orderly stop of the daemon leaves behind. `detach` if not given. A crash always keeps filtering.
    on_stop: Option<OnStop>,
}

/// Drop events, for `portguard events`.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "its shape is all that matters")]
struct Events {
    /// Events of the whole host: `100/s` or `60/m`.
    rate: RateText,
    /// Bytes that are kept of each frame, or `full`. 128 if not given.
    snap: Option<Snap>,
}

/// The only version so far.
#[derive(JsonSchema)]
#[schemars(transparent, extend("enum" = json!([1, "1"])))]
struct Version(#[expect(dead_code, reason = "its shape is all that matters")] Value);

/// Nothing, or the filter as it is.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "its shape is all that matters")]
enum OnStop {
    Detach,
    Keep,
}

/// Pass or drop.
#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "its shape is all that matters")]
enum Fate {
    Pass,
    Drop,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "its shape is all that matters")]
enum Attach {
    Auto,
    Native,
    Generic,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "its shape is all that matters")]
enum Exemption {
    Pass,
    Rules,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "its shape is all that matters")]
enum Fragments {
    Fate(Fate),
    Rate(FragmentRate),
}

/// They pass up to a rate and are dropped beyond.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "its shape is all that matters")]
struct FragmentRate {
    /// `1000/s` or `60/m`.
    rate: RateText,
    /// Packets that may come at once.
    burst: Option<Burst>,
}

/// Metrics for Prometheus, at `/metrics` over HTTP.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "its shape is all that matters")]
struct Metrics {
    /// An address with a port, `127.0.0.1:9477` or `[::1]:9477`, or some. There is no password.
    listen: FewOrMany<Listen>,
    /// Whether there is a web page beside the metrics, at `/`; at loopback addresses alone unless it is exposed. There is
    /// none if not given.
    page: Option<PageOrNot>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "its shape is all that matters")]
enum PageOrNot {
    Whether(bool),
    How(Page),
}

/// A web page that shows what the daemon does, the text of the policy and senders of dropped packets. It changes nothing.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields, extend("minProperties" = 1))]
#[expect(dead_code, reason = "its shape is all that matters")]
struct Page {
    /// `true`: also at addresses that are not of the loopback. There is no password.
    exposed: Option<bool>,
    /// Names by which a browser may ask for it, beside `localhost` and the addresses.
    hosts: Option<FewOrMany<Host>>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "its shape is all that matters")]
enum Trusted {
    Everywhere(Address),
    There(TrustedThere),
}

/// Sources that are trusted on some interfaces alone.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "its shape is all that matters")]
struct TrustedThere {
    /// Addresses, prefixes and sets.
    from: FewOrMany<Address>,
    /// Names or globs among the interfaces that are guarded.
    interfaces: Option<FewOrMany<Text>>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "its shape is all that matters")]
enum Set {
    Here(FewOrMany<Address>),
    File(SetFile),
}

/// Addresses in a file of their own, one or a prefix a line.
#[derive(JsonSchema)]
#[schemars(
    deny_unknown_fields,
    extend("anyOf" = json!([
        { "required": ["file"] },
        { "properties": { "allow_empty": { "const": true } }, "required": ["allow_empty"] }
    ]))
)]
#[expect(dead_code, reason = "its shape is all that matters")]
struct SetFile {
    /// Its name, relative to the folder of the policy.
    file: Option<Text>,
    /// `true`: it may be empty, and then matches nothing.
    allow_empty: Option<bool>,
}

#[derive(JsonSchema)]
#[schemars(untagged)]
#[expect(dead_code, reason = "its shape is all that matters")]
enum Entry {
    Rule(Box<Rule>),
    Profile(Profile),
}

/// A group of rules from the built-in catalogue.
#[derive(JsonSchema)]
#[schemars(deny_unknown_fields)]
#[expect(dead_code, reason = "its shape is all that matters")]
struct Profile {
    /// Its name.
    #[schemars(extend("enum" = profiles()))]
    profile: Text,
    /// `false`: its rules only count what they would drop.
    enforce: Option<bool>,
}

fn profiles() -> Value {
    crate::profiles::names().collect()
}

/// A rule. All fields given must match; a list matches if any of its members does.
#[derive(JsonSchema)]
#[schemars(
    deny_unknown_fields,
    extend("anyOf" = one_of_the_conditions()),
    extend("if" = json!({ "properties": { "action": { "const": "limit" } } })),
    extend("then" = json!({ "required": ["rate"] })),
    extend("else" = json!({ "properties": { "rate": false, "burst": false, "per": false } })),
)]
#[expect(dead_code, reason = "its shape is all that matters")]
struct Rule {
    /// Unique: the identity of its counters.
    name: Name,
    /// What it does: pass, drop, drop and tell the sender, or pass up to a rate.
    action: Action,
    /// Protocols by name or number, or `any`.
    protocol: Option<FewOrMany<Protocol>>,
    /// Destination ports: `22`, `8000-8100`, `ssh`, `53/udp`, `any`.
    ports: Option<FewOrMany<Port>>,
    /// Source ports.
    source_ports: Option<FewOrMany<Port>>,
    /// Source addresses: addresses, prefixes, `$set`.
    from: Option<FewOrMany<Address>>,
    /// Destination addresses.
    to: Option<FewOrMany<Address>>,
    /// ICMP or ICMPv6 types, with `protocol: icmp` or `icmpv6`.
    types: Option<FewOrMany<IcmpType>>,
    /// Names or globs among the interfaces that are guarded.
    interfaces: Option<FewOrMany<Text>>,
    /// VLAN IDs, or `none`.
    vlan: Option<FewOrMany<Vlan>>,
    /// With `action: limit`: what passes, `1000/s` or `60/m`.
    rate: Option<RateText>,
    /// With `action: limit`: packets that may come at once.
    burst: Option<Burst>,
    /// With `action: limit`: what has a ceiling of its own. `source` if not given.
    per: Option<Per>,
    /// `false`: it only counts what it would drop, and the next rule is tried.
    enforce: Option<bool>,
    /// `false`: there are no events of what it drops.
    events: Option<bool>,
    /// Free text.
    comment: Option<Text>,
}

fn one_of_the_conditions() -> Value {
    let keys = [
        "protocol",
        "ports",
        "source_ports",
        "from",
        "to",
        "types",
        "interfaces",
        "vlan",
    ];
    keys.map(|key| json!({ "required": [key] }))
        .into_iter()
        .collect()
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "its shape is all that matters")]
enum Action {
    Pass,
    Drop,
    Reject,
    Limit,
}

#[derive(JsonSchema)]
#[schemars(rename_all = "kebab-case")]
#[expect(dead_code, reason = "its shape is all that matters")]
enum Per {
    Source,
    Rule,
}

/// A verdict and the traffic that must meet it.
#[derive(JsonSchema)]
#[schemars(
    deny_unknown_fields,
    extend("minProperties" = 1),
    extend("maxProperties" = 1)
)]
#[expect(dead_code, reason = "its shape is all that matters")]
struct Assertion {
    /// All of this traffic passes: `tcp 10.1.2.3 -> :22`.
    pass: Option<values::Traffic>,
    /// All of this traffic is dropped.
    drop: Option<values::Traffic>,
}

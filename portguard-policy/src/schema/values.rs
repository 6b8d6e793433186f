//! The values of a policy, by their spelling.

use std::borrow::Cow;

use portguard_common::limits::{SNAP_LARGEST, SNAP_MIN};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Value, json};

/// A value, or a list of at least one.
pub(super) struct FewOrMany<T>(std::marker::PhantomData<T>);

impl<T: JsonSchema> JsonSchema for FewOrMany<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("FewOrMany_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let value = generator.subschema_for::<T>();
        json_schema!({
            "anyOf": [value, { "type": "array", "items": value, "minItems": 1 }]
        })
    }
}

/// Declares values that are described by a schema of their own.
macro_rules! values {
    ($($(#[doc = $doc:literal])+ $name:ident = $schema:expr;)+) => {
        $(
            $(#[doc = $doc])+
            pub(super) struct $name;

            impl JsonSchema for $name {
                fn schema_name() -> Cow<'static, str> {
                    stringify!($name).into()
                }

                fn json_schema(_: &mut SchemaGenerator) -> Schema {
                    let mut schema: Value = $schema;
                    schema["description"] = concat!($($doc),+).trim().into();
                    schema.try_into().unwrap_or_default()
                }
            }
        )+
    };
}

values! {
    /// A text. What YAML reads as a number or a word of its own is one too.
    Text = json!({ "type": ["string", "number", "boolean"], "minLength": 1 });
    /// Letters, digits, `.`, `_`, `-`.
    Name = json!({
        "type": ["string", "number", "boolean"],
        "pattern": "^[A-Za-z0-9._-]{1,128}$"
    });
    /// A protocol by name or number, or `any`.
    Protocol = json!({ "anyOf": [
        { "enum": [
            "tcp", "udp", "sctp", "icmp", "icmpv6", "igmp", "gre", "esp", "ah", "ipip", "any"
        ] },
        { "type": "integer", "minimum": 0, "maximum": 255 },
        { "type": "string", "pattern": "^(0|[1-9][0-9]{0,2})$" }
    ] });
    /// A port, a range, a service by name, or `any`, optionally with `/tcp`, `/udp` or `/sctp`.
    Port = json!({ "anyOf": [
        { "type": "integer", "minimum": 1, "maximum": 65535 },
        {
            "type": "string",
            "pattern": "^([1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?|[a-z0-9._+-]*[a-z][a-z0-9._+-]*)(/(tcp|udp|sctp))?$"
        }
    ] });
    /// A port or a range with its protocol.
    ServicePort = json!({
        "type": "string",
        "pattern": "^[1-9][0-9]{0,4}(-[1-9][0-9]{0,4})?/(tcp|udp|sctp)$"
    });
    /// An address, a prefix or a `$set`.
    Address = json!({
        "type": "string",
        "pattern": "^(\\$[A-Za-z0-9._-]{1,128}|([0-9]{1,3}\\.){3}[0-9]{1,3}(/[0-9]{1,2})?|[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(/[0-9]{1,3})?)$"
    });
    /// A type of ICMP or ICMPv6 by name or number, optionally with its code: `redirect/1`.
    IcmpType = json!({ "anyOf": [
        { "type": "integer", "minimum": 0, "maximum": 255 },
        { "type": "string", "pattern": "^([0-9]{1,3}|[a-z][a-z0-9-]*)(/[0-9]{1,3})?$" }
    ] });
    /// A VLAN ID, or `none`.
    Vlan = json!({ "anyOf": [
        { "type": "integer", "minimum": 1, "maximum": 4094 },
        { "type": "string", "pattern": "^(none|[1-9][0-9]{0,3})$" }
    ] });
    /// An address with a port; an IPv6 address stands in brackets.
    Listen = json!({
        "type": "string",
        "pattern": "^(([0-9]{1,3}\\.){3}[0-9]{1,3}|\\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(%[0-9]+)?\\]):[1-9][0-9]{0,4}$"
    });
    /// The name of a host, without a port.
    Host = json!({
        "type": ["string", "number", "boolean"],
        "pattern": "^[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*$",
        "maxLength": 253
    });
    /// Packets a second or a minute.
    RateText = json!({ "type": "string", "pattern": "^[1-9][0-9]*/[sm]$" });
    /// A number of packets.
    Burst = json!({ "anyOf": [
        { "type": "integer", "minimum": 1, "maximum": 1_000_000_000 },
        { "type": "string", "pattern": "^[1-9][0-9]*$" }
    ] });
    /// Bytes of a frame, or `full`.
    Snap = json!({ "anyOf": [
        { "type": "integer", "minimum": SNAP_MIN, "maximum": SNAP_LARGEST },
        { "type": "string", "pattern": "^(full|[1-9][0-9]{1,3})$" }
    ] });
    /// `[PROTOCOL] [SOURCE][:PORT] -> [DESTINATION][:PORT] [via INTERFACE] [vlan N]`
    Traffic = json!({ "type": "string", "pattern": "->" });
}

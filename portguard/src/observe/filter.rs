//! Which events a reader wants.

use portguard_policy::Prefix;

use crate::control::Event;

/// What all must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// The rule that decides.
    pub rule: Option<String>,
    /// The destination port.
    pub port: Option<u16>,
    /// The source.
    pub from: Option<Prefix>,
}

impl Filter {
    /// Whether an event is wanted.
    #[must_use]
    pub fn matches(&self, event: &Event) -> bool {
        let rule = self
            .rule
            .as_ref()
            .is_none_or(|rule| event.rule.as_ref() == Some(rule));
        let port = self
            .port
            .is_none_or(|port| event.destination_port == Some(port));
        let from = self
            .from
            .is_none_or(|from| event.source.is_some_and(|source| from.contains(source)));
        rule && port && from
    }
}

/// Reads an address or a prefix.
///
/// # Errors
///
/// What is expected instead.
pub fn parse_from(text: &str) -> Result<Prefix, String> {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let expected = || {
        format!(
            "an address or a prefix is expected, such as 192.0.2.0/24 or 2001:db8::/32, found `{text}`"
        )
    };
    let address: std::net::IpAddr = address.parse().map_err(|_invalid| expected())?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let length = match length {
        None => most,
        Some(length) => {
            let plain = length.bytes().all(|byte| byte.is_ascii_digit());
            let number = length.parse().ok().filter(|length| *length <= most);
            number.filter(|_| plain).ok_or_else(expected)?
        }
    };
    Prefix::new(address, length).ok_or_else(expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::EventAction;

    fn event() -> Event {
        Event {
            unix_time: 0.0,
            interface: "eth0".into(),
            action: EventAction::Drop,
            enforced: true,
            outcome: "rule".into(),
            rule: Some("ssh".into()),
            line: Some(4),
            policy: "policy.yaml".into(),
            generation: 1,
            length: 60,
            vlan: None,
            ether_type: Some(0x0800),
            protocol: Some("tcp".into()),
            source: Some([192, 0, 2, 9].into()),
            source_port: Some(40_000),
            destination: Some([198, 51, 100, 1].into()),
            destination_port: Some(22),
            icmp_type: None,
            icmp_code: None,
            later_fragment: false,
            bytes: None,
        }
    }

    #[test]
    fn all_that_is_asked_for_must_hold() {
        let of = |rule: &str, port, from: &str| Filter {
            rule: Some(rule.into()),
            port: Some(port),
            from: Some(parse_from(from).unwrap()),
        };
        assert!(Filter::default().matches(&event()));
        assert!(of("ssh", 22, "192.0.2.0/24").matches(&event()));
        assert!(!of("web", 22, "192.0.2.0/24").matches(&event()));
        // The source port does not count.
        assert!(!of("ssh", 40_000, "192.0.2.0/24").matches(&event()));
        assert!(!of("ssh", 22, "192.0.3.0/24").matches(&event()));
        assert!(!of("ssh", 22, "2001:db8::/32").matches(&event()));
        let unknown = Event {
            rule: None,
            source: None,
            destination_port: None,
            ..event()
        };
        for filter in [
            Filter {
                rule: Some("ssh".into()),
                ..Filter::default()
            },
            Filter {
                port: Some(22),
                ..Filter::default()
            },
            Filter {
                from: Some(parse_from("0.0.0.0/0").unwrap()),
                ..Filter::default()
            },
        ] {
            assert!(!filter.matches(&unknown), "{filter:?}");
            assert!(filter.matches(&event()), "{filter:?}");
        }
    }

    #[test]
    fn an_address_stands_for_itself() {
        for (text, length) in [
            ("192.0.2.1", 32),
            ("2001:db8::1", 128),
            ("10.0.0.0/8", 8),
            ("::/0", 0),
        ] {
            assert_eq!(parse_from(text).unwrap().length(), length, "{text}");
        }
        for text in [
            "",
            "192.0.2",
            "192.0.2.1/33",
            "192.0.2.1/+8",
            "192.0.2.1/",
            "::1/129",
            "eth0",
            "$set",
            "192.0.2.1/8/8",
        ] {
            assert!(parse_from(text).is_err(), "{text}");
        }
    }
}

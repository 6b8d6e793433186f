//! Rule sets of nftables, normalised by `nft` itself.

use portguard_import::{Kind, Source, nft};
use portguard_policy::Transport;

use crate::compare::{Known, SAME, compare, options};
use crate::host::Host;
use crate::packets::Sent;

fn check(name: &str, text: &str, seed: u64, known: &Known<'_>) {
    let host = Host::new();
    compare(name, text, seed, known, &host, |host| {
        host.run("nft", &["-f", "-"], text);
        let json = host.run("nft", &["-j", "list", "ruleset"], "");
        let source = Source {
            name: "rules.json",
            text: &json,
        };
        nft(source, &options()).expect("a rule set")
    });
}

macro_rules! rule_set {
    ($name:ident, $seed:literal, $known:expr) => {
        #[test]
        fn $name() {
            let text = include_str!(concat!("rules/nft/", stringify!($name), ".nft"));
            check(stringify!($name), text, $seed, &$known);
        }
    };
}

use Kind::{Stricter, Wider};

rule_set!(
    workstation,
    1,
    Known {
        list: &[(Wider, "ct state vmap")],
        ..SAME
    }
);
rule_set!(web, 2, SAME);
rule_set!(services, 3, SAME);
rule_set!(lists, 4, SAME);
rule_set!(
    families,
    5,
    Known {
        wider: Some(Sent::has_port_0),
        stricter: None,
        list: &[(Wider, "port 0")]
    }
);
rule_set!(
    layers,
    6,
    Known {
        // These drop before answers are passed.
        list: &[
            (Wider, "tcp dport 22 ip saddr != 10.0.0.0/8 drop"),
            (Wider, "udp sport 53 udp dport < 1024 drop"),
            (Wider, "udp sport { 19, 1900 } drop"),
            (Wider, "high: drop"),
            (Wider, "udp dport 69 drop"),
        ],
        ..SAME
    }
);
rule_set!(open, 7, SAME);
rule_set!(interfaces, 8, SAME);
rule_set!(
    negations,
    9,
    Known {
        wider: Some(Sent::has_port_0),
        stricter: Some(Sent::has_port_0),
        list: &[
            (Wider, "tcp sport != 1024-65535"),
            (Stricter, "tcp dport != { 22, 25, 1024-65535 }")
        ],
    }
);
rule_set!(limits, 10, SAME);
rule_set!(strangers, 11, SAME);
rule_set!(
    odd,
    12,
    Known {
        list: &[
            (Wider, "ct state invalid drop"),
            (Wider, "ip saddr @seen drop"),
            (Wider, "ip dscp ef drop"),
            (Wider, "!= syn ct state new drop"),
            (Wider, "! fin,syn,rst,psh,ack,urg drop"),
            (Stricter, "ip ttl 1 udp dport 520 accept"),
            (Stricter, "meta mark 7 accept"),
            (Stricter, "ct mark 1 accept"),
        ],
        ..SAME
    }
);
rule_set!(
    aspects,
    13,
    Known {
        wider: Some(|own| own.port(Transport::Udp) == Some(5000)),
        stricter: Some(|own| own.port(Transport::Tcp) == Some(6000)),
        list: &[
            (Wider, "udp dport 5000 ip ttl 64 drop"),
            (Stricter, "tcp dport 6000 ip ttl 64 accept")
        ],
    }
);

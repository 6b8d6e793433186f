//! Policies that use the whole language at once: the verifier must accept the program with everything in it.

use log::Level;
use portguard::dataplane::{Generation, LoadOptions};
use portguard_policy::{NoFiles, check, compile};

/// A rule on every field.
const FIELDS: &str = "interfaces: [eth0], vlan: [1, none], source_ports: [1-5], ports: [53/udp], \
                      from: [10.0.0.0/8, 2001:db8::/32], to: [192.0.2.0/24, 2001:db8:1::/48]";

fn text(limits: usize) -> String {
    let mut text = String::from(
        "version: 1\ninterfaces: [eth0, wan0]\nevents: { rate: 100/s }\ndefault: drop\nfragments: { rate: 5/s }\n\
         trusted: [{ from: 192.0.2.9, interfaces: [eth0] }]\nrules:\n",
    );
    // All but the last only count, so that a packet comes to each of them.
    for number in 0..limits {
        let enforce = number + 1 == limits;
        let per = ["source", "rule"][number % 2];
        text += &format!(
            "  - {{ name: l{number}, action: limit, rate: 5/s, per: {per}, enforce: {enforce}, {FIELDS} }}\n"
        );
    }
    text += &format!("  - {{ name: no, action: reject, {FIELDS} }}\n");
    text
}

/// With one limit and `default: drop` it checked more than a million instructions, and refused.
#[test]
fn the_verifier_accepts_limits_rejects_and_replies_together() {
    // Whoever hears the programs does so within one.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let _inside = runtime.enter();
    for limits in [1, 8] {
        let checked = check(&text(limits), &mut NoFiles).unwrap_or_else(|problems| {
            panic!("{problems:#?}");
        });
        let tables = compile(&checked.policy, &["eth0", "wan0"]).unwrap();
        for (trace, events, diagnostics) in [
            (false, None, None),
            (true, None, None),
            (false, Some(1), None),
            (false, None, Some(Level::Trace)),
            (true, Some(1), Some(Level::Trace)),
        ] {
            let options = LoadOptions {
                interfaces: vec![(7, "eth0".to_owned()), (8, "wan0".to_owned())],
                count_all_buffers: true,
                bans: 10,
                events,
                diagnostics,
                trace,
                ..LoadOptions::default()
            };
            if let Err(error) = Generation::load(&tables, &options) {
                panic!("{limits} limits, {options:?}: {error}");
            }
        }
    }
}

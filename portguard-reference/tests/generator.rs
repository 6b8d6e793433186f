//! The generator: the same from the same seed, and reaching everything that a frame can come to.

use portguard_reference::coverage::Coverage;
use portguard_reference::generate::{self, Kind, Step, play, policy_of, sequence};
use portguard_reference::model::judge;
use portguard_reference::policy::{
    AddressEntry, Ports, Protocol, ProtocolName, Rule, Service, Set, SetPlace, Transport, TypeKind,
};
use portguard_reference::random::Random;

const POLICIES: u64 = 400;
const FRAMES: u64 = 1000;

/// Of 2,000 frames one at least is decided by each item: 1,000 of two million.
const RARE: u64 = 2000;

#[test]
fn a_seed_fixes_everything() {
    let make = || {
        let mut random = Random::new(7);
        let (policy, text) = generate::policy(&mut random);
        let frames: Vec<Vec<u8>> = (0..50)
            .map(|_| generate::frame(&policy, &mut random))
            .collect();
        (policy, text, frames)
    };
    assert_eq!(make(), make());
}

#[test]
fn everything_decides() {
    let mut random = Random::new(1);
    let mut coverage = Coverage::new();
    for _ in 0..POLICIES {
        let (policy, _) = generate::policy(&mut random);
        for _ in 0..FRAMES {
            let frame = generate::frame(&policy, &mut random);
            assert!(frame.len() >= 14);
            coverage.record(&policy, &frame, &judge(&policy, &frame));
        }
    }
    println!("{coverage}");
    assert_eq!(coverage.frames(), POLICIES * FRAMES);
    assert_eq!(coverage.below(POLICIES * FRAMES / RARE), []);
    assert!(coverage.past_third_rule() >= 0.5);
}

#[test]
fn a_seed_fixes_a_sequence() {
    let make = || sequence(200, &mut Random::new(7));
    assert_eq!(make(), make());
}

#[test]
fn no_two_times_are_near_a_lifetime() {
    const MILLISECOND: u64 = 1_000_000;
    let lifetimes = [60, 180, 5 * 24 * 3600].map(|seconds| seconds * 1000 * MILLISECOND);
    let mut random = Random::new(3);
    for _ in 0..20 {
        let (mut now_ns, mut times) = (0, vec![0]);
        for step in sequence(500, &mut random).steps {
            if let Step::Advance { nanoseconds } = step {
                now_ns += nanoseconds;
                times.push(now_ns);
            }
        }
        assert!(times.len() > 10);
        for (earlier, later) in times.iter().flat_map(|a| times.iter().map(move |b| (a, b))) {
            for lifetime in lifetimes {
                assert!(later.abs_diff(earlier + lifetime) >= 100 * MILLISECOND);
            }
        }
    }
}

/// "A rule", as far as it says what is an error.
#[test]
fn policies_of_the_whole_language_are_legal() {
    let mut random = Random::new(4);
    for _ in 0..2000 {
        let (policy, written) = policy_of(Kind::Full, &mut random);
        let own: Vec<Service> = policy.services.clone();
        let mut names: Vec<&str> = policy.rules.iter().map(|rule| rule.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), policy.rules.len());
        for set in &policy.sets {
            assert!(set.place == SetPlace::File || !set.prefixes.is_empty());
        }
        for rule in &policy.rules {
            assert!(is_legal(rule), "{rule:?}");
            for entry in rule.ports.iter().chain(&rule.source_ports) {
                if let Ports::Service(service) = entry.ports {
                    assert!(!Service::OWN.contains(&service) || own.contains(&service));
                    // The host's own name goes before that of the catalogue.
                    assert!(service != Service::Http || !own.contains(&Service::OwnHttp));
                }
            }
            for entry in rule.from.iter().chain(&rule.to) {
                if let AddressEntry::Set(name) = entry {
                    assert!(policy.sets.iter().any(|set| set.name == *name));
                }
            }
        }
        let in_files = |set: &&Set| set.place == SetPlace::File;
        let files = policy.sets.iter().filter(in_files).count();
        assert_eq!(written.files.len(), files);
    }
}

fn is_legal(rule: &Rule) -> bool {
    let has_field = !(rule.protocols.is_empty()
        && rule.ports.is_empty()
        && rule.source_ports.is_empty()
        && rule.from.is_empty()
        && rule.to.is_empty()
        && rule.interfaces.is_empty()
        && rule.vlans.is_empty());
    let has_ports = !rule.ports.is_empty() || !rule.source_ports.is_empty();
    let transports: Vec<Protocol> = Transport::ALL
        .iter()
        .flat_map(|transport| {
            let name = transport.protocol();
            [Protocol::Name(name), Protocol::Number(name.number())]
        })
        .collect();
    let is_transport = |protocol: &Protocol| transports.contains(protocol);
    let protocols_fit = if has_ports {
        rule.protocols.iter().all(is_transport)
    } else {
        !rule.protocols.iter().any(is_transport)
    };
    let suffixes_fit = rule.ports.iter().chain(&rule.source_ports).all(|entry| {
        entry.suffix.is_none_or(|suffix| {
            rule.protocols.is_empty() || rule.protocols.contains(&Protocol::Name(suffix.protocol()))
        })
    });
    let needs_ports = rule.protocols.iter().any(is_transport) && rule.ports.is_empty();
    let icmp = [ProtocolName::Icmp, ProtocolName::Icmpv6].map(Protocol::Name);
    let types_fit = rule.types.is_empty()
        || (!rule.protocols.is_empty()
            && rule
                .protocols
                .iter()
                .all(|protocol| icmp.contains(protocol))
            && rule.types.iter().all(|entry| {
                rule.protocols.iter().all(|protocol| {
                    let is_ipv6 = *protocol == icmp[1];
                    entry.number(is_ipv6).is_some()
                        && (rule.protocols.len() == 1 || matches!(entry.kind, TypeKind::Name(_)))
                })
            }));
    has_field && protocols_fit && suffixes_fit && !needs_ports && types_fit
}

#[test]
fn everything_of_the_whole_language_decides() {
    let mut random = Random::new(2);
    let mut coverage = Coverage::of(Kind::Full);
    for _ in 0..POLICIES {
        let sequence = sequence(1000, &mut random);
        let (mut model, mut now_ns) = (sequence.model(), 0);
        for step in &sequence.steps {
            let judgement = play(&mut model, &mut now_ns, step);
            if let (Some(judgement), Step::Arrives(arrival)) = (judgement, step) {
                let (interface, frame) = (&arrival.interface, &arrival.frame);
                assert!(frame.len() >= 14);
                coverage.record_at(model.policy(), interface, frame, &judgement);
            }
        }
        assert!(model.counters().sum().packets >= 1000);
    }
    println!("{coverage}");
    assert_eq!(coverage.below(coverage.frames() / RARE), []);
    assert!(coverage.past_third_rule() >= 0.3);
}

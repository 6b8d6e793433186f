//! What `reject` answers.

use portguard_reference::model::{Model, Outcome};
use portguard_reference::policy::{Action, Essential, Policy, Rule};

use crate::bytes::{ipv4, ipv6, tcp, turned, udp};
use crate::rules::policy;

const SECOND: u64 = 1_000_000_000;

fn rejecting() -> Model {
    Model::new(policy(&[Rule::new("reject", Action::Reject)]))
}

fn answered(frame: &[u8]) -> bool {
    let judgement = rejecting().arrives("eth0", frame, 0);
    assert!(judgement.dropped);
    assert_eq!(judgement.outcome, Outcome::Rule("reject".to_owned()));
    judgement.answered
}

/// The frame with other bytes at these places.
fn with(mut frame: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    frame[at..at + bytes.len()].copy_from_slice(bytes);
    frame
}

#[test]
fn tcp_is_reset_unless_it_is_a_reset() {
    for flags in [0x02, 0x10, 0x12, 0x01, 0x00] {
        assert!(answered(&ipv4(0, 64, 6, &tcp(5000, 22, flags))));
        assert!(answered(&ipv6(6, 64, &tcp(5000, 22, flags))));
    }
    for flags in [0x04, 0x14] {
        assert!(!answered(&ipv4(0, 64, 6, &tcp(5000, 22, flags))));
        assert!(!answered(&ipv6(6, 64, &tcp(5000, 22, flags))));
    }
}

#[test]
fn an_answer_is_never_longer_than_the_request() {
    // Ethernet, IPv4, ICMP, and of the packet its IP header and 8 bytes: 14 + 20 + 8 + 20 + 8 = 70 = 14 + 20 + 8 + 28.
    assert!(answered(&ipv4(0, 64, 17, &udp(5000, 53, 28))));
    assert!(!answered(&ipv4(0, 64, 17, &udp(5000, 53, 27))));
    // 14 + 40 + 8 + 40 + 8 = 110 = 14 + 40 + 8 + 48.
    assert!(answered(&ipv6(17, 64, &udp(5000, 53, 48))));
    assert!(!answered(&ipv6(17, 64, &udp(5000, 53, 47))));
    // An extension header is quoted as well: it adds to both.
    let extended = |data| {
        ipv6(
            60,
            64,
            &format!("1100 000000000000 {}", udp(5000, 53, data)),
        )
    };
    assert!(answered(&extended(48)) && !answered(&extended(47)));
    // So does a tag.
    let tagged = |data| {
        let mut frame = ipv4(0, 64, 17, &udp(5000, 53, data));
        frame.splice(12..12, [0x81, 0x00, 0x00, 0x01]);
        frame
    };
    assert!(answered(&tagged(28)) && !answered(&tagged(27)));
    // What has no ports is told so too.
    let gre = |data: usize| ipv4(0, 64, 47, &"00".repeat(data));
    assert!(answered(&gre(36)) && !answered(&gre(35)));
}

#[test]
fn errors_are_not_answered() {
    let data = "00".repeat(60);
    // 3, 11, 12 are essential, but not here.
    let silent: Vec<u8> = {
        let mut policy = policy(&[Rule::new("reject", Action::Reject)]);
        policy.essential = Essential::Rules;
        let answers = |frame: &[u8]| {
            Model::new(policy.clone())
                .arrives("eth0", frame, 0)
                .answered
        };
        (0..=255)
            .filter(|kind| {
                !answers(&ipv4(
                    0,
                    64,
                    1,
                    &format!("{kind:02x}00 0000 00000000 {data}"),
                ))
            })
            .collect()
    };
    assert_eq!(silent, [3, 4, 5, 11, 12]);
    let answers = |kind: u8| answered(&ipv6(58, 64, &format!("{kind:02x}00 0000 00000000 {data}")));
    assert!(!answers(0) && !answers(5) && !answers(127));
    assert!(answers(128) && answers(129) && answers(255));
}

#[test]
fn fragments_are_not_answered() {
    let data = udp(5000, 53, 60);
    assert!(!answered(&ipv4(0x2000, 64, 17, &data)));
    assert!(!answered(&ipv4(0x0002, 64, 17, &data)));
    assert!(answered(&ipv4(0x4000, 64, 17, &data)));
    // Of IPv6 not even a whole packet with a fragment header.
    assert!(!answered(&ipv6(
        44,
        64,
        &format!("1100 0000 00000001 {data}")
    )));
}

#[test]
fn nobody_in_particular_is_not_answered() {
    let v4 = || ipv4(0, 64, 6, &tcp(5000, 22, 2));
    for address in [
        [224, 0, 0, 1],
        [255; 4],
        [0; 4],
        [127, 0, 0, 1],
        [127, 9, 9, 9],
    ] {
        let from = with(v4(), 26, &address);
        assert!(!answered(&from) && !answered(&turned(from)), "{address:?}");
    }
    for address in [
        [223, 255, 255, 255],
        [240, 0, 0, 1],
        [255, 255, 255, 254],
        [0, 0, 0, 1],
    ] {
        let from = with(v4(), 26, &address);
        assert!(answered(&from) && answered(&turned(from)), "{address:?}");
    }
    let v6 = || ipv6(6, 64, &tcp(5000, 22, 2));
    let last = |first: u8, last: u8| {
        let mut address = [0; 16];
        (address[0], address[15]) = (first, last);
        address
    };
    for address in [last(0xff, 2), last(0, 0), last(0, 1)] {
        let from = with(v6(), 22, &address);
        assert!(!answered(&from) && !answered(&turned(from)), "{address:?}");
    }
    assert!(answered(&with(v6(), 22, &last(0, 2))));
    // To a group of the link.
    assert!(!answered(&with(v4(), 0, &[0x01])));
    assert!(!answered(&with(v4(), 0, &[0xff; 6])));
    // From one: nobody has such an address.
    assert!(!answered(&with(v4(), 6, &[0x01])));
}

#[test]
fn a_redirect_is_not_answered() {
    // ICMP 5, and ICMPv6 137, which is no error by its number (RFC 4443, 2.4).
    let message = |kind: &str| format!("{kind}00 0000 {}", "00".repeat(60));
    let policy = Policy {
        essential: Essential::Rules,
        ..policy(&[Rule::new("reject", Action::Reject)])
    };
    let answered = |frame: &[u8]| {
        Model::new(policy.clone())
            .arrives("eth0", frame, 0)
            .answered
    };
    assert!(!answered(&ipv4(0, 64, 1, &message("05"))));
    assert!(!answered(&ipv6(58, 255, &message("89"))));
    assert!(answered(&ipv4(0, 64, 1, &message("08"))));
    assert!(answered(&ipv6(58, 255, &message("87"))));
}

#[test]
fn an_error_quotes_256_bytes_at_most() {
    // IPv6, a header of destination options of so many bytes, 8 bytes of UDP.
    let extended = |units: usize| {
        let options = format!("11{:02x}{}", units - 1, "00".repeat(units * 8 - 2));
        ipv6(60, 64, &format!("{options} {}", udp(5000, 53, 400)))
    };
    assert!(answered(&extended(26)) && !answered(&extended(27)));
    // Longer headers have no reset either.
    let reset = |units: usize| {
        let options = format!("06{:02x}{}", units - 1, "00".repeat(units * 8 - 2));
        ipv6(60, 64, &format!("{options} {}", tcp(5000, 22, 2)))
    };
    assert!(answered(&reset(26)) && !answered(&reset(27)));
    // What is shorter than the 8 bytes that an error quotes behind the headers has none.
    let short = |length: usize| {
        let mut frame = ipv4(0, 64, 99, &"00".repeat(length));
        frame.resize(100, 0);
        frame
    };
    assert!(answered(&short(8)) && !answered(&short(7)));
}

#[test]
fn a_hundred_answers_a_second() {
    let mut model = rejecting();
    let attempt = ipv4(0, 64, 6, &tcp(5000, 22, 2));
    let answers = |model: &mut Model, count: usize, now_ns: u64| {
        (0..count)
            .filter(|_| {
                let judgement = model.arrives("eth0", &attempt, now_ns);
                assert!(judgement.dropped);
                judgement.answered
            })
            .count()
    };
    // What is not answered anyway costs nothing.
    for _ in 0..50 {
        let reset = ipv4(0, 64, 6, &tcp(5000, 22, 4));
        assert!(!model.arrives("eth0", &reset, 0).answered);
    }
    assert_eq!(answers(&mut model, 150, 0), 100);
    assert_eq!(answers(&mut model, 5, SECOND / 100), 1);
    assert_eq!(answers(&mut model, 150, 10 * SECOND), 100);
}

#[test]
fn only_what_an_enforced_rule_rejects_is_answered() {
    let attempt = ipv4(0, 64, 6, &tcp(5000, 22, 2));
    let reject = Rule::new("reject", Action::Reject);
    let counts = Rule {
        enforce: false,
        ..reject.clone()
    };
    let drop = Rule::new("drop", Action::Drop);
    let mut model = Model::new(policy(&[counts, drop]));
    assert!(!model.arrives("eth0", &attempt, 0).answered);
    let mut model = Model::new(Policy {
        enforce: false,
        ..policy(std::slice::from_ref(&reject))
    });
    assert!(!model.arrives("eth0", &attempt, 0).answered);
    // A reply is passed, and not answered.
    let mut model = Model::new(policy(&[reject]));
    model.leaves("eth0", &turned(ipv4(0, 64, 6, &tcp(22, 5000, 2))), 0);
    let reply = model.arrives("eth0", &ipv4(0, 64, 6, &tcp(5000, 22, 0x12)), 0);
    assert!(!reply.answered && !reply.dropped);
}

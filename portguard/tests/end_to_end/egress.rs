//! What leaves is seen, by whichever hook the kernel has.

use std::net::{IpAddr, UdpSocket};
use std::os::fd::BorrowedFd;

use portguard::dataplane::egress::{Egress, EgressHook};
use portguard::dataplane::{Generation, LoadOptions};
use portguard_common::abi::Builtin;
use portguard_policy::{NoFiles, Outcome, check, compile};
use portguard_testbed::raw::{Ends, hardware_address, udp_frame};
use portguard_testbed::{Bed, CLIENT_V4, SERVER_V4};

const HOOKS: [EgressHook; 2] = [EgressHook::Tcx, EgressHook::Clsact];

/// Where frames of the testbed come from.
const PEER_PORT: u16 = 40_000;

/// A host whose policy drops by default.
struct Host {
    bed: Bed,
    ends: Ends,
    ifindex: u32,
}

impl Host {
    fn new() -> Self {
        let bed = Bed::new().expect("a bed");
        let ends = Ends {
            from_mac: hardware_address(&bed.client, "cli0").expect("an address"),
            to_mac: hardware_address(&bed.server, "srv0").expect("an address"),
            from: IpAddr::V4(CLIENT_V4),
            to: IpAddr::V4(SERVER_V4),
        };
        let ifindex = bed.server.index_of("srv0").expect("an index");
        Self { bed, ends, ifindex }
    }

    fn attach(&self, hook: EgressHook, generation: &Generation) -> Egress {
        let program = egress(generation);
        self.bed
            .server
            .enter(|| Egress::attach_to(hook, program, self.ifindex))
            .expect("enters")
            .expect("attaches")
    }

    /// Something leaves from a port.
    fn ask_from(&self, port: u16) {
        let socket = self.bed.server.enter(|| UdpSocket::bind((SERVER_V4, port)));
        let socket = socket.expect("enters").expect("binds");
        socket.send_to(b"?", (CLIENT_V4, PEER_PORT)).expect("sends");
    }

    /// What becomes of what arrives at a port.
    fn answer_to(&self, port: u16, generation: &Generation) -> Outcome {
        let frame = udp_frame(self.ends, &[], port, b"!").expect("a frame");
        generation.run(&frame).expect("runs").outcome
    }

    /// What `tc` says of our filters.
    fn filters(&self) -> String {
        let mut tc = self.bed.server.command("tc");
        let output = tc
            .args(["filter", "show", "dev", "srv0", "egress"])
            .output();
        String::from_utf8(output.expect("runs").stdout).expect("a text")
    }
}

fn generation() -> Generation {
    let checked = check("version: 1\ndefault: drop\nrules: []\n", &mut NoFiles);
    let policy = checked.expect("a policy").policy;
    let options = LoadOptions {
        trace: true,
        ..LoadOptions::default()
    };
    Generation::load(&compile(&policy, &[]).expect("tables"), &options).expect("loads")
}

fn egress(generation: &Generation) -> BorrowedFd<'_> {
    let programs = generation.programs().expect("programs");
    programs.egress.expect("the policy asks for replies")
}

const REPLY: Outcome = Outcome::Builtin(Builtin::Reply);
const DROPPED: Outcome = Outcome::Builtin(Builtin::DefaultDrop);

#[test]
fn what_leaves_is_seen_until_the_end_and_by_the_newest_program() {
    for hook in HOOKS {
        let host = Host::new();
        let (old, new) = (generation(), generation());
        host.ask_from(5000);
        let watch = host.attach(hook, &old);
        assert_eq!(host.answer_to(5000, &old), DROPPED, "{hook:?}: too early");
        host.ask_from(5001);
        assert_eq!(host.answer_to(5001, &old), REPLY, "{hook:?}");

        let program = egress(&new);
        let replaced = host.bed.server.enter(|| watch.replace(program));
        replaced.expect("enters").expect("replaces");
        host.ask_from(5002);
        let found = (host.answer_to(5002, &old), host.answer_to(5002, &new));
        assert_eq!(found, (DROPPED, REPLY), "{hook:?}: replaced");

        host.bed.server.enter(|| watch.detach()).expect("enters");
        host.ask_from(5003);
        assert_eq!(host.answer_to(5003, &new), DROPPED, "{hook:?}: at an end");
        assert_eq!(host.filters(), "", "{hook:?}");
    }
}

#[test]
fn a_filter_that_an_earlier_daemon_left_is_taken_over() {
    let host = Host::new();
    let (old, new) = (generation(), generation());
    // As if it had been killed.
    std::mem::forget(host.attach(EgressHook::Clsact, &old));
    let watch = host.attach(EgressHook::Clsact, &new);
    assert_eq!(host.filters().matches("portguard_egress").count(), 1);
    host.ask_from(5000);
    let found = (host.answer_to(5000, &old), host.answer_to(5000, &new));
    assert_eq!(found, (DROPPED, REPLY));
    host.bed.server.enter(|| watch.detach()).expect("enters");
}

#[test]
fn other_filters_are_left_alone_and_see_what_leaves_too() {
    let host = Host::new();
    let tc = |words: &[&str]| {
        let output = host.bed.server.command("tc").args(words).output();
        let output = output.expect("runs");
        assert!(output.status.success(), "{output:?}");
    };
    tc(&["qdisc", "add", "dev", "srv0", "clsact"]);
    let filter = ["filter", "add", "dev", "srv0", "egress", "prio", "2"];
    // A program of one instruction, which matches everything and ends the walk.
    let program = ["bpf", "bytecode", "1,6 0 0 4294967295", "flowid", "1:1"];
    tc(&[filter.as_slice(), program.as_slice()].concat());
    let before = host.filters();
    let generation = generation();
    let watch = host.attach(EgressHook::Clsact, &generation);
    host.ask_from(5000);
    assert_eq!(host.answer_to(5000, &generation), REPLY);
    host.bed.server.enter(|| watch.detach()).expect("enters");
    assert_eq!(host.filters(), before);
}

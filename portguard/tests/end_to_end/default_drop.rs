//! A host that drops by default goes on working when what its first minutes rest on runs out: neighbours, leases,
//! routes; plain and in a VLAN, in both families.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

use portguard_testbed::traffic::{Seen, Servers, probe_tcp, probe_udp};
use portguard_testbed::{
    Bed, CLIENT_V4, CLIENT_V6, Daemon, Namespace, SERVER_V4, SERVER_V6, VlanDevice,
};

use crate::{binary, outcome_packets};

const PATIENCE: Duration = Duration::from_secs(5);

const VLAN_ID: u16 = 10;

/// What the two hosts talk over.
#[derive(Clone, Copy, Debug)]
enum Wire {
    Plain,
    Vlan,
}

const WIRES: [Wire; 2] = [Wire::Plain, Wire::Vlan];

/// The guarded host's address and the other one's, in both families.
const ENDS: [(IpAddr, IpAddr); 2] = [
    (IpAddr::V4(SERVER_V4), IpAddr::V4(CLIENT_V4)),
    (IpAddr::V6(SERVER_V6), IpAddr::V6(CLIENT_V6)),
];

/// The guarded host and the other one, on a wire.
struct Site {
    bed: Bed,
    wire: Wire,
    /// They end with it.
    _vlan: Vec<VlanDevice>,
}

impl Site {
    fn new(wire: Wire) -> Self {
        let bed = Bed::new().expect("a bed");
        let mut vlan = Vec::new();
        if let Wire::Vlan = wire {
            let hosts = [
                (&bed.server, Bed::SERVER_DEVICE, SERVER_V4, SERVER_V6),
                (&bed.client, Bed::CLIENT_DEVICE, CLIENT_V4, CLIENT_V6),
            ];
            for (host, cable, v4, v6) in hosts {
                let device = wire.device(cable);
                host.ip(&format!("addr flush dev {cable}")).expect("ip");
                vlan.push(VlanDevice::new(host, cable, VLAN_ID, &device).expect("a device"));
                for address in [format!("{v4}/24"), format!("{v6}/64 nodad")] {
                    host.ip(&format!("addr add dev {device} {address}"))
                        .expect("ip");
                }
            }
        }
        Self {
            bed,
            wire,
            _vlan: vlan,
        }
    }

    /// A daemon that passes HTTPS and what this host asked for.
    fn guard(&self) -> Daemon {
        let vlan = match self.wire {
            Wire::Plain => "none".to_owned(),
            Wire::Vlan => VLAN_ID.to_string(),
        };
        let policy = format!(
            "version: 1
interfaces: [srv0]
default: drop
rules:
  - {{ name: web, action: pass, ports: 443/tcp, vlan: {vlan} }}
"
        );
        Daemon::start(binary(), &self.bed.server, &policy).expect("a daemon")
    }
}

impl Wire {
    /// The device that has the addresses, on this end of the cable.
    fn device(self, cable: &str) -> String {
        match self {
            Self::Plain => cable.to_owned(),
            Self::Vlan => format!("{cable}.{VLAN_ID}"),
        }
    }
}

fn udp(host: &Namespace, address: impl Into<SocketAddr> + Send) -> UdpSocket {
    let socket = host.enter(|| UdpSocket::bind(address.into()));
    let socket = socket.expect("enters").expect("binds");
    socket.set_read_timeout(Some(PATIENCE)).expect("sets");
    socket
}

/// The next datagram, and who sent it.
fn receive(socket: &UdpSocket, what: &str) -> (Vec<u8>, SocketAddr) {
    let mut buffer = vec![0; 65_535];
    let (length, from) = socket
        .recv_from(&mut buffer)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    buffer.truncate(length);
    (buffer, from)
}

#[test]
fn neighbours_are_found_again_from_both_sides() {
    for wire in WIRES {
        let site = Site::new(wire);
        let bed = &site.bed;
        let _daemon = site.guard();
        let _guarded = Servers::start(&bed.server, &[443, 8443], &[]).expect("servers");
        let _outside = Servers::start(&bed.client, &[443], &[]).expect("servers");
        for round in 0..3 {
            for (guarded, outside) in ENDS {
                // In each round the other side asks first.
                let mut probes = [(&bed.client, guarded), (&bed.server, outside)];
                if round % 2 == 1 {
                    probes.reverse();
                }
                for (host, address) in probes {
                    let seen = probe_tcp(host, address, 443, PATIENCE).expect("probe");
                    assert_eq!(seen, Seen::Answer, "{wire:?}, {address}, round {round}");
                }
            }
            for host in [&bed.server, &bed.client] {
                let known = host.ip("neigh show").expect("shows");
                for network in ["192.0.2.", "2001:db8::"] {
                    assert!(known.contains(network), "{wire:?}: never known: {known}");
                }
                host.ip("neigh flush all").expect("flushes");
            }
        }
        let seen = probe_tcp(&bed.client, ENDS[0].0, 8443, Duration::from_millis(300));
        assert_eq!(seen.expect("probe"), Seen::Silence, "{wire:?}: not passed");
    }
}

#[test]
fn a_lease_is_got_and_renewed() {
    for wire in WIRES {
        let site = Site::new(wire);
        let bed = &site.bed;
        let daemon = site.guard();
        for (host, cable) in [
            (&bed.server, Bed::SERVER_DEVICE),
            (&bed.client, Bed::CLIENT_DEVICE),
        ] {
            let device = wire.device(cable);
            host.ip(&format!("route add default dev {device}"))
                .expect("a route for broadcasts");
        }
        let ours = udp(&bed.server, (Ipv4Addr::UNSPECIFIED, 68));
        let theirs = udp(&bed.client, (Ipv4Addr::UNSPECIFIED, 67));
        for socket in [&ours, &theirs] {
            socket.set_broadcast(true).expect("sets");
        }
        // Discover and offer are broadcast, a renewal is not (RFC 2131, 4.3.2).
        let exchanges = [
            (Ipv4Addr::BROADCAST, Ipv4Addr::BROADCAST),
            (CLIENT_V4, SERVER_V4),
        ];
        for (asked, answered) in exchanges {
            ours.send_to(b"request", (asked, 67)).expect("sends");
            receive(&theirs, "the server hears nothing");
            theirs.send_to(b"answer", (answered, 68)).expect("sends");
            let (text, _) = receive(&ours, "the client gets no lease");
            assert_eq!(text, b"answer", "{wire:?}, {answered}");
        }
        let counters = daemon.counters().expect("counters");
        // The neighbour's kernel may report its groups meanwhile, which is essential, too.
        let essential = outcome_packets(&counters, "essential");
        assert!(essential >= 2, "{counters}");
        assert_eq!(outcome_packets(&counters, "default-drop"), 0, "{counters}");

        // Any other port at the far end is no server of leases.
        let stranger = udp(&bed.client, (CLIENT_V4, 6767));
        stranger.send_to(b"offer", (SERVER_V4, 68)).expect("sends");
        expect_silence(&ours);
    }
}

#[test]
fn an_address_is_got_by_dhcpv6() {
    // All_DHCP_Relay_Agents_and_Servers (RFC 8415, 7.1).
    const ALL_SERVERS: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 1, 2);
    for wire in WIRES {
        let site = Site::new(wire);
        let bed = &site.bed;
        let _daemon = site.guard();
        let ours = udp(&bed.server, (Ipv6Addr::UNSPECIFIED, 546));
        let theirs = udp(&bed.client, (Ipv6Addr::UNSPECIFIED, 547));
        let scope = bed
            .client
            .index_of(&wire.device(Bed::CLIENT_DEVICE))
            .expect("an index");
        theirs
            .join_multicast_v6(&ALL_SERVERS, scope)
            .expect("joins");
        let scope = bed
            .server
            .index_of(&wire.device(Bed::SERVER_DEVICE))
            .expect("an index");
        let servers = SocketAddrV6::new(ALL_SERVERS, 547, 0, scope);
        for message in [b"solicit", b"renewal"] {
            ours.send_to(message, servers).expect("sends");
            let (_, from) = receive(&theirs, "the server hears nothing");
            theirs.send_to(b"reply", from).expect("sends");
            let (text, _) = receive(&ours, "the client gets no address");
            assert_eq!(text, b"reply", "{wire:?}");
        }
        let stranger = udp(&bed.client, (CLIENT_V6, 6767));
        stranger.send_to(b"reply", (SERVER_V6, 546)).expect("sends");
        expect_silence(&ours);
    }
}

/// Nothing comes.
fn expect_silence(socket: &UdpSocket) {
    let patience = Duration::from_millis(200);
    socket.set_read_timeout(Some(patience)).expect("sets");
    let mut buffer = [0; 64];
    let heard = socket.recv(&mut buffer);
    assert!(heard.is_err(), "heard what nobody asked for");
}

#[test]
fn clients_of_dns_and_ntp_get_their_answers() {
    for wire in WIRES {
        let site = Site::new(wire);
        let bed = &site.bed;
        let _daemon = site.guard();
        let _outside = Servers::start(&bed.client, &[53], &[53, 123]).expect("servers");
        for (guarded, outside) in ENDS {
            let case = format!("{wire:?}, {outside}");
            // The longest answer comes in several fragments; after it, a resolver asks by TCP.
            for length in [64, 1_232, 4_096] {
                let seen = probe_udp(&bed.server, outside, 53, 1, length, PATIENCE);
                assert_eq!(seen.expect("probe"), Seen::Answer, "{case}, {length} bytes");
            }
            let seen = probe_tcp(&bed.server, outside, 53, PATIENCE);
            assert_eq!(seen.expect("probe"), Seen::Answer, "{case}, TCP");

            // A server of time is asked from the port at which this host would be asked.
            let clock = udp(&bed.server, (guarded, 123));
            for _ in 0..3 {
                clock.send_to(&[0x23; 48], (outside, 123)).expect("sends");
                let (time, _) = receive(&clock, &case);
                assert_eq!(time.len(), 48, "{case}");
            }
            let stranger = udp(&bed.client, (outside, 1123));
            stranger.send_to(b"?", (guarded, 123)).expect("sends");
            expect_silence(&clock);
        }
    }
}

/// Bytes of a transfer: many packets of any size.
const TRANSFER_BYTES: usize = 400_000;

#[test]
fn the_mtu_of_a_path_is_found() {
    for wire in WIRES {
        let site = Site::new(wire);
        let bed = &site.bed;
        let far = Namespace::new().expect("a namespace");
        let far_ends: [IpAddr; 2] = [
            IpAddr::from([198, 51, 100, 2]),
            IpAddr::from([0x2001, 0xdb8, 1, 0, 0, 0, 0, 2]),
        ];
        put_behind_a_narrow_router(bed, &far);
        let _daemon = site.guard();
        for ((guarded, _), outside) in ENDS.into_iter().zip(far_ends) {
            let case = format!("{wire:?}, {outside}");
            // What this host sends is too long for the path, whoever asked for the connection.
            let theirs = far.listen((outside, 0).into()).expect("listens");
            let address = theirs.local_addr().expect("an address");
            let connect = |host: &Namespace, address| {
                let stream = host.enter(|| TcpStream::connect_timeout(&address, PATIENCE));
                stream.expect("enters").expect("connects")
            };
            let sender = connect(&bed.server, address);
            let (receiver, _) = theirs.accept().expect("accepts");
            transfer(sender, receiver, &case);
            let route = bed
                .server
                .ip(&format!("route get {outside}"))
                .expect("shows");
            assert!(route.contains("mtu 1300"), "{case}: {route}");
            bed.server.ip("route flush cache").expect("flushes");
            bed.server.ip("-6 route flush cache").expect("flushes");

            let ours = bed.server.listen((guarded, 443).into()).expect("listens");
            let receiver = connect(&far, (guarded, 443).into());
            let (sender, _) = ours.accept().expect("accepts");
            transfer(sender, receiver, &case);
        }
    }
}

/// Makes the other host a router to `far`, over a path that takes 1,300 bytes, which only the router knows.
fn put_behind_a_narrow_router(bed: &Bed, far: &Namespace) {
    let ip = |host: &Namespace, words: &str| host.ip(words).expect("ip");
    ip(
        &bed.client,
        &format!(
            "link add rtr1 type veth peer name far0 netns {}",
            far.path()
        ),
    );
    ip(&bed.client, "link set dev rtr1 mtu 1300 up");
    ip(&bed.client, "addr add 198.51.100.1/24 dev rtr1");
    ip(&bed.client, "addr add 2001:db8:1::1/64 dev rtr1 nodad");
    ip(far, "link set dev far0 up");
    ip(far, "addr add 198.51.100.2/24 dev far0");
    ip(far, "addr add 2001:db8:1::2/64 dev far0 nodad");
    ip(far, "route add default via 198.51.100.1");
    ip(far, "route add default via 2001:db8:1::1");
    ip(&bed.server, &format!("route add default via {CLIENT_V4}"));
    ip(&bed.server, &format!("route add default via {CLIENT_V6}"));
    let forwards = bed.client.enter(|| {
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1")?;
        std::fs::write("/proc/sys/net/ipv6/conf/all/forwarding", "1")
    });
    forwards.expect("enters").expect("forwards");
}

fn transfer(mut sender: TcpStream, mut receiver: TcpStream, case: &str) {
    receiver.set_read_timeout(Some(PATIENCE)).expect("sets");
    sender.set_write_timeout(Some(PATIENCE)).expect("sets");
    thread::scope(|scope| {
        scope.spawn(move || {
            sender
                .write_all(&vec![7; TRANSFER_BYTES])
                .unwrap_or_else(|error| panic!("{case}: {error}"));
        });
        let mut received = Vec::new();
        receiver
            .read_to_end(&mut received)
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(received.len(), TRANSFER_BYTES, "{case}");
    });
}

#[test]
fn a_session_that_was_open_before_the_start_outlives_its_neighbours() {
    for wire in WIRES {
        let site = Site::new(wire);
        let bed = &site.bed;
        let mut pairs = Vec::new();
        for (_, outside) in ENDS {
            let listener = bed.client.listen((outside, 0).into()).expect("listens");
            let address = listener.local_addr().expect("an address");
            let ours = bed.server.enter(|| TcpStream::connect(address));
            let ours = ours.expect("enters").expect("connects");
            let (theirs, _) = listener.accept().expect("accepts");
            pairs.push((ours, theirs));
        }
        let daemon = site.guard();
        for _ in 0..2 {
            for (ours, theirs) in &mut pairs {
                // The other end speaks first: nothing that leaves has shown the connection yet.
                crate::replies::talks(theirs, ours);
            }
            for host in [&bed.server, &bed.client] {
                host.ip("neigh flush all").expect("flushes");
            }
            assert!(daemon.reload().expect("runs").status.success());
        }
    }
}

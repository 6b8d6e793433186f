//! Case R01: a reload is one step. A stream of packets to a blocked and to an open port goes on while the
//! policy is replaced again and again.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use portguard_testbed::raw::{Ends, RawSocket, hardware_address, roomy_udp_socket, udp_frame};
use portguard_testbed::{CLIENT_V4, SERVER_V4};

use crate::{guarded, policy, rule_packets, stderr};

const RELOADS: u32 = 200;
const BLOCKED: u16 = 9_000;
const OPEN: u16 = 9_001;

/// Longest that the stream goes on, whatever happens.
const LIMIT: Duration = Duration::from_secs(300);

/// Pause between two pairs of packets: some 10,000 a second to each port.
const PAUSE: Duration = Duration::from_micros(60);

fn rules(extra: u16) -> String {
    policy(&format!(
        "  - {{name: blocked, action: drop, ports: [{BLOCKED}/udp]}}
  - {{name: open, action: pass, ports: [{OPEN}/udp]}}
  - {{name: extra, action: drop, ports: [{extra}]}}
"
    ))
}

#[test]
fn r01_reloads_under_a_stream_let_nothing_through_and_lose_nothing() {
    let (bed, daemon) = guarded("  - {name: blocked, action: drop, ports: [9000/udp]}\n");
    let ends = Ends {
        from_mac: hardware_address(&bed.client, "cli0").expect("address"),
        to_mac: hardware_address(&bed.server, "srv0").expect("address"),
        from: CLIENT_V4.into(),
        to: SERVER_V4.into(),
    };
    let blocked_frame = udp_frame(ends, &[], BLOCKED, b"stream").expect("a frame");
    let open_frame = udp_frame(ends, &[], OPEN, b"stream").expect("a frame");
    let blocked_server = roomy_udp_socket(&bed.server, BLOCKED).expect("a server");
    let open_server = roomy_udp_socket(&bed.server, OPEN).expect("a server");
    let sender = RawSocket::open(&bed.client, "cli0").expect("a sender");

    let stop = AtomicBool::new(false);
    let count = |server: &std::net::UdpSocket| {
        server
            .set_read_timeout(Some(Duration::from_millis(500)))
            .expect("a timeout");
        let mut received: u64 = 0;
        let mut buffer = [0; 64];
        loop {
            match server.recv(&mut buffer) {
                Ok(_) => received += 1,
                // Quiet after the end: everything has arrived.
                Err(_) if stop.load(Ordering::Relaxed) => return received,
                Err(_) => {}
            }
        }
    };
    let (sent, received, leaked) = thread::scope(|scope| {
        let stream = scope.spawn(|| {
            let begin = Instant::now();
            let mut pairs: u64 = 0;
            while !stop.load(Ordering::Relaxed) && begin.elapsed() < LIMIT {
                sender.send(&blocked_frame).expect("sends");
                sender.send(&open_frame).expect("sends");
                pairs += 1;
                thread::sleep(PAUSE);
            }
            pairs
        });
        let open = scope.spawn(|| count(&open_server));
        let blocked = scope.spawn(|| count(&blocked_server));

        let result = std::panic::catch_unwind(|| {
            for number in 0..RELOADS {
                daemon
                    .write_policy(&rules(2_000 + (number % 2) as u16))
                    .expect("writes");
                let output = daemon.reload().expect("runs");
                assert!(output.status.success(), "{}", stderr(&output));
            }
        });
        stop.store(true, Ordering::Relaxed);
        let sent = stream.join().expect("the stream");
        let received = open.join().expect("the open port");
        let leaked = blocked.join().expect("the blocked port");
        if let Err(panic) = result {
            std::panic::resume_unwind(panic);
        }
        (sent, received, leaked)
    });

    assert_eq!(
        daemon.status().expect("status")["generation"],
        u64::from(RELOADS) + 1
    );
    assert!(sent > u64::from(RELOADS), "the stream was too thin: {sent}");
    assert_eq!(leaked, 0, "packets to the blocked port came through");
    assert_eq!(received, sent, "packets to the open port were lost");
    let counters = daemon.counters().expect("counters");
    assert_eq!(
        rule_packets(&counters, "blocked"),
        sent,
        "the counter is not exact"
    );
}

//! The catalogue of ports: what must be in it.

use std::collections::BTreeMap;

use portguard_policy::catalogue::{Advice, Class, Entry, entries};
use portguard_policy::{Transport, find_profile, find_service, profile_names};

use Advice::{ByRole, Close, Keep};

fn entry(transport: Transport, port: u16) -> &'static Entry {
    let found = entries()
        .iter()
        .find(|entry| entry.port == port && entry.transports.contains(&transport));
    found.unwrap_or_else(|| panic!("{port}/{transport}"))
}

fn protocols(text: &str) -> Vec<Transport> {
    let names = text.split(',');
    names
        .map(|name| Transport::from_name(name).unwrap_or_else(|| panic!("{name}")))
        .collect()
}

/// All that an entry tells, in lower case.
fn told(entry: &Entry) -> String {
    let abuse = entry.abuse.iter();
    let abuse = abuse.map(|own| format!("{} {:?} {}", own.name, own.year, own.text));
    format!(
        "{} {} {}",
        entry.purpose,
        abuse.collect::<Vec<_>>().join(" "),
        entry.why
    )
    .to_lowercase()
}

/// Port, protocols, service, advice where all agree, and what must be told.
type Required = (
    u16,
    &'static str,
    Option<&'static str>,
    Option<Advice>,
    &'static [&'static str],
);

/// The ports that every guide to hardening names.
const REQUIRED: &[Required] = &[
    (21, "tcp", Some("ftp"), None, &["file transfer"]),
    (
        23,
        "tcp",
        Some("telnet"),
        Some(Close),
        &["remote login", "emulation", "clear text", "mirai"],
    ),
    (
        25,
        "tcp",
        Some("smtp"),
        Some(ByRole),
        &["mail", "open by default", "mail server"],
    ),
    (53, "tcp,udp", Some("domain"), None, &["resolves names"]),
    (67, "udp", Some("bootps"), None, &["dhcp", "server"]),
    (68, "udp", Some("bootpc"), None, &["dhcp", "client"]),
    (69, "udp", Some("tftp"), None, &["file transfer"]),
    (
        79,
        "tcp",
        Some("finger"),
        Some(Close),
        &["logged in", "overflow", "firehotcker", "disclosure"],
    ),
    (
        80,
        "tcp",
        Some("http"),
        Some(Keep),
        &["executor", "ringzero"],
    ),
    (99, "tcp", Some("metagram"), None, &["metagram relay"]),
    (109, "tcp", Some("pop2"), None, &["mail retrieval"]),
    (
        110,
        "tcp",
        Some("pop3"),
        Some(ByRole),
        &["more than twenty", "user names and passwords", "promail"],
    ),
    (111, "tcp,udp", Some("sunrpc"), None, &["rpc"]),
    (113, "tcp", Some("auth"), None, &["which user"]),
    (119, "tcp", Some("nntp"), None, &["news"]),
    (
        135,
        "tcp,udp",
        Some("epmap"),
        Some(Close),
        &["rpc", "dcom", "blaster"],
    ),
    (
        137,
        "udp",
        Some("netbios-ns"),
        Some(Close),
        &["name", "domain", "services", "starts and stops"],
    ),
    (
        138,
        "udp",
        Some("netbios-dgm"),
        Some(Close),
        &["netbios datagrams"],
    ),
    (
        139,
        "tcp",
        Some("netbios-ssn"),
        Some(ByRole),
        &["file and printer", "samba", "accounts", "passwords"],
    ),
    (143, "tcp", Some("imap"), None, &["mail"]),
    (161, "udp", Some("snmp"), None, &["network equipment"]),
    (443, "tcp", Some("https"), None, &["web, encrypted"]),
    (
        445,
        "tcp,udp",
        Some("microsoft-ds"),
        Some(Close),
        &["file", "worm", "sasser", "wannacry"],
    ),
    (554, "tcp,udp", Some("rtsp"), None, &["stream"]),
    (
        593,
        "tcp",
        Some("http-rpc-epmap"),
        Some(Close),
        &["rpc over http", "worm"],
    ),
    (1024, "tcp", None, None, &["first port", "yai"]),
    (1025, "tcp", None, Some(Close), &["rpc", "worm"]),
    (1080, "tcp", Some("socks"), None, &["proxy"]),
    (
        1755,
        "tcp,udp",
        Some("ms-streaming"),
        None,
        &["microsoft media server"],
    ),
    (
        2745,
        "tcp",
        None,
        Some(Close),
        &["worm", "back door", "bagle"],
    ),
    (
        3127,
        "tcp",
        None,
        Some(Close),
        &["worm", "back door", "mydoom"],
    ),
    (
        3389,
        "tcp",
        Some("ms-wbt-server"),
        Some(ByRole),
        &["remote desktop", "intruders", "bluekeep"],
    ),
    (4000, "udp", None, None, &["qq", "client"]),
    (5554, "tcp", None, Some(Close), &["sasser", "ftp service"]),
    (5632, "udp", Some("pcanywherestat"), None, &["pcanywhere"]),
    (
        6129,
        "tcp",
        None,
        Some(Close),
        &["remote control", "back door"],
    ),
    (7306, "tcp", None, Some(Close), &["netspy", "3.0"]),
    (7626, "tcp", None, Some(Close), &["glacier", "bing he"]),
    (8000, "udp", None, None, &["qq", "server"]),
    (8011, "tcp", None, Some(Close), &["way", "2.4"]),
    (8080, "tcp", Some("http-alt"), None, &["prox"]),
];

#[test]
fn the_ports_of_every_guide_are_there() {
    for (port, transports, service, advice, facts) in REQUIRED {
        for transport in protocols(transports) {
            let entry = entry(transport, *port);
            assert_eq!(entry.service, *service, "{port}");
            assert!(advice.is_none_or(|own| own == entry.advice), "{port}");
            let told = told(entry);
            for fact in *facts {
                assert!(told.contains(fact), "{port}: {fact} in {told}");
            }
        }
    }
}

/// Ports with a history, each with the name and the year of a piece of it.
#[test]
fn notorious_ports_have_their_history() {
    use Transport::{Tcp, Udp};
    for (transport, port, name, year) in [
        (Tcp, 23, "Mirai", Some(2016)),
        (Tcp, 2323, "Mirai", Some(2016)),
        (Tcp, 25, "Morris worm", Some(1988)),
        (Tcp, 135, "Blaster", Some(2003)),
        (Tcp, 445, "Sasser", Some(2004)),
        (Tcp, 5554, "Sasser", Some(2004)),
        (Tcp, 445, "Conficker", Some(2008)),
        (Tcp, 445, "WannaCry", Some(2017)),
        (Udp, 1434, "SQL Slammer", Some(2003)),
        (Tcp, 443, "Heartbleed", Some(2014)),
        (Tcp, 3127, "MyDoom", Some(2004)),
        (Tcp, 37215, "Satori", Some(2017)),
        (Tcp, 52869, "Satori", Some(2017)),
        (Tcp, 7547, "Mirai", Some(2016)),
        (Tcp, 5555, "ADB.Miner", Some(2018)),
        (Tcp, 9200, "Meow", Some(2020)),
        (Tcp, 27017, "Meow", Some(2020)),
        (Tcp, 3389, "BlueKeep", Some(2019)),
        (Tcp, 10250, "Hildegard", Some(2021)),
        (Tcp, 2375, "Kinsing", Some(2020)),
        (Tcp, 8291, "MikroTik", Some(2018)),
        (Tcp, 8009, "Ghostcat", Some(2020)),
        (Tcp, 502, "FrostyGoop", Some(2024)),
        (Tcp, 2404, "Industroyer", Some(2016)),
        (Tcp, 3333, "Satori.Coin.Robber", Some(2018)),
        (Tcp, 32764, "back door", Some(2014)),
        (Tcp, 5900, "RealVNC", Some(2006)),
        (Udp, 19, "amplification", Some(2014)),
        (Udp, 53, "amplification", Some(2013)),
        (Udp, 123, "amplification", Some(2014)),
        (Udp, 389, "amplification", Some(2016)),
        (Udp, 1900, "amplification", Some(2014)),
        (Udp, 3283, "amplification", Some(2019)),
        (Udp, 3702, "amplification", Some(2019)),
        (Udp, 10001, "amplification", Some(2019)),
        (Udp, 11211, "amplification", Some(2018)),
        (Udp, 27015, "amplification", Some(2014)),
        (Udp, 37810, "amplification", Some(2020)),
    ] {
        let abuse = &entry(transport, port).abuse;
        let found = abuse.iter().any(|own| own.name == name && own.year == year);
        assert!(found, "{port}/{transport}: {name} in {abuse:?}");
    }
}

/// Databases and caches, container and cluster APIs, remote control, devices, controllers, mining.
#[test]
fn no_kind_of_port_with_a_history_is_missing() {
    use Transport::{Tcp, Udp};
    let tcp = [
        102, 502, 1433, 1521, 1911, 2181, 2375, 2379, 2380, 3306, 3333, 3389, 4444, 5432, 5900,
        5901, 5984, 6379, 6443, 7547, 8086, 8088, 8333, 8500, 8545, 9042, 9100, 9200, 9300, 10250,
        10255, 11211, 14444, 20000, 27017, 44818,
    ];
    let udp = [
        17, 19, 53, 69, 111, 123, 137, 161, 389, 427, 520, 1434, 1900, 3283, 3702, 5353, 5683,
        10001, 11211, 27015, 37810, 44818, 47808, 53413,
    ];
    let ports = tcp.map(|port| (Tcp, port)).into_iter();
    for (transport, port) in ports.chain(udp.map(|port| (Udp, port))) {
        let entry = entry(transport, port);
        let is_told = !entry.abuse.is_empty() || port == 8333;
        assert!(is_told, "{port}/{transport}");
    }
}

#[test]
fn entries_are_well_formed() {
    let mut owners: BTreeMap<(u16, Transport), &Entry> = BTreeMap::new();
    let all = entries();
    assert!(all.len() > 400, "{}", all.len());
    assert!(all.is_sorted_by_key(|entry| entry.port));
    for entry in all {
        assert!(entry.port > 0 && !entry.transports.is_empty(), "{entry:?}");
        assert!(entry.transports.is_sorted(), "{entry:?}");
        for transport in &entry.transports {
            let before = owners.insert((entry.port, *transport), entry);
            assert_eq!(before, None, "{entry:?}");
        }
        assert!(
            !entry.purpose.is_empty() && !entry.why.is_empty(),
            "{entry:?}"
        );
        if entry.advice == Close {
            assert!(
                !entry.abuse.is_empty(),
                "to close, without abuse: {entry:?}"
            );
        }
        assert!(entry.purpose.len() <= 120, "{entry:?}");
        let mut last = 0;
        for abuse in &entry.abuse {
            assert!(
                !abuse.name.is_empty() && !abuse.text.is_empty(),
                "{entry:?}"
            );
            // A colon in the name would be one of the text, and a CVE has its place there.
            assert!(abuse.name.len() <= 30, "{abuse:?}");
            if let Some(year) = abuse.year {
                assert!((1988..=2025).contains(&year), "{abuse:?}");
                assert!(year >= last, "oldest first: {entry:?}");
                last = year;
            }
        }
    }
}

/// What a CVE number says of the year: it was given then, or before it became known.
#[test]
fn no_year_is_before_that_of_its_cve() {
    for abuse in entries().iter().flat_map(|entry| &entry.abuse) {
        for cve in abuse.text.split("CVE-").skip(1) {
            let year: u16 = cve[..4].parse().expect("a year");
            // Old holes were numbered in 1999.
            if let Some(known) = abuse.year.filter(|_| year > 1999) {
                assert!(
                    (known..=known + 1).contains(&year) || known > year,
                    "{abuse:?}"
                );
            }
        }
    }
}

#[test]
fn every_service_has_one_entry_a_port_with_its_purpose() {
    for entry in entries() {
        let Some(name) = entry.service else { continue };
        let service = find_service(name).expect(name);
        assert_eq!(service.name, name);
        assert_eq!(service.aliases, entry.aliases);
        assert_eq!(service.purpose, entry.purpose);
        for transport in &entry.transports {
            assert!(service.ports.contains(&(*transport, entry.port)), "{name}");
        }
    }
}

#[test]
fn profiles_and_entries_know_each_other() {
    for profile in profile_names() {
        for rule in find_profile(profile).expect(profile) {
            let mut known = entries().iter().filter(|entry| {
                let shared = rule
                    .transports
                    .iter()
                    .any(|own| entry.transports.contains(own));
                entry.port == rule.port && shared
            });
            let Some(first) = known.next() else {
                panic!("{}: no entry", rule.name)
            };
            for entry in known.chain([first]) {
                assert!(entry.profiles.contains(&profile), "{}", rule.name);
                assert_ne!(entry.advice, Keep, "{}", rule.name);
            }
        }
    }
    let smb = entry(Transport::Tcp, 445);
    assert_eq!(smb.profiles, ["windows-services", "worms"]);
    assert_eq!(entry(Transport::Tcp, 22).profiles, [""; 0]);
    assert_eq!(entry(Transport::Udp, 5555).profiles, [""; 0], "adb is TCP");
}

#[test]
fn classes_are_those_of_rfc_6335() {
    for (port, class) in [
        (0, Class::WellKnown),
        (1023, Class::WellKnown),
        (1024, Class::Registered),
        (49151, Class::Registered),
        (49152, Class::Dynamic),
        (65535, Class::Dynamic),
    ] {
        assert_eq!(Class::of(port), class, "{port}");
        let (low, high) = class.bounds();
        assert!((low..=high).contains(&port));
    }
    assert_eq!(
        Class::ALL.map(Class::name),
        ["well-known", "registered", "dynamic"]
    );
}

/// The names of the services file that Debian hosts have. Two stand twice there, as a name and as an alias of
/// another, and mean the port that has them as its name: `dicom` and `syslog`.
#[test]
fn the_names_of_linux_hosts_mean_their_ports() {
    let text = include_str!("host-services.txt");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut count = 0;
    for line in lines {
        let (name, port) = line.split_once(' ').expect(line);
        let (port, transports) = port.split_once('/').expect(line);
        let port: u16 = port.parse().expect(line);
        let service = find_service(name).expect(name);
        for transport in protocols(transports) {
            assert!(service.ports.contains(&(transport, port)), "{line}");
            assert_eq!(entry(transport, port).service, Some(service.name), "{line}");
        }
        count += 1;
    }
    assert_eq!(count, 334);
}

//! Rules of ufw, written by `ufw` and put into the kernel by its own `ufw-init`, with the files that it brings along.

use std::fs;
use std::path::{Path, PathBuf};

use portguard_import::{Kind, ufw};

use crate::compare::{Known, SAME, compare, options, sources};
use crate::host::Host;

/// Where the package keeps its own rules.
const SHARED: &str = "/usr/share/ufw/iptables";

/// A folder as `ufw-init` wants it.
fn folder(name: &str) -> (tempfile::TempDir, Vec<PathBuf>) {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/kernel/rules/ufw")
        .join(name);
    let folder = tempfile::tempdir().expect("a folder");
    let (etc, defaults) = (
        folder.path().join("etc/ufw"),
        folder.path().join("etc/default"),
    );
    fs::create_dir_all(&etc).expect("a folder");
    fs::create_dir_all(&defaults).expect("a folder");
    let mut files = Vec::new();
    let mut copy = |from: PathBuf, to: PathBuf| {
        fs::copy(&from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        files.push(to);
    };
    for part in ["before", "before6", "after", "after6"] {
        let file = format!("{part}.rules");
        copy(Path::new(SHARED).join(&file), etc.join(&file));
    }
    for file in ["user.rules", "user6.rules"] {
        copy(own.join(file), etc.join(file));
    }
    copy(own.join("defaults"), defaults.join("ufw"));
    fs::write(etc.join("ufw.conf"), "ENABLED=yes\nLOGLEVEL=low\n").expect("written");
    (folder, files)
}

fn check(name: &str, seed: u64, known: &Known<'_>) {
    let host = Host::new();
    let (folder, files) = folder(name);
    let texts: Vec<(String, String)> = files
        .iter()
        .map(|file| {
            (
                file.display().to_string(),
                fs::read_to_string(file).expect("text"),
            )
        })
        .collect();
    let user: Vec<&str> = texts
        .iter()
        .filter(|(name, _)| name.contains("/user"))
        .map(|(_, text)| text.split("### END RULES").next().unwrap_or_default())
        .collect();
    compare(name, &user.concat(), seed, known, &host, |host| {
        let data = folder.path().to_str().expect("UTF-8");
        host.run(
            "/lib/ufw/ufw-init",
            &["--rootdir", "/", "--datadir", data, "start"],
            "",
        );
        ufw(&sources(&texts), &options()).expect("rules")
    });
}

use Kind::{Stricter, Wider};

/// What is told of the rules that ufw brings along, in IPv4 and in IPv6: messages with a hop limit of their own.
const OWN: [(Kind, &str); 9] = [
    (
        Wider,
        "-A ufw-before-input -m conntrack --ctstate INVALID -j DROP",
    ),
    (
        Wider,
        "-A ufw6-before-input -m conntrack --ctstate INVALID -j DROP",
    ),
    (Stricter, "--icmpv6-type 141"),
    (Stricter, "--icmpv6-type 142"),
    (Stricter, "--icmpv6-type 148"),
    (Stricter, "--icmpv6-type 149"),
    (Stricter, "--icmpv6-type 151"),
    (Stricter, "--icmpv6-type 152"),
    (Stricter, "--icmpv6-type 153"),
];

macro_rules! rule_set {
    ($name:ident, $seed:literal, $list:expr) => {
        #[test]
        fn $name() {
            let known = Known {
                list: $list,
                ..SAME
            };
            check(stringify!($name), $seed, &known);
        }
    };
}

rule_set!(web, 41, &OWN);
rule_set!(mixed, 43, &OWN);
rule_set!(interfaces, 44, &OWN);
// What is left out is passed at the end.
rule_set!(open, 45, &OWN[..2]);
rule_set!(reject, 46, &OWN);
rule_set!(multiport, 47, &OWN);
rule_set!(protocols, 48, &OWN);
rule_set!(logging, 49, &OWN);
// ufw drops all of IPv6 then, answers too.
rule_set!(four, 51, &[OWN[0], (Wider, "IPV6=no")]);

/// With limits in IPv4 and in IPv6.
#[test]
fn limit() {
    let limits = [(Stricter, "ufw/user.rules"), (Stricter, "ufw/user6.rules")];
    let list = [&OWN[..], &limits].concat();
    check(
        "limit",
        42,
        &Known {
            list: &list,
            ..SAME
        },
    );
}

#[test]
fn order() {
    let limits = [(Stricter, "ufw/user.rules"), (Stricter, "ufw/user6.rules")];
    let list = [&OWN[..], &limits].concat();
    check(
        "order",
        50,
        &Known {
            list: &list,
            ..SAME
        },
    );
}

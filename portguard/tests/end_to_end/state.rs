//! What outlives a generation lies in a folder, for one daemon, as long as it runs.

use std::path::Path;
use std::thread;

use portguard_testbed::{Bed, Daemon, own_bpf_file_system_at};

use crate::binary;

const POLICY: &str = "version: 1\ninterfaces: [srv0]\ndefault: drop\nrules: []\n";

/// Runs something on a thread that sees a BPF file system in a folder, as do the daemons that it starts.
fn with_bpf_file_system(run: impl FnOnce(&Path) + Send) {
    let folder = tempfile::tempdir().expect("a folder");
    thread::scope(|scope| {
        scope.spawn(|| {
            own_bpf_file_system_at(folder.path()).expect("mounts");
            run(&folder.path().join("state"));
        });
    });
}

fn start(bed: &Bed, state: &Path) -> anyhow::Result<Daemon> {
    let state = state.to_str().expect("a path in UTF-8");
    Daemon::start_with(binary(), &bed.server, POLICY, &["--pins", state])
}

#[test]
fn a_folder_is_for_one_daemon() {
    with_bpf_file_system(|state| {
        let (bed, other) = (Bed::new().expect("a bed"), Bed::new().expect("a bed"));
        let daemon = start(&bed, state).expect("a daemon");
        let refusal = start(&other, state).expect_err("the folder is in use");
        let text = format!("{refusal:#}");
        assert!(
            text.contains("another portguard daemon") && text.contains("`--pins`"),
            "{text}"
        );
        drop(daemon);
        // Killed, it left its folder behind.
        assert!(state.is_dir());
        start(&other, state).expect("the folder is free again");
    });
}

#[test]
fn a_stop_leaves_nothing_although_the_last_policy_needs_nothing() {
    with_bpf_file_system(|state| {
        let bed = Bed::new().expect("a bed");
        let daemon = start(&bed, state).expect("a daemon");
        assert!(state.is_dir());
        let needs_none = POLICY.replace("default: drop", "replies: rules");
        daemon.write_policy(&needs_none).expect("writes");
        assert!(daemon.reload().expect("runs").status.success());
        // What replies and limits go by stays, for a policy that needs it again.
        assert!(state.is_dir());
        daemon.stop().expect("stops");
        assert!(!state.exists());
    });
}

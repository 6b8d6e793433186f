//! xdp-filter, attached in a namespace of its own and measured by `bpftool prog run`.

use std::process::Command;

use anyhow::Context as _;

use crate::report::Row;
use crate::{frames, median};

/// Runs of one round, and rounds: as many as it takes, since the rest does not run meanwhile.
const REPEAT: u32 = 1_000_000;
const ROUNDS: usize = 21;

/// The row of the peer; none where a tool is missing.
pub(crate) fn rows() -> anyhow::Result<Option<Row>> {
    let Some(ns) = xdp_filter(&frames::syn())? else {
        return Ok(None);
    };
    Ok(Some(Row {
        level: "packet",
        name: "xdp-filter-1-port-hot".into(),
        value: ns,
        unit: "ns",
        hot: None,
        table_bytes: None,
        decided: None,
        rounds: Vec::new(),
    }))
}

/// Mean nanoseconds for a blocked packet; `None` where a tool is missing.
fn xdp_filter(frame: &[u8]) -> anyhow::Result<Option<f64>> {
    let installed = |tool: &str| {
        std::env::var_os("PATH")
            .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(tool).is_file()))
    };
    if !["xdp-filter", "bpftool", "ip", "unshare"]
        .into_iter()
        .all(installed)
    {
        eprintln!(
            "xdp-filter is not measured: it needs `xdp-filter`, `bpftool`, `ip` and `unshare`"
        );
        return Ok(None);
    }
    let folder = tempfile::tempdir()?;
    let data = folder.path().join("frame");
    std::fs::write(&data, frame)?;
    // The namespace ends with the shell, and the device and the program with it.
    let script = format!(
        "mount -t bpf bpf /sys/fs/bpf && \
         ip link add pgbench type veth peer name pgpeer && \
         xdp-filter load --mode native pgbench >&2 && \
         xdp-filter port --mode dst --proto tcp 22 >&2 && \
         id=$(ip -details link show pgbench | sed -n 's/.*prog\\/xdp id \\([0-9]*\\).*/\\1/p' | head -1) && \
         for round in $(seq {ROUNDS}); do bpftool prog run id $id data_in {} repeat {REPEAT}; done; \
         xdp-filter unload --all >&2",
        data.display()
    );
    let output = Command::new("unshare")
        .args(["--net", "--mount", "sh", "-c", &script])
        .output()
        .context("cannot run xdp-filter")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let figures: Vec<f64> = text
        .lines()
        .filter_map(|line| line.rsplit_once("(average): "))
        .filter_map(|(_, rest)| rest.trim_end_matches("ns").trim().parse().ok())
        .collect();
    if figures.is_empty() {
        eprintln!(
            "xdp-filter is not measured: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
        return Ok(None);
    }
    Ok(Some(median(figures)))
}

//! A control group whose processes can be kept from every processor.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result};
use procfs::process::Process;
use rustix::process::{Pid, Signal, kill_process};

use crate::step::{self, Refused};

/// What a group that stands still gets of each second, in microseconds: the least that the kernel takes.
const LEAST_US: u32 = 1_000;
const SECOND_US: u32 = 1_000_000;

/// How long what was killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// The hierarchy of the processor's controller: where it is, and how it limits.
#[derive(Debug)]
enum Hierarchy {
    /// Version 1 (Linux 3.2): the quota and its period are two files.
    V1(PathBuf),
    /// Version 2 (Linux 4.15): one file has both.
    V2(PathBuf),
}

impl Hierarchy {
    /// The one that this process sees.
    fn find() -> Result<Option<Self>> {
        let mounts = Process::myself()
            .and_then(|own| own.mountinfo())
            .context("cannot read what is mounted")?;
        Ok(mounts.into_iter().find_map(|mount| {
            let place = mount.mount_point;
            match mount.fs_type.as_str() {
                "cgroup" if mount.super_options.contains_key("cpu") => Some(Self::V1(place)),
                "cgroup2" if has_controller(&place) => Some(Self::V2(place)),
                _ => None,
            }
        }))
    }

    fn root(&self) -> &Path {
        match self {
            Self::V1(root) | Self::V2(root) => root,
        }
    }
}

fn has_controller(root: &Path) -> bool {
    let controllers = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
    controllers.split_whitespace().any(|name| name == "cpu")
}

/// The group. Dropping it ends its processes and removes it.
#[derive(Debug)]
pub(super) struct Group {
    hierarchy: Hierarchy,
    folder: PathBuf,
}

impl Group {
    /// A group without processes.
    ///
    /// # Errors
    ///
    /// [`Refused`] where groups of processes cannot be limited.
    pub(super) fn new() -> Result<Self> {
        let hierarchy = Hierarchy::find()?.ok_or_else(|| {
            Refused("no control groups with the controller `cpu` are mounted".to_owned())
        })?;
        if let Hierarchy::V2(root) = &hierarchy {
            fs::write(root.join("cgroup.subtree_control"), "+cpu")
                .context("cannot limit groups below the root of all")?;
        }
        let folder = hierarchy
            .root()
            .join(format!("portguard-stalls-{}", process::id()));
        fs::create_dir(&folder).with_context(|| format!("cannot make `{}`", folder.display()))?;
        let group = Self { hierarchy, folder };
        group.go_on()?;
        Ok(group)
    }

    /// The same command, run in the group with all that it starts.
    pub(super) fn around(&self, command: &Command) -> Command {
        let mut inside = Command::new("sh");
        inside
            .args(["-ec", "echo $$ > \"$0\"; exec \"$@\""])
            .arg(self.folder.join("cgroup.procs"))
            .arg(command.get_program())
            .args(command.get_args());
        if let Some(folder) = command.get_current_dir() {
            inside.current_dir(folder);
        }
        inside
    }

    /// Its processes stand still.
    pub(super) fn stand_still(&self) -> Result<()> {
        self.limit(Some(LEAST_US))
    }

    /// They go on.
    pub(super) fn go_on(&self) -> Result<()> {
        self.limit(None)
    }

    fn limit(&self, of_a_second_us: Option<u32>) -> Result<()> {
        let text = |none: &str| of_a_second_us.map_or_else(|| none.to_owned(), |us| us.to_string());
        let write = |name: &str, content: &str| {
            let path = self.folder.join(name);
            fs::write(&path, content).with_context(|| format!("cannot write `{}`", path.display()))
        };
        match self.hierarchy {
            Hierarchy::V1(_) => {
                write("cpu.cfs_period_us", &SECOND_US.to_string())?;
                write("cpu.cfs_quota_us", &text("-1"))
            }
            Hierarchy::V2(_) => write("cpu.max", &format!("{} {SECOND_US}", text("max"))),
        }
    }

    /// Kills what is in the group; `true` once nothing is.
    fn kill(&self) -> Result<bool> {
        let path = self.folder.join("cgroup.procs");
        let members = fs::read_to_string(path).context("cannot read who is in the group")?;
        let members = members.lines().filter_map(|line| line.parse().ok());
        let mut is_empty = true;
        for pid in members.filter_map(Pid::from_raw) {
            is_empty = false;
            // It may have ended meanwhile.
            let _ended = kill_process(pid, Signal::KILL);
        }
        Ok(is_empty)
    }

    fn remove(&self) -> Result<()> {
        self.go_on()?;
        let deadline = Instant::now() + PATIENCE;
        while !self.kill()? && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
        }
        fs::remove_dir(&self.folder).or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => Ok(()),
            _ => Err(error).with_context(|| format!("cannot remove `{}`", self.folder.display())),
        })
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Err(error) = self.remove() {
            step::announce(&format!("{error:#}"));
        }
    }
}

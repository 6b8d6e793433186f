//! What the machine starts with: a shell, the modules by which it reaches this host's files, and what is to be run.

use std::{
    env, fs,
    io::Write as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use tempfile::TempDir;

use super::{machine::processors, package::Kernel, programs::Program};
use crate::step;

/// The first program, in memory alone.
const INIT: &str = include_str!("init.sh");

/// What it goes on with, on this host's files.
const TESTS: &str = include_str!("tests.sh");

/// Without these there are no files; all other modules the kernel asks for by itself.
const MODULES: [&str; 4] = ["virtio_pci", "9pnet_virtio", "9p", "overlay"];

/// How many tests run at the same time; a variable of Rust's test runner.
const THREADS: &str = "RUST_TEST_THREADS";

/// What goes into one.
#[derive(Debug)]
pub(super) struct Content<'c> {
    /// Whose modules.
    pub(super) kernel: &'c Kernel,
    /// The shell and its commands; it needs no library.
    pub(super) busybox: &'c Path,
    /// What is run.
    pub(super) programs: &'c [Program],
    /// The arguments of each.
    pub(super) filters: &'c [&'c str],
}

impl Content<'_> {
    /// Writes it to a file.
    pub(super) fn pack(&self, archive: &Path) -> Result<()> {
        let folder = TempDir::new().context("cannot make a temporary folder")?;
        let root = folder.path();
        for name in ["bin", "modules", "programs"] {
            fs::create_dir(root.join(name))?;
        }
        fs::copy(self.busybox, root.join("bin/busybox"))?;
        add_script(&root.join("init"), INIT)?;
        add_script(&root.join("tests.sh"), TESTS)?;
        for (place, file) in modules(self.kernel)?.iter().enumerate() {
            // Their order is that in which they need each other.
            add_module(file, &root.join(format!("modules/{place:02}.ko")))?;
        }
        for (place, program) in self.programs.iter().enumerate() {
            let text = command(program, self.filters)?;
            fs::write(root.join(format!("programs/{place}")), text)?;
        }
        let modules = self.kernel.folder.join("lib/modules");
        let modules = modules.as_os_str().as_encoded_bytes();
        fs::write(root.join("modules-folder"), modules)?;
        pack(root, archive)
    }
}

/// How a program is run: a folder and the words of a command, one a line.
fn command(program: &Program, filters: &[&str]) -> Result<String> {
    let text = |path: &Path| path.to_str().map(str::to_owned);
    let (folder, path) = text(&program.folder)
        .zip(text(&program.path))
        .context("the checkout has a path that is no text")?;
    let threads = env::var(THREADS).unwrap_or_else(|_| processors().to_string());
    let mut lines = vec![folder, "env".into(), format!("{THREADS}={threads}"), path];
    lines.extend(
        ["--color", "never"]
            .iter()
            .chain(filters)
            .map(|word| (*word).to_owned()),
    );
    ensure!(
        lines.iter().all(|line| !line.contains('\n')),
        "a path or a filter has more than one line"
    );
    Ok(lines.join("\n") + "\n")
}

fn add_script(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
    Ok(())
}

/// The files of [`MODULES`] and of what they need, each before those that need it.
fn modules(kernel: &Kernel) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for module in MODULES {
        let modprobe = step::find_program("modprobe").context("there is no modprobe")?;
        let output = Command::new(modprobe)
            .arg("--dirname")
            .arg(&kernel.folder)
            .args(["--set-version", &kernel.release, "--show-depends", module])
            .output()
            .context("cannot run modprobe")?;
        ensure!(
            output.status.success(),
            "Linux {} has no module `{module}`: {}",
            kernel.release,
            String::from_utf8_lossy(&output.stderr).trim()
        );
        for file in needed(&String::from_utf8_lossy(&output.stdout)) {
            if !files.contains(&file) {
                files.push(file);
            }
        }
    }
    Ok(files)
}

/// Reads `insmod FILE` a line; what is built into the kernel needs no file.
fn needed(text: &str) -> Vec<PathBuf> {
    let files = text.lines().filter_map(|line| line.strip_prefix("insmod "));
    files.map(|file| file.trim().into()).collect()
}

fn add_module(file: &Path, place: &Path) -> Result<()> {
    if file.extension().is_none_or(|kind| kind != "xz") {
        fs::copy(file, place)?;
        return Ok(());
    }
    let status = Command::new("xz")
        .args(["--decompress", "--stdout"])
        .arg(file)
        .stdout(fs::File::create(place)?)
        .status()
        .context("cannot run xz")?;
    ensure!(status.success(), "xz cannot unpack `{}`", file.display());
    Ok(())
}

/// The folder in the form that the kernel unpacks.
fn pack(root: &Path, archive: &Path) -> Result<()> {
    let file = fs::File::create(archive)
        .with_context(|| format!("cannot write `{}`", archive.display()))?;
    let mut cpio = Command::new("cpio")
        .args(["--create", "--format", "newc", "--quiet"])
        .current_dir(root)
        .stdin(Stdio::piped())
        .stdout(file)
        .spawn()
        .context("cannot run cpio")?;
    // It ends its output when this is closed.
    let mut stdin = cpio.stdin.take().context("cpio has no input")?;
    stdin.write_all(names(root)?.as_bytes())?;
    drop(stdin);
    let status = cpio.wait()?;
    ensure!(status.success(), "cpio failed ({status})");
    Ok(())
}

/// The names of all that is in a folder, folders before what is in them.
fn names(root: &Path) -> Result<String> {
    let mut names = String::new();
    let mut folders = vec![root.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.strip_prefix(root)?.to_str().context("a name")?;
            names.push_str(name);
            names.push('\n');
            if path.is_dir() {
                folders.push(path);
            }
        }
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_modules_are_read_and_built_in_ones_need_none() {
        let text = "insmod /k/virtio.ko \nbuiltin virtio_ring\ninsmod /k/virtio_pci.ko.xz \n";
        let files = ["/k/virtio.ko", "/k/virtio_pci.ko.xz"].map(PathBuf::from);
        assert_eq!(needed(text), files);
    }

    #[test]
    fn a_command_is_a_word_a_line() {
        let program = Program {
            path: "/t/deps/packets-1".into(),
            folder: "/w/portguard".into(),
        };
        let text = command(&program, &["reload::", ""]).expect("a command");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "/w/portguard");
        assert_eq!(
            lines[3..],
            ["/t/deps/packets-1", "--color", "never", "reload::", ""]
        );
        assert!(command(&program, &["a\nb"]).is_err());
    }

    #[test]
    fn folders_come_before_what_is_in_them() {
        let root = TempDir::new().expect("a folder");
        fs::create_dir_all(root.path().join("a/b")).expect("folders");
        fs::write(root.path().join("a/b/c"), "").expect("a file");
        assert_eq!(names(root.path()).expect("names"), "a\na/b\na/b/c\n");
    }
}

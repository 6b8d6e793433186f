//! Kernels from the packages of Debian.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    setup::debian,
    step::{self, Refused},
};

/// A kernel, unpacked and not installed.
#[derive(Debug)]
pub(super) struct Kernel {
    /// As `uname -r` says it.
    pub(super) release: String,
    /// What is booted.
    pub(super) image: PathBuf,
    /// The folder in which its `lib/modules` is.
    pub(super) folder: PathBuf,
}

/// The newest kernel of a series that the package lists know, from the folder or from Debian.
///
/// # Errors
///
/// [`Refused`] where Debian has none for this machine.
pub(super) fn obtain(series: &str, folder: &Path) -> Result<Kernel> {
    ensure!(
        cfg!(target_arch = "x86_64"),
        Refused("kernels for this machine are not known here, those of x86-64 are".into())
    );
    let package = match newest(series)? {
        Some(package) => package,
        None => {
            debian::update();
            let none = || {
                Refused(format!(
                    "the package lists have no Linux {series} of Debian"
                ))
            };
            newest(series)?.ok_or_else(none)?
        }
    };
    let release = package.trim_start_matches(PREFIX).to_owned();
    let place = unpacked(&package, folder, |place| {
        step::run(
            "looking at its modules",
            Command::new(step::find_program("depmod").context("there is no depmod")?)
                .arg("--basedir")
                .args([place, Path::new(&release)]),
        )
    })?;
    let image = place.join(format!("boot/vmlinuz-{release}"));
    ensure!(
        image.is_file(),
        "`{}` has no `{}`: remove the folder, so that it is made anew",
        place.display(),
        image.display()
    );
    Ok(Kernel {
        release,
        image,
        folder: place,
    })
}

const PREFIX: &str = "linux-image-";

/// The package of the newest kernel of a series.
fn newest(series: &str) -> Result<Option<String>> {
    let apt_cache = |words: &[&str]| -> Result<String> {
        let output = Command::new("apt-cache")
            .env("LC_ALL", "C")
            .args(words)
            .output()
            .context("cannot run apt-cache")?;
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    let names = apt_cache(&["pkgnames", &format!("{PREFIX}{series}.")])?;
    let names: Vec<&str> = names.lines().filter(|name| is_plain(name)).collect();
    if names.is_empty() {
        return Ok(None);
    }
    // Some names are only depended on, of packages that are gone.
    let there = apt_cache(&[&["madison"][..], &names].concat())?;
    let there = there
        .lines()
        .filter_map(|line| line.split_once('|'))
        .map(|(name, _)| name.trim().to_owned());
    Ok(there.max_by_key(|name| numbers(name)))
}

/// Whether a package has the usual kernel: `linux-image-6.1.0-50-amd64`, but none that is for clouds or for real time.
fn is_plain(package: &str) -> bool {
    let release = package.strip_prefix(PREFIX);
    let version = release.and_then(|release| release.strip_suffix("-amd64"));
    version.is_some_and(|version| {
        let mut parts = version.split('-').skip(1);
        parts.all(|part| part.bytes().all(|byte| byte.is_ascii_digit()))
    })
}

/// The numbers in a name, by which the newest is found.
fn numbers(name: &str) -> Vec<u64> {
    name.split(|letter: char| !letter.is_ascii_digit())
        .filter_map(|digits| digits.parse().ok())
        .collect()
}

/// A busybox that needs no library; the host may have one that does.
pub(super) fn busybox(folder: &Path) -> Result<PathBuf> {
    let place = unpacked("busybox-static", folder, |_| Ok(()))?;
    Ok(place.join("bin/busybox"))
}

/// The folder of a package, fetched if need be: it is there when all of it is, and what else is to be done with it is done.
fn unpacked(
    package: &str,
    folder: &Path,
    finish: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let place = folder.join(package);
    if place.is_dir() {
        return Ok(place);
    }
    let partial = folder.join(format!("{package}.partial"));
    if partial.exists() {
        fs::remove_dir_all(&partial)?;
    }
    let archives = partial.join("archives");
    fs::create_dir_all(&archives)
        .with_context(|| format!("cannot make `{}`", archives.display()))?;
    step::run(
        &format!("fetching a package, which is not installed: apt-get download {package}"),
        Command::new("apt-get")
            .args(["-o", "APT::Sandbox::User=root", "download", package])
            .current_dir(&archives),
    )
    .map_err(|error| Refused(format!("{error:#}\n`apt-get update` may help")))?;
    let archive = fs::read_dir(&archives)?.next();
    let archive = archive.context("apt-get left no package")??.path();
    step::run(
        "unpacking it",
        Command::new("dpkg-deb")
            .arg("--extract")
            .args([&archive, &partial]),
    )?;
    fs::remove_dir_all(&archives)?;
    finish(&partial)?;
    fs::rename(&partial, &place)?;
    Ok(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_usual_kernel_of_a_series_is_taken() {
        for name in [
            "linux-image-6.1.0-50-amd64",
            "linux-image-6.12.111+deb12-amd64",
            "linux-image-6.12.48+deb13-amd64",
        ] {
            assert!(is_plain(name), "{name}");
        }
        for name in [
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-6.1.0-50-rt-amd64",
            "linux-image-6.1.0-50-amd64-dbg",
            "linux-image-6.1.0-50-amd64-unsigned",
            "linux-image-6.12.111+deb12-rt-amd64",
            // It depends on the newest one.
            "linux-image-amd64",
            "linux-headers-6.1.0-50-amd64",
        ] {
            assert!(!is_plain(name), "{name}");
        }
    }

    #[test]
    fn the_newest_is_so_by_its_numbers() {
        let names = [
            "linux-image-6.1.0-9-amd64",
            "linux-image-6.1.0-50-amd64",
            "linux-image-6.1.0-47-amd64",
        ];
        let newest = names.into_iter().max_by_key(|name| numbers(name));
        assert_eq!(newest, Some("linux-image-6.1.0-50-amd64"));
        assert!(
            numbers("linux-image-6.12.99+deb12-amd64")
                < numbers("linux-image-6.12.111+deb12-amd64")
        );
    }
}

//! `portguard import`

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, anyhow};
use portguard_common::limits::POLICY_BYTES;
use portguard_import::{Imported, Options, Source};

use crate::cli::{Import, ImportFrom};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{self, problems};
use crate::policy_file::{self, PolicyFile};

/// Makes a policy of the rule set of another packet filter. The exit code is 1 if the policy lets something through that
/// the original drops.
///
/// # Errors
///
/// [`Failure`] when a file cannot be read, or is not what it is said to be.
pub fn import(arguments: &Import) -> Outcome<ExitCode> {
    let files = match arguments.from {
        ImportFrom::Nft | ImportFrom::Iptables => plain(arguments)?,
        ImportFrom::Ufw => ufw(&arguments.files)?,
        ImportFrom::Firewalld => firewalld(&arguments.files)?,
    };
    let sources: Vec<Source<'_>> = files
        .iter()
        .map(|(name, text)| Source { name, text })
        .collect();
    let options = Options {
        interfaces: arguments.interface.clone(),
        strict: arguments.strict,
    };
    let imported = match (arguments.from, &sources[..]) {
        (ImportFrom::Nft, [source]) => portguard_import::nft(*source, &options),
        (ImportFrom::Nft, _) => return Err(Failure::usage(anyhow!("nft has one rule set: name one file"))),
        (ImportFrom::Iptables, [_] | [_, _]) => portguard_import::iptables(&sources, &options),
        (ImportFrom::Iptables, _) => {
            return Err(Failure::usage(anyhow!(
                "name one file, or two: what `iptables-save` prints, and what `ip6tables-save` prints"
            )));
        }
        (ImportFrom::Ufw, _) => portguard_import::ufw(&sources, &options),
        (ImportFrom::Firewalld, _) => portguard_import::firewalld(&sources, &options),
    }
    .map_err(Failure::usage)?;
    check(&imported, arguments.output.as_deref())?;
    match &arguments.output {
        Some(path) => write(path, &imported.policy)?,
        None => output::print_lines([imported.policy.trim_end()])?,
    }
    output::differences(&imported);
    Ok(if imported.is_wider() {
        Exit::Refused.into()
    } else {
        ExitCode::SUCCESS
    })
}

/// What comes out must be a policy: an interface may be no name, and there may be more than fits.
fn check(imported: &Imported, path: Option<&Path>) -> Outcome {
    let path = path.unwrap_or(Path::new("policy")).to_owned();
    let file = PolicyFile::alone(path, imported.policy.clone());
    match policy_file::compile(file) {
        Ok(_) => Ok(()),
        Err(error) => Err(Failure::refused(anyhow!(problems::policy_error(&error)))),
    }
}

/// A policy that is in force would take effect within a second, so nothing is replaced.
fn write(path: &Path, text: &str) -> Outcome {
    let mut file = File::options()
        .write(true)
        .create_new(true)
        .open(path)
        .with_context(|| match path.exists() {
            true => format!(
                "`{}` is not replaced: write to another file, and compare them by `portguard diff`",
                path.display()
            ),
            false => format!("cannot write `{}`", path.display()),
        })
        .map_err(Failure::usage)?;
    file.write_all(text.as_bytes())
        .with_context(|| format!("cannot write `{}`", path.display()))
        .map_err(Failure::system)
}

type Files = Vec<(String, String)>;

fn plain(arguments: &Import) -> Outcome<Files> {
    arguments.files.iter().map(|path| read(path)).collect()
}

/// Files of `/etc/ufw`, and the defaults beside it.
fn ufw(paths: &[PathBuf]) -> Outcome<Files> {
    let [path] = paths else {
        return paths.iter().map(|path| read(path)).collect();
    };
    if !path.is_dir() {
        return Ok(vec![read(path)?]);
    }
    let names = ["before", "before6", "user", "user6", "after", "after6"];
    let mut files = Vec::new();
    for name in names {
        let file = path.join(format!("{name}.rules"));
        if file.exists() {
            files.push(read(&file)?);
        }
    }
    if files.is_empty() {
        return Err(Failure::usage(anyhow!(
            "there is no `user.rules` in `{}`: name the folder of ufw, `/etc/ufw`",
            path.display()
        )));
    }
    let beside = path.parent().unwrap_or(Path::new("/")).join("default/ufw");
    if beside.exists() {
        files.push(read(&beside)?);
    }
    Ok(files)
}

/// Where firewalld keeps what it brings along.
const FIREWALLD: &str = "/usr/lib/firewalld";

/// A zone, or all of `/etc/firewalld`; with what firewalld brings along, where it is installed.
fn firewalld(paths: &[PathBuf]) -> Outcome<Files> {
    let mut files = Files::new();
    let mut folder = None;
    for path in paths {
        if path.is_dir() {
            folder = Some(path.clone());
            let main = path.join("firewalld.conf");
            if main.exists() {
                files.push(read(&main)?);
            }
            files.extend(folder_of(&path.join("zones"))?);
        } else {
            // `/etc/firewalld/zones/public.xml`
            folder = path
                .parent()
                .and_then(Path::parent)
                .map(Path::to_owned)
                .or(folder);
            files.push(read(path)?);
        }
    }
    for kind in ["zones", "services", "policies", "ipsets"] {
        let whole = paths.iter().any(|path| path.is_dir());
        if kind == "zones" && !whole {
            continue;
        }
        let own = folder.as_ref().map(|folder| folder.join(kind));
        let own = own.filter(|_| kind != "zones");
        for folder in own.into_iter().chain([Path::new(FIREWALLD).join(kind)]) {
            files.extend(folder_of(&folder)?);
        }
    }
    Ok(files)
}

/// The XML files of a folder, which need not be there.
fn folder_of(folder: &Path) -> Outcome<Files> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(Files::new());
    };
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|kind| kind == "xml"))
        .collect();
    paths.sort();
    paths.iter().map(|path| read(path)).collect()
}

/// Name and text of a file; `-` is standard input.
fn read(path: &Path) -> Outcome<(String, String)> {
    if path == Path::new("-") {
        let mut bytes = Vec::new();
        io::stdin()
            .take(POLICY_BYTES as u64 + 1)
            .read_to_end(&mut bytes)
            .context("cannot read standard input")
            .map_err(Failure::system)?;
        return Ok(("standard input".into(), text(bytes, "standard input")?));
    }
    let name = path.display().to_string();
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(POLICY_BYTES as u64 + 1).read_to_end(&mut bytes))
        .with_context(|| format!("cannot read `{name}`"))
        .map_err(Failure::usage)?;
    let text = text(bytes, &name)?;
    Ok((name, text))
}

fn text(bytes: Vec<u8>, name: &str) -> Outcome<String> {
    if bytes.len() > POLICY_BYTES {
        return Err(Failure::usage(anyhow!(
            "`{name}` is too large: at most {POLICY_BYTES} bytes are read"
        )));
    }
    String::from_utf8(bytes)
        .map_err(|error| {
            let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
            anyhow!("{name}:{line}: this is not UTF-8 text")
        })
        .map_err(Failure::usage)
}

//! Reading a policy from a file, its drop-ins, and the sets that they name: the only place where they come from the
//! file system.

pub mod drop_ins;
pub mod own;

use std::collections::BTreeMap;
use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use portguard_common::limits::{POLICY_BYTES, SET_FILES_BYTES};
use portguard_policy::{Checked, DropIn, Files, Policy, Problem, Tables};

pub use self::drop_ins::path_of;

/// A policy file that was read, checked and compiled.
#[derive(Debug)]
pub struct Loaded {
    /// What was read.
    pub file: PolicyFile,
    /// What it means.
    pub policy: Policy,
    /// What the kernel will look up, for interfaces of the names that the policy gives as examples.
    pub tables: Tables,
    /// What is legal but probably not meant.
    pub warnings: Vec<Problem>,
    /// The files that the policy names, in its order.
    pub set_files: Vec<PathBuf>,
    /// What was in them, by the names that the policy gives them; until it is kept somewhere else.
    pub set_contents: Vec<(String, Vec<u8>)>,
}

impl Loaded {
    /// Whether this says the same as another: the same text, and the same addresses in its files.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.file == other.file && self.policy == other.policy
    }
}

/// A policy's text and where it came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyFile {
    /// As the user named it.
    pub path: PathBuf,
    /// The file's content.
    pub text: String,
    /// Where its sets and drop-ins are.
    pub folder: PathBuf,
    /// Its drop-ins, in order.
    pub drop_ins: Vec<DropIn>,
}

impl PolicyFile {
    /// A policy that has no drop-ins. Its sets are beside it.
    #[must_use]
    pub fn alone(path: PathBuf, text: String) -> Self {
        Self {
            folder: folder_of(&path),
            path,
            text,
            drop_ins: Vec::new(),
        }
    }

    /// A text by its number, as in [`portguard_policy::Span::text`], and where it came from.
    #[must_use]
    pub fn source(&self, number: usize) -> (PathBuf, &str) {
        let drop_in = number.checked_sub(1).and_then(|own| self.drop_ins.get(own));
        match drop_in {
            Some(own) if own.name == drop_ins::RUNTIME => (own.name.clone().into(), &own.text),
            Some(own) => (self.folder.join(&own.name), &own.text),
            None => (self.path.clone(), &self.text),
        }
    }
}

/// Why a policy file is refused.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The file cannot be read, or is no text.
    #[error("policy `{}` {reason}", path.display())]
    Unreadable {
        /// As the user named it.
        path: PathBuf,
        /// A predicate: `is a directory`, `does not exist`.
        reason: String,
    },
    /// The text is no valid policy.
    #[error("policy `{}` is refused", file.path.display())]
    Invalid {
        /// The text that the problems point into.
        file: PolicyFile,
        /// All of them.
        problems: Vec<Problem>,
    },
    /// The policy is valid, but too large for the kernel's tables.
    #[error("policy `{}` does not fit: {source}", path.display())]
    TooLarge {
        /// As the user named it.
        path: PathBuf,
        /// Size needed and size allowed.
        source: portguard_policy::CompileError,
    },
}

/// Reads, checks and compiles a policy file.
///
/// # Errors
///
/// [`PolicyError`] with everything that is wrong with it.
pub fn load(path: &Path) -> Result<Loaded, PolicyError> {
    compile(read(path)?)
}

/// The same, but a policy that breaks its own assertions is not refused: to find out why it does.
///
/// # Errors
///
/// [`PolicyError`] with everything else that is wrong with it.
pub fn load_unasserted(path: &Path) -> Result<Loaded, PolicyError> {
    compile_unasserted(read(path)?)
}

/// Checks and compiles a policy that was read.
///
/// # Errors
///
/// [`PolicyError`] with everything that is wrong with it; if nothing else is, with the assertions that fail.
pub fn compile(file: PolicyFile) -> Result<Loaded, PolicyError> {
    let mut sets = SetFiles::beside(file.folder.clone());
    let mut loaded = asserted(check_and_compile(file, &mut sets)?)?;
    sets.give_to(&mut loaded);
    Ok(loaded)
}

/// The same for a policy whose sets come from somewhere else.
///
/// # Errors
///
/// As [`compile`].
pub fn compile_with(file: PolicyFile, mut sets: impl Files) -> Result<Loaded, PolicyError> {
    asserted(check_and_compile(file, &mut sets)?)
}

fn compile_unasserted(file: PolicyFile) -> Result<Loaded, PolicyError> {
    let mut sets = SetFiles::beside(file.folder.clone());
    let mut loaded = check_and_compile(file, &mut sets)?;
    sets.give_to(&mut loaded);
    Ok(loaded)
}

fn asserted(loaded: Loaded) -> Result<Loaded, PolicyError> {
    let problems = portguard_policy::check_assertions(&loaded.policy, &loaded.tables);
    if problems.is_empty() {
        Ok(loaded)
    } else {
        let file = loaded.file;
        Err(PolicyError::Invalid { file, problems })
    }
}

fn check_and_compile(file: PolicyFile, sets: &mut impl Files) -> Result<Loaded, PolicyError> {
    let Checked {
        policy,
        mut warnings,
    } = match portguard_policy::check_with_drop_ins(&file.text, &file.drop_ins, sets) {
        Ok(checked) => checked,
        Err(problems) => return Err(PolicyError::Invalid { file, problems }),
    };
    let interfaces = policy.example_interfaces();
    let interfaces: Vec<&str> = interfaces.iter().map(String::as_str).collect();
    match portguard_policy::compile(&policy, &interfaces) {
        Ok(tables) => {
            warnings.extend(portguard_policy::shadowed_rules(&policy, &tables));
            Ok(Loaded {
                file,
                policy,
                tables,
                warnings,
                set_files: Vec::new(),
                set_contents: Vec::new(),
            })
        }
        Err(source) => Err(PolicyError::TooLarge {
            path: file.path,
            source,
        }),
    }
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().map(Path::to_path_buf).unwrap_or_default()
}

/// Reads a policy file with its drop-ins, refusing what cannot be one before much of it is read.
///
/// # Errors
///
/// [`PolicyError::Unreadable`].
pub fn read(path: &Path) -> Result<PolicyFile, PolicyError> {
    read_text(path)?.with_drop_ins()
}

/// The same without drop-ins.
///
/// # Errors
///
/// [`PolicyError::Unreadable`].
pub fn read_text(path: &Path) -> Result<PolicyFile, PolicyError> {
    read_bytes(path, POLICY_BYTES)
        .and_then(text)
        .map(|text| PolicyFile::alone(path.into(), text))
        .map_err(|reason| PolicyError::Unreadable {
            path: path.into(),
            reason,
        })
}

impl PolicyFile {
    /// The same with the drop-ins that are in its folder.
    ///
    /// # Errors
    ///
    /// [`PolicyError::Unreadable`].
    pub fn with_drop_ins(self) -> Result<Self, PolicyError> {
        Ok(Self {
            drop_ins: drop_ins::read_all(&self.folder)?,
            ..self
        })
    }

    /// The files that its texts name, whether or not the policy is valid and they exist.
    #[must_use]
    pub fn set_files(&self) -> Vec<PathBuf> {
        let mut names = SetNames::default();
        // What is wrong with the policy is for who compiles it.
        let _checked =
            portguard_policy::check_with_drop_ins(&self.text, &self.drop_ins, &mut names);
        let names = names.0.iter();
        names.map(|name| beside(&self.folder, name)).collect()
    }
}

/// Notes which files are asked for, and gives none.
#[derive(Default)]
struct SetNames(Vec<String>);

impl Files for SetNames {
    fn read(&mut self, name: &str) -> Result<Vec<u8>, String> {
        self.0.push(name.into());
        Err("is not read".into())
    }
}

/// The files of addresses that a policy names, relative to its folder.
struct SetFiles {
    folder: PathBuf,
    read: Vec<PathBuf>,
    contents: Vec<(String, Vec<u8>)>,
}

impl SetFiles {
    fn beside(folder: PathBuf) -> Self {
        Self {
            folder,
            read: Vec::new(),
            contents: Vec::new(),
        }
    }

    fn give_to(self, loaded: &mut Loaded) {
        loaded.set_files = self.read;
        loaded.set_contents = self.contents;
    }
}

/// Files of addresses whose content came with the policy, by their names.
#[derive(Debug)]
pub struct KeptFiles(BTreeMap<String, String>);

impl KeptFiles {
    /// Files with this content.
    #[must_use]
    pub const fn new(files: BTreeMap<String, String>) -> Self {
        Self(files)
    }
}

impl Files for KeptFiles {
    fn read(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let content = self.0.get(name).map(|text| text.clone().into_bytes());
        content.ok_or_else(|| "was not kept".into())
    }
}

impl Files for SetFiles {
    fn read(&mut self, name: &str) -> Result<Vec<u8>, String> {
        let path = beside(&self.folder, name);
        let content = read_bytes(&path, SET_FILES_BYTES)
            .map_err(|reason| format!("(`{}`) {reason}", path.display()))?;
        self.read.push(path);
        self.contents.push((name.to_owned(), content.clone()));
        Ok(content)
    }
}

/// A file that a policy in this folder names.
pub(crate) fn beside(folder: &Path, name: &str) -> PathBuf {
    folder.join(name)
}

/// Reads a regular file of so many bytes at most.
fn read_bytes(path: &Path, most: usize) -> Result<Vec<u8>, String> {
    let (file, metadata) = open(path)?;
    read_opened(file, &metadata, most)
}

/// Opens a regular file.
fn open(path: &Path) -> Result<(File, Metadata), String> {
    // Without O_NONBLOCK a pipe that nobody writes to would hold us up for ever.
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)
        .map_err(|error| predicate(&error))?;
    let metadata = file.metadata().map_err(|error| predicate(&error))?;
    if metadata.is_dir() {
        return Err("is a directory; name the file in it".into());
    }
    if !metadata.is_file() {
        return Err("is no regular file".into());
    }
    Ok((file, metadata))
}

fn read_opened(file: File, metadata: &Metadata, most: usize) -> Result<Vec<u8>, String> {
    // One byte more than allowed tells "too large" from "just fits", also where it grows
    // while we read.
    let mut bytes = Vec::new();
    file.take(most as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| predicate(&error))?;
    if bytes.len() > most {
        let size = metadata.len().max(bytes.len() as u64);
        return Err(format!(
            "is too large: it has {size} bytes or more, allowed are {most}"
        ));
    }
    Ok(bytes)
}

fn text(bytes: Vec<u8>) -> Result<String, String> {
    String::from_utf8(bytes).map_err(|error| {
        let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
        let line = 1 + valid.iter().filter(|byte| **byte == b'\n').count();
        format!("is not UTF-8 text: line {line} has a byte that no character begins with")
    })
}

fn predicate(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "does not exist".into(),
        io::ErrorKind::PermissionDenied => "cannot be read: permission denied".into(),
        io::ErrorKind::IsADirectory => "is a directory; name the file in it".into(),
        _ => format!("cannot be read: {error}"),
    }
}

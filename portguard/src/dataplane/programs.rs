//! Programs of an object: loading them, and finding those that are loaded.

use std::os::fd::{AsFd as _, BorrowedFd};
use std::thread;

use aya::Ebpf;
use aya::programs::{Program, ProgramError, ProgramFd};

use super::generation::LoadError;
use super::sys;

/// How often to try again when the verifier is interrupted.
const LOAD_RETRIES: usize = 20;

/// Loads these programs at the same time: the verifier works on one CPU for each.
pub(super) fn load(ebpf: &mut Ebpf, names: &[Option<&'static str>]) -> Result<(), LoadError> {
    let wanted = |name: &str| names.contains(&Some(name));
    let results: Vec<Result<(), LoadError>> = thread::scope(|scope| {
        let verifying: Vec<_> = ebpf
            .programs_mut()
            .filter(|(name, _)| wanted(name))
            .map(|(_, program)| scope.spawn(move || load_one(program)))
            .collect();
        let join = |thread: thread::ScopedJoinHandle<'_, _>| match thread.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        verifying.into_iter().map(join).collect()
    });
    for name in names.iter().flatten() {
        if ebpf.program(name).is_none() {
            return Err(LoadError::Missing(name));
        }
    }
    results.into_iter().collect()
}

/// Loads a program on this thread. A signal interrupts the verifier (EAGAIN), and there can be more of them than tries, as when reloads are asked for
/// without a pause: none reaches this thread meanwhile. Whoever stops or freezes the process interrupts it all the same.
fn load_one(program: &mut Program) -> Result<(), LoadError> {
    let mut load = || match program {
        Program::Xdp(program) => program.load().map_err(program_error),
        Program::SchedClassifier(program) => program.load().map_err(program_error),
        _ => Err(LoadError::Missing("program for packets")),
    };
    let tries = || {
        let mut result = load();
        for _ in 0..LOAD_RETRIES {
            match result {
                Err(error) if was_interrupted(&error) => result = load(),
                other => return other,
            }
        }
        result
    };
    sys::without_signals(tries).map_err(LoadError::Signals)?
}

fn was_interrupted(error: &LoadError) -> bool {
    matches!(error, LoadError::Program(ProgramError::LoadError { io_error, .. })
        if io_error.raw_os_error() == Some(libc::EAGAIN))
}

/// The program of this name, of the kind that it has.
pub(super) fn loaded<'e, P>(ebpf: &'e Ebpf, name: &'static str) -> Result<&'e P, LoadError>
where
    &'e P: TryFrom<&'e Program>,
{
    ebpf.program(name)
        .and_then(|program| program.try_into().ok())
        .ok_or(LoadError::Missing(name))
}

/// The descriptor of a program that was loaded.
pub(super) fn descriptor(
    fd: Result<&ProgramFd, ProgramError>,
) -> Result<BorrowedFd<'_>, LoadError> {
    Ok(fd.map_err(LoadError::Program)?.as_fd())
}

/// The same for whoever keeps it: one of its own.
pub(super) fn own(fd: Result<&ProgramFd, ProgramError>) -> Result<ProgramFd, LoadError> {
    fd.map_err(LoadError::Program)?
        .try_clone()
        .map_err(LoadError::Descriptor)
}

/// What to say where the kernel refuses something of a program.
pub(super) fn program_error(error: ProgramError) -> LoadError {
    match error {
        ProgramError::LoadError { ref io_error, ref verifier_log }
            // The verifier also says EACCES, but then it says why.
            if matches!(io_error.raw_os_error(), Some(libc::EPERM))
                || (io_error.raw_os_error() == Some(libc::EACCES)
                    && verifier_log.to_string().is_empty()) =>
        {
            LoadError::Permission
        }
        error => LoadError::Program(error),
    }
}

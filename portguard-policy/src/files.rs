//! The files that a policy names. This crate does no input or output: who calls it reads them.

/// Gives the content of the files that a policy names.
pub trait Files {
    /// The content of a file, by the name that the policy has for it.
    ///
    /// # Errors
    ///
    /// Why there is none, as a predicate: `does not exist`, `is a directory`.
    fn read(&mut self, name: &str) -> Result<Vec<u8>, String>;
}

/// For policies that name no files: each of them is an error of the policy.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoFiles;

impl Files for NoFiles {
    fn read(&mut self, _name: &str) -> Result<Vec<u8>, String> {
        Err("cannot be read: no files belong to this policy".to_owned())
    }
}

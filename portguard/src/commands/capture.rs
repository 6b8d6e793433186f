//! `portguard capture`

use std::fs::OpenOptions;
use std::io::{self, BufWriter, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use crate::cli::Capture;
use crate::control::Event;
use crate::exit::{Failure, Outcome};
use crate::observe::pcapng::PacketFile;

use super::event_stream::{Sink, follow};

/// What stands for standard output.
const STANDARD_OUTPUT: &str = "-";

/// Frames hold what nobody else should read.
const FOR_THE_OWNER: u32 = 0o600;

/// Writes dropped frames to a pcapng file as they come, until there were as many as wanted, the time is over, or a signal ends it.
///
/// # Errors
///
/// [`Failure`] when the file cannot be written, no daemon answers, the policy has no events, or the daemon stops. What was
/// written is a whole file in any case.
pub fn capture(arguments: &Capture) -> Outcome {
    let mut target = Target {
        path: &arguments.file,
        file: None,
    };
    follow(&arguments.selection, true, &mut target)
}

/// Where frames are written to.
struct Target<'a> {
    path: &'a Path,
    /// Begun when the daemon has agreed, so that no file is replaced for nothing.
    file: Option<PacketFile<Box<dyn Write>>>,
}

impl Target<'_> {
    fn open(&self) -> io::Result<Box<dyn Write>> {
        if self.path == Path::new(STANDARD_OUTPUT) {
            return Ok(Box::new(io::stdout()));
        }
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(FOR_THE_OWNER)
            .open(self.path)?;
        Ok(Box::new(BufWriter::new(file)))
    }

    fn failed(&self, error: io::Error) -> Failure {
        let name = if self.path == Path::new(STANDARD_OUTPUT) {
            "standard output".to_owned()
        } else {
            format!("`{}`", self.path.display())
        };
        Failure::system(anyhow::Error::new(error).context(format!("cannot write to {name}")))
    }
}

impl Sink for Target<'_> {
    fn begin(&mut self) -> Outcome {
        let begun = self.open().and_then(PacketFile::new);
        match begun {
            Ok(file) => self.file = Some(file),
            // The first frame will find out, too.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) => return Err(self.failed(error)),
        }
        Ok(())
    }

    fn take(&mut self, event: &Event) -> Outcome<bool> {
        let Some(file) = &mut self.file else {
            return Ok(false);
        };
        match file.add(event) {
            Ok(()) => Ok(true),
            // Whoever reads has seen enough.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(self.failed(error)),
        }
    }
}

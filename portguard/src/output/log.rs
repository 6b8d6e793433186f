//! The log: to the journal with its fields, or to standard error.

use std::io::{self, IsTerminal as _};
use std::os::fd::AsFd;

use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::debug_fn;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};

use crate::cli::{Log, LogLevel};
use crate::dataplane::diagnostics;
use crate::exit::{Failure, Outcome};

/// What the names of our own fields start with: `PORTGUARD_INTERFACE`.
const PREFIX: &str = "PORTGUARD";

/// Starts the log: our own messages from a level on, and those of the programs in the kernel from theirs.
///
/// # Errors
///
/// [`Failure`] when the journal is asked for and not there.
pub fn start_log(log: Log, level: LogLevel, kernel: Option<LogLevel>) -> Outcome {
    let level = LevelFilter::from_level(level.into());
    let kernel = kernel.map_or(LevelFilter::OFF, |kernel| {
        LevelFilter::from_level(kernel.into())
    });
    let level = Targets::new()
        .with_default(level)
        .with_target(diagnostics::TARGET, kernel);
    let is_journal = match log {
        Log::Auto => is_connected_to_journal(io::stderr()),
        Log::Journal => true,
        Log::Stderr => false,
    };
    if !is_journal {
        return started(to_stderr(level));
    }
    match tracing_journald::layer() {
        Ok(layer) => {
            let layer = layer
                .with_field_prefix(Some(PREFIX.into()))
                .with_syslog_identifier("portguard".into());
            let subscriber = tracing_subscriber::registry().with(level).with(layer);
            started(subscriber.try_init())
        }
        Err(error) if log == Log::Journal => Err(Failure::system(
            anyhow::Error::new(error).context("cannot reach the journal for `--log journal`"),
        )),
        Err(error) => {
            started(to_stderr(level))?;
            tracing::warn!("the log has no fields: cannot reach the journal itself: {error}");
            Ok(())
        }
    }
}

/// Messages alone, since they say in words what the fields hold; with times, unless whoever reads adds its own.
fn to_stderr(level: Targets) -> Result<(), TryInitError> {
    let fields = debug_fn(|out, field, value| match field.name() {
        "message" => write!(out, "{value:?}"),
        _ => Ok(()),
    });
    let builder = tracing_subscriber::fmt()
        .with_writer(io::stderr)
        .with_max_level(LevelFilter::TRACE)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .fmt_fields(fields);
    let has_own_times = is_connected_to_journal(io::stderr());
    if has_own_times {
        builder.without_time().finish().with(level).try_init()
    } else {
        builder.finish().with(level).try_init()
    }
}

fn started(result: Result<(), TryInitError>) -> Outcome {
    if let Err(error) = result {
        // Only a second call could lead here; the first log goes on.
        tracing::warn!("the log was started twice: {error}");
    }
    Ok(())
}

/// Whether a descriptor is the one that the service manager has connected to the journal: `JOURNAL_STREAM` has its
/// device and inode (systemd.exec(5)). A process may have inherited the variable and write elsewhere.
fn is_connected_to_journal(descriptor: impl AsFd) -> bool {
    let Ok(stream) = std::env::var("JOURNAL_STREAM") else {
        return false;
    };
    rustix::fs::fstat(descriptor).is_ok_and(|stat| is_stream(&stream, stat.st_dev, stat.st_ino))
}

fn is_stream(stream: &str, device: u64, inode: u64) -> bool {
    stream == format!("{device}:{inode}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_journal_is_known_by_device_and_inode() {
        assert!(is_stream("8:4711", 8, 4711));
        for other in [
            "", "8", "8:", ":4711", "8:471", "9:4711", "8:4711 ", "08:4711",
        ] {
            assert!(!is_stream(other, 8, 4711), "{other}");
        }
    }
}

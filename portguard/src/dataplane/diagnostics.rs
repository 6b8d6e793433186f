//! What the programs themselves say, for the log.

use aya::Ebpf;
use aya_log::EbpfLogger;
use log::{Level, Log, Metadata, Record};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::oneshot;

use super::generation::LoadError;

/// What the kernel side's messages are told apart by in the log.
pub const TARGET: &str = "portguard_kernel";

/// Passes a generation's messages on to the log, until it is dropped.
#[derive(Debug)]
pub(super) struct Diagnostics(
    #[expect(dead_code, reason = "its end is the message")] oneshot::Sender<()>,
);

impl Diagnostics {
    /// Begins to listen, within a tokio runtime. The programs must be loaded: it takes the ring out of the object.
    ///
    /// # Errors
    ///
    /// [`LoadError`] when the object has no such ring, or it cannot be waited for.
    pub(super) fn of(ebpf: &mut Ebpf) -> Result<Self, LoadError> {
        let logger =
            EbpfLogger::init_with_logger(ebpf, ToTracing).map_err(LoadError::Diagnostics)?;
        // SAFETY: the logger owns its ring's descriptor, which stays the same as long as it lives, and nothing else closes it.
        let ring = unsafe { AsyncFd::register_with_interest(logger, Interest::READABLE) };
        let mut ring = ring.map_err(|error| LoadError::Descriptor(error.into()))?;
        let (alive, mut over) = oneshot::channel::<()>();
        tokio::spawn(async move {
            loop {
                let is_over = tokio::select! {
                    _ = &mut over => true,
                    ready = ring.readable_mut() => match ready {
                        // Before the ring is emptied: what comes after that is told anew.
                        Ok(mut ready) => { ready.clear_ready(); false }
                        Err(error) => {
                            tracing::warn!("the programs in the kernel are not heard of any more: {error}");
                            true
                        }
                    },
                };
                ring.get_mut().flush();
                if is_over {
                    return;
                }
            }
        });
        Ok(Self(alive))
    }
}

/// aya-log speaks to the `log` crate; the daemon's log is tracing's.
#[derive(Clone, Copy, Debug)]
struct ToTracing;

impl Log for ToTracing {
    fn enabled(&self, _metadata: &Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &Record<'_>) {
        let text = record.args();
        match record.level() {
            Level::Error => tracing::error!(target: TARGET, "kernel: {text}"),
            Level::Warn => tracing::warn!(target: TARGET, "kernel: {text}"),
            Level::Info => tracing::info!(target: TARGET, "kernel: {text}"),
            Level::Debug => tracing::debug!(target: TARGET, "kernel: {text}"),
            Level::Trace => tracing::trace!(target: TARGET, "kernel: {text}"),
        }
    }

    fn flush(&self) {}
}

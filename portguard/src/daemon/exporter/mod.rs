//! Where metrics are scraped: listeners that follow the policy in force.

mod http;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::calls::Calls;

/// How long to wait before an address is tried again: it may come with its interface, or its holder may leave it.
const PAUSE: Duration = Duration::from_secs(10);

/// The listeners.
#[derive(Debug)]
pub(super) struct Exporter {
    calls: Calls,
    listeners: BTreeMap<SocketAddr, Listener>,
    /// When to try those again that failed.
    retry_at: Option<Instant>,
}

#[derive(Debug)]
enum Listener {
    /// Dropped, it closes at once, and its connections with it: the task that accepts has no hold on it between two
    /// connections.
    Open {
        _socket: Arc<TcpListener>,
        _tasks: JoinSet<()>,
    },
    /// It cannot listen, for this reason.
    Failed(String),
}

impl Exporter {
    /// Listens nowhere.
    pub(super) const fn new(calls: Calls) -> Self {
        Self {
            calls,
            listeners: BTreeMap::new(),
            retry_at: None,
        }
    }

    /// Listens at these addresses, and at no others any more. What listens already goes on.
    pub(super) fn follow(&mut self, wanted: &[SocketAddr]) {
        self.listeners.retain(|address, _| {
            let stays = wanted.contains(address);
            if !stays {
                info!("metrics are not at http://{address}/metrics any more");
            }
            stays
        });
        for address in wanted {
            if !self.listeners.contains_key(address) {
                self.listen(*address);
            }
        }
        self.plan();
    }

    /// Waits until addresses are to be tried again; for ever if none is.
    pub(super) fn is_due(&self) -> impl Future<Output = ()> + use<> {
        let retry_at = self.retry_at;
        async move {
            match retry_at {
                Some(time) => tokio::time::sleep_until(time).await,
                None => std::future::pending().await,
            }
        }
    }

    /// Tries those addresses again that failed.
    pub(super) fn retry(&mut self) {
        self.retry_at = None;
        let failed = self
            .listeners
            .iter()
            .filter_map(|(address, listener)| match listener {
                Listener::Failed(_) => Some(*address),
                Listener::Open { .. } => None,
            });
        for address in failed.collect::<Vec<_>>() {
            self.listen(address);
        }
        self.plan();
    }

    /// Why metrics cannot be scraped where the policy says.
    pub(super) fn troubles(&self) -> Vec<String> {
        let listeners = self.listeners.values();
        let reasons = listeners.filter_map(|listener| match listener {
            Listener::Failed(reason) => Some(reason.clone()),
            Listener::Open { .. } => None,
        });
        reasons.collect()
    }

    fn listen(&mut self, address: SocketAddr) {
        let listener = match open(address) {
            Ok(socket) => {
                info!("metrics are at http://{address}/metrics");
                let socket = Arc::new(socket);
                let mut tasks = JoinSet::new();
                tasks.spawn(http::accept(Arc::downgrade(&socket), self.calls.clone()));
                Listener::Open {
                    _socket: socket,
                    _tasks: tasks,
                }
            }
            Err(error) => {
                let mut reason =
                    format!("metrics cannot be scraped: cannot listen at {address}: {error}");
                if error.raw_os_error() == Some(libc::EAFNOSUPPORT) {
                    reason += "; the systemd unit forbids it unless a drop-in allows it (see docs/metrics.md)";
                }
                let is_known = matches!(
                    self.listeners.get(&address),
                    Some(Listener::Failed(before)) if *before == reason
                );
                if !is_known {
                    warn!("{reason}; it is tried again every {} s", PAUSE.as_secs());
                }
                Listener::Failed(reason)
            }
        };
        self.listeners.insert(address, listener);
    }

    fn plan(&mut self) {
        if self.troubles().is_empty() {
            self.retry_at = None;
        } else {
            // Events come at any time: what is planned stays.
            self.retry_at.get_or_insert_with(|| Instant::now() + PAUSE);
        }
    }
}

fn open(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = std::net::TcpListener::bind(address)?;
    socket.set_nonblocking(true)?;
    TcpListener::from_std(socket)
}

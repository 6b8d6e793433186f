//! Where metrics are scraped, and the web page beside them: listeners that follow the policy in force.

mod hosts;
mod http;
mod hub;
mod page;
mod stream;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portguard_policy::{Metrics, Page};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::{info, warn};

use super::calls::Calls;

use self::hosts::Hosts;
use self::http::Site;
use self::hub::Hub;

/// How long to wait before an address is tried again: it may come with its interface, or its holder may leave it.
const PAUSE: Duration = Duration::from_secs(10);

/// The listeners.
#[derive(Debug)]
pub(super) struct Exporter {
    calls: Calls,
    /// What all readers of pages share.
    hub: Arc<Hub>,
    listeners: BTreeMap<SocketAddr, Served>,
    /// When to try those again that failed.
    retry_at: Option<Instant>,
}

/// What is served at one address.
#[derive(Debug)]
struct Served {
    listener: Listener,
    /// The page beside the metrics.
    page: Option<Page>,
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
    pub(super) fn new(calls: Calls) -> Self {
        Self {
            hub: Arc::new(Hub::new(calls.clone())),
            calls,
            listeners: BTreeMap::new(),
            retry_at: None,
        }
    }

    /// Listens where the policy says, and nowhere else any more. What listens already goes on, unless there shall be
    /// another page, or none any more: then it begins anew.
    pub(super) fn follow(&mut self, wanted: &Metrics) {
        self.listeners.retain(|address, served| {
            let is_wanted = wanted.listen.contains(address);
            if !is_wanted {
                info!("metrics are not at http://{address}/metrics any more");
            }
            is_wanted && served.page.as_ref() == wanted.page_at(*address)
        });
        for address in &wanted.listen {
            if !self.listeners.contains_key(address) {
                self.listen(*address, wanted.page_at(*address).cloned());
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
            .filter_map(|(address, served)| match served.listener {
                Listener::Failed(_) => Some((*address, served.page.clone())),
                Listener::Open { .. } => None,
            });
        for (address, page) in failed.collect::<Vec<_>>() {
            self.listen(address, page);
        }
        self.plan();
    }

    /// Why metrics cannot be scraped where the policy says.
    pub(super) fn troubles(&self) -> Vec<String> {
        let listeners = self.listeners.values();
        let reasons = listeners.filter_map(|served| match &served.listener {
            Listener::Failed(reason) => Some(reason.clone()),
            Listener::Open { .. } => None,
        });
        reasons.collect()
    }

    fn listen(&mut self, address: SocketAddr, page: Option<Page>) {
        let listener = match open(address) {
            Ok(socket) => {
                info!("metrics are at http://{address}/metrics");
                if page.is_some() {
                    info!("the page is at http://{address}/");
                }
                let site = Site {
                    calls: self.calls.clone(),
                    page: page.as_ref().map(|page| page::Site {
                        hosts: Hosts::new(page.hosts.clone()),
                        hub: Arc::clone(&self.hub),
                    }),
                };
                let socket = Arc::new(socket);
                let mut tasks = JoinSet::new();
                tasks.spawn(http::accept(Arc::downgrade(&socket), site));
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
                let before = self.listeners.get(&address);
                let is_known = before.is_some_and(
                    |served| matches!(&served.listener, Listener::Failed(before) if *before == reason),
                );
                if !is_known {
                    warn!("{reason}; it is tried again every {} s", PAUSE.as_secs());
                }
                Listener::Failed(reason)
            }
        };
        self.listeners.insert(address, Served { listener, page });
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

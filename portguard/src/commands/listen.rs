//! `portguard listen`

use anyhow::Context as _;

use crate::cli::Listen;
use crate::dataplane::interfaces;
use crate::exit::{Failure, Outcome};
use crate::exposure::{Endpoint, Judge};
use crate::host::sockets::Selection;
use crate::output::{self, Listening, Shown};

use super::filter;
use super::host::Host;

/// Shows the sockets of this host.
///
/// # Errors
///
/// [`Failure`] when the kernel does not tell, or the policy is refused.
pub fn listen(arguments: &Listen) -> Outcome {
    let found = filter::find(&arguments.judged)?;
    let selection = if arguments.all {
        Selection::All
    } else {
        Selection::Open
    };
    let Host {
        sockets,
        owners,
        ways,
    } = Host::look(selection, found.filter())?;
    let names = interfaces::list()
        .context("cannot list the interfaces")
        .map_err(Failure::system)?;
    let judge = Judge::new(found.filter(), &ways);
    let shown = sockets.iter().map(|socket| Shown {
        socket,
        processes: owners.processes(socket),
        unit: owners.unit(socket),
        container: owners.container(socket),
        device: socket
            .bound
            .and_then(|index| names.iter().find(|own| own.index == index))
            .map(|own| own.name.clone()),
        interface: ways
            .iter()
            .find(|way| way.addresses.contains(&socket.local.ip()))
            .map(|way| way.name.clone()),
        fates: Endpoint::of(socket)
            .iter()
            .filter(|_| socket.is_open())
            .map(|endpoint| judge.fate(endpoint))
            .collect(),
    });
    output::listening(
        &Listening {
            filter: found.filter(),
            why_none: found.why_none(),
            unseen: owners.unseen(),
            sockets: shown.collect(),
        },
        arguments.format,
    )
}

//! `portguard block` and `portguard open`

use std::process::ExitCode;

use crate::cli::{Block, Open, PortSelection};
use crate::control::{Answer, Change, PortChange, Request};
use crate::exit::{Exit, Outcome};
use crate::output;

use super::client::{Client, unexpected};

/// Has the daemon close ports, and waits for the result.
///
/// # Errors
///
/// [`crate::exit::Failure`] when that is refused; all stays as it was.
pub fn block(arguments: &Block) -> Outcome<ExitCode> {
    ask(&arguments.selection, false, Request::Block)
}

/// Has the daemon open ports, and waits for the result.
///
/// # Errors
///
/// As [`block`].
pub fn open(arguments: &Open) -> Outcome<ExitCode> {
    ask(&arguments.selection, arguments.overrides, Request::Open)
}

fn ask(
    selection: &PortSelection,
    overrides: bool,
    request: impl FnOnce(PortChange) -> Request,
) -> Outcome<ExitCode> {
    let Change {
        force,
        ssh_connection,
    } = selection.change.request();
    let request = request(PortChange {
        ports: selection.ports.clone(),
        profile: selection.profile.clone(),
        from: selection.from.clone(),
        for_s: selection.time.map(|time| time.as_secs()),
        confirm_s: selection.confirm.map(|time| time.as_secs()),
        runtime: selection.runtime,
        overrides,
        force,
        ssh_connection,
    });
    let is_open = matches!(request, Request::Open(_));
    let mut client = Client::ask(&selection.connection.socket, &request)?;
    let Answer::Ports(changed) = client.answer()? else {
        return Err(unexpected());
    };
    output::ports_changed(&changed, is_open)?;
    Ok(if changed.as_asked {
        ExitCode::SUCCESS
    } else {
        Exit::Refused.into()
    })
}

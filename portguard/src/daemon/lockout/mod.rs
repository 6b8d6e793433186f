//! The guard against locking oneself out: before a policy or a ban takes effect, the open SSH sessions are judged by it.

mod arrival;
mod judge;
mod text;

use std::collections::BTreeSet;
use std::io;
use std::time::Instant;

use anyhow::{Context as _, anyhow};
use portguard_policy::Prefix;
use tracing::{debug, warn};

use crate::control::Change;
use crate::dataplane::interfaces::Interface;
use crate::exit::{Failure, Outcome};
use crate::host::sessions::{self, Connection};
use crate::policy_file::Loaded;

use self::judge::{Cut, Filter};
pub(super) use self::text::Cause;
use super::found::Found;

/// Refuses a policy that would cut an open SSH session which the one in force lets live, unless the change is forced.
/// Both have been compiled for the interfaces that they guard; `guarded` are those of the one in force, by index. `banned`
/// counts where the next one does not trust any more whom the one in force does.
///
/// # Errors
///
/// [`Failure`] with the sessions, and what would cut each; also where it cannot be told whether there are any.
pub(super) fn check<'i>(
    in_force: &Loaded,
    guarded: impl IntoIterator<Item = &'i u32>,
    next: &Loaded,
    banned: &[Prefix],
    found: &Found,
    (cause, change): (Cause, &Change),
) -> Outcome {
    let guarded: BTreeSet<u32> = guarded.into_iter().copied().collect();
    let mut guarded_next = found.matched.guarded.clone();
    if found.lost_default_route() {
        guarded_next.extend(&guarded);
    }
    let in_force = Filter {
        loaded: in_force,
        guarded: &guarded,
        banned,
    };
    let next = Filter {
        loaded: next,
        guarded: &guarded_next,
        banned,
    };
    decide(cause, in_force, next, &found.interfaces, change)
}

/// The same for bans: `banned` are those in force, `more` come to them.
///
/// # Errors
///
/// As [`check`].
pub(super) fn check_bans(
    in_force: &Loaded,
    guarded: impl IntoIterator<Item = u32>,
    [banned, more]: [&[Prefix]; 2],
    interfaces: &[Interface],
    change: &Change,
) -> Outcome {
    let guarded: BTreeSet<u32> = guarded.into_iter().collect();
    let all = [banned, more].concat();
    let filter = |banned| Filter {
        loaded: in_force,
        guarded: &guarded,
        banned,
    };
    decide(Cause::Ban, filter(banned), filter(&all), interfaces, change)
}

/// Says in the log what the first policy cuts: nothing is in force that could stay in its place.
pub(super) fn warn_at_start(next: &Loaded, found: &Found) {
    let filter = Filter {
        loaded: next,
        guarded: &found.matched.guarded,
        banned: &[],
    };
    match look(None, filter, &found.interfaces, None) {
        Ok(cuts) if cuts.is_empty() => {}
        Ok(cuts) => warn!(
            rule = cuts.iter().find_map(Cut::rule),
            interface = cuts.first().map(|cut| cut.arrival.name.as_str()),
            "{}\nit takes effect all the same, since no policy is in force that could stay",
            text::cuts(Cause::Policy, &next.file.path, &cuts)
        ),
        Err(error) => warn!("cannot tell whether the policy cuts an SSH session: {error}"),
    }
}

fn decide(
    cause: Cause,
    in_force: Filter<'_>,
    next: Filter<'_>,
    interfaces: &[Interface],
    change: &Change,
) -> Outcome {
    let caller = caller(change)?;
    let cuts = match look(Some(in_force), next, interfaces, caller) {
        Ok(cuts) if cuts.is_empty() => return Ok(()),
        Ok(cuts) => cuts,
        Err(error) if change.force => {
            warn!("cannot tell whether an SSH session is cut: {error}");
            return Ok(());
        }
        Err(error) => {
            return Err(error)
                .context("cannot tell whether an SSH session would be cut; `--force` goes on")
                .map_err(Failure::system);
        }
    };
    let told = text::cuts(cause, &next.loaded.file.path, &cuts);
    if change.force {
        warn!(
            rule = cuts.iter().find_map(Cut::rule),
            interface = cuts.first().map(|cut| cut.arrival.name.as_str()),
            "{told}\nforced: it takes effect all the same"
        );
        return Ok(());
    }
    Err(Failure::refused(anyhow!("{told}\n{}", cause.ways_on())))
}

fn caller(change: &Change) -> Outcome<Option<Connection>> {
    let Some(text) = &change.ssh_connection else {
        return Ok(None);
    };
    Connection::parse(text)
        .map(Some)
        .with_context(|| format!("`ssh_connection` is `{}`", text.escape_debug()))
        .map_err(Failure::refused)
}

/// Finds the sessions, and what would cut them.
fn look(
    in_force: Option<Filter<'_>>,
    next: Filter<'_>,
    interfaces: &[Interface],
    caller: Option<Connection>,
) -> io::Result<Vec<Cut>> {
    let begin = Instant::now();
    let sessions = sessions::find(caller)?;
    let found = sessions.len();
    let arrived = arrival::of(sessions, interfaces)?;
    let cuts = judge::cuts(in_force, next, &arrived);
    debug!(
        "judged {found} SSH sessions in {} us: {} would be cut",
        begin.elapsed().as_micros(),
        cuts.len()
    );
    Ok(cuts)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_connection_refuses_the_request() {
        let change = Change {
            force: true,
            ssh_connection: Some("198.51.100.9 22\n".into()),
        };
        let failure = caller(&change).expect_err("refused");
        assert_eq!(
            failure.to_string(),
            "`ssh_connection` is `198.51.100.9 22\\n`: expected two addresses, each with its port, like `198.51.100.9 40022 192.0.2.1 22`"
        );
        assert!(caller(&Change::default()).expect("none").is_none());
    }
}

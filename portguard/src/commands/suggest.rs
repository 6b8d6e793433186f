//! `portguard suggest`

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};

use crate::cli::Suggest;
use crate::dataplane::{addresses, interfaces};
use crate::exit::{Failure, Outcome};
use crate::exposure::suggest::{Seen, Wishes, suggest as suggested};
use crate::exposure::{Filter, Judge, Way};
use crate::host::published;
use crate::host::sessions::{self, Connection};
use crate::host::sockets::{self, Selection};
use crate::output::{self, problems};
use crate::policy_file::{self, Loaded, PolicyFile};

use super::filter;
use super::host::Host;

/// Time between two looks at the kernel's tables.
const STEP: Duration = Duration::from_millis(200);

/// Prints a policy, and what it would change.
///
/// # Errors
///
/// [`Failure`] when it cannot look, or the present policy is refused.
pub fn suggest(arguments: &Suggest) -> Outcome {
    let found = filter::find(&arguments.judged)?;
    let seen = match arguments.watch {
        Some(time) => Some(watch(time)?),
        None => None,
    };
    let host = Host::look(Selection::Open, found.filter())?;
    let published = published::find(&host.sockets, &host.owners);
    let caller = sessions::connection_of_caller().and_then(|text| Connection::parse(&text).ok());
    let sessions = sessions::find(caller)
        .context("cannot tell which SSH sessions are open")
        .map_err(Failure::system)?;
    let judge = Judge::new(found.filter(), &host.ways);
    let facts = host.facts(&judge, found.why_none(), &published.published);
    let interfaces = to_guard(found.filter(), &host.ways)?;
    let text = suggested(
        &facts,
        &Wishes {
            interfaces: &interfaces,
            sessions: &sessions,
            seen: seen.as_ref(),
        },
    );
    let loaded = compiled(text)?;
    output::suggestion(&loaded.file.text)?;
    let difference = found.filter().map(|filter| {
        let old = &filter.policy;
        portguard_policy::diff((old, &filter.tables), (&loaded.policy, &loaded.tables))
            .map(|difference| ([old, &loaded.policy], difference))
    });
    let difference = difference.transpose().map_err(|error| error.to_string());
    let why_none = found.why_none().unwrap_or_default();
    output::beside_suggestion(difference, why_none, &published.notes);
    Ok(())
}

/// What is suggested has to be a policy, and to keep its promise to whoever asks.
fn compiled(text: String) -> Outcome<Loaded> {
    policy_file::compile(PolicyFile::alone("suggestion".into(), text)).map_err(|error| {
        Failure::system(anyhow!(
            "{}\nthis is a defect of portguard: please report it",
            problems::policy_error(&error)
        ))
    })
}

/// Looks who is connected, again and again.
fn watch(time: Duration) -> Outcome<Seen> {
    let end = Instant::now() + time;
    let mut seen = Seen::default();
    loop {
        let sockets = sockets::list(Selection::All)
            .context("cannot list the sockets")
            .map_err(Failure::system)?;
        seen.note(&sockets, &own_addresses()?);
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(seen);
        }
        thread::sleep(left.min(STEP));
    }
}

fn own_addresses() -> Outcome<BTreeSet<IpAddr>> {
    let addresses = addresses::list()
        .context("cannot list the addresses")
        .map_err(Failure::system)?;
    Ok(addresses.into_iter().map(|(_, address)| address).collect())
}

/// The interfaces that the present policy guards, or else those by which strangers come.
fn to_guard(filter: Option<&Filter>, ways: &[Way]) -> Outcome<Vec<String>> {
    let policy = filter.map(|filter| &filter.policy);
    if let Some(policy) = policy.filter(|own| !own.interfaces.is_empty()) {
        return Ok(policy.interfaces.iter().map(ToString::to_string).collect());
    }
    let routes = interfaces::with_default_route()
        .context("cannot list the routes")
        .map_err(Failure::system)?;
    if !routes.is_empty() {
        return Ok(vec!["default-route".into()]);
    }
    let names: Vec<String> = ways.iter().map(|way| way.name.clone()).collect();
    if names.is_empty() {
        return Err(Failure::refused(anyhow!(
            "no interface but the loopback device is up and has an address: there is nothing to guard"
        )));
    }
    Ok(names)
}

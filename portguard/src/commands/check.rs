//! `portguard check`

use anyhow::{Context as _, anyhow};
use portguard_policy::InterfacePattern;

use crate::cli::Check;
use crate::dataplane::interfaces;
use crate::exit::{Failure, Outcome};
use crate::output::{self, problems};
use crate::policy_file::{self, Loaded};

/// Checks every file and shows all problems of all of them.
///
/// # Errors
///
/// [`Failure`] when one is refused.
pub fn check(arguments: &Check) -> Outcome {
    let mut refused = 0;
    for path in &arguments.files {
        match policy_file::load(path) {
            Ok(loaded) => {
                let mut report = problems::warnings(&loaded);
                let missing = if arguments.interfaces {
                    missing_interfaces(&loaded).map_err(Failure::system)?
                } else {
                    Vec::new()
                };
                refused += usize::from(!missing.is_empty());
                report.extend(missing);
                output::print_lines(report.iter().map(String::as_str))?;
                output::print_lines([problems::verdict(&loaded).as_str()])?;
            }
            Err(error) => {
                refused += 1;
                output::print_lines([problems::policy_error(&error).as_str()])?;
            }
        }
    }
    match refused {
        0 => Ok(()),
        1 if arguments.files.len() == 1 => Err(Failure::refused(anyhow!("the policy is refused"))),
        _ => Err(Failure::refused(anyhow!(
            "{refused} of {} policies are refused",
            arguments.files.len()
        ))),
    }
}

/// A sentence for each literal name that no interface has.
fn missing_interfaces(loaded: &Loaded) -> anyhow::Result<Vec<String>> {
    let present = interfaces::list().context("cannot list the interfaces")?;
    Ok(loaded
        .policy
        .interfaces
        .iter()
        .filter_map(|pattern| match pattern {
            InterfacePattern::Name(name) => Some(name),
            _ => None,
        })
        .filter(|name| present.iter().all(|interface| interface.name != **name))
        .map(|name| {
            format!(
                "error: interface `{name}`, which policy `{}` names, does not exist on this host",
                loaded.file.path.display()
            )
        })
        .collect())
}

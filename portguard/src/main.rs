//! The `portguard` program.

use std::process::ExitCode;

use clap::Parser as _;
use portguard::cli::{Cli, Command};
use portguard::{commands, output};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(arguments) => commands::run::run(arguments),
        Command::Check(arguments) => commands::check::check(&arguments),
        Command::Reload(arguments) => commands::reload::reload(&arguments),
        Command::Status(arguments) => commands::status::status(&arguments),
        Command::Counters(arguments) => commands::counters::counters(&arguments),
        Command::Replay(arguments) => commands::replay::replay(&arguments),
        Command::Explain(arguments) => commands::explain::explain(&arguments),
        Command::Schema => commands::schema::schema(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::failure(&failure);
            failure.exit.into()
        }
    }
}
